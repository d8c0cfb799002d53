//! Parts that fail for long, as an operator sees them: in `/readyz`, `/api/v1/status`, the 503 and the log.

use super::*;
use crate::support::{
    SHORT_GRACE,
    postgres::{execute, superuser},
    scripted::{LEDGER, scripted, trade},
};
use stellar_ticker::sim::FixedSource;

/// Lines of a level with these words.
fn lines(daemon: &Daemon, level: &str, words: &str) -> Vec<Value> {
    let log = daemon.log();
    let parsed =
        log.lines().filter(|line| line.contains(words)).map(|line| serde_json::from_str(line).unwrap());
    parsed.filter(|line: &Value| line["level"] == level).collect()
}

fn check(daemon: &Daemon, name: &str) -> Value {
    daemon.get("/readyz").json()["checks"][name].clone()
}

/// The sum of a metric's lines that hold these labels.
fn requests(daemon: &Daemon, outcome: &str) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let of_outcome = |line: &&str| {
        line.starts_with("ticker_horizon_requests_total") && line.contains(&format!("outcome=\"{outcome}\""))
    };
    metrics.lines().filter(of_outcome).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn an_unreachable_horizon_is_named_everywhere_and_logged_once_a_minute() {
    block_on(async {
        let began = Instant::now();
        let database = fresh_database().await;
        let url = "http://127.0.0.1:1/v1/0123456789-canary-key";
        let daemon = Daemon::serve_in(&[SHORT_GRACE], url, &database, PASSPHRASE, &[]);
        let detail =
            |daemon: &Daemon| check(daemon, "horizon")["detail"].as_str().unwrap_or_default().to_owned();
        wait_until("the outage is known", || detail(&daemon).contains("cannot be reached since"));
        let shown = detail(&daemon);
        assert!(shown.starts_with("http://127.0.0.1:1/v1/*** cannot be reached since 20"), "{shown}");
        assert!(shown.contains("refused"), "the last error: {shown}");
        let refused = daemon.get("/markets.json");
        assert_eq!(refused.status, 503);
        let reason = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            reason.starts_with("no publication yet: http://127.0.0.1:1/v1/*** cannot be reached since 20"),
            "{reason}"
        );
        let status = daemon.status()["horizon"].clone();
        assert_eq!(
            (&status["url"], &status["ok"]),
            (&Value::from("http://127.0.0.1:1/v1/***"), &Value::Bool(false))
        );
        assert!(
            status["failing_since"].is_string() && status["error"].as_str().unwrap().contains("refused"),
            "{status}"
        );
        wait_until("many requests failed", || requests(&daemon, "connect") >= 8);
        let logged = lines(&daemon, "WARN", "Horizon cannot be reached");
        // It is logged again once a minute.
        let minutes = began.elapsed().as_secs() / 60;
        assert!(!logged.is_empty() && logged.len() as u64 <= 1 + minutes, "{logged:?}");
        assert_eq!(logged[0]["fields"]["url"], "http://127.0.0.1:1/v1/***");
        assert!(logged[0]["fields"]["error"].as_str().unwrap().contains("refused"), "{logged:?}");
        let others = lines(&daemon, "WARN", "\"").len() - logged.len();
        assert_eq!(others, 0, "no worker logs the same: {}", daemon.log());
        wait_until("the check fails", || check(&daemon, "horizon")["ok"] == false);
        assert!(!daemon.log().contains("canary"), "{}", daemon.log());
    });
}

#[test]
fn an_outage_and_its_end_are_logged_once() {
    let sim = network(41, FaultPlan::none());
    let address = sim.addr();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the tail is read", || {
            check(&daemon, "history")["detail"] == "recent ledgers are read again by pages"
        });
        // Without one the daemon is not ready, and no outage makes it less so.
        daemon.wait_for_publication();
        assert_eq!(check(&daemon, "horizon")["detail"], "answers");
        let before = daemon.log().len();
        sim.stop();
        wait_until("history says so", || {
            check(&daemon, "history")["detail"].as_str().unwrap().contains("cannot be reached")
        });
        wait_until("requests fail", || requests(&daemon, "connect") >= 8);
        wait_until("history fails", || check(&daemon, "history")["ok"] == false);
        let publication = check(&daemon, "publication");
        assert!(publication["data_age_s"].as_i64().is_some_and(|age| age > 0), "{publication}");
        assert!(publication["detail"].as_str().unwrap().contains("newest trade"), "{publication}");
        assert_eq!(check(&daemon, "disk")["detail"], "enough space");
        assert_eq!(check(&daemon, "audit")["ok"], true);
        let ready = daemon.get("/readyz");
        assert_eq!((ready.status, &ready.json()["status"]), (200, &Value::from("degraded")));
        let restarted = SimConfig {
            seed: 41,
            network_passphrase: PASSPHRASE.into(),
            trades_per_second: 100.0,
            history_hours: 0,
            ledger_seconds: 0.2,
            ..SimConfig::default()
        };
        let sim = horizon_at(address, restarted);
        wait_until("it answers again", || check(&daemon, "horizon")["detail"] == "answers");
        wait_until("that is reported", || daemon.log()[before..].contains("Horizon answers again"));
        wait_until("history is read", || check(&daemon, "history")["ok"] == true);
        drop(sim);
    });
}

