//! Lakes with faults: what fails is never stored, is reported, and comes from Horizon instead.

use std::collections::HashSet;

use stellar_ticker::sim::{
    Endpoint, Fault, ManualTime, SimClock,
    lake::{LakeFault, LakeLayout},
};

use super::*;
use crate::{
    matrix::LAKE_FAULTS,
    support::{daemon::run, figure, reached, wait_until},
};

#[test]
fn ledgers_that_fail_are_quarantined_and_come_from_horizon() {
    let sim = with_lake(75, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    // A rewritten object is valid by itself. The tests at the end of this file rewrite objects.
    let faults = LAKE_FAULTS.into_iter().filter(|fault| !matches!(fault, LakeFault::Rewritten));
    // All but the hole, which leaves nothing to refuse.
    let expected = i64::try_from(faults.clone().count()).unwrap() - 1;
    for (fault, place) in faults.zip(1..) {
        sim.lake().spoil(newest - 100 * place, fault);
    }
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_until_history_is_complete(&daemon);
        compare_at_least(3_001, &client, sim.oracle()).await;
        let refused = "SELECT count(*) FROM quarantine WHERE source = 'lake' AND reason LIKE 'ledgers %'";
        assert_eq!(number(&client, refused).await, expected);
        let status = daemon.status()["lake"].clone();
        assert_eq!((&status["refused"], &status["chain_breaks"]), (&expected.into(), &1.into()), "{status}");
    });
}

#[test]
fn a_lake_of_many_damaged_objects_writes_few_lines_in_the_log() {
    let sim = with_lake(83, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    for place in 0..40 {
        sim.lake().spoil(newest - 20 - 2 * place, LakeFault::Damaged);
    }
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        wait_until("all are refused", || daemon.status()["lake"]["refused"].as_u64() >= Some(40));
        let log = daemon.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("ledgers of the lake refused")).collect();
        // The limit is 10 and regains one every six seconds.
        assert!((10..=20).contains(&lines.len()), "{}", lines.len());
        assert!(lines[0].contains("suppressed"), "{}", lines[0]);
    });
}

#[test]
fn without_horizon_a_ledger_that_fails_stays_a_gap() {
    let sim = with_lake(76, 2.0, 1, FaultPlan::none());
    let spoilt = sim.oracle().head().latest - 50;
    sim.lake().spoil(spoilt, LakeFault::Damaged);
    block_on(async {
        let daemon = reading_lake(&sim, NOWHERE, "1").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 3_000).await;
        let in_it = format!("SELECT count(*) FROM trades WHERE toid >> 32 = {spoilt}");
        assert_eq!(number(&client, &in_it).await, 0);
        let gap = format!("\"from\":{spoilt}");
        wait_until("the ledger is shown as a gap", || daemon.status()["gaps"].to_string().contains(&gap));
    });
}

#[test]
fn a_lake_of_other_hashes_than_horizons_is_not_believed() {
    // The chain of a lake whose first ledger is another one differs in every hash, and is sound in itself.
    let (sim, other) = (with_lake(77, 2.0, 1, FaultPlan::none()), with_lake(78, 2.0, 1, FaultPlan::none()));
    block_on(async {
        let database = fresh_database().await;
        let lake = lake_url(&other);
        let more = ["--ledger-source", "lake", "--lake-url", &lake, "--backfill-hours", "1"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        let refused = "SELECT count(*) FROM quarantine WHERE reason LIKE '%not the one that Horizon has%'";
        let begun = std::time::Instant::now();
        while number(&client, refused).await == 0 {
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_until("the check fails", || daemon.get("/readyz").json()["checks"]["lake"]["ok"] == false);
        wait_until_history_is_complete(&daemon);
        assert!(compare_with_emitted(&client, sim.oracle()).await > 3_000, "all of it is Horizon's");
    });
}

#[test]
fn a_server_that_fails_now_and_then_costs_time_only() {
    let plan = FaultPlan::none();
    for fault in [
        Fault::Status(503),
        Fault::Status(429),
        Fault::Cut { after_bytes: 900 },
        Fault::TruncatedJson { after_bytes: 700 },
        Fault::HtmlWith200,
        Fault::Drip { bytes: 400 },
        Fault::Status(500),
    ] {
        plan.push(Endpoint::Lake, fault);
    }
    let sim = with_lake(79, 2.0, 1, plan.clone());
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        for fault in [Fault::Status(503), Fault::TruncatedJson { after_bytes: 900 }, Fault::HtmlWith200] {
            plan.push(Endpoint::Lake, fault);
        }
        wait_until_history_is_complete(&daemon);
        assert_eq!(plan.pending(Endpoint::Lake), 0);
        compare_at_least(3_001, &client, sim.oracle()).await;
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0, "read again, they were good");
    });
}

