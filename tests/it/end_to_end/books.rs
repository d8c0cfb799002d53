//! Order books of so many markets that no pass over them ends.

use chrono::Utc;
use serde_json::{Value, json};
use stellar_ticker::sim::{Endpoint, Fault, FixedSource};

use super::*;
use crate::support::{
    reached,
    recomputation::connect,
    scripted::{LEDGER, address, scripted_since, trade},
};

/// Markets beside XLM/TEA: more than a round of the poller has, also without those that it has just read.
const OTHERS: u32 = 80;
/// A due time each second, while a round takes several.
const OFTEN: [&str; 4] = ["--orderbooks-schedule", "* * * * * *", "--log", "info,stellar_ticker=debug"];
const PASS_ENDED: &str = r#""message":"order books read""#;

/// Starts a Horizon whose order books take their time.
fn slow_books() -> (SimServer, FixedSource) {
    let faults = FaultPlan::none();
    let slow = Fault::SlowDrip { bytes: 100_000, pause: Duration::from_millis(200) };
    (0..5_000).for_each(|_| faults.push(Endpoint::OrderBook, slow.clone()));
    let (sim, source) = scripted_since(LEDGER - 10, faults);
    let other = |number: u32| {
        let mut trade = trade(LEDGER + 1 + number, 0, Utc::now());
        trade["counter_asset_code"] = format!("A{number}").into();
        trade
    };
    source.push_trades((0..OTHERS).map(other)).unwrap();
    source.push_trade(trade(LEDGER + 1 + OTHERS, 0, Utc::now())).unwrap();
    (sim, source)
}

fn tea_book(amount: &str) -> Value {
    json!({"bids": [{"price_r": {"n": 2, "d": 1}, "price": "2.0000000", "amount": amount}], "asks": []})
}

#[test]
fn a_book_that_failed_is_read_again_although_no_pass_ends() {
    let (sim, source) = slow_books();
    let tea = format!("TEA:{}", address(9));
    source.put_book("native", &tea, tea_book("a lot"));
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &OFTEN);
        let failures = || daemon.log().matches("order book could not be read").count();
        wait_until("it failed as often as a pass tries it", || failures() >= 3);
        source.put_book("native", &tea, tea_book("5.0000000"));
        let client = connect(&database).await;
        reached("it is read", async || {
            number(&client, "SELECT count(*) FROM orderbook_stats WHERE bid_count = 1").await == 1
        })
        .await;
        assert!(!daemon.log().contains(PASS_ENDED), "no pass has ended");
    });
}

#[test]
fn the_book_of_a_market_without_trades_goes_although_no_pass_ends() {
    let (sim, _source) = slow_books();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &OFTEN);
        wait_for_pairs(&daemon);
        let client = connect(&database).await;
        let dead = "WITH asset AS (
                        INSERT INTO assets (code, issuer, type) VALUES ('DEAD', 'ISSUER', 'credit_alphanum4') RETURNING id
                    ), market AS (
                        INSERT INTO markets (base_asset_id, counter_asset_id) SELECT 1, id FROM asset RETURNING id
                    )
                    INSERT INTO orderbook_stats
                        (market_id, bid_count, bid_volume, bid_max, ask_count, ask_volume, ask_min, fetched_at)
                    SELECT id, 77, 0, 0, 0, 0, 0, now() FROM market";
        client.batch_execute(&dead.replace("ISSUER", &address(1))).await.unwrap();
        reached("its book is gone", async || {
            number(&client, "SELECT count(*) FROM orderbook_stats WHERE bid_count = 77").await == 0
        })
        .await;
        assert!(!daemon.log().contains(PASS_ENDED), "no pass has ended");
        assert!(number(&client, "SELECT count(*) FROM orderbook_stats").await > 0, "others stay");
    });
}

#[test]
fn the_books_of_many_markets_take_few_batches_and_few_questions_for_the_ranking() {
    const MARKETS: u32 = 1_000;
    let (sim, source) = scripted_since(LEDGER - 10, FaultPlan::none());
    let closed_at = Utc::now();
    let other = |number: u32| {
        let mut trade = trade(LEDGER + 1 + number / 100, (number % 100).into(), closed_at);
        trade["counter_asset_code"] = format!("A{number}").into();
        trade
    };
    source.push_trades((0..MARKETS).map(other)).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = connect(&database).await;
        reached("all books are stored", async || {
            number(&client, "SELECT count(*) FROM orderbook_stats").await == i64::from(MARKETS)
        })
        .await;
        let batches = number(&client, "SELECT count(*) FROM ingest_batches WHERE kind = 'books'").await;
        assert!(batches * 8 < i64::from(MARKETS), "{batches}");
        let flow = daemon.admin("/flow.json").json();
        let asked = flow["edges"].as_array().unwrap().iter().find(|edge| {
            edge["from"] == "orderbook_poller" && edge["to"] == "aggregator" && edge["type"] == "RankMarkets"
        });
        let asked = asked.unwrap()["count"].as_u64().unwrap();
        println!("{MARKETS} books in {batches} batches, {asked} questions for the ranking");
        assert!(asked < u64::from(MARKETS / 32), "{asked}");
    });
}
