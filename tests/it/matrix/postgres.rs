//! A PostgreSQL that goes, comes, and takes nothing.

use rand::Rng;

use super::*;
use crate::support::{
    oracle::{compare_published, compare_with_emitted},
    private_server,
};

#[test]
#[ignore = "some 20 s: ./ticker matrix"]
fn sessions_that_are_ended_in_mid_transaction_lose_nothing() {
    block_on(async {
        let scene = Scene::start(101).await;
        let superuser = crate::support::recomputation::connect(&scene.server.superuser).await;
        let mut ended = 0_i64;
        while ended < 60 {
            let wait = rand::rng().random_range(1..60);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            // Those in the middle of something, whenever any is.
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE application_name = 'stellar-ticker' AND state <> 'idle'";
            ended += superuser.query_one(end, &[]).await.unwrap().get::<_, i64>(0);
        }
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!(
            "sessions are ended in mid-transaction",
            "{ended} ended; fresh after {}; {trades} trades",
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 20 s: ./ticker matrix"]
fn a_server_that_is_restarted_or_killed_loses_nothing() {
    block_on(async {
        let mut scene = Scene::start(102).await;
        let mut times = Vec::new();
        for kill in [false, true, false, true] {
            if kill {
                scene.server.kill();
            } else {
                scene.server.stop();
            }
            assert_eq!(scene.daemon.get("/markets.json").status, 200, "readers notice nothing");
            scene.server.start_again();
            times.push(seconds(scene.is_fresh_again().await));
        }
        let trades = scene.finish().await;
        figure!(
            "PostgreSQL is restarted and killed, twice each",
            "fresh after {}; {trades} trades",
            times.join(", ")
        );
    });
}

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn a_long_outage_of_the_database_is_reported_and_the_backlog_is_published() {
    let outage = Duration::from_secs(by_hand("TICKER_TEST_OUTAGE_SECONDS", 60));
    block_on(async {
        let mut scene = Scene::start(103).await;
        let begun = Instant::now();
        scene.server.stop();
        while begun.elapsed() < outage {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = scene.daemon.get("/markets.json");
            assert_eq!(answer.status, 200, "readers notice nothing");
            assert_eq!(scene.daemon.get("/livez").status, 200);
        }
        let ready = scene.daemon.get("/readyz");
        assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")));
        let as_of = scene.daemon.get("/markets.json").json()["generated_at"].as_i64().unwrap();
        assert!(as_of > chrono::Utc::now().timestamp_millis() - 30_000, "time goes on");
        scene.server.start_again();
        let took = scene.is_fresh_again().await;
        assert_kept(took, outage, scene.start);
        let trades = scene.finish().await;
        figure!(
            "PostgreSQL is stopped for T: fresh again within max(15 s, 0.6 T)",
            "T = {} s: fresh after {}; {trades} trades",
            outage.as_secs(),
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 15 s: ./ticker matrix"]
fn the_daemon_waits_for_a_read_only_server() {
    block_on(async {
        let scene = Scene::start(104).await;
        let before = scene.log_length();
        scene.server.set("SET default_transaction_read_only = on").await;
        scene.wait_for_words(before, "(25006)");
        let client = scene.server.client().await;
        // It may still finish its last work. After that it writes nothing.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let held = number(&client, "SELECT count(*) FROM trades").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, held, "nothing is written");
        // The lease is asked for four times a second, and reads go on: the outage is logged once, for all who write.
        let lines = scene.daemon.log()[before..].matches("(25006)").count();
        assert!((1..4).contains(&lines), "{lines} lines");
        // ALTER SYSTEM writes no row, so that it may be undone from a session that may not write.
        scene.server.set("RESET default_transaction_read_only").await;
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!("PostgreSQL is read-only for a while", "fresh after {}; {trades} trades", seconds(took));
    });
}

#[test]
#[ignore = "some 20 s: ./ticker matrix"]
fn the_daemon_waits_for_a_free_connection() {
    block_on(async {
        let scene = Scene::start(105).await;
        let before = scene.log_length();
        // All connections that the server allows beside those of its superuser.
        let mut taken = Vec::new();
        let superuser = crate::support::recomputation::connect(&scene.server.superuser).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'stellar-ticker'";
        let begun = Instant::now();
        loop {
            match tokio_postgres::connect(&scene.server.url, tokio_postgres::NoTls).await {
                Ok((client, driver)) => {
                    tokio::spawn(driver);
                    taken.push(client);
                }
                Err(_) => {
                    let left: i64 = superuser.query_one(end, &[]).await.unwrap().get(0);
                    if left == 0 {
                        break;
                    }
                }
            }
            assert!(begun.elapsed() < DEADLINE);
        }
        scene.wait_for_words(before, "(53300)");
        assert_eq!(scene.daemon.get("/markets.json").status, 200, "readers notice nothing");
        let count = taken.len();
        drop(taken);
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!(
            "PostgreSQL has no free connection",
            "{count} used by others; fresh after {}; {trades} trades",
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 90 s: ./ticker matrix"]
fn a_frozen_database_is_reported_and_the_backlog_is_published() {
    // Longer than a read or a batch is waited for: their connections are given up, and new ones cannot be made.
    let outage = Duration::from_secs(by_hand("TICKER_TEST_OUTAGE_SECONDS", 70));
    block_on(async {
        let scene = Scene::start(106).await;
        let begun = Instant::now();
        scene.server.signal(Signal::SIGSTOP);
        while begun.elapsed() < outage {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(scene.daemon.get("/livez").status, 200);
        }
        let ready = scene.daemon.get("/readyz");
        assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")));
        let as_of = scene.daemon.get("/markets.json").json()["generated_at"].as_i64().unwrap();
        assert!(as_of > chrono::Utc::now().timestamp_millis() - 30_000, "time goes on");
        scene.server.signal(Signal::SIGCONT);
        let took = scene.is_fresh_again().await;
        assert_kept(took, outage, scene.start);
        let trades = scene.finish().await;
        figure!(
            "PostgreSQL is suspended (SIGSTOP) for T: fresh again within max(15 s, 0.6 T)",
            "T = {} s: fresh after {}; {trades} trades",
            outage.as_secs(),
            seconds(took)
        );
    });
}

#[test]
fn a_private_server_that_is_killed_or_stopped_is_started_again_by_the_daemon() {
    let sim = network(106, FaultPlan::none());
    block_on(async {
        let mut daemon = private_server::serve(&sim, &[], &[]);
        wait_for_pairs(&daemon);
        let data_dir = daemon.directory.path().join("data");
        let pid = || private_server::postmaster(&data_dir.join("pg"));
        let database =
            format!("host='{}' user=ticker dbname=ticker", data_dir.join("pg-socket").to_str().unwrap());
        let mut times = Vec::new();
        // By a signal that nothing outlives, and as an operator stops a server.
        for (times_again, signal) in [(1, Signal::SIGKILL), (2, Signal::SIGINT)] {
            let begun = Instant::now();
            nix::sys::signal::kill(pid().unwrap(), signal).unwrap();
            wait_until("it runs again", || {
                assert_eq!(daemon.get("/markets.json").status, 200, "readers notice nothing");
                daemon.log().matches("the private PostgreSQL runs again").count() == times_again
            });
            let again = begun.elapsed();
            fresh_again(&sim, &database).await;
            times.push(format!("{} (fresh {} later)", seconds(again), seconds(begun.elapsed() - again)));
        }
        assert!(daemon.is_running());
        let client = crate::support::recomputation::connect(&database).await;
        compare_published(&daemon, &client).await;
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        drop(client);
        let last = pid().unwrap();
        assert!(daemon.terminate().success());
        assert!(pid().is_none() && nix::sys::signal::kill(last, None).is_err(), "the last one goes with it");
        figure!(
            "a private PostgreSQL that is killed or stopped is restarted, and nothing is lost",
            "restarted after {}; {trades} trades",
            times.join(", ")
        );
    });
}
