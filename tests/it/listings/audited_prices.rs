//! The self-audit of prices in dollars.

use super::*;
use crate::support::postgres::execute;

/// Text of the log line about a difference.
const DIFFERS: &str = "published price in dollars differs from the trades";

/// True if the audit recorded two steps in a row that are no slices: those of the lists and of the prices.
fn records_a_step_of_its_own(daemon: &Daemon) -> bool {
    let answer = daemon.admin("/trace.json?type=audit&actor=auditor").json();
    let is_slice: Vec<bool> = answer["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["subject"]["markets"].is_array())
        .collect();
    is_slice.windows(2).any(|two| two == [false, false])
}

/// Prices that the daemon has compared since its start.
fn compared(daemon: &Daemon) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let count = metrics.lines().find_map(|line| line.strip_prefix("ticker_audit_prices_total "));
    count.unwrap().parse().unwrap()
}

#[test]
fn a_price_in_dollars_that_differs_from_the_trades_is_reported() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--audit-interval", "24h"]).await;
        daemon.wait_until_the_auditor_rests();
        let before = compared(&daemon);
        daemon.audit_now();
        wait_until("XLM and other assets are compared", || compared(&daemon) > before + 1);
        wait_until("the pass has ended", || daemon.has_resting_auditor());
        assert!(!daemon.log().contains(DIFFERS), "{}", daemon.log());
        assert!(records_a_step_of_its_own(&daemon), "the price audit has a step");
        let twice = "UPDATE trades SET counter_amount = 2 * counter_amount FROM assets
                     WHERE assets.id = trades.counter_asset_id AND assets.code = 'USDC'";
        execute(&daemon.database, twice).await;
        daemon.audit_now();
        wait_until("it is reported", || daemon.log().contains(DIFFERS));
        wait_until("it is counted", || daemon.status()["audit"]["differences"].as_u64() > Some(0));
        ok(&daemon, "/api/v1/prices?assets=XLM");
    });
}
