//! A database that answers and stores trades, while one table of it cannot be read.

use super::*;

/// A batch that may have changed order books, as a former leader left it.
const BATCH_OF_BOOKS: &str = "
    WITH s AS (UPDATE ingest_lease SET seq = seq + 1 RETURNING seq)
    INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades) SELECT seq, 'books', '1', '1', 0 FROM s";

fn check(daemon: &Daemon) -> Value {
    daemon.get("/readyz").json()["checks"]["database"].clone()
}

#[test]
fn a_table_that_cannot_be_read_is_reported_by_every_replica_and_seldom_logged() {
    let sim = network(47, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let leader = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("it leads", || leader.leads());
        let follower = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        leader.wait_for_publication();
        follower.wait_for_publication();
        let client = recomputation::connect(&database).await;
        let both = [&leader, &follower];
        for daemon in both {
            wait_until("the database answers", || check(daemon)["ok"] == true);
        }
        let before = both.map(|daemon| daemon.log().len());
        client.batch_execute("ALTER TABLE orderbook_stats RENAME bid_count TO renamed").await.unwrap();
        // Both then read the order books of a batch that no message brought.
        client.batch_execute(BATCH_OF_BOOKS).await.unwrap();
        let failed = |daemon: &Daemon| {
            let found = check(daemon);
            found["ok"] == false && found["detail"].as_str().unwrap().starts_with("reads")
        };
        for daemon in both {
            wait_until("it is reported", || failed(daemon));
        }
        // Trades are stored and the lease is renewed meanwhile, which says that the database answers.
        for _ in 0..6 {
            let stored = number(&client, "SELECT count(*) FROM trades").await;
            wait_for_trades(&client, stored + 5).await;
            assert!(both.into_iter().all(failed), "{} {}", check(&leader), check(&follower));
        }
        for (daemon, before) in both.into_iter().zip(before) {
            let log = daemon.log()[before..].to_owned();
            let lines = log.lines().filter(|line| line.contains("reading committed trades")).count();
            assert!((1..=6).contains(&lines), "{lines} lines: {log}");
            assert!(!log.contains("database answers again") && !log.contains("can be read again"), "{log}");
        }
        client.batch_execute("ALTER TABLE orderbook_stats RENAME renamed TO bid_count").await.unwrap();
        for daemon in both {
            wait_until("the database answers again", || check(daemon)["ok"] == true);
            wait_until("that is logged", || daemon.log().contains("database can be read again"));
        }
    });
}
