//! A lake that lies, lags or is out, and a process that is killed while it reads one.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stellar_ticker::sim::{Endpoint, Fault, SimConfig, lake::LakeFault};

use super::*;
use crate::support::{
    network::horizon,
    oracle::{compare_published, compare_with_emitted, complete_range},
    postgres::fresh_database,
    progress::wait_until_history_is_complete,
    recomputation::connect,
};

/// Faults of an object.
pub(crate) const LAKE_FAULTS: [LakeFault; 9] = [
    LakeFault::Hole,
    LakeFault::Damaged,
    LakeFault::ChainBreak,
    LakeFault::Truncated,
    LakeFault::WrongCompression,
    LakeFault::Bomb,
    LakeFault::OtherNetwork,
    LakeFault::OtherLedger,
    LakeFault::Rewritten,
];

/// A network whose trades are read from its lake, with a ledger of some 20 trades each second.
fn network_with_lake(seed: u64, history_hours: u32, faults: FaultPlan) -> SimServer {
    horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 20.0,
        history_hours,
        ledger_seconds: 1.0,
        faults,
        ..SimConfig::default()
    })
}

/// Arguments for reading all trades of two hours from the lake.
fn from_lake(url: &str) -> [&str; 8] {
    ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", url, "--backfill-hours", "2"]
}

/// A daemon that reads the tip of a lake, and has stored some trades of it.
async fn reading_the_tip(seed: u64, faults: FaultPlan) -> (SimServer, Daemon, Client) {
    let sim = network_with_lake(seed, 0, faults);
    let lake = format!("{}/lake", sim.url());
    let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &from_lake(&lake));
    let client = connect(&daemon.database).await;
    wait_for_trades(&client, 100).await;
    (sim, daemon, client)
}

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn kills_while_history_is_read_from_a_lake_lose_nothing_and_double_nothing() {
    let (kills, seed) = (by_hand("TICKER_TEST_KILLS", 20), by_hand("TICKER_TEST_SEED", 171));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sim = network_with_lake(seed, 3, FaultPlan::none());
    let lake = format!("{}/lake", sim.url());
    block_on(async {
        let (mut done, mut histories, mut compared) = (0, 0, 0);
        while done < kills {
            let database = fresh_database().await;
            // A short lease: its end is not what this test waits for.
            let environment = [("TICKER_CHAOS_LEASE_MS", "600")];
            let serve =
                || Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &from_lake(&lake));
            let mut daemon = serve();
            let client = connect(&database).await;
            while done < kills {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..2_500))).await;
                if daemon.status()["backfill"]["done_ratio"] == 1.0 {
                    break;
                }
                daemon.kill();
                done += 1;
                daemon = serve();
            }
            wait_until_history_is_complete(&daemon);
            compared += compare_with_emitted(&client, sim.oracle()).await;
            compare_published(&daemon, &client).await;
            assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
            histories += 1;
        }
        figure!(
            "kill -9 at random instants while history is read from a lake loses nothing and doubles nothing",
            "{kills} kills, seed {seed}; histories of two hours: {histories}; {compared} trades compared"
        );
    });
}

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn each_fault_of_an_object_at_the_tip_of_a_lake_costs_time_only() {
    block_on(async {
        let (sim, daemon, client) = reading_the_tip(172, FaultPlan::none()).await;
        let mut figures = Vec::new();
        for fault in LAKE_FAULTS {
            let spoilt = sim.oracle().head().latest + 2;
            sim.lake().spoil(spoilt, fault);
            wait_until("the ledger closes", || sim.oracle().head().latest > spoilt);
            let begun = Instant::now();
            while complete_range(&client).await.1 <= i64::from(spoilt) {
                assert!(begun.elapsed() < DEADLINE, "{fault:?} stops the daemon:\n{}", daemon.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            figures.push(format!("{fault:?} {}", seconds(begun.elapsed())));
        }
        // All but the hole. The rewritten one is refused when it is read again, because the next one contradicts it.
        let expected = i64::try_from(LAKE_FAULTS.len()).unwrap() - 1;
        let refused = "SELECT count(*) FROM quarantine WHERE source = 'lake'";
        let begun = Instant::now();
        while number(&client, refused).await < expected {
            assert!(begun.elapsed() < DEADLINE, "faults are not reported:\n{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "a spoilt object at the tip of a lake is refused, reported, and read from Horizon",
            "complete again after: {}. {trades} trades",
            figures.join("; ")
        );
    });
}

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn each_fault_of_a_lakes_server_costs_time_only() {
    let plan = FaultPlan::none();
    block_on(async {
        let (sim, daemon, client) = reading_the_tip(173, plan.clone()).await;
        let mut figures = Vec::new();
        for fault in [
            Fault::Status(503),
            Fault::Status(500),
            Fault::Status(429),
            Fault::Status(403),
            Fault::ProxyPage(404),
            Fault::HtmlWith200,
            Fault::Cut { after_bytes: 700 },
            Fault::TruncatedJson { after_bytes: 700 },
            Fault::Stall { after_bytes: 300 },
            Fault::Drip { bytes: 300 },
            Fault::SlowDrip { bytes: 2_000, pause: Duration::from_millis(200) },
        ] {
            let name = format!("{fault:?}");
            plan.push(Endpoint::Lake, fault);
            let begun = Instant::now();
            wait_until("the fault strikes", || plan.pending(Endpoint::Lake) == 0);
            let newest = i64::from(sim.oracle().head().latest) + 1;
            while complete_range(&client).await.1 < newest {
                assert!(begun.elapsed() < DEADLINE, "{name} stops the daemon:\n{}", daemon.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            figures.push(format!("{name} {}", seconds(begun.elapsed())));
        }
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "a fault of a lake's server costs time only",
            "time until the next ledger is stored: {}. {trades} trades",
            figures.join("; ")
        );
    });
}

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn a_lake_that_stops_growing_or_answers_for_another_network_is_followed_again_once_it_goes_on() {
    let outage = Duration::from_secs(15);
    block_on(async {
        let begun = Instant::now();
        let (sim, daemon, client) = reading_the_tip(174, FaultPlan::none()).await;
        let start = begun.elapsed();
        sim.lake().stop_at(Some(sim.oracle().head().latest));
        tokio::time::sleep(outage).await;
        sim.lake().stop_at(None);
        let stopped = fresh_again(&sim, &daemon.database).await;
        assert_kept(stopped, outage, start);
        // The manifest was read before: its ledgers still prove their network.
        sim.lake().announce("Another Network");
        let announced = fresh_again(&sim, &daemon.database).await;
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
        // The daemon reads the manifest again after a minute. The rest of the test may take longer than that.
        sim.lake().announce(PASSPHRASE);
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "a lake that stops growing is followed again once it goes on",
            "stopped for {}: fresh after {}; {}; {trades} trades",
            seconds(outage),
            seconds(stopped),
            seconds(announced)
        );
    });
}
