//! A lake that is far behind the network, and clocks that are far behind the lake or ahead of it.

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use stellar_ticker::sim::{ManualTime, SimClock};

use super::*;
use crate::support::{reached, wait_until};

const NEWEST: &str = "SELECT coalesce(max(to_ledger), 0) FROM coverage";

/// Ledgers of half a second by which a lake is behind: more than the ten seconds that any lake may be.
const FAR: u32 = 30;

#[test]
fn a_lake_that_returns_far_behind_the_network_leaves_new_trades_to_horizon() {
    let sim = horizon(SimConfig { ledger_seconds: 0.5, ..lake_config(231, 4.0, 0, FaultPlan::none()) });
    let head = || sim.oracle().head().latest;
    block_on(async {
        let lake = lake_url(&sim);
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = ["--backfill-hours", "0", "--horizon-requests-per-hour", "0"];
        let (environment, database) = ([("TICKER_CHAOS_LAKE_LATE_MS", "1000")], fresh_database().await);
        let more = [&source[..], &more].concat();
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 10).await;
        let stop = head();
        sim.lake().stop_at(Some(stop));
        let returns = || daemon.log().matches("the lake gives new ledgers again").count();
        let leaves = || daemon.log().matches("the lake gives no new ledgers").count();
        wait_until("the lake is left", || leaves() > returns());
        let before = returns();
        wait_until("the lake is far behind", || head() >= stop + FAR);
        // It goes on as fast as the network.
        reached("it has given ledgers for ten seconds", async || {
            sim.lake().stop_at(Some(head() - FAR));
            head() - FAR >= stop + 20
        })
        .await;
        assert_eq!(returns(), before, "{}", daemon.log());
        let due = i64::from(head());
        reached("new trades come from Horizon", async || {
            sim.lake().stop_at(Some(head() - FAR));
            number(&client, NEWEST).await >= due
        })
        .await;
        let check = daemon.get("/readyz").json()["checks"]["lake"].clone();
        assert!(check["ok"] == false && check["detail"].to_string().contains("behind"), "{check}");
        sim.lake().stop_at(None);
        wait_until("it is read again", || returns() > before);
        wait_until("the lake is well", || daemon.get("/readyz").json()["checks"]["lake"]["ok"] == true);
        compare_at_least(20, &client, sim.oracle()).await;
    });
}

/// Its trades would be refused as those of a future, and its ledgers would count as complete without them.
#[test]
fn nothing_of_a_lake_is_stored_while_the_clock_is_days_slow() {
    let clock = SimClock::Manual(ManualTime::new(Utc::now() + TimeDelta::days(3)));
    let sim = horizon(SimConfig { clock, ..lake_config(232, 2.0, 1, FaultPlan::none()) });
    block_on(async {
        for live in ["lake", "horizon"] {
            let (lake, database) = (lake_url(&sim), fresh_database().await);
            let source = ["--ledger-source", "lake", "--live-from", live, "--lake-url", &lake];
            let daemon = Daemon::serve(NOWHERE, &database, PASSPHRASE, &source);
            let client = recomputation::connect(&daemon.database).await;
            let name = if live == "lake" { "stream" } else { "history" };
            reached("the clock is named", async || {
                let stored = "SELECT (SELECT count(*) FROM coverage) + (SELECT count(*) FROM quarantine)";
                assert_eq!(number(&client, stored).await, 0, "{live}: {}", daemon.log());
                let check = daemon.get("/readyz").json()["checks"][name].clone();
                check["detail"].to_string().contains("the clock of this machine is more than a day slow")
            })
            .await;
        }
    });
}

/// Horizon is not asked for pages of such a lake, so nothing else would show that the clock is wrong.
#[test]
fn a_lake_that_keeps_up_is_not_late_if_the_clock_is_minutes_fast() {
    let time = ManualTime::new(Utc::now() - TimeDelta::minutes(5));
    let clock = SimClock::Manual(time.clone());
    let sim =
        horizon(SimConfig { ledger_seconds: 0.5, clock, ..lake_config(258, 4.0, 0, FaultPlan::none()) });
    block_on(async {
        let lake = lake_url(&sim);
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = [&source[..], &["--backfill-hours", "0"]].concat();
        let daemon = Daemon::serve_in(&IMPATIENT, &sim.url(), &fresh_database().await, PASSPHRASE, &more);
        let client = recomputation::connect(&daemon.database).await;
        let mut moved_at = Instant::now();
        let mut move_clock = || {
            let now = Instant::now();
            time.advance(TimeDelta::from_std(now - moved_at).unwrap());
            moved_at = now;
        };
        reached("the lake is read", async || {
            move_clock();
            number(&client, NEWEST).await > 0
        })
        .await;
        let due = number(&client, NEWEST).await + 40; // 20 seconds, after three of which a lake is late
        reached("it is read for a while", async || {
            move_clock();
            number(&client, NEWEST).await >= due
        })
        .await;
        assert!(!daemon.log().contains("the lake gives no new ledgers"), "{}", daemon.log());
    });
}
