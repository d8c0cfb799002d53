//! Ledgers that nobody can give, and lakes that go on behind a hole.

use stellar_ticker::sim::{Endpoint, Fault, lake::LakeFault};

use super::*;
use crate::support::{reached, wait_until};

/// A lake of 30 hours, with few and long ledgers.
fn days(seed: u64) -> SimServer {
    horizon(SimConfig { ledger_seconds: 60.0, ..lake_config(seed, 0.2, 30, FaultPlan::none()) })
}

/// Held ledgers below one of the last 24 hours. More than 1,500 of them reach beyond these.
fn held_below(ledger: u32) -> String {
    format!(
        "SELECT coalesce(sum(to_ledger - from_ledger + 1), 0)::bigint FROM coverage WHERE to_ledger < {ledger}"
    )
}

#[test]
fn without_horizon_a_recent_hole_of_the_lake_costs_no_older_history() {
    let sim = days(221);
    let hole = sim.oracle().head().latest - 120;
    sim.lake().spoil(hole, LakeFault::Hole);
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "29").await;
        let client = recomputation::connect(&daemon.database).await;
        reached("older history is held", async || number(&client, &held_below(hole)).await > 1_500).await;
    });
}

#[test]
fn without_horizon_a_hole_of_more_than_a_stretch_costs_no_older_history() {
    let sim = horizon(SimConfig { ledger_seconds: 60.0, ..lake_config(237, 0.2, 60, FaultPlan::none()) });
    let latest = sim.oracle().head().latest;
    let (first, last) = (latest - 2_200, latest - 100);
    (first..=last).for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "59").await;
        let client = recomputation::connect(&daemon.database).await;
        reached("older history is held", async || number(&client, &held_below(first)).await > 1_000).await;
    });
}

#[test]
fn a_recent_ledger_that_horizon_no_longer_has_costs_no_older_history() {
    let sim = days(222);
    let latest = sim.oracle().head().latest;
    sim.lake().spoil(latest - 120, LakeFault::Hole);
    sim.oracle().forget_below(latest - 60);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "29").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_until_history_is_complete(&daemon);
        let held = number(&client, &held_below(latest - 120)).await;
        assert!(held > 1_500, "{held} ledgers: {}", daemon.status());
    });
}

/// No look at a fixed distance reaches behind such a hole.
#[test]
fn without_horizon_new_trades_go_on_behind_a_hole_of_a_hundred_objects() {
    let sim = horizon(SimConfig { ledger_seconds: 0.2, ..lake_config(223, 3.0, 0, FaultPlan::none()) });
    let hole = sim.oracle().head().latest + 20;
    (hole..hole + 100).for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT, &sim, NOWHERE, "0").await;
        let client = recomputation::connect(&daemon.database).await;
        let behind = format!("SELECT count(*) FROM coverage WHERE to_ledger >= {}", hole + 100);
        reached("ledgers behind the hole are held", async || number(&client, &behind).await > 0).await;
        wait_until("the lake is well", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
    });
}

/// Reads an hour by `ingest trades` from the lake. Returns a connection to the database, and the log.
async fn ingested(sim: &SimServer) -> (Client, String) {
    ingested_in(&IMPATIENT_FOR_HISTORY, sim).await
}

/// The same with another environment.
async fn ingested_in(environment: &[(&str, &str)], sim: &SimServer) -> (Client, String) {
    let (database, url, lake) = (fresh_database().await, sim.url(), lake_url(sim));
    let history = ["ingest", "trades", "--num-hours", "1", "--ledger-source", "lake", "--lake-url", &lake];
    let more =
        ["--network", PASSPHRASE, "--horizon-requests-per-hour", "0", "--log", "info,stellar_ticker=debug"];
    let place = ["--database-url", &database, "--horizon-url", &url];
    let (code, _, log) = run_in(&[&history[..], &more, &place].concat(), environment);
    assert_eq!(code, 0, "{log}");
    (recomputation::connect(&database).await, log)
}

