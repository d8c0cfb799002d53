//! History, gaps and trades that a stream skips: pages fill all of it, once.

use serde_json::json;
use stellar_ticker::sim::{Endpoint, Fault, FixedSource};

use super::*;
use crate::support::{
    SHORT_LEASE,
    postgres::execute,
    reached,
    scripted::{LEDGER, scripted, trade},
};

/// A network with 30 hours of some 55,000 trades behind it.
fn long_network(seed: u64, faults: FaultPlan) -> SimServer {
    horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 0.5,
        history_hours: 30,
        unpriced_trades: true,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    })
}

#[test]
fn the_wanted_history_is_filled_and_nothing_older_and_a_kill_on_the_way_changes_nothing() {
    let sim = long_network(41, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let wanted = ["--backfill-hours", "26"];
        let mut daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &wanted);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 5_000).await;
        daemon.kill();
        let daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &wanted);
        wait_until_history_is_complete(&daemon);
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        let status = daemon.status();
        assert_eq!((&status["gaps"], &status["backfill"]["eta_s"]), (&serde_json::json!([]), &0.0.into()));
        let hours = "SELECT extract(epoch FROM max(to_time) - min(from_time))::bigint FROM coverage";
        let held = number(&client, hours).await;
        assert!((26 * 3_600..29 * 3_600).contains(&held), "{held} s are held");
        assert!(compare_published(&daemon, &client).await > 0);
        println!("{trades} trades of 26 hours, none lost, none doubled");
    });
}

#[test]
fn a_budget_fills_history_one_page_at_a_time_to_the_same_end() {
    let sim = long_network(42, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let budget = ["--horizon-requests-per-hour", "1000000", "--backfill-hours", "10"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &budget);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        compare_at_least(10_001, &client, sim.oracle()).await;
        let budget = daemon.status()["budget"].clone();
        assert_eq!(budget["requests_per_hour"], 1_000_000);
        assert!(budget["requests"]["history"].as_u64().unwrap() > 30, "{budget}");
    });
}

#[test]
fn what_a_stream_skips_reorders_or_spoils_is_found_by_pages() {
    let plan = FaultPlan::none();
    for every in [2, 3, 5, 1, 7, 4] {
        plan.push(Endpoint::Stream, Fault::Skip { every });
        plan.push(Endpoint::Stream, Fault::Reorder);
        plan.push(Endpoint::Stream, Fault::MalformedRecord { index: every });
        plan.push(Endpoint::Stream, Fault::HugeEvent { bytes: 400_000 });
    }
    let sim = horizon(SimConfig {
        seed: 43,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 0,
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        stream_duration: Duration::from_millis(500), // each session has one fault
        faults: plan.clone(),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until("all faults have struck", || plan.pending(Endpoint::Stream) == 0);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 300).await;
        compare_at_least(301, &client, sim.oracle()).await;
        compare_published(&daemon, &client).await;
        let healed = forgetting::metric(&daemon, "ticker_tail_trades_total{found=\"now\"}");
        assert!(healed.is_some_and(|count| count > 0.0), "the healing is counted: {healed:?}");
    });
}

#[test]
fn pages_that_are_short_shuffled_doubled_or_spoiled_lose_nothing() {
    let plan = FaultPlan::none();
    for fault in [
        Fault::Skip { every: 2 },
        Fault::Reorder,
        Fault::Repeat { records: 20 },
        Fault::MalformedRecord { index: 3 },
        Fault::Skip { every: 1 },
        Fault::TruncatedJson { after_bytes: 9_000 },
        Fault::HtmlWith200,
        Fault::Cut { after_bytes: 30_000 },
        Fault::Status(500),
    ] {
        for _ in 0..2 {
            plan.push(Endpoint::Trades, fault.clone());
        }
    }
    let sim = long_network(44, plan.clone());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "10"]);
        let client = recomputation::connect(&database).await;
        wait_until("all faults have struck", || plan.pending(Endpoint::Trades) == 0);
        wait_until_history_is_complete(&daemon);
        compare_with_emitted(&client, sim.oracle()).await;
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0, "read again, it was good");
    });
}

#[test]
fn after_a_long_outage_the_gap_is_read_as_history() {
    let sim = horizon(SimConfig {
        seed: 45,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 0,
        ledger_seconds: 0.02,
        stream_poll: Duration::from_millis(20),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "0"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 100).await;
        assert!(daemon.terminate().success());
        assert!(!daemon.log().contains("does not lead any more"), "{}", daemon.log());
        let newest = number(&client, "SELECT max(toid) >> 32 FROM trades").await;
        wait_until("more ledgers have closed than are replayed", || {
            i64::from(sim.oracle().head().latest) > newest + 200
        });
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "0"]);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 500).await;
        compare_at_least(301, &client, sim.oracle()).await;
        assert!(daemon.log().contains("the gap is filled as history"));
    });
}

