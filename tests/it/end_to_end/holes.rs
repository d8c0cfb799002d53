//! Holes in Horizon's own history, and pages that it never gives.

use std::ops::RangeInclusive;

use chrono::{TimeDelta, Utc};
use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::support::{
    SHORT_GRACE, SHORT_LEASE,
    false_clock::FalseClock,
    reached,
    scripted::{LEDGER, scripted_since, trade},
};

/// Ledgers of history, one trade each, five seconds apart: three pages.
const LEDGERS: u32 = 600;
/// Ledgers that the tests make a gap of.
const GAP: RangeInclusive<u32> = LEDGER - 250..=LEDGER - 150;

/// A scripted network with one trade in each ledger.
fn one_trade_a_ledger(faults: FaultPlan) -> SimServer {
    let (sim, source) = scripted_since(LEDGER - LEDGERS, faults);
    let at = |step: u32| Utc::now() - TimeDelta::seconds(5 * i64::from(LEDGERS - step));
    source.push_trades((1..=LEDGERS).map(|step| trade(LEDGER - LEDGERS + step, 0, at(step)))).unwrap();
    sim
}

/// Lets a daemon hold the whole history, and makes a gap of it.
async fn hold_with_gap(sim: &SimServer, database: &str) -> Client {
    let mut daemon = Daemon::serve(&sim.url(), database, PASSPHRASE, &[]);
    let client = recomputation::connect(database).await;
    wait_for_trades(&client, i64::from(LEDGERS)).await;
    wait_until_history_is_complete(&daemon);
    assert!(daemon.terminate().success());
    let (from, to) = (GAP.start(), GAP.end());
    let forget = format!(
        "DELETE FROM trades WHERE toid >> 32 BETWEEN {from} AND {to};
         WITH held AS (DELETE FROM coverage RETURNING *),
         ends AS (SELECT min(from_ledger) f, max(to_ledger) t, min(from_time) ft, max(to_time) tt FROM held)
         INSERT INTO coverage SELECT f, {from} - 1, ft, tt - interval '1250 s' FROM ends
         UNION ALL SELECT {to} + 1, t, tt - interval '750 s', tt FROM ends"
    );
    client.batch_execute(&forget).await.unwrap();
    client
}

async fn wait_until_all_is_held(daemon: &Daemon, client: &Client) {
    wait_for_trades(client, i64::from(LEDGERS)).await;
    wait_until_history_is_complete(daemon);
    assert_eq!(complete_range(client).await.0, i64::from(LEDGER - LEDGERS));
}

/// Returns true if a ledger of the gap counts as complete.
async fn is_filled(client: &Client) -> bool {
    let sql = format!(
        "SELECT count(*) FROM coverage WHERE from_ledger <= {} AND to_ledger >= {}",
        GAP.end(),
        GAP.start()
    );
    number(client, &sql).await > 0
}

#[test]
fn a_connection_to_a_server_that_is_behind_fills_no_gap_with_nothing() {
    let plan = FaultPlan::none();
    let sim = one_trade_a_ledger(plan.clone());
    block_on(async {
        let database = fresh_database().await;
        let client = hold_with_gap(&sim, &database).await;
        // The root stays that of the other server.
        for _ in 0..80 {
            plan.push(Endpoint::Trades, Fault::Behind { ledgers: 300 });
        }
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        reached("all those pages were read", async || {
            assert!(
                plan.pending(Endpoint::Trades) == 0 || !is_filled(&client).await,
                "nothing was read there"
            );
            plan.pending(Endpoint::Trades) == 0
        })
        .await;
        wait_until_all_is_held(&daemon, &client).await;
    });
}

#[test]
fn a_gap_that_is_read_with_a_clock_that_is_days_slow_stays_a_gap() {
    let Some(clock) = FalseClock::new() else { return };
    let sim = one_trade_a_ledger(FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let client = hold_with_gap(&sim, &database).await;
        clock.set("-172800");
        let environment = [&clock.environment()[..], &[SHORT_GRACE, SHORT_LEASE]].concat();
        let mut daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[]);
        reached("the check names the clock", async || {
            assert!(!is_filled(&client).await, "nothing of it was stored");
            let check = daemon.get("/readyz").json()["checks"]["history"].clone();
            check["ok"] == false && check["detail"].as_str().unwrap().contains("clock")
        })
        .await;
        daemon.kill();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until_all_is_held(&daemon, &client).await;
    });
}

