//! A machine whose wall clock is wrong by an hour and is then corrected.

use super::*;
use crate::support::{
    false_clock::FalseClock, oracle::compare_published, postgres::fresh_database, recomputation::connect,
};

#[test]
#[ignore = "some 10 s: ./ticker matrix"]
fn a_wall_clock_that_jumps_an_hour_forth_and_back_loses_nothing_and_published_time_follows() {
    let Some(clock) = FalseClock::new() else { return };
    let sim = network(151, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve_in(&clock.environment(), &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let client = connect(&database).await;
        // Trades are new, so that their age shows how far its clock is ahead.
        let ahead = |daemon: &Daemon| daemon.status()["lag_s"].as_i64().unwrap() / 60;
        let as_of = |daemon: &Daemon| daemon.get("/markets.json").json()["generated_at"].as_i64().unwrap();
        let mut times = Vec::new();
        for (text, minutes) in [("+3600", 59..=61), ("+0", -1..=1), ("-3600", -61..=-59), ("+0", -1..=1)] {
            clock.set(text);
            wait_until("its clock has jumped", || minutes.contains(&ahead(&daemon)));
            times.push(seconds(fresh_again(&sim, &database).await));
            // Published time follows, back as well as forth, and the figures are those of that time.
            wait_until("published time has followed", || {
                let ahead_ms = as_of(&daemon) - chrono::Utc::now().timestamp_millis();
                minutes.contains(&(ahead_ms / 60_000))
            });
            compare_published(&daemon, &client).await;
            assert_eq!(daemon.get("/livez").status, 200);
        }
        assert!(daemon.is_running());
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "the wall clock jumps an hour forward and back: nothing is lost, and published time and figures follow",
            "fresh after {}; {trades} trades",
            times.join(", ")
        );
    });
}
