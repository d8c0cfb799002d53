//! Lists of assets that are empty, and what readers keep.

use chrono::Utc;

use super::*;
use crate::support::{
    postgres::execute,
    scripted::{LEDGER, address, scripted_since, trade},
};

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
