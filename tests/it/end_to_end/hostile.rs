//! Records that are no trades, trades that cannot be, and how long a trade takes to be seen.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stellar_ticker::sim::{FixedSource, TomlReply};

use super::*;

pub(crate) const LEDGER: u32 = 60_000_000;
/// Trades whose way to the reader is measured.
const TRADES: u32 = 200;

pub(crate) fn address(byte: u8) -> String {
    stellar_strkey::ed25519::PublicKey([byte; 32]).to_string().as_str().to_owned()
}

pub(crate) fn scripted() -> (SimServer, FixedSource) {
    scripted_since(LEDGER - 10, FaultPlan::none())
}

/// The same with a history that begins there, and with faults.
pub(crate) fn scripted_since(elder: u32, faults: FaultPlan) -> (SimServer, FixedSource) {
    let source = FixedSource::new(elder, LEDGER, Utc::now());
    source.put_asset(tea("tea.example", "1000.0000000")).unwrap();
    source.put_toml("tea.example", TomlReply { status: 200, body: b"VERSION = \"2\"".to_vec() });
    let config = SimConfig {
        network_passphrase: PASSPHRASE.into(),
        stream_poll: Duration::from_millis(20),
        fixed: Some(source.clone()),
        faults,
        ..SimConfig::default()
    };
    (horizon(config), source)
}

/// The asset of the scripted trades.
pub(crate) fn tea(domain: &str, supply: &str) -> Value {
    json!({
        "_links": {"toml": {"href": format!("https://{domain}/.well-known/stellar.toml")}},
        "asset_type": "credit_alphanum4", "asset_code": "TEA", "asset_issuer": address(9),
        "paging_token": format!("TEA_{}_credit_alphanum4", address(9)),
        "accounts": {"authorized": 500}, "balances": {"authorized": supply},
        "flags": {"auth_required": false, "auth_revocable": false}
    })
}

pub(crate) fn trade(ledger: u32, order: i64, closed_at: DateTime<Utc>) -> Value {
    let token = format!("{}-{order}", (i64::from(ledger) << 32) + 4_097);
    json!({
        "_links": {"self": {"href": ""}}, "id": token, "paging_token": token,
        "ledger_close_time": closed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "trade_type": "orderbook", "base_offer_id": "1", "base_account": address(1), "base_amount": "3.0000000",
        "base_asset_type": "native", "counter_offer_id": "2", "counter_account": address(2),
        "counter_amount": "6.0000000", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
        "counter_asset_issuer": address(9), "base_is_seller": true, "price": {"n": "2", "d": "1"}
    })
}

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
        assert!(metrics().contains("ticker_trades_passed_over_total"), "{}", metrics());
        let pages = || {
            let read = metrics();
            let told = r#"ticker_horizon_requests_total{kind="trades",outcome="ok"} "#;
            read.lines().find_map(|line| line.strip_prefix(told)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let before = pages();
        // A look at the tail takes three pages at most here.
        wait_until("the tail was read again and again", || pages() >= before + 10);
        let told = daemon.log().matches("record quarantined").count();
        assert_eq!(told, 5, "each is told once");
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
fn a_trade_is_seen_by_readers_soon_after_it_was_emitted() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        // 20 trades a second, and beside that a reader who looks all the time.
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