#[test]
fn batches_of_many_ledgers_and_a_hole_at_the_tip_are_read() {
    let sim = horizon(SimConfig {
        seed: 80,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 3.0,
        history_hours: 1,
        ledger_seconds: 0.2,
        lake_layout: LakeLayout { ledgers_per_batch: 8, batches_per_partition: 4, ..LakeLayout::default() },
        ..SimConfig::default()
    });
    let next = sim.oracle().head().latest + 40;
    sim.lake().spoil(next, LakeFault::Hole);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        let held = format!("SELECT count(*) FROM coverage WHERE to_ledger > {next}");
        let begun = std::time::Instant::now();
        while number(&client, &held).await == 0 {
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_until_history_is_complete(&daemon);
        compare_at_least(3_001, &client, sim.oracle()).await;
    });
}

/// Events after ledgers were stored that nobody could compare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    IsKilled,
    LeavesTheLake,
    /// By `ingest trades`, which ends once history is complete.
    LeavesTheLakeOnce,
    /// It reads a lake that does not grow, so that no later ledger asks for a hash.
    LakeStands,
    /// Before Horizon has any hash.
    TakesARightLake,
}

/// A lake that does not grow.
fn standing_lake(seed: u64) -> SimServer {
    let clock = SimClock::Manual(ManualTime::new(chrono::Utc::now()));
    horizon(SimConfig { clock, ..lake_config(seed, 2.0, 1, FaultPlan::none()) })
}

const LEDGERS_OF_FIVE_MINUTES: i64 = 150;

/// A lake of another chain, whose first ledgers nobody could compare: Horizon did not have them yet. Once it has, all
/// of them are read again, from Horizon, also after a kill in between. Its trades are there then.
async fn true_trades_come(seed: u64, then: Then) {
    let plan = FaultPlan::none();
    let sim = with_lake(seed, 2.0, 1, plan.clone());
    let other = match then {
        Then::LakeStands => standing_lake(seed + 1),
        _ => with_lake(seed + 1, 2.0, 1, FaultPlan::none()),
    };
    (0..20_000).for_each(|_| plan.push(Endpoint::Ledgers, Fault::Status(404)));
    let database = fresh_database().await;
    let lake = lake_url(&other);
    let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
    let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "0"];
    let serve = |source: &[&str]| {
        let environment = [SHORT_LEASE, SHORT_HASH_WAIT];
        Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[source, &more].concat())
    };
    let mut daemon = serve(&source);
    let client = recomputation::connect(&database).await;
    wait_for_trades(&client, 3_000).await;
    if then == Then::LakeStands {
        wait_until_history_is_complete(&daemon); // no later ledger would settle what is stored meanwhile
    }
    let (first, believed) = complete_range(&client).await;
    let lowest = number(&client, "SELECT min(from_ledger) FROM unconfirmed_ranges").await;
    assert!(lowest <= first, "{lowest} {first}");
    // The oldest ledgers leave the wanted hour while the test runs. What is read again may lack them.
    let first = first + LEDGERS_OF_FIVE_MINUTES;
    if then != Then::GoesOn && then != Then::LakeStands {
        daemon.kill();
    }
    if then == Then::TakesARightLake {
        let right = lake_url(&sim);
        daemon = serve(&["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &right]);
        let newest = "SELECT max(to_ledger) FROM coverage";
        reached("it goes on", async || number(&client, newest).await >= believed + 2).await;
    }
    plan.clear(Endpoint::Ledgers);
    match then {
        Then::GoesOn | Then::TakesARightLake | Then::LakeStands => {}
        Then::IsKilled => daemon = serve(&source),
        Then::LeavesTheLake => daemon = serve(&[]),
        Then::LeavesTheLakeOnce => {
            let url = sim.url();
            let place = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
            let (code, _, log) = run(&[&["ingest", "trades"], &more[..], &place].concat());
            assert_eq!(code, 0, "{log}");
            assert!(log.contains("reading them again"), "{log}");
            let held = "SELECT coalesce(sum(to_ledger - from_ledger), 0)::bigint FROM coverage";
            assert!(number(&client, held).await > 1_000, "the hour is held: {log}");
            daemon = serve(&[]);
        }
    }
    let whole = "SELECT count(*) FROM generate_series($1::bigint, $2) AS ledger
                 WHERE NOT EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger)";
    reached("all ledgers are held, with all true trades", async || {
        let missing: i64 = client.query_one(whole, &[&first, &believed]).await.unwrap().get(0);
        missing == 0 && lacks_no_trade(&client, &sim, first, believed).await
    })
    .await;
    let is_said = then == Then::LeavesTheLakeOnce || daemon.log().contains("reading them again");
    assert!(is_said, "{}", daemon.log());
    // Ledgers that were read meanwhile are compared a little later; those of new trades, by the next hash.
    if then != Then::TakesARightLake {
        reached("nothing is unconfirmed any more", async || number(&client, UNCONFIRMED).await == 0).await;
    }
}

