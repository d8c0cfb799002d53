//! A follower that has missed more than it reads batch by batch.

use chrono::Utc;
use stellar_ticker::{
    db::trades::{BatchKind, TradeBatch},
    domain::{instant::UnixSeconds, trade::Trade},
};

use super::*;
use crate::database::{incoming, open, trade};

#[test]
fn a_follower_that_missed_very_much_reloads_everything_and_goes_on() {
    let sim = network(29, FaultPlan::none());
    block_on(async {
        let url = fresh_database().await;
        let leader = open(&url);
        leader.migrate().await.unwrap();
        leader.claim_network(PASSPHRASE).await.unwrap();
        let epoch = leader.take_lease("another", Duration::from_secs(600)).await.unwrap().unwrap();
        let closed_at = UnixSeconds::from(Utc::now()).minus(60);
        let write = async |ledger: u32| {
            let trades = vec![incoming(Trade { closed_at, ..trade(ledger, 0, 1, 10) })];
            let (kind, quarantine) = (BatchKind::Backfill, Vec::new());
            let batch = TradeBatch { kind, cursor: None, trades, quarantine, covered: None };
            leader.write_trades(epoch, &batch).await.unwrap();
        };
        write(1).await;
        let client = recomputation::connect(&url).await;
        let long_ago = "UPDATE assets SET checked_at = now() - interval '1 hour' WHERE issuer <> 'native';
                        UPDATE ingest_batches SET committed_at = now() - interval '1 hour'";
        client.batch_execute(long_ago).await.unwrap();
        // By a shorter lease of its own, it would take the other one for that of a clock that was ahead.
        let long_lease = [("TICKER_CHAOS_LEASE_MS", "600000")];
        let daemon = Daemon::serve_in(&long_lease, &sim.url(), &url, PASSPHRASE, &[]);
        wait_until("the first trade is published", || daemon.status()["seq"] == 1);
        // A commit of the other replica, after which it looks as if the daemon had been away for days.
        let absence = "INSERT INTO ingest_batches (seq, kind, trades) SELECT n, 'live', 0 FROM generate_series(2, 60000) n;
                       UPDATE ingest_lease SET seq = 60000";
        client.batch_execute(absence).await.unwrap();
        write(2).await;
        wait_until("everything is published", || daemon.status()["seq"] == 60_001);
        write(3).await;
        wait_until("the next batch is published", || daemon.status()["seq"] == 60_002);
        let reloads = daemon.log().matches("too many batches were missed, reloading everything").count();
        assert_eq!(reloads, 1);
    });
}
