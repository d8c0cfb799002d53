//! Markets without trades leave the daemon's memory.

use chrono::Utc;
use stellar_ticker::{
    db::trades::{BatchKind, TradeBatch},
    domain::{instant::UnixSeconds, trade::Trade},
};

use super::*;
use crate::database::{incoming, open, trade};
use crate::support::{scripted::address, wide::wide_database};

const STALE: f64 = 2_000.0;

/// A figure of the metrics.
pub(super) fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let text = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|figure| figure.parse().unwrap())
}

/// The daemon follows another replica, which cleans.
#[test]
fn markets_without_trades_leave_the_memory_of_a_follower() {
    let sim = network(28, FaultPlan::none());
    block_on(async {
        let url = fresh_database().await;
        let leader = open(&url);
        leader.migrate().await.unwrap();
        leader.claim_network(PASSPHRASE).await.unwrap();
        let epoch = leader.take_lease("another", Duration::from_secs(500)).await.unwrap().unwrap();
        let recent = Trade { closed_at: UnixSeconds::from(Utc::now()).minus(60), ..trade(1, 0, 1, 10) };
        let batch = TradeBatch {
            kind: BatchKind::Backfill,
            cursor: None,
            trades: vec![incoming(recent)],
            quarantine: Vec::new(),
            covered: None,
        };
        leader.write_trades(epoch, &batch).await.unwrap();
        let client = recomputation::connect(&url).await;
        let stale = "INSERT INTO assets (code, issuer, type)
                     SELECT 'OLD' || n, 'ISSUER', 'credit_alphanum12' FROM generate_series(1, 2000) n;
                     INSERT INTO markets (base_asset_id, counter_asset_id)
                     SELECT 1, id FROM assets WHERE code LIKE 'OLD%';
                     UPDATE assets SET checked_at = now() - interval '1 hour' WHERE issuer <> 'native';
                     UPDATE ingest_batches SET committed_at = now() - interval '1 hour'";
        client.batch_execute(&stale.replace("ISSUER", &address(1))).await.unwrap();
        // A lease of a minute: one that ends in ten would seem to be of a clock that was ahead.
        let lease = [("TICKER_CHAOS_LEASE_MS", "60000")];
        let daemon = Daemon::serve_in(&lease, &sim.url(), &url, PASSPHRASE, &[]);
        let known = || metric(&daemon, "ticker_known_markets");
        // The metric is 0 before the first publication.
        wait_until("all markets are known", || known() == Some(STALE + 1.0));
        leader.clean(epoch, 8, Utc::now(), || {}).await.unwrap();
        wait_until("the markets are forgotten", || known() == Some(1.0));
        assert_eq!(number(&client, "SELECT count(*) FROM markets").await, 1);
        assert_eq!(number(&client, "SELECT count(*) FROM assets").await, 2, "XLM and the one that is traded");
        assert!(!daemon.leads());
    });
}

/// The daemon leads, and its own cleaner deletes the markets.
#[test]
fn markets_without_trades_leave_the_memory_of_the_leader() {
    // Too old for the windows, and not yet for the cleaner.
    let aged = "SELECT ticker_make_day(day) FROM (
                    SELECT DISTINCT (now() AT TIME ZONE 'UTC' - interval '170 hours' - n * interval '50 minutes')::date
                        AS day FROM generate_series(0, 1) n) days;
                UPDATE trades SET ledger_close_time = ledger_close_time - interval '170 hours'
                    WHERE market_id <> (SELECT min(id) FROM markets);
                DELETE FROM orderbook_stats";
    block_on(async {
        let database = wide_database(2_001).await;
        let client = recomputation::connect(&database).await;
        client.batch_execute(aged).await.unwrap();
        // The audit would find that trades are missing.
        let more = ["--clean-schedule", "* * * * * *", "--audit-interval", "24h"];
        let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &more);
        let known = || metric(&daemon, "ticker_known_markets");
        wait_until("it leads and knows all markets", || known() == Some(STALE + 1.0) && daemon.leads());
        let stale = "DELETE FROM trades WHERE market_id <> (SELECT min(id) FROM markets)";
        client.batch_execute(stale).await.unwrap();
        wait_until("the markets are forgotten", || known() == Some(1.0));
        assert_eq!(number(&client, "SELECT count(*) FROM markets").await, 1);
        assert!(daemon.leads());
    });
}
