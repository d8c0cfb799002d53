//! A network on which nobody has traded for hours: nothing is missing, and the ticker knows that.

use chrono::{DateTime, TimeDelta, Utc};
use stellar_ticker::sim::FixedSource;

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
/// Newest ledger whose trades are complete.
const TOP: &str = "SELECT coalesce(max(to_ledger), 0) FROM coverage";

#[test]
fn windows_of_a_quiet_network_are_complete_and_the_next_trade_counts() {
    windows_are_complete_and_the_next_trade_counts(&[], Vec::new());
}

#[test]
fn windows_of_a_quiet_network_are_complete_while_its_lake_is_away() {
    let lake = format!("{NOWHERE}/lake");
    let more = ["--ledger-source", "lake", "--lake-url", &lake];
    windows_are_complete_and_the_next_trade_counts(&more, Vec::new());
}

#[test]
fn windows_of_a_quiet_network_are_complete_although_the_newest_records_are_refused() {
    let mut unreadable = trade(TRADED + 2, 0, closed_at(22));
    unreadable["base_amount"] = "many".into();
    let from_the_year_2000 = trade(TRADED + 1, 0, DateTime::from_timestamp(946_684_800, 0).unwrap());
    windows_are_complete_and_the_next_trade_counts(&[], vec![from_the_year_2000, unreadable]);
}

/// Some servers keep the history of a day only.
#[test]
fn windows_of_a_quiet_network_are_complete_after_horizon_has_deleted_the_last_trade() {
    let (sim, source) = quiet_horizon();
    block_on(async {
        let database = fresh_database().await;
        let serve = || Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let mut daemon = serve();
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 20).await;
        holds_quiet_ledgers(&daemon, &client).await;
        daemon.kill();
        source.set_elder(TRADED + 1);
        let forget = format!(
            "UPDATE coverage SET to_ledger = {TRADED}, to_time = now() - interval '3 hours'
             WHERE to_ledger > {TRADED}"
        );
        client.batch_execute(&forget).await.unwrap();
        holds_quiet_ledgers(&serve(), &client).await;
    });
}

/// A Horizon with 20 trades, the newest one of ledger [`TRADED`].
fn quiet_horizon() -> (SimServer, FixedSource) {
    let (sim, source) = scripted_since(TRADED - 100, FaultPlan::none());
    source.push_trades((1..=20).map(|step| trade(TRADED - 20 + step, 0, closed_at(step)))).unwrap();
    (sim, source)
}

/// Close time of the ledger of a trade. Trades are numbered from 1 on.
fn closed_at(step: u32) -> DateTime<Utc> {
    Utc::now() - TimeDelta::minutes(200 - i64::from(step))
}

/// Waits until the ledgers without a trade are held up to the newest ones of Horizon, and the last hour is complete.
async fn holds_quiet_ledgers(daemon: &Daemon, client: &Client) {
    reached("the ledgers without a trade are held", async || {
        number(client, TOP).await > i64::from(TRADED) + 100
    })
    .await;
    assert!(number(client, TOP).await < i64::from(LEDGER), "the newest ones may still get a trade");
    let market = format!("/api/v1/markets/TEA-{}_XLM", address(9));
    wait_until("the last hour is complete", || {
        let answer = daemon.get(&market);
        answer.status == 200 && answer.json()["windows"]["1h"]["complete"] == true
    });
}

/// Runs a daemon with these settings on a Horizon that also gives records that are refused.
fn windows_are_complete_and_the_next_trade_counts(more: &[&str], refused: Vec<Value>) {
    let (sim, source) = quiet_horizon();
    let quarantined = i64::try_from(refused.len()).unwrap();
    source.push_trades(refused).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let impatient = [("TICKER_CHAOS_LAKE_LATE_MS", "500")];
        let daemon = Daemon::serve_in(&impatient, &sim.url(), &database, PASSPHRASE, more);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 20).await;
        holds_quiet_ledgers(&daemon, &client).await;
        assert_eq!(number(&client, "SELECT count(DISTINCT token) FROM quarantine").await, quarantined);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_trades(&client, 21).await;
        reached("its ledger is held", async || number(&client, TOP).await > i64::from(LEDGER)).await;
    });
}
