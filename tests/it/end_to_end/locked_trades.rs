//! A table of trades that somebody locks, such as `VACUUM FULL`.

use super::*;

#[test]
fn a_stream_that_waits_for_locked_trades_is_not_restarted() {
    let sim = network(76, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let environment = [("TICKER_CHAOS_STALE_MS", "8000")];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[]);
        let mut client = recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        let lock = client.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE trades IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let locked = Instant::now();
        // Twice the time after which an actor without progress is restarted.
        wait_until("it has waited for long", || locked.elapsed() > Duration::from_secs(16));
        let log = daemon.log();
        let restarted: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("made no progress"))
            .filter(|line| line.contains("stream_ingester") || line.contains("backfiller"))
            .collect();
        assert!(restarted.is_empty(), "{restarted:?}");
        lock.rollback().await.unwrap();
        let held = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, held + 200).await;
    });
}
