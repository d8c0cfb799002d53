//! Ledgers from Stellar RPC.

use stellar_ticker::sim::{Endpoint, Fault, lake::LakeFault};

use super::*;
use crate::support::wait_until;

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
    let sim = with_lake(207, 3.0, 0, FaultPlan::none());
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