#[test]
fn files_of_the_market_api_that_cannot_be_written_fail_the_check_too() {
    let sim = network(43, FaultPlan::none());
    block_on(async {
        let place = crate::support::postgres::open_tempdir();
        let output = place.path().join("www");
        std::fs::create_dir(&output).unwrap();
        std::fs::write(output.join("v1"), "a file where the directory should be").unwrap();
        let more = ["--output-dir", output.to_str().unwrap()];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &more);
        daemon.wait_for_publication();
        wait_until("files fail", || check(&daemon, "files")["ok"] == false);
        let seq = daemon.status()["seq"].as_i64();
        let written = || std::fs::metadata(output.join("markets.json")).and_then(|file| file.modified()).ok();
        let before = written();
        wait_until("the legacy files are written", || {
            daemon.status()["seq"].as_i64() > seq && written() > before
        });
        assert_eq!(check(&daemon, "files")["ok"], false, "they do not hide it");
        std::fs::remove_file(output.join("v1")).unwrap();
        wait_until("files are well", || check(&daemon, "files")["ok"] == true);
        assert!(output.join("v1/markets.json").exists());
    });
}

#[test]
fn files_that_cannot_be_written_degrade_and_recover() {
    let sim = network(42, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let place = crate::support::postgres::open_tempdir();
        let output = place.path().join("www");
        std::fs::write(&output, "a file where the directory should be").unwrap();
        let daemon =
            Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--output-dir", output.to_str().unwrap()]);
        daemon.wait_for_publication();
        wait_until("files fail", || check(&daemon, "files")["ok"] == false);
        let ready = daemon.get("/readyz");
        assert_eq!((ready.status, &ready.json()["status"]), (200, &Value::from("degraded")));
        let detail = ready.json()["checks"]["files"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(output.to_str().unwrap()), "{detail}");
        std::fs::remove_file(&output).unwrap();
        wait_until("all is well", || daemon.get("/readyz").json()["status"] == "ok");
    });
}

#[test]
fn a_budget_that_is_used_up_says_what_to_do() {
    let sim = network(43, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let more = ["--horizon-requests-per-hour", "1"];
        let daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &more);
        wait_until("live requests wait", || {
            check(&daemon, "budget")["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("a limit of 1 per hour is too low"))
        });
        let detail = check(&daemon, "budget")["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("--horizon-requests-per-hour"), "{detail}");
        wait_until("for too long", || check(&daemon, "budget")["ok"] == false);
    });
}

#[test]
fn a_follower_shows_no_check_of_what_it_does_not_do() {
    let sim = network(44, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let leader = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("it leads", || leader.leads());
        let follower = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("it follows", || check(&follower, "leader")["detail"] == "another replica ingests");
        follower.wait_for_publication();
        wait_until("it is ready", || follower.get("/readyz").json()["status"] == "ok");
        let checks = follower.get("/readyz").json()["checks"].clone();
        for name in ["stream", "horizon", "budget", "history", "assets", "books", "cleaning", "stellar_toml"]
        {
            assert!(checks.get(name).is_none(), "{name}: {checks}");
        }
        assert!(check(&leader, "stream").is_object() && check(&leader, "budget").is_object());
    });
}

/// A managed PostgreSQL does this when its disk is full.
#[test]
fn a_database_that_takes_no_writes_degrades_and_is_logged_once() {
    let sim = network(45, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("it leads", || daemon.leads());
        daemon.wait_for_publication();
        let name = database.split("dbname=").nth(1).unwrap();
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        let set = |sql: String| async move { execute(superuser(), &sql).await };
        set(format!("ALTER DATABASE {name} SET default_transaction_read_only = on; {end}")).await;
        let is_named = || {
            let found = check(&daemon, "database");
            found["ok"] == false && found["detail"].as_str().unwrap().starts_with("is read-only")
        };
        wait_until("the check fails", is_named);
        wait_until("no leader is known", || !daemon.leads());
        let asked = daemon.log().len();
        // The aggregator reads twice a second, and the lease is asked for more often.
        let mut seen = Vec::new();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            seen.push(is_named());
        }
        assert!(seen.iter().all(|named| *named), "{seen:?}");
        assert_eq!(daemon.get("/readyz").json()["status"], "degraded");
        let log = daemon.log()[asked..].to_owned();
        assert!(!log.contains("can be read again") && log.matches("the lease").count() < 3, "{log}");
        let horizon = sim.url();
        let place = ["--database-url", &database, "--horizon-url", &horizon, "--network", PASSPHRASE];
        let (code, _, log) = run(&[&["ingest", "orderbooks"], &place[..]].concat());
        assert_eq!(code, 69, "{log}");
        assert!(log.contains("the database is read-only") && !log.contains("a running daemon"), "{log}");
        // Sessions that began meanwhile stay read-only.
        set(format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
        wait_until("it leads again", || daemon.leads());
        wait_until("all is well", || daemon.get("/readyz").json()["status"] == "ok");
    });
}

