//! Memory: under a long backlog, and over time.

use stellar_ticker::sim::SimConfig;

use super::*;
use crate::support::{network::horizon, postgres::fresh_database, progress::number, recomputation::connect};

/// Promised growth, in MiB.
const GROWTH_PROMISED: u64 = 150;
const BACKLOG: i64 = 1_000_000;
/// In MiB over a quarter of an hour: the windows hold each trade for a week.
const SOAK_GROWTH_MAX: u64 = 40;

#[test]
#[ignore = "minutes: ./ticker soak"]
fn a_backlog_of_a_million_trades_takes_150_mib_at_most() {
    let sim = horizon(SimConfig {
        seed: 171,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 160.0,
        history_hours: 2,
        stream_poll: Duration::from_millis(200),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "2"]);
        let (begun, start) = (Instant::now(), daemon.memory_mib());
        let client = connect(&database).await;
        let mut most = start;
        while daemon.status()["backfill"]["done_ratio"] != 1.0 {
            most = most.max(daemon.memory_mib());
            assert!(begun.elapsed() < Duration::from_secs(1_800), "the backlog is never read");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let took = begun.elapsed();
        let trades = number(&client, "SELECT count(*) FROM trades").await;
        assert!(trades >= BACKLOG, "{trades}");
        figure!(
            "with a backlog of a million trades, memory grows by at most 150 MB",
            "{start} MiB at the start, at most {most} MiB ({} more), {} at the end; {trades} trades in {} s",
            most - start,
            daemon.memory_mib(),
            took.as_secs()
        );
        assert!(most - start <= GROWTH_PROMISED, "{start} to {most} MiB");
    });
}

#[test]
#[ignore = "20 minutes: ./ticker soak"]
fn after_five_minutes_memory_grows_by_40_mib_at_most() {
    let time = Duration::from_secs(by_hand("TICKER_TEST_SOAK_SECONDS", 1_200));
    let rate = u32::try_from(by_hand("TICKER_TEST_SOAK_RATE", 200)).unwrap();
    let sim = horizon(SimConfig {
        seed: 172,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: f64::from(rate),
        history_hours: 0,
        ledger_seconds: 5.0,
        stream_poll: Duration::from_millis(200),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let begun = Instant::now();
        let mut minutes = Vec::new();
        while begun.elapsed() < time {
            tokio::time::sleep(Duration::from_secs(60).min(time)).await;
            minutes.push(daemon.memory_mib());
            println!("soak: minute {}: {} MiB", minutes.len(), minutes.last().unwrap());
        }
        // From the fifth minute on, or the first of a shorter run.
        let settled = minutes.get(4).or(minutes.first()).copied().unwrap();
        let last = minutes.last().copied().unwrap();
        let client = connect(&database).await;
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "memory does not grow after five minutes",
            "{} s at {rate} trades a second: {settled} MiB after five minutes, {last} at the end; {trades} trades",
            time.as_secs()
        );
        assert!(last <= settled + SOAK_GROWTH_MAX, "{minutes:?}");
    });
}
