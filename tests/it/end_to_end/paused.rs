//! A process that is paused: by a debugger, by a container engine, or because its machine stands still.

use nix::sys::signal::Signal;

use super::*;
use crate::support::reached;

#[test]
fn a_paused_process_does_not_keep_the_locks_of_a_read() {
    let sim = network(91, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        assert!(daemon.terminate().success());
        let mut locking = recomputation::connect(&database).await;
        let watching = recomputation::connect(&database).await;
        let lock = locking.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE assets IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let waiting = "SELECT pid FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'
                           AND query LIKE '-- All valid assets%'";
        let mut reader: i32 = 0;
        reached("the first read waits for the assets", async || {
            let row = watching.query_opt(waiting, &[]).await.unwrap();
            reader = row.map_or(0, |row| row.get(0));
            reader > 0
        })
        .await;
        daemon.signal(Signal::SIGSTOP);
        lock.rollback().await.unwrap();
        let state = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {reader} AND state = ");
        reached("it has what it asked for, within its transaction", async || {
            number(&watching, &format!("{state} 'idle in transaction'")).await == 1
        })
        .await;
        let locks = format!("SELECT count(*) FROM pg_locks WHERE pid = {reader}");
        reached("the server has ended its session", async || number(&watching, &locks).await == 0).await;
        daemon.signal(Signal::SIGCONT);
        wait_for_pairs(&daemon);
    });
}
