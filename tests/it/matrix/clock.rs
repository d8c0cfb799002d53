//! A machine whose wall clock is wrong by an hour and is then corrected.

use std::path::PathBuf;

use super::*;
use crate::support::{oracle::compare_published, postgres::fresh_database, recomputation::connect};

/// libfaketime of Debian; the process alone sees another time.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let found = folders
        .chain(["/usr/lib".into()])
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    if found.is_none() {
        crate::support::not_tested(
            "libfaketime is absent, so no clock was put wrong; ./ticker need faketime",
        );
    }
    found
}

#[test]
#[ignore = "some 10 s: ./ticker matrix"]
fn a_wall_clock_that_jumps_an_hour_forth_and_back_loses_nothing_and_published_time_follows() {
    let Some(library) = library() else { return };
    let directory = crate::support::postgres::open_tempdir();
    let offset = directory.path().join("offset");
    let sim = network(151, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let set = |text: &str| {
            let new = directory.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &offset).unwrap();
        };
        set("+0");
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let mut daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let client = connect(&database).await;
        // Trades are new, so that their age shows how far its clock is ahead.
        let ahead = |daemon: &Daemon| daemon.status()["lag_s"].as_i64().unwrap() / 60;
        let as_of = |daemon: &Daemon| daemon.get("/markets.json").json()["generated_at"].as_i64().unwrap();
        let mut times = Vec::new();
        for (text, minutes) in [("+3600", 59..=61), ("+0", -1..=1), ("-3600", -61..=-59), ("+0", -1..=1)] {
            set(text);
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
