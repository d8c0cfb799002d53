//! A network on which nobody has traded for hours: nothing is missing, and the ticker knows that.

use chrono::{TimeDelta, Utc};

use super::*;
use crate::{
    lake::NOWHERE,
    support::{
        reached,
        scripted::{LEDGER, address, scripted_since, trade},
    },
};

/// Newest ledger with a trade, three hours ago. The network has closed further ones since.
const TRADED: u32 = LEDGER - 500;

#[test]
fn windows_of_a_quiet_network_are_complete_and_the_next_trade_counts() {
    windows_are_complete_and_the_next_trade_counts(&[]);
}

#[test]
fn windows_of_a_quiet_network_are_complete_while_its_lake_is_away() {
    let lake = format!("{NOWHERE}/lake");
    windows_are_complete_and_the_next_trade_counts(&["--ledger-source", "lake", "--lake-url", &lake]);
}

fn windows_are_complete_and_the_next_trade_counts(more: &[&str]) {
    let (sim, source) = scripted_since(TRADED - 100, FaultPlan::none());
    let at = |step: u32| Utc::now() - TimeDelta::minutes(200 - i64::from(step));
    source.push_trades((1..=20).map(|step| trade(TRADED - 20 + step, 0, at(step)))).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let impatient = [("TICKER_CHAOS_LAKE_LATE_MS", "500")];
        let daemon = Daemon::serve_in(&impatient, &sim.url(), &database, PASSPHRASE, more);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 20).await;
        let top = "SELECT coalesce(max(to_ledger), 0) FROM coverage";
        reached("the ledgers without a trade are held", async || {
            number(&client, top).await > i64::from(TRADED)
        })
        .await;
        assert!(number(&client, top).await < i64::from(LEDGER), "the newest ones may still get a trade");
        let market = format!("/api/v1/markets/TEA-{}_XLM", address(9));
        wait_until("the last hour is complete", || {
            let answer = daemon.get(&market);
            answer.status == 200 && answer.json()["windows"]["1h"]["complete"] == true
        });
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_trades(&client, 21).await;
        reached("its ledger is held", async || number(&client, top).await > i64::from(LEDGER)).await;
    });
}