#[test]
fn history_that_horizon_no_longer_has_is_a_reported_gap() {
    let (sim, source) = scripted();
    let emit = |source: &FixedSource, ledger| {
        source.push_trade(trade(ledger, 0, chrono::Utc::now())).unwrap();
    };
    block_on(async {
        let database = fresh_database().await;
        let ledger = LEDGER;
        for step in 1..4 {
            emit(&source, ledger + step);
        }
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 3).await;
        wait_until_history_is_complete(&daemon);
        assert!(daemon.terminate().success());
        for step in [10, 11, 500, 501] {
            emit(&source, ledger + step);
        }
        source.set_elder(ledger + 400);
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_trades(&client, 5).await;
        wait_until_history_is_complete(&daemon);
        // For a moment the aggregator may publish what it read before the backfiller wrote.
        wait_until("both gaps are reported", || daemon.status()["gaps"].as_array().unwrap().len() == 2);
        let gaps = daemon.status()["gaps"].clone();
        assert!(gaps[0]["from"].is_null(), "what lies before all that it ever had: {gaps}");
        let gap = (&gaps[1]["from"], &gaps[1]["to"]);
        assert_eq!(gap, (&(ledger + 4).into(), &(ledger + 399).into()), "{gaps}");
        assert_eq!(
            number(&client, "SELECT count(*) FROM trades").await,
            5,
            "the stream went on behind the gap"
        );
        wait_until("held ledgers are read again", || {
            daemon.status()["audit"]["reread"]["ledgers"].as_u64() > Some(150)
        });
        let log = daemon.log();
        assert!(!log.contains("request to Horizon failed"), "it asks for what Horizon lacks: {log}");
    });
}

#[test]
fn ledgers_of_more_trades_than_a_page_holds_are_held_whole_from_the_first_one_on() {
    let sim = horizon(SimConfig {
        seed: 46,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 120.0,
        history_hours: 0,
        ledger_seconds: 5.0, // a page holds 200 trades, each of these 240 at least
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    let elder = sim.oracle().head().elder;
    wait_until("some ledgers have closed", || sim.oracle().head().latest > elder + 4);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let begun = Instant::now();
        while number(&client, "SELECT count(*) FROM coverage").await == 0 {
            assert!(begun.elapsed() < DEADLINE, "nothing is ever held whole");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wait_until_history_is_complete(&daemon);
        compare_at_least(2_001, &client, sim.oracle()).await;
    });
}

/// Two servers behind one address, of which one is some ledgers behind.
#[test]
fn pages_of_a_server_that_is_behind_make_no_ledger_count_as_complete() {
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig {
        seed: 47,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 60.0,
        history_hours: 1,
        ledger_seconds: 2.0, // a page holds less than two ledgers
        stream_poll: Duration::from_millis(50),
        faults: plan.clone(),
        ..SimConfig::default()
    });
    for number in 0..20_000 {
        let current = Fault::Drip { bytes: 1 << 20 }; // no fault
        let behind = Fault::Behind { ledgers: if number % 4 == 1 { 4 } else { 300 } };
        plan.push(Endpoint::Trades, if number % 2 == 0 { current } else { behind });
    }
    block_on(async {
        for _ in 0..2 {
            let database = fresh_database().await;
            let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "1"]);
            let client = recomputation::connect(&database).await;
            let held = "SELECT coalesce(max(to_ledger - from_ledger), 0)::bigint FROM coverage";
            reached("ledgers count as complete", async || number(&client, held).await > 20).await;
            let compared = compare_with_emitted(&client, sim.oracle()).await;
            assert!(compared > 1_000, "{compared}");
            drop(daemon);
        }
        assert!(plan.pending(Endpoint::Trades) > 0, "the servers took turns to the end");
    });
}

#[test]
fn a_former_leader_shows_no_backfill() {
    let sim = network(44, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until_history_is_complete(&daemon);
        let steal = "UPDATE ingest_lease SET holder = 'another', epoch = epoch + 1, expires_at = now() + interval '30 s'";
        execute(&database, steal).await;
        wait_until("it shows none", || {
            daemon.status()["backfill"] == json!({"done_ratio": null, "eta_s": null})
        });
        assert!(!daemon.leads());
        execute(&database, "UPDATE ingest_lease SET expires_at = '-infinity'").await;
        wait_until_history_is_complete(&daemon);
        assert!(daemon.leads());
    });
}
