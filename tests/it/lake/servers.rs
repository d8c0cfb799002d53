//! Servers of a lake that answer, but not as a lake does, and a Horizon that lacks hashes.

use std::ops::Range;

use stellar_ticker::sim::{
    Endpoint, Fault,
    lake::{LakeFault, MissingAnswer},
};

use super::*;
use crate::support::{SHORT_GRACE, reached, wait_until};

const NEWEST: &str = "SELECT coalesce(max(to_ledger), 0) FROM coverage";

async fn new_trades_come(seed: u64, missing: MissingAnswer) {
    let sim = with_lake(seed, 3.0, 0, FaultPlan::none());
    sim.lake().answer_missing_with(missing);
    let daemon = reading_lake(&sim, &sim.url(), "0").await;
    let client = recomputation::connect(&daemon.database).await;
    wait_for_trades(&client, 30).await;
    let checks = daemon.get("/readyz").json()["checks"].clone();
    assert_eq!(checks["stream"]["detail"], "reading from the lake", "{checks}");
    assert!(!daemon.log().contains("the lake gives no new ledgers"), "{}", daemon.log());
    assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
    compare_at_least(30, &client, sim.oracle()).await;
}

#[test]
fn pages_in_place_of_missing_objects_are_no_ledgers() {
    block_on(new_trades_come(211, MissingAnswer::Page));
}

#[test]
fn a_bucket_that_may_be_read_and_not_listed_is_read() {
    block_on(new_trades_come(213, MissingAnswer::Forbidden));
}

/// Each object takes minutes then, and an attempt at one takes longer than an actor may hang.
#[test]
fn new_trades_come_from_horizon_while_a_lake_drips() {
    let plan = FaultPlan::none();
    let environment = [IMPATIENT[0], ("TICKER_CHAOS_STALE_MS", "5000")];
    let sim = with_lake(212, 3.0, 0, plan.clone());
    block_on(async {
        let daemon = reading_lake_in(&environment, &sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 10).await;
        let drip = Fault::SlowDrip { bytes: 1, pause: Duration::from_secs(1) };
        (0..10_000).for_each(|_| plan.push(Endpoint::Lake, drip.clone()));
        wait_until("the lake is reported", || daemon.log().contains("the lake gives no new ledgers"));
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 30).await;
        assert_eq!(daemon.get("/readyz").json()["checks"]["stream"]["ok"], false);
        plan.clear(Endpoint::Lake);
        wait_until("it goes on", || daemon.log().contains("the lake gives new ledgers again"));
        compare_at_least(41, &client, sim.oracle()).await;
    });
}

#[test]
fn without_horizon_a_new_object_that_cannot_be_read_is_passed_over() {
    let sim = with_lake(214, 3.0, 0, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 3).await;
        let bad = sim.oracle().head().latest + 2;
        sim.lake().spoil(bad, LakeFault::Refused);
        reached("later ledgers are stored", async || number(&client, NEWEST).await > i64::from(bad)).await;
        let refused = format!(
            "SELECT count(*) FROM quarantine WHERE reason LIKE 'ledgers {bad} to {bad} are refused%'"
        );
        assert_eq!(number(&client, &refused).await, 1);
    });
}

/// A hash costs a request of Horizon's budget, and Horizon may lag for hours.
#[test]
fn horizon_is_seldom_asked_for_hashes_that_it_does_not_have() {
    const HASHES: usize = 10_000;
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig { ledger_seconds: 1.0, ..lake_config(215, 3.0, 0, plan.clone()) });
    (0..HASHES).for_each(|_| plan.push(Endpoint::Ledgers, Fault::Status(404)));
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        reached("ledgers of a minute are stored", async || {
            number(&client, "SELECT coalesce(max(to_ledger) - min(from_ledger), 0) FROM coverage").await >= 30
        })
        .await;
        let asked = HASHES - plan.pending(Endpoint::Ledgers);
        assert!((1..=14).contains(&asked), "{asked} questions");
        plan.clear(Endpoint::Ledgers);
        reached("the hashes are compared in the end", async || number(&client, UNCONFIRMED).await == 0).await;
    });
}

/// The recent ledgers are wanted of both in turn then.
#[test]
fn while_a_lake_is_late_a_horizon_that_fails_is_seldom_asked_and_history_fails() {
    const ROOTS: usize = 10_000;
    let plan = FaultPlan::none();
    let sim = with_lake(224, 3.0, 0, plan.clone());
    block_on(async {
        let daemon = reading_lake_in(&[IMPATIENT[0], SHORT_GRACE], &sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 10).await;
        (0..ROOTS).for_each(|_| plan.push(Endpoint::Root, Fault::Status(500)));
        sim.lake().stop_at(Some(sim.oracle().head().latest));
        wait_until("history fails", || daemon.get("/readyz").json()["checks"]["history"]["ok"] == false);
        let asked = ROOTS - plan.pending(Endpoint::Root);
        assert!((1..=25).contains(&asked), "{asked} requests");
        plan.clear(Endpoint::Root);
        wait_until("it is read again", || daemon.get("/readyz").json()["checks"]["history"]["ok"] == true);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 30).await;
    });
}

