//! `audit` beside a running daemon: its report on correct rows, and its findings on wrong ones.

use serde_json::json;
use stellar_ticker::sim::TomlReply;

use super::*;
use crate::support::{
    postgres::execute,
    scripted::{LEDGER, scripted, trade},
};

/// After its first pass the self-audit of the daemon does not find what these tests let the command find; see
/// [`Daemon::wait_until_the_auditor_rests`].
const WITHOUT_SELF_AUDIT: [&str; 2] = ["--audit-interval", "24h"];

/// Exit code, report and log of an audit of a daemon.
pub(super) fn audit(daemon: &Daemon, more: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", daemon.public);
    let arguments = ["audit", "--url", &url, "--database-url", &daemon.database, "--log-format", "json"];
    run(&[&arguments[..], more].concat())
}

/// The part of a report that is about one answer.
fn of_answer<'a>(report: &'a Value, answer: &str) -> &'a Value {
    let entry = report["answers"].as_array().unwrap().iter().find(|entry| entry["answer"] == answer);
    entry.unwrap_or_else(|| panic!("{answer} is not in {report}"))
}

/// The entries and fields that an audit finds in an answer.
fn found_in(answer: &str, daemon: &Daemon) -> (i32, Vec<String>) {
    let (code, report, log) = audit(daemon, &["--format", "json"]);
    let report: Value =
        serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report} {log}"));
    let differences = of_answer(&report, answer)["differences"].as_array().unwrap();
    let place = |entry: &Value| {
        format!("{} {}", entry["entry"].as_str().unwrap(), entry["field"].as_str().unwrap()).trim().to_owned()
    };
    (code, differences.iter().map(place).collect())
}

fn found(daemon: &Daemon) -> (i32, Vec<String>) {
    found_in("markets.json", daemon)
}

#[test]
fn finds_nothing_while_trades_flow_and_books_and_assets_change() {
    let sim = network(71, FaultPlan::random(71, 0.05));
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(
            &sim.url(),
            &database,
            PASSPHRASE,
            &[
                "--orderbooks-schedule",
                "* * * * * *",
                "--publish-interval",
                "100ms",
                "--audit-interval",
                "100ms",
            ],
        );
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 500).await;
        wait_for_pairs(&daemon);
        let mut seqs = Vec::new();
        for _ in 0..20 {
            let (code, report, log) = audit(&daemon, &["--format", "json"]);
            assert_eq!(code, 0, "{report}{log}");
            let report: Value = serde_json::from_str(&report).unwrap();
            for (answer, fields) in [
                ("markets.json", 26),
                ("assets.json", 35),
                ("GraphQL, 24 hours", 20),
                ("GraphQL, 168 hours", 20),
                ("GraphQL, 7 hours", 20),
            ] {
                let figures = of_answer(&report, answer)["figures"].as_u64().unwrap();
                assert!(figures > fields * 10, "{answer}: {report}");
            }
            let seq_of = |entry: &Value| entry["seq"].as_i64().unwrap();
            seqs.push(report["answers"].as_array().unwrap().iter().map(seq_of).max().unwrap());
            let after = *seqs.last().unwrap();
            wait_until("more is committed", || daemon.status()["seq"].as_i64().unwrap() > after);
        }
        println!("20 audits from seq {} to {}", seqs[0], seqs[19]);
        // In the meantime the daemon audited itself and read its ledgers again.
        wait_until("held ledgers are read again", || {
            daemon.status()["audit"]["reread"]["ledgers"].as_u64() > Some(10)
        });
        wait_until("assets and books as well", || {
            forgetting::metric(&daemon, "ticker_audit_lists_total").is_some_and(|count| count > 0.0)
        });
        wait_until("prices in dollars as well", || {
            forgetting::metric(&daemon, "ticker_audit_prices_total").is_some_and(|count| count > 1.0)
        });
        wait_until("a pass has ended", || daemon.status()["audit"]["markets"].as_u64() > Some(10));
        assert_eq!(forgetting::metric(&daemon, "ticker_audit_differences_total"), Some(0.0));
        let reread = daemon.status()["audit"]["reread"].clone();
        assert_eq!((&reread["contradicting"], &reread["surplus"]), (&json!(0), &json!(0)), "{reread}");
        let (code, report, _) = audit(&daemon, &[]);
        assert_eq!(code, 0);
        assert!(report.contains(" figures compared, 0 differences, at seq "), "{report}");
    });
}

