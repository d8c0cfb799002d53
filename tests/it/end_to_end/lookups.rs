//! Look-ups of assets that Horizon does not list, or whose records it spoils.

use chrono::Utc;
use serde_json::Value;
use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::support::{
    postgres::execute,
    reached,
    recomputation::connect,
    scripted::{LEDGER, scripted, scripted_since, tea, trade},
};

/// Traded assets that Horizon does not list: more than those of the busiest markets and a backlog for a sweep.
const UNLISTED: u32 = 520;
/// A sweep at the start, and no other.
const ONE_SWEEP: [&str; 2] = ["--assets-schedule", "0 0 0 1 1 *"];
const SWEPT: &str = "sweep of all assets complete";

#[test]
fn a_token_that_horizon_refuses_makes_the_sweep_begin_again() {
    let (sim, _source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let swept = |daemon: &Daemon| daemon.log().contains(SWEPT);
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONE_SWEEP);
        wait_until("the sweep is complete", || swept(&daemon));
        assert!(daemon.terminate().success());
        execute(&database, "UPDATE asset_sweep SET token = 'x', began_at = now()").await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONE_SWEEP);
        wait_until("a sweep is complete again", || swept(&daemon));
    });
}

/// The first publication waits for the asset poller's look at the first trades. If the sweep was faster, they bring no
/// new asset.
#[test]
fn the_asset_poller_is_notified_of_the_first_trades_although_the_sweep_has_their_assets() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &ONE_SWEEP);
        wait_until("the sweep is complete", || daemon.log().contains(SWEPT));
        let notices = || {
            let all = daemon.admin("/actors.json").json();
            let mut actors = all["actors"].as_array().unwrap().iter();
            let poller = actors.find(|actor| actor["name"] == "asset_poller").unwrap();
            poller["messages"]["AssetsSeen"]["count"].as_u64().unwrap_or(0)
        };
        assert_eq!(notices(), 0);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        assert!(!daemon.log().contains("new assets in trades"), "the sweep has stored them");
        assert!(notices() >= 1, "it came too late by itself");
    });
}

/// Nothing is due for a look-up of its own, so that loop succeeds all the time.
#[test]
fn a_sweep_that_always_fails_is_not_hidden_by_look_ups_that_succeed() {
    let faults = FaultPlan::none();
    (0..1_000).for_each(|_| faults.push(Endpoint::Assets, Fault::Status(504)));
    let (sim, _source) = scripted_since(LEDGER - 10, faults.clone());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &ONE_SWEEP);
        let check = || daemon.get("/readyz").json()["checks"]["assets"].clone();
        // Look-ups report each 5 s. The check turns once the failure has lasted for 30 s.
        wait_until("the failure lasts", || {
            let check = check();
            check["age_s"].as_u64() >= Some(8) && check["detail"].as_str().unwrap().contains("504")
        });
        faults.clear(Endpoint::Assets);
        wait_until("it is over", || check()["detail"] == "assets are looked up");
    });
}

#[test]
fn assets_that_horizon_does_not_list_are_looked_up_one_by_one_however_many_they_are() {
    let (sim, source) = scripted();
    let of = |code: String, ledger: u32| {
        let mut trade = trade(ledger, 0, Utc::now());
        trade["counter_asset_code"] = code.into();
        trade
    };
    source.push_trades((0..UNLISTED).map(|number| of(format!("A{number}"), LEDGER + 1 + number))).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONE_SWEEP);
        let client = connect(&database).await;
        let looked_up = "SELECT count(*) FROM assets WHERE checked_at IS NOT NULL AND code LIKE 'A%'";
        reached("all are looked up", async || number(&client, looked_up).await == i64::from(UNLISTED)).await;
        assert!(daemon.log().contains(SWEPT));
        source.push_trade(of("NEWS".into(), LEDGER + 1 + UNLISTED)).unwrap();
        let new = "SELECT count(*) FROM assets WHERE checked_at IS NOT NULL AND code = 'NEWS'";
        reached("a new one is looked up", async || number(&client, new).await == 1).await;
        assert_eq!(daemon.log().matches(SWEPT).count(), 1, "no sweep would have helped");
    });
}

#[test]
fn a_record_that_cannot_be_read_changes_nothing() {
    let (sim, source) = scripted();
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    let with = |spoil: fn(&mut Value)| {
        let mut record = tea("tea.example", "1000.0000000");
        spoil(&mut record);
        record
    };
    let spoiled = [
        with(|record| record["accounts"] = Value::Null),
        with(|record| drop(record.as_object_mut().unwrap().remove("accounts"))),
        with(|record| record["_links"]["toml"]["href"] = Value::Null),
    ];
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--assets-schedule", "* * * * * *"]);
        wait_for_pairs(&daemon);
        let reports =
            || daemon.log().matches("records of assets could not be read, their rows are unchanged").count();
        for record in spoiled {
            source.put_asset(record.clone()).unwrap();
            let before = reports();
            // The first of them may be of a record that was requested before.
            wait_until("it is reported", || reports() >= before + 2);
            let seq = daemon.status()["seq"].as_i64().unwrap();
            wait_until("a later state is published", || daemon.status()["seq"].as_i64() > Some(seq));
            assert_eq!(daemon.get("/markets.json").json()["pairs"].as_array().unwrap().len(), 1, "{record}");
        }
        let assets = daemon.get("/assets.json").json();
        assert_eq!(assets["assets"][0]["num_accounts"], 500);
    });
}
