//! Servers of a lake that answer, but not as a lake does.

use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::support::wait_until;

#[test]
fn pages_in_place_of_missing_objects_are_no_ledgers() {
    let sim = with_lake(211, 3.0, 0, FaultPlan::none());
    sim.lake().show_page_for_missing(true);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 30).await;
        let checks = daemon.get("/readyz").json()["checks"].clone();
        assert_eq!(checks["stream"]["detail"], "reading from the lake", "{checks}");
        assert!(!daemon.log().contains("the lake gives no new ledgers"), "{}", daemon.log());
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
        assert!(compare_with_emitted(&client, sim.oracle()).await >= 30);
    });
}

/// Each object takes minutes then, and the attempts at one take longer than an actor may hang.
#[test]
fn new_trades_come_from_horizon_while_a_lake_drips() {
    let plan = FaultPlan::none();
    let sim = with_lake(212, 3.0, 0, plan.clone());
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "0").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_for_trades(&client, 10).await;
        let drip = Fault::SlowDrip { bytes: 1, pause: Duration::from_secs(1) };
        (0..10_000).for_each(|_| plan.push(Endpoint::Lake, drip.clone()));
        wait_until("the lake is reported", || daemon.log().contains("the lake gives no new ledgers"));
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 30).await;
        assert_eq!(daemon.get("/readyz").json()["checks"]["stream"]["ok"], false);
        plan.clear(Endpoint::Lake);
        wait_until("it goes on", || daemon.log().contains("the lake gives new ledgers again"));
        assert!(compare_with_emitted(&client, sim.oracle()).await > 40);
    });
}