#[test]
fn ledgers_that_horizon_has_not_loaded_yet_between_others_are_a_reported_gap_until_they_are_filled() {
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig {
        seed: 74,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 0.22,
        history_hours: 4,
        stream_poll: Duration::from_millis(50),
        faults: plan.clone(),
        ..SimConfig::default()
    });
    let head = sim.oracle().head();
    let third = (head.latest - head.elder) / 3;
    let hole = head.elder + third..=head.latest - third;
    plan.hide_between(hole.clone());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let is_in_a_gap = |ledger: &u32| {
            let gaps = daemon.status()["gaps"].as_array().unwrap().clone();
            let within = |gap: &Value| {
                gap["from"].as_u64().is_some_and(|from| from <= u64::from(*ledger))
                    && gap["to"].as_u64().is_some_and(|to| to >= u64::from(*ledger))
            };
            gaps.iter().any(within)
        };
        let check = || daemon.get("/readyz").json()["checks"]["history"].clone();
        let middle = hole.start().midpoint(*hole.end());
        let covers =
            format!("SELECT count(*) FROM coverage WHERE from_ledger <= {middle} AND to_ledger >= {middle}");
        reached("the check names the ledger", async || {
            assert_eq!(number(&client, &covers).await, 0, "ledgers that Horizon lacks count as complete");
            check()["ok"] == false && check()["detail"].as_str().unwrap().contains("lacks ledger")
        })
        .await;
        let below = format!(
            "SELECT count(*) FROM coverage WHERE from_ledger <= {} AND to_ledger >= {}",
            head.elder + 1,
            head.elder + third / 2
        );
        reached("what lies below the hole is read", async || number(&client, &below).await == 1).await;
        wait_until("the hole is a reported gap", || {
            [hole.start(), &middle, hole.end()].into_iter().all(is_in_a_gap)
        });
        plan.show();
        let emitted = i64::try_from(sim.oracle().trades(head.elder..=head.latest).len()).unwrap();
        wait_for_trades(&client, emitted).await;
        wait_until_history_is_complete(&daemon);
        compare_at_least(2_001, &client, sim.oracle()).await;
        wait_until("the check passes", || check()["ok"] == true);
    });
}

#[test]
fn a_network_that_stood_still_for_hours_has_no_hole() {
    stood_still(FaultPlan::none());
}

#[test]
fn a_proxy_that_passes_no_questions_for_ledgers_makes_no_pause_a_hole() {
    let faults = [
        Fault::Status(503),
        Fault::ProxyPage(404),
        Fault::HtmlWith200,
        Fault::Status(404), // some gateways answer as Horizon does
    ];
    for fault in faults {
        let plan = FaultPlan::none();
        (0..1_000).for_each(|_| plan.push(Endpoint::Ledgers, fault.clone()));
        stood_still(plan);
    }
}

fn stood_still(faults: FaultPlan) {
    let (sim, source) = scripted_since(LEDGER - LEDGERS, faults);
    let at = |step: u32| {
        let pause = if step < 100 { TimeDelta::hours(3) } else { TimeDelta::zero() };
        Utc::now() - pause - TimeDelta::seconds(5 * i64::from(LEDGERS - step))
    };
    let steps = (1..100).chain(500..=LEDGERS);
    let count = i64::try_from(steps.clone().count()).unwrap();
    source.push_trades(steps.map(|step| trade(LEDGER - LEDGERS + step, 0, at(step)))).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, count).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(complete_range(&client).await.0, i64::from(LEDGER - LEDGERS));
        assert!(!daemon.log().contains("history could not be read"), "{}", daemon.log());
    });
}

#[test]
fn pages_that_always_fail_end_no_history_below_them() {
    let plan = FaultPlan::none();
    let sim = one_trade_a_ledger(plan.clone());
    let broken = LEDGER - 302..=LEDGER - 300;
    plan.break_pages(broken.clone());
    block_on(async {
        let database = fresh_database().await;
        let budget = ["--horizon-requests-per-hour", "1000000"];
        let daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &budget);
        let client = recomputation::connect(&database).await;
        let below = format!(
            "SELECT count(*) FROM coverage WHERE from_ledger = {} AND to_ledger >= {}",
            LEDGER - LEDGERS,
            broken.start() - 40
        );
        reached("everything below is held", async || number(&client, &below).await == 1).await;
        let gaps = daemon.status()["gaps"].clone();
        let is_named = gaps.as_array().unwrap().iter().any(|gap| {
            gap["from"].as_u64().is_some_and(|from| from <= u64::from(*broken.start()))
                && gap["to"].as_u64().is_some_and(|to| to >= u64::from(*broken.end()))
        });
        assert!(is_named, "{gaps}");
        let check = || daemon.get("/readyz").json()["checks"]["history"].clone();
        wait_until("the check fails", || check()["ok"] == false);
    });
}