#[test]
fn a_trade_is_found_in_the_trace_of_a_follower() {
    let sim = network(46, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let leader = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("it leads", || leader.leads());
        leader.wait_for_publication();
        let follower = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        follower.wait_for_publication();
        let client = recomputation::connect(&database).await;
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, stored + 20).await;
        let newest =
            "SELECT toid || '-' || trade_order FROM trades ORDER BY toid DESC, trade_order DESC LIMIT 1";
        let token: String = client.query_one(newest, &[]).await.unwrap().get(0);
        wait_until("the way of the trade is whole", || {
            let way = follower.admin(&format!("/trace.json?trade={token}")).json();
            let parts = way["parts"].as_array().unwrap().iter();
            let names: Vec<&str> = parts.map(|part| part["name"].as_str().unwrap()).collect();
            names.starts_with(&[
                "other_replica",
                "catch_up",
                "wait_for_publication",
                "render",
                "compress",
                "publish",
            ])
        });
    });
}

/// Adds trades with amounts below zero, each in a ledger of its own.
fn push_refused(source: &FixedSource, records: u32, padding: Option<&str>) {
    for number in 1..=records {
        let mut record = trade(LEDGER + number, 0, chrono::Utc::now());
        record["base_amount"] = Value::from(format!("-{number}.0"));
        if let Some(padding) = padding {
            record["padding"] = Value::from(padding);
        }
        source.push_trade(record).unwrap();
    }
}

#[test]
fn a_flood_of_refused_records_is_kept_and_named_a_few_times() {
    const RECORDS: u32 = 100;
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until("the stream is open", || check(&daemon, "stream")["ok"] == true);
        let began = Instant::now();
        push_refused(&source, RECORDS, None);
        let begun = Instant::now();
        while number(&client, "SELECT count(*) FROM quarantine").await < i64::from(RECORDS) {
            assert!(begun.elapsed() < DEADLINE, "not all are kept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let shown = daemon.admin("/quarantine.json").json();
        assert_eq!(shown["left_out"], 0, "an hour keeps more than these");
        let named = lines(&daemon, "WARN", "record quarantined").len() as u64;
        let minutes = began.elapsed().as_secs() / 60 + 1;
        assert!(named >= 1 && named <= 10 * (minutes + 1), "{named} lines");
    });
}

/// As many bytes as quarantine keeps in an hour, and half as many again.
#[test]
fn a_flood_of_refused_records_fills_quarantine_for_the_hour_and_holds_up_no_trade() {
    const RECORDS: u32 = 800;
    // A page of 200 of them is within the limit of an answer, 8 MiB.
    const RECORD_BYTES: usize = 32 << 10;
    const KEPT_BYTES: i64 = 16 << 20;
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until("the stream is open", || check(&daemon, "stream")["ok"] == true);
        let began = Instant::now();
        push_refused(&source, RECORDS, Some(&"x".repeat(RECORD_BYTES)));
        source.push_trade(trade(LEDGER + RECORDS + 1, 0, chrono::Utc::now())).unwrap();
        wait_for_trades(&client, 1).await;

        let kept = number(&client, "SELECT count(*) FROM quarantine").await;
        let bytes = number(&client, "SELECT sum(octet_length(raw))::bigint FROM quarantine").await;
        // While the test runs, the hour goes on.
        let refilled = KEPT_BYTES * i64::try_from(began.elapsed().as_secs() + 1).unwrap() / 3_600;
        assert!(bytes <= KEPT_BYTES + refilled, "{bytes} bytes");
        // The stream, the newest page and history bring the same records. While one is being
        // stored, each takes its bytes.
        assert!(bytes > KEPT_BYTES / 4, "{bytes} bytes");
        // Figures and the line follow the commit.
        let others = i64::from(RECORDS) - kept;
        wait_until("the others are counted", || {
            let shown = daemon.admin("/quarantine.json").json()["left_out"].as_i64().unwrap();
            let counted = forgetting::metric(&daemon, "ticker_quarantine_left_out_total").unwrap();
            shown >= others && counted >= others as f64
        });
        let named = || lines(&daemon, "WARN", "quarantine is full for this hour").len() as u64;
        wait_until("the log has a line", || named() >= 1);
        let minutes = began.elapsed().as_secs() / 60;
        assert!(named() <= 1 + minutes / 10, "{} lines", named());
    });
}
