//! A standby that lacks the last seconds takes over, and a disk that is full.

use super::*;
use crate::support::small_disk::SmallDisk;

#[test]
#[ignore = "some 40 s: ./ticker matrix"]
fn a_standby_that_lost_the_last_seconds_is_healed_by_both_replicas() {
    const ROUNDS: u32 = 3;
    block_on(async {
        let mut scene = Scene::start(121).await;
        let follower = Daemon::serve(&scene.sim.url(), &scene.server.url, PASSPHRASE, &[]);
        wait_for_pairs(&follower);
        let mut outcomes = Vec::new();
        for _ in 0..ROUNDS {
            scene.server.stop();
            scene.server.save();
            scene.server.start_again();
            let client = scene.server.client().await;
            let saved = number(&client, "SELECT count(*) FROM trades").await;
            wait_for_trades(&client, saved + 300).await;
            let lost = number(&client, "SELECT count(*) FROM trades").await - saved;
            let seen = number(&client, "SELECT seq FROM ingest_lease").await;
            // The trades that will be lost have been published.
            for daemon in [&scene.daemon, &follower] {
                wait_until("it is published", || daemon.status()["seq"].as_i64() >= Some(seen));
            }
            scene.server.kill();
            scene.server.restore();
            scene.server.start_again();
            outcomes
                .push(format!("{lost} trades lost, fresh after {}", seconds(scene.is_fresh_again().await)));
        }
        let found_out = scene.daemon.log().matches("has lost batches").count();
        assert!(found_out > 0, "it was found out");
        let pair = [&scene.daemon, &follower];
        wait_until("both have the newest", || {
            pair.iter().all(|daemon| daemon.get("/readyz").json()["checks"]["database"]["ok"] == true)
        });
        let client = scene.server.client().await;
        let trades = settle(scene.sim, &client, &[&scene.daemon, &follower]).await;
        figure!(
            "a fail-over to a standby that lost the last seconds is repaired",
            "{}; {trades} trades",
            outcomes.join("; ")
        );
    });
}

#[test]
#[ignore = "some 40 s: ./ticker matrix"]
fn the_daemon_waits_for_a_database_server_whose_disk_is_full() {
    let Some(disk) = SmallDisk::mount("400m") else { return };
    block_on(async {
        let mut scene = Scene::start_on(OwnPostgres::start_in(disk.path().join("data")), 122).await;
        let before = scene.log_length();
        disk.fill();
        // Either rows find no room (53100), or the log of the server does, and it ends.
        wait_until("the daemon meets it", || {
            let log = scene.daemon.log();
            let log = &log[before..];
            ["(53100)", "no database connection", "no connection to PostgreSQL"]
                .iter()
                .any(|text| log.contains(text))
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(scene.daemon.get("/markets.json").status, 200, "readers notice nothing");
        let met =
            if scene.daemon.log()[before..].contains("(53100)") { "rows refused" } else { "server ended" };
        disk.relieve();
        if tokio_postgres::connect(&scene.server.url, tokio_postgres::NoTls).await.is_err() {
            scene.server.stop();
            scene.server.start_again();
        }
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!("PostgreSQL's disk is full", "{met}; fresh after {}; {trades} trades", seconds(took));
    });
}