#[test]
fn finds_rows_that_were_changed_deleted_doubled_or_moved_and_names_them() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &WITHOUT_SELF_AUDIT);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        for ledger in 1..=3 {
            source.push_trade(trade(LEDGER + ledger, 0, chrono::Utc::now())).unwrap();
        }
        wait_until("all are published", || {
            let answer = daemon.get("/markets.json");
            answer.status == 200 && answer.json()["pairs"][0]["trade_count"] == 3
        });
        assert_eq!(found(&daemon), (0, vec![]));
        daemon.wait_until_the_auditor_rests();
        sim.stop(); // or what is missing would be found there again
        let second = format!("WHERE toid >> 32 = {}", LEDGER + 2);
        let both = |names: &[&str]| -> Vec<String> {
            let fields =
                names.iter().flat_map(|name| [format!("XLM_TEA {name}"), format!("XLM_TEA {name}_7d")]);
            let mut fields: Vec<String> = fields.collect();
            fields.sort();
            fields
        };
        let sums = ["base_volume", "counter_volume", "trade_count"];
        let kept = "CREATE TABLE kept AS SELECT * FROM trades";
        execute(&database, kept).await;
        for (corrupt, fields) in [
            (format!("UPDATE trades SET base_amount = base_amount + 1 {second}"), both(&["base_volume"])),
            (format!("UPDATE trades SET price_n = 5 {second}"), both(&["low"])),
            (format!("UPDATE trades SET price_d = 5 {second}"), both(&["high"])),
            (format!("DELETE FROM trades {second}"), both(&sums)),
            (
                format!("INSERT INTO trades SELECT (k).* FROM (SELECT k FROM kept k {second}) s")
                    .replace("(k).*", "(k).toid, 1, (k).ledger_close_time, (k).market_id, (k).base_asset_id, (k).counter_asset_id, \
                        (k).base_amount, (k).counter_amount, (k).price_n, (k).price_d, (k).base_is_seller"),
                both(&sums),
            ),
            ("UPDATE trades SET ledger_close_time = ledger_close_time + interval '1 s'".to_owned(), vec!["XLM_TEA close_time".to_owned()]),
            ("DELETE FROM trades".to_owned(), vec!["XLM_TEA".to_owned()]),
            ("UPDATE assets SET anchor_asset_code = 'TEE' WHERE code = 'TEA'".to_owned(), vec!["XLM_TEA".into(), "XLM_TEE".into()]),
        ] {
            execute(&database, &corrupt).await;
            assert_eq!(found(&daemon), (1, fields), "{corrupt}");
            execute(&database, "TRUNCATE trades; INSERT INTO trades SELECT * FROM kept").await;
        }
        execute(&database, "UPDATE assets SET anchor_asset_code = ''").await;
        assert_eq!(found(&daemon), (0, vec![]), "healed by hand");
        execute(&database, &format!("UPDATE trades SET base_amount = 70000000 {second}")).await;
        let (code, report, _) = audit(&daemon, &[]);
        assert_eq!(code, 1);
        assert!(report.contains("  XLM_TEA base_volume: served 9, expected 13\n"), "{report}");
        for hours in [7, 24, 168] {
            let (code, fields) = found_in(&format!("GraphQL, {hours} hours"), &daemon);
            let [market, pair] = fields.try_into().unwrap();
            assert_eq!((code, pair.as_str()), (1, "XLM_TEA baseVolume"));
            assert!(market.starts_with("XLM:native / TEA:G") && market.ends_with(" baseVolume"), "{market}");
        }
    });
}

#[test]
fn finds_assets_that_were_changed_or_are_not_valid_any_more() {
    let sim = network(73, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &WITHOUT_SELF_AUDIT);
        wait_for_pairs(&daemon);
        let client = recomputation::connect(&database).await;
        wait_until_no_asset_is_due(&client).await;
        daemon.wait_until_the_auditor_rests();
        sim.stop();
        let wanted = "SELECT code || ':' || issuer FROM assets a JOIN issuers i ON i.public_key = a.issuer
                      WHERE is_valid AND issuer <> 'native' AND collateral_addresses = '{}'
                      AND NOT EXISTS (SELECT 1 FROM assets o WHERE o.issuer = a.issuer AND o.id <> a.id)
                      ORDER BY a.id LIMIT 1";
        let name: String = client.query_one(wanted, &[]).await.unwrap().get(0);
        let of = format!("FROM assets WHERE code || ':' || issuer = '{name}'");
        for (change, back, field) in [
            ("num_accounts = num_accounts + 1", "num_accounts = num_accounts - 1", "num_accounts"),
            ("amount = amount + 1", "amount = amount - 1", "amount"),
            ("\"desc\" = \"desc\" || '!'", "\"desc\" = left(\"desc\", -1)", "desc"),
            ("collateral_addresses = '{x}'", "collateral_addresses = '{}'", "collateral_addresses"),
            (
                "last_valid = last_valid - interval '1 h'",
                "last_valid = last_valid + interval '1 h'",
                "last_valid",
            ),
        ] {
            let update = |set: &str| format!("UPDATE assets SET {set} WHERE id = (SELECT id {of})");
            execute(&database, &update(change)).await;
            assert_eq!(found_in("assets.json", &daemon), (1, vec![format!("{name} {field}")]), "{change}");
            execute(&database, &update(back)).await;
        }
        execute(
            &database,
            &format!("UPDATE issuers SET name = name || '?' WHERE public_key = (SELECT issuer {of})"),
        )
        .await;
        assert_eq!(found_in("assets.json", &daemon), (1, vec![format!("{name} issuer_detail.name")]));
        let issuer = name.split_once(':').unwrap().1;
        assert_eq!(found_in("GraphQL, 24 hours", &daemon), (1, vec![format!("{issuer} name")]));
        execute(
            &database,
            &format!("UPDATE issuers SET name = left(name, -1) WHERE public_key = (SELECT issuer {of})"),
        )
        .await;
        assert_eq!(found_in("assets.json", &daemon), (0, vec![]), "healed by hand");
        execute(&database, &format!("UPDATE assets SET is_valid = false WHERE id = (SELECT id {of})")).await;
        assert_eq!(found_in("assets.json", &daemon), (1, vec![name]));
    });
}