/// Most lakes are ahead of Horizon by some seconds, and a question in between may fail.
#[test]
fn a_lake_that_was_wrong_is_believed_again_while_horizon_lags() {
    let plan = FaultPlan::none();
    let sim = with_lake(220, 2.0, 0, plan.clone());
    let spoil =
        |ledgers: Range<u32>| ledgers.for_each(|ledger| sim.lake().spoil(ledger, LakeFault::Rewritten));
    let head = || sim.oracle().head().latest;
    let mut right = head() + 5;
    spoil(right - 105..right);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        let refused = |from| {
            let number = "substring(reason from '^ledgers ([0-9]+)')::bigint";
            format!("SELECT count(*) FROM quarantine WHERE {number} >= {from}")
        };
        // The lake is wrong until the daemon has seen it, however late it starts.
        reached("wrong ledgers are refused", async || {
            let next = head() + 5;
            spoil(right..next);
            right = right.max(next);
            number(&client, &refused(0)).await > 0
        })
        .await;
        reached("the last ones are refused", async || number(&client, &refused(right - 2)).await > 0).await;
        for _ in 0..1_000 {
            for fault in [Fault::Status(404), Fault::Drip { bytes: 100_000 }, Fault::Status(500)] {
                plan.push(Endpoint::Ledgers, fault);
                plan.push(Endpoint::Ledgers, Fault::Drip { bytes: 100_000 });
            }
        }
        reached("later ones are stored", async || number(&client, NEWEST).await > i64::from(right) + 2).await;
        wait_until("the lake is well", || daemon.get("/readyz").json()["checks"]["lake"]["ok"] == true);
        assert_eq!(number(&client, &refused(right)).await, 0, "{}", daemon.log());
    });
}

/// The sweep of assets wants the same requests.
#[test]
fn history_is_confirmed_within_the_default_budget() {
    let sim = with_lake(216, 2.0, 1, FaultPlan::none());
    block_on(async {
        let lake = lake_url(&sim);
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "3600"];
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        reached("all of it is confirmed", async || number(&client, UNCONFIRMED).await == 0).await;
        let (first, _) = complete_range(&client).await;
        daemon.kill();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let held = number(&client, NEWEST).await;
        reached("it goes on", async || number(&client, NEWEST).await > held + 1).await;
        assert!(!daemon.log().contains("reading them again"), "{}", daemon.log());
        assert_eq!(complete_range(&client).await.0, first, "nothing is read twice");
    });
}

#[test]
fn old_objects_that_cannot_be_read_cost_no_older_ones() {
    let sim = with_lake(217, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    let bad = [newest - 460, newest - 60];
    bad.iter().for_each(|ledger| sim.lake().spoil(*ledger, LakeFault::Refused));
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT_FOR_HISTORY, &sim, NOWHERE, "1").await;
        let client = recomputation::connect(&daemon.database).await;
        let below = format!(
            "SELECT coalesce(sum(to_ledger - from_ledger), 0)::bigint FROM coverage WHERE to_ledger < {}",
            bad[0]
        );
        // The lake is waited for once, not for each of them.
        reached("older ledgers are held", async || number(&client, &below).await > 1_000).await;
        let first = number(&client, "SELECT min(from_ledger) FROM coverage").await;
        for (from, to) in [(first, bad[0] - 1), (i64::from(bad[0]) + 1, bad[1] - 1)] {
            assert!(faults::lacks_no_trade(&client, &sim, from, i64::from(to)).await, "{from} to {to}");
        }
        wait_until("each of them is a gap", || {
            let status = daemon.status();
            let gaps: Vec<_> = status["gaps"].as_array().unwrap().iter().map(|gap| &gap["from"]).collect();
            gaps == bad
        });
    });
}

#[test]
fn held_ledgers_that_the_lake_no_longer_has_are_compared_with_horizon() {
    let sim = with_lake(225, 5.0, 0, FaultPlan::none());
    let lake = lake_url(&sim);
    let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
    let more = ["--backfill-hours", "0", "--horizon-requests-per-hour", "0"];
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 60).await;
        let (from, to) = complete_range(&client).await;
        for ledger in from..=to {
            sim.lake().spoil(u32::try_from(ledger).unwrap(), LakeFault::Hole);
        }
        // The oldest ledgers stay, so that those above are a gap between held ones.
        let lost = format!("DELETE FROM trades WHERE toid >> 32 > {from} + 1 AND toid >> 32 <= {to}");
        assert!(client.execute(&lost, &[]).await.unwrap() > 30);
        reached("the lost trades are stored again", async || {
            faults::lacks_no_trade(&client, &sim, from, to).await
        })
        .await;
        wait_until("they are reported", || daemon.status()["audit"]["reread"]["missing"].as_i64() > Some(0));
    });
}

