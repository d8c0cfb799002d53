//! A Horizon that cuts, stalls, lies and refuses: nothing is lost, nothing doubled.

use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::support::scripted::{LEDGER, scripted, trade};

/// Runs on a faulty Horizon until all faults have struck and 600 trades are stored, and compares them with what was
/// emitted.
fn survives(seed: u64, faults: FaultPlan) {
    let sim = network(seed, faults.clone());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        wait_until("all faults have struck", || {
            [Endpoint::Stream, Endpoint::Trades, Endpoint::Root, Endpoint::Assets]
                .iter()
                .all(|endpoint| faults.pending(*endpoint) == 0)
        });
        wait_for_trades(&client, 600).await;
        compare_published(&daemon, &client).await;
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        println!("{trades} trades, none lost, none doubled");
    });
}

#[test]
fn streams_that_are_cut_stalled_refused_or_closed_early_lose_nothing() {
    let plan = FaultPlan::none();
    for fault in [
        Fault::Cut { after_bytes: 40 },
        Fault::Cut { after_bytes: 5_000 },
        Fault::Status(503),
        Fault::HtmlWith200,
        Fault::Stall { after_bytes: 3_000 },
        Fault::Status(429),
        Fault::RateLimitedMidStream { after_records: 3 },
        Fault::ErrorMidStream { after_records: 4 },
        Fault::StillIngesting,
        Fault::Behind { ledgers: 5 },
        Fault::ByeByeEarly { after_records: 0 },
        Fault::ByeByeEarly { after_records: 7 },
        Fault::TruncatedJson { after_bytes: 2_000 },
        Fault::Drip { bytes: 3 },
        Fault::Repeat { records: 5 },
        Fault::Cut { after_bytes: 12_345 },
        Fault::Status(500),
    ] {
        plan.push(Endpoint::Stream, fault);
    }
    for fault in [Fault::Gzip, Fault::StillIngesting, Fault::Gzip, Fault::TruncatedGzip, Fault::Gzip] {
        plan.push(Endpoint::Trades, fault);
    }
    plan.push(Endpoint::Root, Fault::HtmlWith200);
    plan.push(Endpoint::Assets, Fault::Gzip);
    plan.push(Endpoint::Assets, Fault::Status(504));
    plan.push(Endpoint::Assets, Fault::TruncatedJson { after_bytes: 100 });
    survives(21, plan);
}

#[test]
fn pages_reveal_a_dead_stream_and_it_is_opened_again() {
    let plan = FaultPlan::none();
    plan.push(Endpoint::Stream, Fault::Stall { after_bytes: 3_000 });
    let sim = network(25, plan);
    block_on(async {
        let database = fresh_database().await;
        // Its silence alone would reveal it after a day.
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "24h"]);
        let sessions = r#"ticker_stream_sessions_total{end="silent"} 1"#;
        wait_until("the silent stream is given up", || {
            String::from_utf8(daemon.admin("/metrics").body).unwrap().contains(sessions)
        });
        wait_until("the next one is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        let client = recomputation::connect(&database).await;
        compare_with_emitted(&client, sim.oracle()).await;
    });
}

#[test]
fn streams_that_end_by_their_time_or_cost_a_refusal_are_opened_again() {
    let sim = horizon(SimConfig {
        seed: 23,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 0,
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        stream_duration: Duration::from_millis(300),
        rate_limit: Some(200),
        rate_window: Duration::from_secs(10),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 800).await;
        compare_with_emitted(&client, sim.oracle()).await;
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let count = |series: &str| -> f64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_default();
            line.trim().parse().unwrap_or_default()
        };
        assert!(count(r#"ticker_stream_sessions_total{end="end"}"#) > 0.0, "{metrics}");
    });
}

