//! Ledgers of a lake that no hash of Horizon confirmed when they were stored.

use stellar_ticker::sim::{Endpoint, Fault, lake::LakeFault};

use super::*;
use crate::support::{reached, wait_until};

const UNCONFIRMED_LEDGERS: &str =
    "SELECT coalesce(sum(to_ledger - from_ledger + 1), 0)::bigint FROM unconfirmed_ranges";
/// A fault that changes nothing: it takes the place of an answer.
const NO_FAULT: Fault = Fault::Drip { bytes: 1_000_000 };

/// New trades come from a lake of another chain, and history from it or from Horizon, which gives no hash. Then
/// another daemon reads them from the lake at `next_lake`.
fn trades_of_a_wrong_lake_are_read_again(history: &str, seed: u64, next_lake: fn(&SimServer) -> String) {
    let plan = FaultPlan::none();
    let sim = with_lake(seed, 2.0, 1, plan.clone());
    let other = with_lake(seed + 1, 2.0, 1, FaultPlan::none());
    (0..20_000).for_each(|_| plan.push(Endpoint::Ledgers, Fault::Status(500)));
    block_on(async {
        let database = fresh_database().await;
        let serve = |lake: &str| {
            let source = ["--ledger-source", history, "--live-from", "lake", "--lake-url", lake];
            let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "0"];
            Daemon::serve_in(
                &IMPATIENT_FOR_HISTORY,
                &sim.url(),
                &database,
                PASSPHRASE,
                &[&source[..], &more].concat(),
            )
        };
        let mut daemon = serve(&lake_url(&other));
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 3_000).await;
        reached("ledgers of the lake are held", async || number(&client, UNCONFIRMED_LEDGERS).await >= 3)
            .await;
        if history == "horizon" {
            wait_until_history_is_complete(&daemon); // several parts are read at once
        }
        let (first, last) = complete_range(&client).await;
        daemon.kill();
        let first = first + 300; // ten minutes: these ledgers stay within the wanted hour
        plan.clear(Endpoint::Ledgers);
        let _daemon = serve(&next_lake(&sim));
        let whole = "SELECT count(*) FROM generate_series($1::bigint, $2) AS ledger
                     WHERE NOT EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger)";
        reached("it is taken out of the coverage", async || number(&client, UNCONFIRMED).await == 0).await;
        reached("the true trades are held", async || {
            let missing: i64 = client.query_one(whole, &[&first, &last]).await.unwrap().get(0);
            missing == 0 && faults::lacks_no_trade(&client, &sim, first, last).await
        })
        .await;
    });
}

#[test]
fn trades_of_a_wrong_lake_that_is_switched_off_are_read_again_from_horizon() {
    trades_of_a_wrong_lake_are_read_again("lake", 218, no_lake);
}

#[test]
fn new_trades_of_a_wrong_lake_that_is_switched_off_are_read_again_from_horizon() {
    trades_of_a_wrong_lake_are_read_again("horizon", 236, no_lake);
}

/// The next follower compares only the chain that it takes itself.
#[test]
fn new_trades_of_a_wrong_lake_are_read_again_from_horizon_by_a_daemon_with_a_right_one() {
    trades_of_a_wrong_lake_are_read_again("horizon", 244, lake_url);
}

/// Nothing of this lake can be read.
fn no_lake(_: &SimServer) -> String {
    format!("{NOWHERE}/lake")
}

/// The lake of history answers, and would give them again and again.
#[test]
fn ledgers_that_horizon_cannot_confirm_come_from_its_pages_once_new_ledgers_fail() {
    let plan = FaultPlan::none();
    let sim = with_lake(240, 2.0, 1, plan.clone());
    plan.always(Endpoint::Ledgers, Fault::Status(404));
    let latest = i64::from(sim.oracle().head().latest);
    block_on(async {
        let (lake, rpc) = (lake_url(&sim), format!("{NOWHERE}/rpc"));
        let source =
            ["--ledger-source", "lake", "--live-from", "rpc", "--lake-url", &lake, "--rpc-url", &rpc];
        let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "0"];
        let more = [&source[..], &more].concat();
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&IMPATIENT_FOR_HISTORY, &sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        // Ledgers of the lake leave both tables at once, so that both are complete only with Horizon's pages.
        let lacking = format!(
            "SELECT (SELECT count(*) FROM unconfirmed_ranges)
                  + (SELECT count(*) FROM generate_series({}, {latest}) AS ledger
                     WHERE NOT EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger))",
            latest - 1_500
        );
        wait_until("ledgers of the lake are given up", || {
            daemon.log().contains("Horizon has never confirmed these ledgers of the lake")
        });
        reached("all ledgers are Horizon's", async || number(&client, &lacking).await == 0).await;
        compare_at_least(3_001, &client, sim.oracle()).await;
    });
}

/// Horizon is asked again after ten seconds without an answer instead of 60. All history is stored before.
const HASH_WAIT: (&str, &str) = ("TICKER_CHAOS_LAKE_HASH_MS", "10000");

/// Ledgers by which the lake is behind: a minute.
const FAR: u32 = 30;

