//! The self-audit finds what is wrong in memory or in the database, and repairs what can be repaired.

use chrono::Utc;
use serde_json::json;
use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::{
    end_to_end::audit::audit,
    support::{
        postgres::execute,
        reached,
        scripted::{LEDGER, TRADES, address, figure, scene, scene_on, scripted_since, trade},
    },
};

pub(super) fn audit_count(daemon: &Daemon, names: &[&str]) -> u64 {
    names
        .iter()
        .fold(daemon.status()["audit"].clone(), |value, name| value[*name].clone())
        .as_u64()
        .unwrap_or(0)
}

#[test]
fn unreadable_rows_are_reported_and_do_not_count_as_audited() {
    block_on(async {
        let (_sim, _source, database, daemon) = scene(&["--audit-interval", "100ms"]).await;
        daemon.audit_now();
        wait_until("a pass has ended", || audit_count(&daemon, &["markets"]) == 1);
        assert_eq!(audit_count(&daemon, &["unread"]), 0);
        let mut client = recomputation::connect(&database).await;
        let lock = client.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE trades IN ACCESS EXCLUSIVE MODE").await.unwrap();
        daemon.audit_now();
        wait_until("a pass has ended that read nothing", || audit_count(&daemon, &["unread"]) == 1);
        let at = daemon.status()["audit"]["at"].clone();
        assert_eq!((audit_count(&daemon, &["markets"]), at.is_string()), (0, true));
        lock.rollback().await.unwrap();
        daemon.audit_now();
        wait_until("all is read again", || audit_count(&daemon, &["markets"]) == 1);
        assert_eq!(audit_count(&daemon, &["unread"]), 0);
        assert!(daemon.status()["audit"]["at"].as_str() >= at.as_str());
    });
}

/// Time of the last pass that compared everything; empty before the first.
fn audited_at(daemon: &Daemon) -> String {
    daemon.status()["audit"]["at"].as_str().unwrap_or_default().to_owned()
}

