//! Records that are not trades, impossible trades, and the delay of a trade.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use stellar_ticker::sim::FixedSource;

use super::*;
use crate::support::scripted::{LEDGER, address, scripted, trade};

/// Trades whose delay is measured.
const TRADES: u32 = 200;

#[test]
fn what_cannot_be_stored_goes_to_quarantine_and_the_stream_goes_on() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let now = Utc::now();
        source.push_trade(trade(LEDGER - 5, 0, now - TimeDelta::days(30))).unwrap();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let with = |ledger, field: &str, value: Value| {
            let mut record = trade(ledger, 0, now);
            record[field] = value;
            record
        };
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, now)).unwrap();
        source.push_trade(with(LEDGER + 2, "base_amount", json!("-5.0"))).unwrap();
        source.push_trade(with(LEDGER + 3, "counter_asset_code", json!("NUL\u{0}L"))).unwrap();
        source.push_trade(with(LEDGER + 4, "price", json!({"n": "1", "d": "99999999999999999999"}))).unwrap();
        source.push_trade(trade(LEDGER + 5, 0, now + TimeDelta::days(2))).unwrap();
        source.push_trade(trade(LEDGER + 6, 0, now - TimeDelta::days(30))).unwrap();
        source.push_trade(with(LEDGER + 7, "price", json!({"n": "0", "d": "0"}))).unwrap();
        source.push_trade(trade(LEDGER + 8, 0, now)).unwrap();
        wait_for_trades(&client, 3).await;
        wait_until("it is published", || {
            let answer = daemon.get("/markets.json");
            answer.status == 200 && answer.json()["pairs"][0]["trade_count"] == 3
        });
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 5);
        let with_nul = "SELECT count(*) FROM quarantine WHERE position('\\x5c7530303030'::bytea in raw) > 0";
        assert_eq!(number(&client, with_nul).await, 1, "the raw bytes are kept");
        let shown = daemon.admin("/quarantine.json").json();
        assert_eq!(shown["quarantine"].as_array().unwrap().len(), 5);
        let metrics = || String::from_utf8(daemon.admin("/metrics").body).unwrap();
        assert!(!metrics().contains("ticker_trades_passed_over_total 0\n"), "{}", metrics());
        let pages = || {
            let read = metrics();
            let prefix = r#"ticker_horizon_requests_total{kind="trades",outcome="ok"} "#;
            read.lines().find_map(|line| line.strip_prefix(prefix)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let before = pages();
        // One check of the tail takes three pages at most here.
        wait_until("the tail was read again and again", || pages() >= before + 10);
        let logged = daemon.log().matches("record quarantined").count();
        assert_eq!(logged, 5, "each is logged once");
        assert!(metrics().contains("ticker_quarantined_total 5\n"), "and counted once");
        compare_published(&daemon, &client).await;
        let cursor: String = client
            .query_one("SELECT token FROM ingest_cursor WHERE name = 'live'", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(cursor, format!("{}-0", (i64::from(LEDGER + 8) << 32) + 4_097));
    });
}

#[test]
fn trades_of_a_network_whose_clock_is_ahead_are_listed_and_have_no_negative_age() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        let ahead = Utc::now() + TimeDelta::seconds(100);
        for ledger in 1..4 {
            source.push_trade(trade(LEDGER + ledger, 0, ahead)).unwrap();
        }
        let market = format!("/api/v1/markets/TEA-{}_XLM", address(9));
        let is_listed = |path: &str, list: &str| {
            let answer = daemon.get(path);
            answer.status == 200 && answer.json()[list].as_array().is_some_and(|trades| !trades.is_empty())
        };
        wait_until("the trades are listed", || is_listed(&format!("{market}/trades"), "trades"));
        let ticker = market.rsplit('/').next().unwrap();
        let of_gecko = format!("/api/v1/coingecko/historical_trades?ticker_id={ticker}&type=");
        wait_until("CoinGecko's too", || {
            is_listed(&format!("{of_gecko}buy"), "buy") || is_listed(&format!("{of_gecko}sell"), "sell")
        });
        assert_eq!(daemon.get(&market).json()["last_trade"]["age_s"], 0);
    });
}

#[test]
fn every_emitted_trade_reaches_readers() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        // 20 trades a second, and a reader that polls all the time.
        let emitter = std::thread::spawn(move || {
            (2..TRADES + 2).map(|ledger| emit(&source, ledger)).collect::<Vec<Instant>>()
        });
        let mut seen = Vec::new();
        wait_until("all trades are published", || {
            let count = daemon.get("/markets.json").json()["pairs"][0]["trade_count"].as_u64().unwrap();
            seen.resize(usize::try_from(count - 1).unwrap(), Instant::now());
            seen.len() == usize::try_from(TRADES).unwrap()
        });
        let emitted = emitter.join().unwrap();
        let mut waits: Vec<Duration> =
            seen.iter().zip(&emitted).map(|(seen, emitted)| *seen - *emitted).collect();
        waits.sort();
        let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
        println!("emitted to visible at 20 trades a second: p50 {p50:?}, p99 {p99:?} of {}", waits.len());
    });
}

#[expect(clippy::disallowed_methods, reason = "a thread of the test, which only emits")]
fn emit(source: &FixedSource, step: u32) -> Instant {
    std::thread::sleep(Duration::from_millis(50));
    let emitted = Instant::now();
    source.push_trade(trade(LEDGER + step, 0, Utc::now())).unwrap();
    emitted
}