/// The follower of new ledgers takes nothing of such a lake, because Horizon's pages are always ahead of it.
#[test]
fn history_of_a_late_lake_is_compared_once_horizon_answers_again() {
    let plan = FaultPlan::none();
    let sim = with_lake(238, 2.0, 1, plan.clone());
    let lag = || sim.lake().stop_at(Some(sim.oracle().head().latest - FAR));
    lag();
    plan.push(Endpoint::Ledgers, Fault::Status(500));
    block_on(async {
        let lake = lake_url(&sim);
        let more = ["--ledger-source", "lake", "--lake-url", &lake, "--backfill-hours", "1"];
        let environment = [("TICKER_CHAOS_LAKE_LATE_MS", "1000"), HASH_WAIT];
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        reached("history is stored unconfirmed", async || {
            lag();
            number(&client, UNCONFIRMED_LEDGERS).await > 1_000
        })
        .await;
        reached("it is confirmed", async || {
            lag();
            number(&client, UNCONFIRMED).await == 0
        })
        .await;
        wait_until("the log says so", || daemon.log().contains("Horizon has the hashes of these ledgers"));
        wait_until_history_is_complete(&daemon);
        compare_at_least(3_001, &client, sim.oracle()).await;
    });
}

/// A hash of a new chain says nothing of what is below. Of that, only what was taken since the last hash is read again
/// at once. The ledgers between were confirmed before, and history waits until Horizon has its hash.
#[test]
fn a_new_chain_takes_only_the_ledgers_since_the_last_hash_out_of_the_coverage() {
    let plan = FaultPlan::none();
    let sim = with_lake(239, 2.0, 1, plan.clone());
    let latest = sim.oracle().head().latest;
    let hole = latest - 100;
    sim.lake().spoil(hole, LakeFault::Hole);
    // New ledgers and the history above the hole are confirmed. The history below it is not.
    for fault in [NO_FAULT, NO_FAULT, Fault::Status(500)] {
        plan.push(Endpoint::Ledgers, fault);
    }
    block_on(async {
        let daemon = reading_lake_in(&[HASH_WAIT], &sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        reached("history below the hole is unconfirmed", async || {
            number(&client, UNCONFIRMED_LEDGERS).await > 1_000
        })
        .await;
        wait_until_history_is_complete(&daemon);
        let confirmed = hole + 1..=latest - 2;
        let above = format!("SELECT count(*) FROM unconfirmed_ranges WHERE to_ledger >= {hole}");
        assert_eq!(number(&client, &above).await, 0);
        // Once they are not held any more, nobody gives them again.
        confirmed.clone().for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
        plan.break_pages(confirmed.clone());
        sim.lake().spoil(sim.oracle().head().latest + 3, LakeFault::Hole);
        let doubt = "Horizon has confirmed none of these ledgers of the lake, reading them again";
        wait_until("the new chain is confirmed", || daemon.log().contains(doubt));
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(doubt)).unwrap();
        assert!(["ranges=1", "\"ranges\":1"].iter().any(|field| line.contains(field)), "{line}");
        let held = format!(
            "SELECT count(*) FROM generate_series({}, {}) AS ledger
             WHERE EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger)",
            confirmed.start(),
            confirmed.end()
        );
        assert_eq!(number(&client, &held).await, i64::try_from(confirmed.count()).unwrap());
        reached("all are confirmed", async || number(&client, UNCONFIRMED).await == 0).await;
        wait_until("the log says so", || daemon.log().contains("Horizon has the hashes of these ledgers"));
        reached("they are held again", async || {
            number(&client, &format!("SELECT count(*) FROM coverage WHERE from_ledger < {hole} - 1000")).await
                > 0
        })
        .await;
    });
}

/// The next chain of the lake begins above them, and its hash says nothing of what is below.
#[test]
fn ledgers_that_pages_gave_while_the_lake_failed_stay_in_the_coverage() {
    let plan = FaultPlan::none();
    let sim = with_lake(264, 2.0, 0, plan.clone());
    let head = || sim.oracle().head().latest;
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT, &sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        let newest = "SELECT coalesce(max(to_ledger), 0) FROM coverage";
        let begun = i64::from(head());
        reached("the lake gives new ledgers", async || number(&client, newest).await >= begun + 3).await;
        plan.always(Endpoint::Lake, Fault::Status(500));
        let of_pages = head() + 2..=head() + 7;
        let held = format!(
            "SELECT count(*) FROM generate_series({}, {}) AS ledger
             WHERE EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger)",
            of_pages.start(),
            of_pages.end()
        );
        let count = i64::try_from(of_pages.clone().count()).unwrap();
        reached("pages give these ledgers", async || number(&client, &held).await == count).await;
        // Once they are not held any more, nobody gives them again.
        of_pages.clone().for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Hole));
        plan.break_pages(of_pages);
        plan.clear(Endpoint::Lake);
        let doubt = "Horizon has confirmed none of these ledgers of the lake, reading them again";
        wait_until("the next chain is confirmed", || daemon.log().contains(doubt));
        assert_eq!(number(&client, &held).await, count);
    });
}
