//! Horizon turns to another network while all trades come from a lake.

use super::*;
use crate::support::{reached, wait_until};

#[test]
fn books_of_another_network_are_not_stored_though_no_trade_comes_from_horizon() {
    let sim = with_lake(97, 20.0, 1, FaultPlan::none());
    block_on(async {
        let lake = lake_url(&sim);
        let arguments = [
            ["--ledger-source", "lake"],
            ["--live-from", "lake"],
            ["--lake-url", &lake],
            ["--backfill-hours", "1"],
            ["--orderbooks-schedule", "* * * * * *"],
        ];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &arguments.concat());
        let client = recomputation::connect(&daemon.database).await;
        let network = || daemon.get("/readyz").json()["checks"]["network"].clone();
        reached("books are stored", async || {
            number(&client, "SELECT count(*) FROM orderbook_stats").await > 0
        })
        .await;
        wait_until("the network is confirmed", || network()["ok"] == true);
        wait_until_history_is_complete(&daemon);
        sim.switch_network("Another Network");
        wait_until("the check names another network", || {
            network()["ok"] == false && network()["detail"].as_str().unwrap().contains("another network")
        });
        let since = number(&client, "SELECT extract(epoch FROM clock_timestamp())::bigint").await;
        let stored = format!("SELECT count(*) FROM orderbook_stats WHERE fetched_at > to_timestamp({since})");
        let newest = "SELECT max(toid >> 32) FROM trades";
        let before = number(&client, newest).await;
        reached("trades of the lake go on", async || number(&client, newest).await > before + 5).await;
        assert_eq!(number(&client, &stored).await, 0, "books of another network");
        sim.switch_network(PASSPHRASE);
        reached("books are stored again", async || number(&client, &stored).await > 0).await;
        wait_until("the check names the right network", || network()["ok"] == true);
    });
}