#[test]
fn ledgers_that_were_stored_before_horizon_had_their_hashes_are_read_again_once_it_contradicts_them() {
    block_on(true_trades_come(180, Then::GoesOn));
}

#[test]
fn after_a_kill_unconfirmed_ledgers_are_read_again_once_horizon_contradicts_them() {
    block_on(true_trades_come(184, Then::IsKilled));
}

#[test]
fn a_daemon_without_the_lake_reads_the_unconfirmed_ledgers_again_that_it_left() {
    block_on(true_trades_come(192, Then::LeavesTheLake));
}

#[test]
fn a_command_without_the_lake_reads_them_again_too_and_ends_once_history_is_held() {
    block_on(true_trades_come(200, Then::LeavesTheLakeOnce));
}

#[test]
fn horizon_is_asked_again_for_a_hash_that_it_did_not_have() {
    block_on(true_trades_come(204, Then::LakeStands));
}

#[test]
fn a_hash_confirms_only_the_chain_that_leads_to_it() {
    block_on(true_trades_come(196, Then::TakesARightLake));
}

/// True if every trade of these ledgers is stored as the simulation made it.
pub(super) async fn lacks_no_trade(client: &Client, sim: &SimServer, from: i64, to: i64) -> bool {
    let sql = "SELECT toid, trade_order FROM trades WHERE toid >> 32 BETWEEN $1 AND $2";
    let rows = client.query(sql, &[&from, &to]).await.unwrap();
    let held: HashSet<(i64, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let emitted = sim.oracle().trades(u32::try_from(from).unwrap()..=u32::try_from(to).unwrap());
    emitted.iter().all(|trade| held.contains(&(trade.id.toid, i32::try_from(trade.id.order).unwrap())))
}

/// A right lake: the trades that were stored without a hash of Horizon stay, and are confirmed by the next read.
#[test]
fn ledgers_that_were_stored_before_horizon_had_their_hashes_stay_if_it_agrees() {
    let plan = FaultPlan::none();
    let sim = with_lake(188, 2.0, 1, plan.clone());
    (0..20_000).for_each(|_| plan.push(Endpoint::Ledgers, Fault::Status(404)));
    block_on(async {
        let daemon = reading_lake_in(&[SHORT_HASH_WAIT], &sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_until_history_is_complete(&daemon);
        assert!(number(&client, UNCONFIRMED).await > 0);
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        plan.clear(Endpoint::Ledgers);
        let begun = std::time::Instant::now();
        while number(&client, UNCONFIRMED).await > 0 {
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.log());
            assert!(number(&client, "SELECT count(*) FROM trades").await >= stored, "no trade goes");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Ledgers that do not lead to the first agreed hash are read again.
        while compare_with_emitted(&client, sim.oracle()).await < usize::try_from(stored).unwrap() {
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

/// Rewrites all ledgers that a daemon holds, and waits for what it reports of that.
async fn rewritten(seed: u64, verify: &str, is_reported: impl AsyncFn(&Daemon, &Client) -> bool) {
    let sim = with_lake(seed, 5.0, 0, FaultPlan::none());
    let lake = lake_url(&sim);
    let source =
        ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake, "--backfill-hours", "0"];
    let more = ["--lake-verify", verify, "--horizon-requests-per-hour", "0"];
    let daemon =
        Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[&source[..], &more].concat());
    let client = recomputation::connect(&daemon.database).await;
    wait_for_trades(&client, 60).await;
    let (from, to) = complete_range(&client).await;
    for ledger in from..=to {
        sim.lake().spoil(u32::try_from(ledger).unwrap(), LakeFault::Rewritten);
    }
    let begun = std::time::Instant::now();
    while !is_reported(&daemon, &client).await {
        assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Stored trades stay, and the daemon stores the next ledgers.
    let (_, newest) = complete_range(&client).await;
    assert!(newest >= to && compare_with_emitted(&client, sim.oracle()).await >= 60);
}

#[test]
fn a_held_ledger_that_is_rewritten_in_the_lake_is_not_believed_because_horizon_has_another_hash() {
    block_on(rewritten(86, "anchor", async |daemon, client| {
        let differs = daemon.status()["lake"]["anchor"]["agrees"] == false;
        assert_eq!(number(client, "SELECT count(*) FROM quarantine").await, 0);
        differs && daemon.log().contains("hash differs from Horizon's")
    }));
}

#[test]
fn without_hashes_of_horizon_the_trades_that_a_rewritten_ledger_lacks_are_quarantined_and_kept() {
    let surplus = "SELECT count(*) FROM quarantine WHERE source = 'audit' AND reason LIKE 'surplus%'";
    block_on(rewritten(87, "chain", async |daemon, client| {
        let found = daemon.status()["audit"]["reread"]["surplus"].as_i64();
        number(client, surplus).await > 0 && found > Some(0)
    }));
}

#[test]
fn a_single_object_that_the_lake_never_gives_is_read_from_horizon_in_the_end() {
    let sim = with_lake(182, 2.0, 1, FaultPlan::none());
    let refused = sim.oracle().head().latest - 300;
    sim.lake().spoil(refused, LakeFault::Refused);
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT_FOR_HISTORY, &sim, &sim.url(), "1").await;
        let client = recomputation::connect(&daemon.database).await;
        let begun = std::time::Instant::now();
        while daemon.status()["backfill"]["done_ratio"] != 1.0 {
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.status());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let given_up = begun.elapsed();
        assert!(given_up.as_secs() >= 4, "Horizon is not asked for it before: {given_up:?}");
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        wait_until("the lake is well again", || daemon.get("/readyz").json()["checks"]["lake"]["ok"] == true);
        figure!(
            "an object that the lake refuses for ever: it comes from Horizon's pages",
            "an hour of history whole after {} s; {trades} trades",
            given_up.as_secs()
        );
    });
}

#[test]
fn history_that_a_lake_does_not_give_for_long_is_read_from_horizon() {
    let plan = FaultPlan::none();
    let sim = with_lake(175, 2.0, 1, plan.clone());
    let lake = lake_url(&sim);
    block_on(async {
        let database = fresh_database().await;
        let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
        let more = ["--backfill-hours", "1", "--horizon-requests-per-hour", "0"];
        let more = [&source[..], &more].concat();
        let fail = || (0..1_000).for_each(|_| plan.push(Endpoint::Lake, Fault::Status(503)));
        fail();
        let daemon = Daemon::serve_in(&IMPATIENT_FOR_HISTORY, &sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        let begun = std::time::Instant::now();
        let mut recent = None;
        loop {
            if plan.pending(Endpoint::Lake) < 500 {
                fail();
            }
            if number(&client, "SELECT count(*) FROM trades").await > 20 {
                recent.get_or_insert(begun.elapsed());
            }
            if daemon.status()["backfill"]["done_ratio"] == 1.0 {
                break;
            }
            assert!(begun.elapsed() < crate::support::DEADLINE, "{}", daemon.status());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let given_up = begun.elapsed();
        plan.clear(Endpoint::Lake);
        assert!(given_up.as_secs() >= 4, "Horizon is not asked for history before: {given_up:?}");
        let recent = recent.expect("Horizon's pages give recent trades before that");
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        figure!(
            "a lake that is out for long: recent trades come from Horizon's pages, then history too",
            "recent ones after {} s, an hour of history whole after {} s; {trades} trades",
            recent.as_secs(),
            given_up.as_secs()
        );
    });
}

#[test]
fn a_lake_that_stops_for_good_is_reported_and_new_trades_come_from_horizon() {
    let sim = with_lake(205, 3.0, 0, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake_in(&IMPATIENT, &sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 20).await;
        sim.lake().stop_at(Some(sim.oracle().head().latest));
        wait_until("the lake is reported", || daemon.log().contains("the lake gives no new ledgers"));
        let stream = daemon.get("/readyz").json()["checks"]["stream"].clone();
        assert!(
            stream["ok"] == false && stream["detail"].as_str().unwrap().contains("given no ledger"),
            "{stream}"
        );
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 30).await;
        sim.lake().stop_at(None);
        wait_until("it goes on", || daemon.log().contains("the lake gives new ledgers again"));
        wait_until_history_is_complete(&daemon);
        compare_at_least(51, &client, sim.oracle()).await;
    });
}

/// Neither Horizon nor the lake has what is wanted. The lake is asked for few of these ledgers, and none of them twice.
#[test]
fn a_lake_that_begins_later_than_the_wanted_history_is_asked_for_little_below() {
    let sim = with_lake(206, 2.0, 0, FaultPlan::none());
    let elder = sim.oracle().head().elder;
    wait_until("some ledgers have closed", || sim.oracle().head().latest > elder + 4);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "3").await;
        wait_until_history_is_complete(&daemon);
        let gaps = || daemon.status()["gaps"].clone();
        wait_until("what nobody has is a gap", || gaps()[0]["to"] == elder - 1);
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let asked = metrics.lines().filter(|line| line.starts_with("ticker_lake_objects_total{"));
        let asked: f64 = asked.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
        assert!(asked < 600.0, "{asked} objects: {metrics}");
        assert!(!daemon.log().contains("history could not be read"), "{}", daemon.log());
    });
}

/// The hashes of old ledgers can never be compared. They are read once all the same.
#[test]
fn ledgers_that_horizon_no_longer_has_are_read_from_the_lake_once() {
    let sim = with_lake(208, 2.0, 1, FaultPlan::none());
    let latest = sim.oracle().head().latest;
    sim.oracle().forget_below(latest - 900);
    sim.lake().spoil(latest - 1_200, LakeFault::Hole);
    block_on(async {
        let lake = lake_url(&sim);
        let more =
            ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake, "--backfill-hours", "1"];
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        reached("no ledger waits for a hash", async || number(&client, UNCONFIRMED).await == 0).await;
        let held = "SELECT sum(to_ledger - from_ledger + 1)::bigint FROM coverage";
        let before = number(&client, held).await;
        assert!(before > 1_700, "{before}");
        assert!(daemon.terminate().success());
        assert!(!daemon.log().contains("does not lead any more"), "{}", daemon.log());
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        reached("new ledgers are stored", async || number(&client, held).await > before + 5).await;
        assert!(!daemon.log().contains("reading them again"), "{}", daemon.log());
        assert_eq!(number(&client, UNCONFIRMED).await, 0);
    });
}
