//! Ledgers from Stellar RPC.

use stellar_ticker::sim::{Endpoint, Fault, lake::LakeFault};

use super::*;
use crate::support::{reached, wait_until};

#[test]
fn history_and_new_trades_come_from_rpc_and_a_ledger_that_it_lacks_comes_from_horizon() {
    let plan = FaultPlan::none();
    let sim = with_lake(83, 2.0, 1, plan.clone());
    let newest = sim.oracle().head().latest;
    sim.lake().spoil(newest - 100, LakeFault::Hole);
    sim.lake().spoil(newest - 200, LakeFault::Damaged);
    for fault in [Fault::Status(503), Fault::TruncatedJson { after_bytes: 300 }, Fault::HtmlWith200] {
        plan.push(Endpoint::Rpc, fault);
    }
    block_on(async {
        let database = fresh_database().await;
        let rpc = format!("{}/rpc", sim.url());
        let more =
            ["--ledger-source", "rpc", "--live-from", "rpc", "--rpc-url", &rpc, "--backfill-hours", "1"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 30).await;
        compare_at_least(3_001, &client, sim.oracle()).await;
        let refused = "SELECT count(*) FROM quarantine WHERE source = 'lake' AND reason LIKE 'ledgers %'";
        assert_eq!(number(&client, refused).await, 1);
        assert_eq!(plan.pending(Endpoint::Rpc), 0);
    });
}

#[test]
fn an_rpc_of_another_network_is_refused() {
    let sim = with_lake(84, 1.0, 0, FaultPlan::none());
    sim.lake().announce("Another Network");
    let (rpc, database) = (format!("{}/rpc", sim.url()), block_on(fresh_database()));
    let source = ["ingest", "trades", "--ledger-source", "rpc", "--rpc-url", &rpc];
    let place = ["--horizon-url", NOWHERE, "--network", PASSPHRASE, "--database-url", &database];
    let (code, _, log) = run(&[&source, &place[..]].concat());
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("--rpc-url") && log.contains("Another Network"), "{log}");
}

#[test]
fn a_newest_ledger_that_rpc_names_for_a_moment_and_does_not_have_costs_no_trade() {
    // Long enough for several looks at the next ledger before it closes.
    let sim = horizon(SimConfig { ledger_seconds: 8.0, ..lake_config(207, 3.0, 0, FaultPlan::none()) });
    block_on(async {
        let database = fresh_database().await;
        let rpc = format!("{}/rpc", sim.url());
        let more =
            ["--ledger-source", "rpc", "--live-from", "rpc", "--rpc-url", &rpc, "--backfill-hours", "0"];
        let daemon = Daemon::serve_in(&IMPATIENT, NOWHERE, &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 10).await;
        sim.lake().boast(3_000);
        let asked_above = "the lake ends below the next ledger";
        wait_until("the position is above the newest ledger", || {
            daemon.get("/readyz").json()["checks"]["stream"]["detail"].to_string().contains("given no ledger")
        });
        sim.lake().boast(0);
        wait_until("it goes back", || daemon.log().contains(asked_above));
        wait_until_history_is_complete(&daemon);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 20).await;
        compare_at_least(30, &client, sim.oracle()).await;
    });
}

/// Public servers limit requests.
#[test]
fn a_new_ledger_costs_rpc_few_requests() {
    const REQUESTS: usize = 10_000;
    const LEDGERS: usize = 20;
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig { ledger_seconds: 5.0, ..lake_config(241, 2.0, 0, plan.clone()) });
    block_on(async {
        let database = fresh_database().await;
        let rpc = format!("{}/rpc", sim.url());
        let source = ["--ledger-source", "rpc", "--live-from", "rpc", "--rpc-url", &rpc];
        let more = ["--backfill-hours", "0", "--horizon-requests-per-hour", "3600"];
        let _daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        let newest = "SELECT coalesce(max(to_ledger), 0) FROM coverage";
        reached("new ledgers are read", async || number(&client, newest).await > 0).await;
        let held = number(&client, newest).await + 1;
        reached("the start is over", async || number(&client, newest).await >= held).await;
        // A fault that changes nothing counts the requests.
        (0..REQUESTS).for_each(|_| plan.push(Endpoint::Rpc, Fault::Drip { bytes: 1_000_000 }));
        let due = held + i64::try_from(LEDGERS).unwrap();
        reached("more ledgers are read", async || number(&client, newest).await >= due).await;
        let asked = REQUESTS - plan.pending(Endpoint::Rpc);
        assert!((2 * LEDGERS..=8 * LEDGERS).contains(&asked), "{asked} requests for {LEDGERS} ledgers");
    });
}