/// A directory whose disk is not mounted looks like that, and a bucket that was renamed.
#[test]
fn a_lake_that_has_nothing_at_all_is_out_and_has_no_holes() {
    let sim = with_lake(233, 2.0, 4, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "3").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 50).await;
        sim.lake().be_gone(true);
        wait_until("the lake is reported", || {
            let check = daemon.get("/readyz").json()["checks"]["lake"].clone();
            check["detail"].to_string().contains("has no manifest")
        });
        sim.lake().be_gone(false);
        wait_until_history_is_complete(&daemon);
    });
}

/// A daemon that has read a confirmed chain from the lake, its database, and a ledger to come that the lake has
/// rewritten.
async fn before_a_wrong_ledger(sim: &SimServer) -> (Daemon, Client, u32) {
    let daemon = reading_lake(sim, &sim.url(), "0").await;
    let client = recomputation::connect(&daemon.database).await;
    wait_for_trades(&client, 20).await;
    reached("the chain is confirmed", async || number(&client, UNCONFIRMED).await == 0).await;
    let wrong = sim.oracle().head().latest + 2;
    sim.lake().spoil(wrong, LakeFault::Rewritten);
    (daemon, client, wrong)
}

/// The next ledger is compared with the chain that was read before the failure.
#[test]
fn a_failure_of_the_lake_does_not_hide_that_the_ledger_before_it_was_wrong() {
    let plan = FaultPlan::none();
    let sim = with_lake(234, 5.0, 0, plan.clone());
    block_on(async {
        let (daemon, client, wrong) = before_a_wrong_ledger(&sim).await;
        sim.lake().stop_at(Some(wrong));
        let wrong = i64::from(wrong);
        reached("the wrong ledger is held", async || number(&client, NEWEST).await == wrong).await;
        (0..4).for_each(|_| plan.push(Endpoint::Lake, Fault::Status(400)));
        wait_until("the lake fails", || daemon.log().contains("lake could not be read"));
        sim.lake().stop_at(None);
        let contradicted = "ledgers of the lake are not ancestors of Horizon's ledger";
        wait_until("it is in doubt", || daemon.log().contains(contradicted));
        reached("its trades are all held", async || {
            faults::lacks_no_trade(&client, &sim, wrong, wrong).await
        })
        .await;
    });
}

/// Nothing leads to it from the chain that begins above the refused ledger.
#[test]
fn a_wrong_ledger_directly_below_one_that_is_refused_is_read_again() {
    let sim = with_lake(235, 5.0, 0, FaultPlan::none());
    block_on(async {
        let (daemon, client, wrong) = before_a_wrong_ledger(&sim).await;
        sim.lake().spoil(wrong + 1, LakeFault::OtherNetwork);
        let unconfirmed = "Horizon has confirmed none of these ledgers of the lake, reading them again";
        wait_until("it is in doubt", || daemon.log().contains(unconfirmed));
        let wrong = i64::from(wrong);
        reached("its trades are all held", async || {
            faults::lacks_no_trade(&client, &sim, wrong, wrong).await
        })
        .await;
    });
}

/// Only the leader reads the lake, so nothing here would end the contradiction.
#[test]
fn a_replica_that_no_longer_leads_forgets_that_horizon_contradicted_its_lake() {
    let (sim, other) = (with_lake(241, 2.0, 0, FaultPlan::none()), with_lake(242, 2.0, 0, FaultPlan::none()));
    block_on(async {
        let (database, lake) = (fresh_database().await, lake_url(&other));
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = [&source[..], &["--backfill-hours", "0"]].concat();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        let is_up = || {
            let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
            metrics.lines().any(|line| line == "ticker_lake_up 1")
        };
        wait_until("Horizon has another hash", || {
            let check = daemon.get("/readyz").json()["checks"]["lake"].clone();
            check["detail"].to_string().contains("another hash than at Horizon")
        });
        wait_until("the metric says so", || !is_up());
        let taken_over = "UPDATE ingest_lease SET holder = 'another', epoch = epoch + 1, \
                          expires_at = now() + interval '50 seconds'";
        reached("it follows, and shows no fault of the lake", async || {
            client.batch_execute(taken_over).await.unwrap();
            is_up() && !daemon.leads()
        })
        .await;
    });
}