/// Asks for a pass of the audit, and waits until it has compared the one market and ended.
fn audit_again(daemon: &Daemon) {
    let compared = || {
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("ticker_audit_markets_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = compared();
    daemon.audit_now();
    wait_until("the market is compared", || compared() > before);
    wait_until("the pass has ended", || daemon.has_resting_auditor());
}

/// Adds batches of a kind without changing a row.
async fn add_batches(client: &Client, kind: &str, versions: &str, count: u32) {
    let add = format!(
        "WITH lease AS (UPDATE ingest_lease SET seq = seq + {count} RETURNING seq - {count} AS seq)
         INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades)
         SELECT lease.seq + n, '{kind}', {versions}, {versions}, 0 FROM lease, generate_series(1, {count}) n"
    );
    client.batch_execute(&add).await.unwrap();
}

#[test]
fn a_pass_that_cannot_compare_the_lists_does_not_count_as_complete() {
    block_on(async {
        let (sim, _source, database, mut daemon) = scene(&[]).await;
        daemon.terminate();
        // A change after its first publication stays later than the newest one.
        let rarely = ["--audit-interval", "24h", "--publish-interval", "1h"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &rarely);
        daemon.wait_for_publication();
        daemon.wait_until_the_auditor_rests();
        let client = recomputation::connect(&database).await;
        add_batches(&client, "assets", "'1'", 1).await;
        let before = audited_at(&daemon);
        audit_again(&daemon);
        assert_eq!(audited_at(&daemon), before);
        assert_eq!(audit_count(&daemon, &["unread"]), 0, "the market was compared");
    });
}

#[test]
fn a_pass_that_cannot_compare_the_candles_does_not_count_as_complete() {
    block_on(async {
        let (_sim, _source, database, daemon) = scene(&["--audit-interval", "24h"]).await;
        daemon.wait_until_the_auditor_rests();
        let client = recomputation::connect(&database).await;
        let is_audited = || {
            audit_again(&daemon);
            !audited_at(&daemon).is_empty()
        };
        wait_until("a pass is complete", is_audited);
        // Before the first candle, all trades wait, and no batch is looked at.
        reached("candles are derived", async || {
            let derived = "SELECT seq IS NOT NULL FROM candle_progress";
            client.query_one(derived, &[]).await.unwrap().get(0)
        })
        .await;
        // Candles are not derived meanwhile, and more batches wait than are looked at.
        client.batch_execute("BEGIN; SELECT FROM candle_progress FOR UPDATE").await.unwrap();
        let other = recomputation::connect(&database).await;
        add_batches(&other, "books", "NULL", 900).await;
        let before = audited_at(&daemon);
        // A later pass of the same second would have the same time.
        wait_until("a later second is published", || daemon.status()["as_of"].as_str() > Some(&before));
        audit_again(&daemon);
        assert_eq!(audited_at(&daemon), before);
        client.batch_execute("COMMIT").await.unwrap();
        wait_until("a pass is complete again", || {
            audit_again(&daemon);
            audited_at(&daemon) != before
        });
    });
}

#[test]
fn a_wrong_window_is_found_reported_and_rebuilt() {
    block_on(async {
        let (_sim, _source, _database, daemon) = scene(&["--audit-interval", "100ms"]).await;
        daemon.audit_now();
        wait_until("a pass has ended", || audit_count(&daemon, &["markets"]) == 1);
        assert_eq!(audit_count(&daemon, &["differences"]), 0);
        daemon.provoke("aggregator", "Skew");
        wait_until("it is reported", || {
            let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
            metrics.lines().any(|line| line == "ticker_audit_repaired_markets_total 1")
        });
        assert!(daemon.log().contains("published figure differs from the rows"));
        assert_eq!(figure(&daemon, "trade_count"), f64::from(TRADES));
        wait_until("a pass finds nothing", || audit_count(&daemon, &["differences"]) == 0);
        assert_eq!(audit(&daemon, &[]).0, 0);
    });
}

#[test]
fn wrong_assets_and_books_in_memory_are_found_reported_and_reloaded() {
    block_on(async {
        let more = ["--audit-interval", "100ms", "--orderbooks-schedule", "* * * * * *"];
        let (_sim, source, database, daemon) = scene(&more).await;
        let client = recomputation::connect(&database).await;
        let level = json!([{"price_r": {"n": 2, "d": 1}, "price": "2.0000000", "amount": "5.0000000"}]);
        let tea = format!("TEA:{}", address(9));
        for (selling, buying) in [("native", tea.as_str()), (tea.as_str(), "native")] {
            source.put_book(selling, buying, json!({"bids": level, "asks": level}));
        }
        wait_until("its book was read", || figure(&daemon, "bid_count") > 0.0);
        assert_eq!(audit_count(&daemon, &["differences"]), 0);
        daemon.provoke("aggregator", "SkewDirectory");
        wait_until("it is reported", || daemon.log().contains("differs from its row"));
        wait_until("they were reloaded", || {
            let log = daemon.log();
            log.contains("assets, markets and books reloaded") && log.contains("\"still_differing\":0")
        });
        wait_until("what was forgotten is published", || {
            figure(&daemon, "trade_count") == f64::from(TRADES) && figure(&daemon, "bid_count") > 0.0
        });
        compare_published(&daemon, &client).await;
        wait_until("a pass finds nothing", || audit_count(&daemon, &["differences"]) == 0);
        assert_eq!(audit(&daemon, &[]).0, 0);
    });
}

#[test]
fn the_command_has_the_daemon_repair_what_differs() {
    block_on(async {
        let (_sim, _source, _database, daemon) = scene(&["--audit-interval", "24h"]).await;
        daemon.wait_until_the_auditor_rests();
        assert_eq!(audit_count(&daemon, &["markets"]), 1);
        daemon.provoke("aggregator", "Skew");
        wait_until("it is published", || figure(&daemon, "trade_count") > f64::from(TRADES));
        let (code, report, _) = audit(&daemon, &[]);
        assert!(code == 1 && report.contains("trade_count"), "{report}");
        let admin = format!("http://{}", daemon.admin);
        let (code, report, log) = audit(&daemon, &["--repair", "--admin-url", &admin]);
        assert_eq!(code, 0, "{report}{log}");
        assert_eq!(figure(&daemon, "trade_count"), f64::from(TRADES));
        assert!(audit_count(&daemon, &["differences"]) > 0);
        wait_until("the repair is reported", || audit_count(&daemon, &["repaired"]) == 1);
        let (code, _, log) = audit(&daemon, &["--repair", "--admin-url", "http://127.0.0.1:1"]);
        assert_eq!(code, 0, "without a difference the daemon is not asked: {log}");
    });
}

#[test]
fn deleted_rows_are_read_again_from_horizon_and_contradictions_are_reported() {
    block_on(async {
        // Among this many ledgers chance does not find one of these before the audit names them.
        let horizon = scripted_since(LEDGER - 10_000, FaultPlan::none());
        let (_sim, _source, database, daemon) = scene_on(horizon, &["--audit-interval", "100ms"]).await;
        let client = recomputation::connect(&database).await;
        let of = |ledger: u32| format!("WHERE toid >> 32 = {}", LEDGER + ledger);
        execute(&database, &format!("DELETE FROM trades WHERE toid >> 32 < {}", LEDGER + 4)).await;
        wait_for_trades(&client, TRADES.into()).await;
        wait_until("it is reported", || audit_count(&daemon, &["reread", "missing"]) == 3);
        wait_until("all are published", || figure(&daemon, "trade_count") == f64::from(TRADES));
        // A changed row stays, is published, and is reported: only the operator can say which is right.
        let whole = figure(&daemon, "base_volume");
        execute(&database, &format!("UPDATE trades SET base_amount = base_amount + 10000000 {}", of(5)))
            .await;
        wait_until("it is reported", || audit_count(&daemon, &["reread", "contradicting"]) > 0);
        wait_until("the rows are published", || figure(&daemon, "base_volume") == whole + 1.0);
        let quarantined = |what: &str| {
            format!("SELECT count(*) FROM quarantine WHERE source = 'audit' AND reason LIKE '{what}:%'")
        };
        assert_eq!(number(&client, &quarantined("conflict")).await, 1);
        execute(&database, &format!("DELETE FROM trades {}", of(5))).await;
        wait_until("the figures of Horizon are published", || figure(&daemon, "base_volume") == whole);
        // A figure that no file shows.
        execute(&database, &format!("UPDATE trades SET base_account = counter_account {}", of(6))).await;
        let before = audit_count(&daemon, &["reread", "contradicting"]);
        wait_until("it is reported", || audit_count(&daemon, &["reread", "contradicting"]) > before);
        execute(&database, &format!("DELETE FROM trades {}", of(6))).await;
        // A row that horizon does not have.
        let double = format!(
            "INSERT INTO trades SELECT toid, 7, ledger_close_time, market_id, base_asset_id, counter_asset_id, base_amount, \
             counter_amount, price_n, price_d, base_is_seller, base_account, counter_account, liquidity_pool_id \
             FROM trades {}",
            of(8)
        );
        execute(&database, &double).await;
        wait_until("it is reported", || audit_count(&daemon, &["reread", "surplus"]) > 0);
        assert_eq!(number(&client, &quarantined("surplus")).await, 1);
        execute(&database, "DELETE FROM trades WHERE trade_order = 7").await;
        wait_until("all is well", || {
            figure(&daemon, "trade_count") == f64::from(TRADES) && figure(&daemon, "base_volume") == whole
        });
        // A rebuilding that had begun before may still bring back what is gone: the audit after it finds that.
        wait_until("an audit finds nothing", || audit(&daemon, &[]).0 == 0);
    });
}

#[test]
fn a_trade_of_a_ledger_of_many_pages_is_read_again_also_after_horizon_refused() {
    const MANY: u32 = 450;
    block_on(async {
        let faults = FaultPlan::none();
        // Among this many ledgers chance does not find the one.
        let horizon = scripted_since(LEDGER - 100_000, faults.clone());
        let (_sim, source, database, daemon) = scene_on(horizon, &["--audit-interval", "100ms"]).await;
        let client = recomputation::connect(&database).await;
        let closed_at = Utc::now();
        for order in 0..MANY {
            source.push_trade(trade(LEDGER + TRADES + 1, order.into(), closed_at)).unwrap();
        }
        source.push_trade(trade(LEDGER + TRADES + 2, 0, Utc::now())).unwrap();
        let all = TRADES + MANY + 1;
        wait_until("all are published", || figure(&daemon, "trade_count") == f64::from(all));
        let held = format!("SELECT count(*) FROM coverage WHERE to_ledger > {}", LEDGER + TRADES);
        reached("the ledger is held", async || number(&client, &held).await > 0).await;
        for _ in 0..1_000 {
            faults.push(Endpoint::Trades, Fault::Status(503));
        }
        let tried = || daemon.status()["budget"]["requests"]["audit"].as_u64().unwrap();
        let deleted =
            format!("DELETE FROM trades WHERE toid >> 32 = {} AND trade_order = 0", LEDGER + TRADES + 1);
        execute(&database, &deleted).await;
        let found = "published figure differs from the rows";
        wait_until("an audit has named the ledger", || daemon.log().contains(found));
        let before = tried();
        wait_until("three attempts have failed", || tried() >= before + 3);
        faults.clear(Endpoint::Trades);
        wait_for_trades(&client, all.into()).await;
        wait_until("it is reported", || audit_count(&daemon, &["reread", "missing"]) == 1);
        wait_until("all are published", || figure(&daemon, "trade_count") == f64::from(all));
    });
}

#[test]
fn a_lost_row_is_read_again_although_the_message_about_it_was_lost() {
    block_on(async {
        let faults = FaultPlan::none();
        let horizon = scripted_since(LEDGER - 100_000, faults.clone());
        let (_sim, _source, database, daemon) = scene_on(horizon, &["--audit-interval", "100ms"]).await;
        let client = recomputation::connect(&database).await;
        // So that nothing is read again by chance before.
        for _ in 0..1_000 {
            faults.push(Endpoint::Trades, Fault::Status(503));
        }
        daemon.provoke("backfiller", "RereadLedgers");
        execute(&database, &format!("DELETE FROM trades WHERE toid >> 32 = {}", LEDGER + 2)).await;
        wait_until("the backfiller lost the message", || daemon.log().contains("restarting actor"));
        faults.clear(Endpoint::Trades);
        wait_for_trades(&client, TRADES.into()).await;
    });
}

#[test]
fn trades_that_horizon_has_lost_stay_stored() {
    block_on(async {
        let faults = FaultPlan::none();
        let horizon = scripted_since(LEDGER - 10, faults.clone());
        let (_sim, _source, database, daemon) = scene_on(horizon, &[]).await;
        let client = recomputation::connect(&database).await;
        let asked = || daemon.status()["budget"]["requests"]["audit"].as_u64().unwrap();
        for _ in 0..10_000 {
            faults.push(Endpoint::Trades, Fault::Skip { every: 1 }); // pages without a trade
        }
        let before = asked();
        wait_until("much was read again", || asked() >= before + 40);
        faults.clear(Endpoint::Trades);
        assert_eq!(audit_count(&daemon, &["reread", "surplus"]), 0);
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
        let compared = audit_count(&daemon, &["reread", "ledgers"]);
        wait_until("and is compared again", || audit_count(&daemon, &["reread", "ledgers"]) > compared);
    });
}
