//! Pages that are well formed and empty although the history has more: never the end of it.

use stellar_ticker::sim::{FixedSource, TradeId};

use super::*;
use crate::support::{
    SHORT_GRACE,
    scripted::{LEDGER, scripted_since, trade},
};

/// An hour of some 800 trades, a ledger each 5.8 s.
fn short_network(seed: u64, faults: FaultPlan) -> SimServer {
    horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 0.22,
        history_hours: 1,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    })
}

/// Half way between the oldest ledger and the newest.
fn middle(sim: &SimServer) -> TradeId {
    let head = sim.oracle().head();
    TradeId::before_ledger(head.elder.midpoint(head.latest))
}

/// Gaps that can be filled. What lies before the server's history has no first ledger.
fn open_gaps(daemon: &Daemon) -> Vec<Value> {
    let gaps = daemon.status()["gaps"].as_array().unwrap().clone();
    gaps.into_iter().filter(|gap| !gap["from"].is_null()).collect()
}

/// Waits until all of the server's history is held, and compares it.
async fn holds_everything(daemon: &Daemon, client: &Client, sim: &SimServer) {
    let head = sim.oracle().head();
    let emitted = i64::try_from(sim.oracle().trades(head.elder..=head.latest).len()).unwrap();
    wait_for_trades(client, emitted).await;
    wait_until_history_is_complete(daemon);
    assert_eq!(complete_range(client).await.0, i64::from(head.elder));
    compare_at_least(601, client, sim.oracle()).await;
    wait_until("no gap is reported", || open_gaps(daemon).is_empty());
}

#[test]
fn an_empty_page_that_the_server_itself_contradicts_is_a_reported_gap_until_it_is_filled() {
    let plan = FaultPlan::none();
    let sim = short_network(71, plan.clone());
    plan.hide(middle(&sim), true);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        // There may be others while pages are read.
        let elder = sim.oracle().head().elder;
        wait_until("the gap is reported", || open_gaps(&daemon).iter().any(|gap| gap["from"] == elder));
        let status = daemon.status();
        assert!(status["backfill"]["done_ratio"].as_f64().unwrap() < 0.9, "{status}");
        wait_until("and in the log", || daemon.log().contains("an empty page in the middle of its history"));
        let check = || daemon.get("/readyz").json()["checks"]["history"].clone();
        wait_until("the check fails, although recent ledgers are read", || check()["ok"] == false);
        assert!(check()["detail"].as_str().unwrap().contains("an empty page"), "{}", check());
        plan.show();
        holds_everything(&daemon, &client, &sim).await;
        wait_until("the check passes", || check()["ok"] == true);
    });
}

#[test]
fn a_wrong_end_of_history_is_found_by_reading_again() {
    let plan = FaultPlan::none();
    let sim = short_network(72, plan.clone());
    plan.hide(middle(&sim), false);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        // The server says the same in both directions, and nothing older is held.
        wait_until_history_is_complete(&daemon);
        assert!(number(&client, "SELECT count(*) FROM trades").await < 600);
        plan.show();
        let begun = Instant::now();
        holds_everything(&daemon, &client, &sim).await;
        println!("found and filled after {:.1} s", begun.elapsed().as_secs_f64());
    });
}

#[test]
fn a_server_that_has_just_started_and_gives_empty_pages_ends_no_history() {
    let plan = FaultPlan::none();
    let sim = short_network(73, plan.clone());
    block_on(async {
        let database = fresh_database().await;
        plan.hide_all_for(Duration::from_secs(4));
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        holds_everything(&daemon, &client, &sim).await;
    });
}

#[test]
fn empty_pages_between_held_ledgers_leave_the_gap_open() {
    let plan = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, plan.clone());
    let emit = |source: &FixedSource, ledgers: std::ops::Range<u32>| {
        for step in ledgers {
            source.push_trade(trade(LEDGER + step, 0, chrono::Utc::now())).unwrap();
        }
    };
    block_on(async {
        let database = fresh_database().await;
        emit(&source, 1..5);
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 4).await;
        wait_until_history_is_complete(&daemon);
        assert!(daemon.terminate().success());
        emit(&source, 500..1_000);
        // It serves these trades in neither direction. Only the held trades contradict it.
        plan.hide(TradeId::before_ledger(LEDGER + 700), false);
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_trades(&client, 304).await;
        wait_until("the end is doubted", || {
            daemon.log().contains("an empty page in the middle of its history")
        });
        wait_until("the gap is listed", || {
            let gaps = open_gaps(&daemon);
            gaps.len() == 1 && gaps[0]["from"] == LEDGER + 5 && gaps[0]["to"] == LEDGER + 700
        });
        wait_until("it is not all that is wanted", || {
            daemon.status()["backfill"]["done_ratio"].as_f64().is_some_and(|ratio| ratio < 1.0)
        });
        plan.show();
        wait_for_trades(&client, 504).await;
        wait_until_history_is_complete(&daemon);
        wait_until("no gap is reported", || open_gaps(&daemon).is_empty());
    });
}
