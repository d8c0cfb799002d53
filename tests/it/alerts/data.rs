//! Alerts on data that is missing, wrong or refused.

use super::*;
use crate::{
    lake::{NOWHERE, reading_lake, with_lake},
    support::{postgres::execute, progress::wait_for_trades, recomputation, scripted::scene},
};
use stellar_ticker::sim::lake::LakeFault;

#[test]
fn a_ledger_that_no_source_has() {
    let sim = with_lake(563, 2.0, 1, FaultPlan::none());
    sim.lake().spoil(sim.oracle().head().latest - 50, LakeFault::Damaged);
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "1").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 3_000).await;
        wait_until("the gap is counted, and all before it is known", || {
            figure(&daemon, "ticker_gaps", "") >= Some(1.0)
                && figure(&daemon, "ticker_leader", "") == Some(1.0)
        });
        let broken = scrape(&daemon);
        assert!(fires("TickerGaps", &broken, &broken));
    });
}

#[test]
fn a_wrong_window_and_a_changed_row() {
    block_on(async {
        let (_sim, _source, database, daemon) = scene(&["--audit-interval", "100ms"]).await;
        daemon.wait_for_audit();
        let sound = sound(&daemon, &["TickerAuditDifferences", "TickerRereadDifferences"]);
        daemon.provoke("aggregator", "Skew");
        wait_until("the window is found", || {
            figure(&daemon, "ticker_audit_differences_total", "") > Some(0.0)
        });
        assert!(fires("TickerAuditDifferences", &sound, &scrape(&daemon)));
        let changed =
            format!("UPDATE trades SET base_amount = base_amount + 7 WHERE toid >> 32 = {}", LEDGER + 5);
        execute(&database, &changed).await;
        wait_until("the row is found", || {
            figure(&daemon, "ticker_reread_trades_total", "contradicting") > Some(0.0)
        });
        assert!(fires("TickerRereadDifferences", &sound, &scrape(&daemon)));
    });
}

#[test]
fn a_row_that_postgresql_refuses() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the stream is open", || figure(&daemon, "ticker_stream_connected", "") == Some(1.0));
        execute(&database, "ALTER TABLE trades ADD CONSTRAINT odd CHECK (base_amount <> 70000000)").await;
        let sound = sound(&daemon, &["TickerRowsRefused"]);
        let mut record = trade(LEDGER + 1, 0, chrono::Utc::now());
        record["base_amount"] = "7.0000000".into();
        source.push_trade(record).unwrap();
        wait_until("the row is refused", || {
            figure(&daemon, "ticker_rows_refused_total", "\"trades\"") >= Some(1.0)
        });
        assert!(fires("TickerRowsRefused", &sound, &scrape(&daemon)));
    });
}