/// No hash covers the price of an offer.
#[test]
fn held_ledgers_of_a_lake_are_compared_with_rpc() {
    let sim = with_lake(242, 5.0, 1, FaultPlan::none());
    let head = sim.oracle().head();
    (head.elder + 1..=head.latest).for_each(|ledger| sim.lake().spoil(ledger, LakeFault::OtherPrices));
    block_on(async {
        let database = fresh_database().await;
        let (lake, rpc) = (lake_url(&sim), format!("{}/rpc", sim.url()));
        let source =
            ["--ledger-source", "lake", "--lake-url", &lake, "--live-from", "rpc", "--rpc-url", &rpc];
        let more = ["--backfill-hours", "1"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        let conflicts = "SELECT count(*) FROM quarantine
                         WHERE source = 'audit' AND reason LIKE 'conflict: %the lake reports'";
        reached("other prices are reported", async || number(&client, conflicts).await > 0).await;
        wait_until("the status counts them", || {
            daemon.status()["audit"]["reread"]["contradicting"].as_i64() > Some(0)
        });
    });
}

/// Without Horizon only the lake can give the lost rows back.
#[test]
fn held_ledgers_that_rpc_does_not_give_are_compared_with_the_lake() {
    let sim = with_lake(243, 5.0, 1, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let (lake, rpc) = (lake_url(&sim), format!("{NOWHERE}/rpc"));
        let source =
            ["--ledger-source", "lake", "--lake-url", &lake, "--live-from", "lake", "--rpc-url", &rpc];
        let more = ["--backfill-hours", "1", "--lake-verify", "chain"];
        let daemon = Daemon::serve(NOWHERE, &database, PASSPHRASE, &[&source[..], &more].concat());
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        client.batch_execute("DELETE FROM trades WHERE (toid >> 32) % 2 = 0").await.unwrap();
        wait_until("lost rows are stored again", || {
            daemon.status()["audit"]["reread"]["missing"].as_i64() > Some(0)
        });
    });
}

/// Only the lake has these prices, so a report that names it is of a comparison with it.
#[test]
fn held_ledgers_of_horizon_are_compared_with_the_lake() {
    let sim = with_lake(244, 5.0, 1, FaultPlan::none());
    let head = sim.oracle().head();
    (head.elder + 1..=head.latest).for_each(|ledger| sim.lake().spoil(ledger, LakeFault::OtherPrices));
    block_on(async {
        let database = fresh_database().await;
        let lake = lake_url(&sim);
        let more = ["--lake-url", &lake, "--backfill-hours", "1"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        // A half, with held trades above and below it: ledgers are chosen between the oldest trade and the newest.
        let quarter = (head.latest - head.elder) / 4;
        let (from, to) = (head.elder + quarter, head.latest - quarter);
        let half = format!("FROM trades WHERE toid >> 32 BETWEEN {from} AND {to}");
        let count = format!("SELECT count(*) {half}");
        let before = number(&client, &count).await;
        assert!(before > 1_000, "{before} trades");
        client.batch_execute(&format!("DELETE {half}")).await.unwrap();
        wait_until("lost rows are missed", || {
            daemon.status()["audit"]["reread"]["missing"].as_i64() > Some(0)
        });
        reached("all lost rows are stored again", async || number(&client, &count).await >= before).await;
        let conflicts = "SELECT count(*) FROM quarantine
                         WHERE source = 'audit' AND reason LIKE 'conflict: %the lake reports'";
        reached("the lake's prices are reported", async || number(&client, conflicts).await > 0).await;
    });
}
