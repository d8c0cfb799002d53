//! Unusual asset records of Horizon, and what readers see of them.

use chrono::Utc;
use serde_json::json;
use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::{
    end_to_end::audit::audit,
    support::{
        postgres::execute,
        recomputation::connect,
        scripted::{LEDGER, address, scripted, scripted_since, tea, trade},
    },
};

#[test]
fn a_supply_beyond_64_bits_is_published_and_one_that_is_not_a_number_changes_nothing() {
    let (sim, source) = scripted();
    source.put_asset(tea("tea.example", "1844674407370.9551614")).unwrap();
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--assets-schedule", "* * * * * *"]);
        wait_for_pairs(&daemon);
        let amount = || daemon.get("/assets.json").json()["assets"][0]["amount"].clone();
        assert_eq!(amount().to_string(), "1844674407370.955");
        assert_eq!(daemon.graphql("{ assets { amount } }")["data"]["assets"][0]["amount"], amount());
        wait_until("an audit finds nothing", || audit(&daemon, &[]).0 == 0);
        source.put_asset(tea("tea.example", "a lot")).unwrap();
        wait_until("it is reported", || daemon.log().contains("records of assets could not be read"));
        let seq = daemon.status()["seq"].as_i64().unwrap();
        wait_until("a later state is published", || daemon.status()["seq"].as_i64() > Some(seq));
        assert_eq!(daemon.get("/markets.json").json()["pairs"].as_array().unwrap().len(), 1);
        assert_eq!(amount().to_string(), "1844674407370.955");
        // The version before writes amount alone.
        let before =
            "UPDATE assets SET amount = 70000000, version = nextval('asset_version') WHERE code = 'TEA'";
        execute(&database, before).await;
        source.put_asset(tea("tea.example", "7.0000000")).unwrap();
        wait_until("the new supply is published", || amount() == 7.0 || amount() == 7);
        wait_until("an audit finds nothing", || audit(&daemon, &[]).0 == 0);
    });
}

#[test]
fn a_sweep_whose_first_page_fails_is_not_put_off_to_the_next_year() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    source.put_asset(tea("tea.example", "7.0000000")).unwrap();
    (0..2).for_each(|_| faults.push(Endpoint::Assets, Fault::Status(504)));
    block_on(async {
        let more = ["--assets-schedule", "0 0 0 1 1 *"];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &more);
        wait_until("all assets are read", || daemon.log().contains("sweep of all assets complete"));
        assert_eq!(faults.pending(Endpoint::Assets), 0);
    });
}

#[test]
fn an_error_that_says_nothing_of_the_pair_leaves_its_book_as_it_was() {
    let faults = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, faults.clone());
    let level = |amount: &str| json!({"price_r": {"n": 2, "d": 1}, "price": "2.0000000", "amount": amount});
    source.put_book(
        "native",
        &format!("TEA:{}", address(9)),
        json!({"bids": [level("5.0000000")], "asks": []}),
    );
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let more = ["--orderbooks-schedule", "* * * * * *"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        wait_for_pairs(&daemon);
        let bids = || daemon.get("/markets.json").json()["pairs"][0]["bid_count"].as_u64();
        wait_until("the book is there", || bids() == Some(1));
        let client = connect(&database).await;
        // Horizon's own 400 speaks of the request and not of the pair.
        for fault in [Fault::ProxyPage(404), Fault::ProxyPage(400), Fault::Status(400)] {
            (0..3).for_each(|_| faults.push(Endpoint::OrderBook, fault.clone()));
            // There is one market, and so one request at a time: the result of the first page is stored by now.
            wait_until("a second page is asked for", || faults.pending(Endpoint::OrderBook) <= 1);
            let empty = "SELECT count(*) FROM orderbook_stats WHERE bid_count = 0";
            assert_eq!(number(&client, empty).await, 0, "{fault:?}");
            assert_eq!(bids(), Some(1), "{fault:?}");
            faults.clear(Endpoint::OrderBook);
        }
        faults.push(Endpoint::OrderBook, Fault::Status(404));
        wait_until("Horizon itself says that there is no such pair", || bids() == Some(0));
    });
}

#[test]
fn a_book_that_can_never_be_read_does_not_keep_the_pass_from_ending() {
    let (sim, source) = scripted();
    let level = |amount: &str| json!({"price_r": {"n": 2, "d": 1}, "price": "2.0000000", "amount": amount});
    let book = |amount: &str| json!({"bids": [level(amount)], "asks": []});
    let tea = format!("TEA:{}", address(9));
    source.put_book("native", &tea, book("1844674407370.9551614"));
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let more = ["--orderbooks-schedule", "* * * * * *"];
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        wait_for_pairs(&daemon);
        let volume = || daemon.get("/markets.json").json()["pairs"][0]["bid_volume"].to_string();
        wait_until("the offers of a level are more than one can be", || volume() == "1844674407370.955");
        source.put_book("native", &tea, book("a lot"));
        let line = r#""message":"order books read","books":1,"removed":0,"unreadable":1"#;
        wait_until("a pass ends without it", || daemon.log().contains(line));
        assert_eq!(volume(), "1844674407370.955", "what was known of it stays");
        assert!(daemon.terminate().success());
        let arguments = ["ingest", "orderbooks", "--database-url", &database, "--horizon-url", &sim.url()];
        let (code, _, log) = run(&[
            &arguments[..],
            &["--network", PASSPHRASE, "--log-format", "json", "--horizon-requests-per-hour", "0"],
        ]
        .concat());
        assert!(code == 0 && log.contains(line), "{code} {log}");
    });
}