#[test]
fn another_network_behind_the_same_address_is_reported_and_none_of_its_trades_is_stored() {
    let sim = network(24, FaultPlan::none());
    let (address, right) = (sim.addr(), sim.oracle().clone());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 100).await;
        wait_for_pairs(&daemon);
        sim.stop();
        let stream = |daemon: &Daemon| daemon.get("/readyz").json()["checks"]["stream"].clone();
        wait_until("the stream is down", || stream(&daemon)["ok"] == false);
        let config = SimConfig {
            seed: 99,
            network_passphrase: "Another Network".into(),
            trades_per_second: 100.0,
            ledger_seconds: 0.2,
            stream_poll: Duration::from_millis(50),
            ..SimConfig::default()
        };
        let other = horizon_at(address, config);
        wait_until("it reports another network", || {
            stream(&daemon)["detail"].as_str().unwrap().contains("another network")
        });
        // Time for a writer that would store something after all.
        let seen = other.oracle().head().latest;
        wait_until("more ledgers have closed", || other.oracle().head().latest > seen + 10);
        compare_with(&client, &right).await;
        assert_eq!(daemon.get("/markets.json").status, 200);
    });
}

#[test]
fn another_network_on_existing_connections_is_reported_and_its_trades_are_not_stored() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let stream = |daemon: &Daemon| daemon.get("/readyz").json()["checks"]["stream"].clone();
        wait_until("the stream is open", || stream(&daemon)["ok"] == true);
        let emit = |step: u32| {
            source.push_trade(trade(LEDGER + step, 0, chrono::Utc::now())).unwrap();
        };
        (1..5).for_each(emit);
        wait_for_trades(&client, 4).await;
        sim.switch_network("Another Network");
        wait_until("the check names another network", || {
            stream(&daemon)["detail"].as_str().unwrap().contains("another network")
        });
        (5..13).for_each(emit);
        let asked = || {
            let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
            let prefix = r#"ticker_horizon_requests_total{kind="root",outcome="ok"} "#;
            metrics.lines().find_map(|line| line.strip_prefix(prefix)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let before = asked();
        wait_until("it was asked again and again", || asked() >= before + 4);
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, 4);
        sim.switch_network(PASSPHRASE);
        wait_for_trades(&client, 12).await;
    });
}

/// Every stored trade is one that was emitted.
async fn compare_with(client: &Client, oracle: &stellar_ticker::sim::Simulation) {
    let rows = client
        .query("SELECT toid, trade_order, base_amount, counter_amount FROM trades ORDER BY 1, 2", &[])
        .await
        .unwrap();
    let ledger = |row: &tokio_postgres::Row| u32::try_from(row.get::<_, i64>(0) >> 32).unwrap();
    let range = ledger(rows.first().unwrap())..=ledger(rows.last().unwrap());
    let amounts = |one: i64, other: i64| (one.min(other), one.max(other));
    let emitted: std::collections::HashSet<_> = oracle
        .trades(range)
        .iter()
        .map(|trade| (trade.id.toid, trade.id.order, amounts(trade.base.amount, trade.counter.amount)))
        .collect();
    for row in &rows {
        let stored = (row.get::<_, i64>(0), i64::from(row.get::<_, i32>(1)), amounts(row.get(2), row.get(3)));
        assert!(emitted.contains(&stored), "{stored:?} is of another network");
    }
}

/// Duration of all faults at random. A long run by hand sets `TICKER_TEST_FAULT_SECONDS=300`.
fn fault_time() -> Duration {
    let seconds = std::env::var("TICKER_TEST_FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

#[test]
fn all_faults_in_a_random_order_lose_and_double_nothing() {
    let seed = std::env::var("TICKER_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(22);
    let plan = FaultPlan::random(seed, 0.1);
    let sim = network(seed, plan.clone());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        let begun = Instant::now();
        wait_for_trades(&client, 600).await;
        while begun.elapsed() < fault_time() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(daemon.get("/livez").status, 200);
        }
        plan.end();
        // Every trade that the network made until now is stored once, whichever faults struck.
        let emitted = i64::from(sim.oracle().head().latest);
        let begun = Instant::now();
        while complete_range(&client).await.1 < emitted {
            assert!(begun.elapsed() < DEADLINE, "it never caught up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        assert!(compare_published(&daemon, &client).await > 0);
        println!("seed {seed}, {:?}: {trades} trades, none lost, none doubled", fault_time());
    });
}