#[test]
fn what_strangers_write_does_not_steer_a_terminal() {
    let (sim, source) = scripted();
    let toml = "[[CURRENCIES]]\ncode = 'TEA'\nissuer = 'ISSUER'\nanchor_asset = \"\\u001B[2J\\u202E\\u009B\\u200B<&\"\n";
    let issuer = trade(1, 0, chrono::Utc::now())["counter_asset_issuer"].as_str().unwrap().to_owned();
    let toml = toml.replace("ISSUER", &issuer);
    source.put_toml("tea.example", TomlReply { status: 200, body: toml.into_bytes() });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &WITHOUT_SELF_AUDIT);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, chrono::Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        daemon.wait_until_the_auditor_rests();
        let name = daemon.get("/markets.json").json()["pairs"][0]["name"].clone();
        assert_eq!(name, json!("XLM_\u{1b}[2J\u{202e}\u{9b}\u{200b}<&"), "the legacy file keeps the text");
        assert_eq!(found(&daemon), (0, vec![]));
        sim.stop();
        execute(&database, "DELETE FROM trades").await;
        for format in ["text", "json"] {
            let (code, report, _) = audit(&daemon, &["--format", format]);
            assert!(code == 1 && report.contains("XLM_"), "{report:?}");
            assert!(report.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{report:?}");
        }
    });
}

#[test]
fn what_an_audit_cannot_do_is_reported() {
    let sim = network(72, FaultPlan::none());
    block_on(async {
        let without_daemon = ["audit", "--bind", "127.0.0.1:1"];
        let (code, report, log) = run(&without_daemon);
        assert!(code == 69 && report.is_empty() && log.contains("needs the running daemon"), "{code} {log}");
        let (code, _, log) = run(&["audit", "--bind", "127.0.0.1:0"]);
        assert!(code == 78 && log.contains("--url"), "{code} {log}");
        let (code, _, log) = run(&["audit", "--format", "xml", "--url", "nowhere"]);
        assert!(code == 64 && log.contains("2 faults") && log.contains("text or json"), "{code} {log}");
        assert_eq!(
            run(&["audit", "--repair", "--bind", "127.0.0.1:1"]).0,
            69,
            "no daemon is there to repair"
        );

        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let url = format!("http://{}", daemon.public);
        let beside = |database: &[&str]| {
            run(&[&["audit", "--url", &url, "--startup-timeout", "1s"], database].concat())
        };
        let empty = fresh_database().await;
        let (code, _, log) = beside(&["-d", &empty]);
        assert!(code == 69 && log.contains("is this the daemon's own database"), "{code} {log}");
        let (code, _, log) = beside(&["-d", "postgres://nobody@127.0.0.1:1/none"]);
        assert!(code == 69 && log.contains("connect"), "{code} {log}");
        let elsewhere = crate::support::postgres::open_tempdir();
        let data_dir = elsewhere.path().join("data");
        let (code, _, log) = beside(&["--data-dir", data_dir.to_str().unwrap()]);
        assert!(code == 69 && log.contains("no running daemon"), "{code} {log}");
        assert!(!data_dir.exists(), "it makes nothing");
        let admin = format!("http://{}", daemon.admin);
        let (code, _, log) = run(&["audit", "--url", &admin, "-d", &database]);
        assert!(code == 69 && log.contains("no markets.json"), "{code} {log}");
    });
}

#[test]
fn joins_the_private_postgres_of_a_running_demo() {
    let data = crate::support::postgres::open_tempdir();
    let data_dir = data.path().join("data");
    let demo = Daemon::start(&["demo", "--data-dir", data_dir.to_str().unwrap(), "--history-hours", "1"]);
    wait_for_pairs(&demo);
    let url = format!("http://{}", demo.public);
    let demo_dir = data_dir.join("demo");
    let (code, report, log) = run(&["audit", "--url", &url, "--data-dir", demo_dir.to_str().unwrap()]);
    assert_eq!(code, 0, "{report}{log}");
    assert!(report.contains("markets.json: ") && report.contains(" 0 differences"), "{report}");
    assert_eq!(demo.get("/livez").status, 200, "and leaves it running");
}