#[test]
fn the_command_reads_from_horizon_the_newest_ledgers_that_a_late_lake_lacks() {
    let sim = with_lake(224, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    sim.lake().stop_at(Some(newest - 100));
    block_on(async {
        let (client, log) = ingested(&sim).await;
        let (from, to) = complete_range(&client).await;
        assert!(to + 5 >= i64::from(newest) && to - from > 1_500, "{from} {to} {newest}: {log}");
        assert!(log.contains(&format!("newest={to}")) || log.contains(&format!("\"newest\":{to}")), "{log}");
        compare_at_least(3_001, &client, sim.oracle()).await;
    });
}

#[test]
fn the_command_reads_from_horizon_an_object_that_the_lake_never_gives() {
    let sim = with_lake(226, 2.0, 1, FaultPlan::none());
    let refused = sim.oracle().head().latest - 300;
    sim.lake().spoil(refused, LakeFault::Refused);
    block_on(async {
        let (client, log) = ingested(&sim).await;
        let (from, to) = complete_range(&client).await;
        assert!(from < i64::from(refused) && to > i64::from(refused), "{from} {to}: {log}");
        compare_at_least(3_001, &client, sim.oracle()).await;
    });
}

/// A lake with many bad objects takes longer than their ledgers are left to Horizon.
#[test]
fn the_command_reads_from_horizon_what_the_lake_lacks_before_the_lake_is_read() {
    let sim = horizon(SimConfig { ledger_seconds: 1.0, ..lake_config(259, 2.0, 1, FaultPlan::none()) });
    let newest = sim.oracle().head().latest;
    let hole = newest - 104..=newest - 100;
    hole.clone().for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
    block_on(async {
        let (client, log) = ingested(&sim).await;
        compare_at_least(3_001, &client, sim.oracle()).await;
        // `xmin` is the number of the transaction that stored a row.
        let stored_later = format!(
            "SELECT count(*) FROM trades WHERE toid >> 32 < {from} AND xmin::text::bigint >
                (SELECT max(xmin::text::bigint) FROM trades WHERE toid >> 32 BETWEEN {from} AND {to})",
            from = hole.start(),
            to = hole.end()
        );
        assert!(number(&client, &stored_later).await > 1_000, "{log}");
    });
}

/// If it is silent, each attempt takes up to 40 s. The lake is read in rounds of 2,000 ledgers.
#[test]
fn the_command_does_not_ask_a_failing_horizon_after_each_round_of_the_lake() {
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig { ledger_seconds: 0.5, ..lake_config(263, 2.0, 1, plan.clone()) });
    sim.lake().spoil(sim.oracle().head().latest - 100, LakeFault::Hole);
    // Enough for each of the four rounds, and too few to end the command.
    (0..8).for_each(|_| plan.push(Endpoint::Root, Fault::Status(500)));
    block_on(async {
        let (client, log) = ingested_in(&[], &sim).await;
        compare_at_least(3_001, &client, sim.oracle()).await;
        let attempts = log.matches("ledgers that the lake lacks not read from Horizon yet").count();
        // After five minutes, which a busy machine may take, there is a second one.
        assert!((1..=2).contains(&attempts), "{attempts}: {log}");
    });
}

/// One server of several may have an older history than the one that answered first.
#[test]
fn a_hole_below_what_horizon_once_had_is_read_from_it_later() {
    let sim = horizon(SimConfig { ledger_seconds: 0.2, ..lake_config(227, 5.0, 0, FaultPlan::none()) });
    let elder = sim.oracle().head().elder;
    wait_until("some ledgers have closed", || sim.oracle().head().latest > elder + 40);
    let hole = elder + 20;
    sim.lake().spoil(hole, LakeFault::Hole);
    sim.oracle().forget_below(elder + 30);
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT_FOR_HISTORY, &sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        let held = |ledger| {
            format!("SELECT count(*) FROM coverage WHERE {ledger} BETWEEN from_ledger AND to_ledger")
        };
        // Without the hole, since Horizon says that it does not have it.
        wait_until_history_is_complete(&daemon);
        assert_eq!(number(&client, &held(hole - 1)).await, 1);
        assert_eq!(number(&client, &held(hole)).await, 0);
        sim.oracle().forget_below(elder);
        reached("the hole is filled", async || number(&client, &held(hole)).await == 1).await;
        assert!(faults::lacks_no_trade(&client, &sim, hole.into(), hole.into()).await);
    });
}

#[test]
fn without_horizon_an_object_that_comes_late_is_read() {
    let sim = with_lake(228, 2.0, 1, FaultPlan::none());
    let hole = sim.oracle().head().latest - 50;
    sim.lake().spoil(hole, LakeFault::Hole);
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT_FOR_HISTORY, &sim, NOWHERE, "1").await;
        let client = recomputation::connect(&daemon.database).await;
        let gap = format!("\"from\":{hole}");
        wait_until("the ledger is a gap", || daemon.status()["gaps"].to_string().contains(&gap));
        wait_for_trades(&client, 3_000).await;
        sim.lake().mend(hole);
        let hole = i64::from(hole);
        reached("it is held", async || faults::lacks_no_trade(&client, &sim, hole, hole).await).await;
    });
}

#[test]
fn places_that_horizon_never_gives_cost_no_others() {
    let plan = FaultPlan::none();
    let sim = with_lake(229, 2.0, 1, plan.clone());
    let newest = sim.oracle().head().latest;
    let bad = [newest - 60, newest - 62, newest - 64, newest - 66];
    let good = newest - 300;
    bad.into_iter().chain([good]).for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
    plan.break_pages(bad[3]..=bad[0]);
    block_on(async {
        let lake = lake_url(&sim);
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "0"];
        let database = fresh_database().await;
        let _daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        let good = i64::from(good);
        reached("the last one is held", async || faults::lacks_no_trade(&client, &sim, good, good).await)
            .await;
    });
}
