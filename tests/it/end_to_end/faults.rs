//! A Horizon that cuts, stalls, lies and refuses: nothing is lost, nothing doubled.

use stellar_ticker::sim::{Endpoint, Fault};

use super::*;

/// Runs on a faulty Horizon until 600 trades are stored, and compares them with what was emitted.
fn survives(seed: u64, faults: FaultPlan) {
    let sim = network(seed, faults);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 600).await;
        compare_published(&daemon, &client).await;
        let trades = compare_with_what_was_emitted(&client, sim.oracle()).await;
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
        Fault::Repeat { records: 5 },
        Fault::Cut { after_bytes: 12_345 },
        Fault::Status(500),
    ] {
        plan.push(Endpoint::Stream, fault);
    }
    plan.push(Endpoint::Root, Fault::HtmlWith200);
    plan.push(Endpoint::Assets, Fault::Status(504));
    plan.push(Endpoint::Assets, Fault::TruncatedJson { after_bytes: 100 });
    survives(21, plan);
}

#[test]
fn random_faults_by_seed_lose_nothing() {
    survives(22, FaultPlan::random(22, 0.2));
}
