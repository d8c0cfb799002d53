//! Lists of assets that are empty, fail or never end, and what readers keep.

use chrono::Utc;
use stellar_ticker::sim::{Endpoint, Fault, FixedSource};

use super::*;
use crate::support::{
    postgres::execute,
    reached,
    recomputation::connect,
    scripted::{LEDGER, address, scripted_since, tea, trade},
};

/// Traded assets: more than those of the busiest markets and a backlog for a sweep.
const TRADED: u32 = 520;
/// A sweep at the start, and no other.
const ONE_SWEEP: [&str; 2] = ["--assets-schedule", "0 0 0 1 1 *"];
const EACH_SECOND: [&str; 2] = ["--assets-schedule", "* * * * * *"];
const SWEPT: &str = "sweep of all assets complete";

fn check_of_assets(daemon: &Daemon) -> Value {
    daemon.get("/readyz").json()["checks"]["assets"].clone()
}

fn fails_with(daemon: &Daemon, text: &str) -> bool {
    check_of_assets(daemon)["detail"].as_str().is_some_and(|detail| detail.contains(text))
}

/// Numbers of pairs and of assets that readers see.
fn published(daemon: &Daemon) -> [usize; 2] {
    let length = |path: &str, list: &str| daemon.get(path).json()[list].as_array().unwrap().len();
    [length("/markets.json", "pairs"), length("/assets.json", "assets")]
}

fn put_assets(source: &FixedSource, codes: impl Iterator<Item = String>) {
    for code in codes {
        let mut asset = tea("tea.example", "1000.0000000");
        asset["paging_token"] = asset["paging_token"].as_str().unwrap().replace("TEA", &code).into();
        asset["asset_code"] = code.into();
        source.put_asset(asset).unwrap();
    }
}

#[test]
fn a_horizon_that_lists_nothing_for_a_while_takes_no_asset_away() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &EACH_SECOND);
        wait_for_pairs(&daemon);
        let before = published(&daemon);
        faults.hide_assets_for(Duration::from_secs(3_600));
        // Two look-ups five seconds apart would have been made by then.
        let lasts = || check_of_assets(&daemon)["age_s"].as_u64() >= Some(8);
        wait_until("the failure lasts", || fails_with(&daemon, "lists no asset") && lasts());
        assert_eq!(published(&daemon), before);
        faults.hide_assets_for(Duration::ZERO);
        wait_until("it is over", || check_of_assets(&daemon)["detail"] == "assets are looked up");
        assert_eq!(published(&daemon), before);

        // The same in the middle of a sweep: an empty page after a token is how a whole one ends.
        assert!(daemon.terminate().success());
        let token = format!("ZZZ_{}_credit_alphanum4", address(9));
        execute(&database, &format!("UPDATE asset_sweep SET token = '{token}', began_at = now()")).await;
        faults.hide_assets_for(Duration::from_secs(3_600));
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONE_SWEEP);
        wait_until("it fails", || fails_with(&daemon, "lists no asset"));
        daemon.wait_for_publication();
        assert!(!daemon.log().contains(SWEPT) && published(&daemon) == before);
        faults.hide_assets_for(Duration::ZERO);
        wait_until("the sweep ends", || daemon.log().contains(SWEPT));
    });
}

#[test]
fn the_only_asset_of_a_network_is_gone_in_the_end_if_no_list_has_it_any_more() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        // An empty list is believed after 3.6 s.
        let environment = [("TICKER_CHAOS_ASSETS_MS", "100")];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &EACH_SECOND);
        wait_for_pairs(&daemon);
        faults.hide_assets_for(Duration::from_secs(3_600));
        wait_until("the pair is gone", || published(&daemon)[0] == 0);
        wait_until("nothing fails", || check_of_assets(&daemon)["detail"] == "assets are looked up");
    });
}

#[test]
fn all_traded_assets_are_looked_up_one_by_one_while_the_list_of_all_fails() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    (0..1_000).for_each(|_| faults.push(Endpoint::AssetLists, Fault::Status(504)));
    put_assets(&source, (0..TRADED).map(|number| format!("A{number}")));
    let of = |number: u32| {
        let mut trade = trade(LEDGER + 1 + number, 0, Utc::now());
        trade["counter_asset_code"] = format!("A{number}").into();
        trade
    };
    source.push_trades((0..TRADED).map(of)).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let environment = [("TICKER_CHAOS_ASSETS_MS", "2000")];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &ONE_SWEEP);
        let client = connect(&database).await;
        let valid = "SELECT count(*) FROM assets WHERE is_valid AND code LIKE 'A%'";
        reached("all are valid", async || number(&client, valid).await == i64::from(TRADED)).await;
        assert!(fails_with(&daemon, "504") && !daemon.log().contains(SWEPT));
    });
}

#[test]
fn a_list_that_is_too_slow_is_read_in_smaller_pages() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    faults.time_out_long_asset_lists(60);
    put_assets(&source, (0..130).map(|number| format!("A{number}")));
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &ONE_SWEEP);
        wait_for_pairs(&daemon);
        wait_until("the sweep is complete", || daemon.log().contains(SWEPT));
        // Each of them meets the rules.
        wait_until("all are published", || published(&daemon)[1] > 130);
    });
}

#[test]
fn a_list_of_assets_without_an_end_is_given_up_and_reported() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    faults.list_assets_in_a_circle();
    put_assets(&source, (0..250).map(|number| format!("A{number}")));
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &ONE_SWEEP);
        wait_until("it is reported", || fails_with(&daemon, "does not end"));
        // Its assets are known all the same.
        wait_for_pairs(&daemon);
        let age = || check_of_assets(&daemon)["age_s"].as_u64();
        wait_until("the failure lasts although nothing is due", || age() >= Some(6));
        assert!(fails_with(&daemon, "does not end") && !daemon.log().contains(SWEPT));
    });
}
