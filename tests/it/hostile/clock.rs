//! A wall clock that is far ahead of the network.

use stellar_ticker::sim::FaultPlan;

use crate::support::{
    SHORT_LEASE,
    daemon::Daemon,
    false_clock::FalseClock,
    network::{PASSPHRASE, block_on, network},
    oracle::compare_at_least,
    postgres::fresh_database,
    progress::{number, wait_for_pairs, wait_for_trades},
    recomputation::connect,
    wait_until,
};

/// Five times the retention of trades.
const AHEAD: &str = "+3456000";

#[test]
fn a_clock_that_is_forty_days_ahead_makes_no_trade_too_old() {
    let Some(clock) = FalseClock::new() else { return };
    let sim = network(153, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let client = connect(&database).await;
        let mut daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        daemon.kill();
        let held = "SELECT count(*) FROM trades";
        let before = number(&client, held).await;
        clock.set(AHEAD);
        let environment = [&clock.environment()[..], &[SHORT_LEASE]].concat();
        let mut daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_trades(&client, before + 300).await;
        wait_until("the cleaner has passed", || {
            daemon.get("/readyz").json()["checks"]["cleaning"]["detail"] == "old trades are dropped"
        });
        compare_at_least(301, &client, sim.oracle()).await;
        daemon.kill();
        let daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let held = number(&client, held).await;
        assert!(held >= before + 300, "{held} of {before}");
        compare_at_least(301, &client, sim.oracle()).await;
    });
}
