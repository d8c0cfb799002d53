//! A Horizon that stops at any point and sends anything.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix_rt::System;
use chrono::Utc;
use serde_json::{Value, json};
use stellar_ticker::{
    domain::cursor::PagingToken,
    horizon::{HorizonClient, client::HorizonSettings, rate_limiter::RateLimiter, stream::StreamItem},
    sim::{Endpoint, Fault, ManualTime, SimClock, SimConfig},
};

use super::*;
use crate::support::{
    network::horizon,
    postgres::fresh_database,
    recomputation::connect,
    scripted::{LEDGER, scripted, trade},
};

/// Bytes of the stream: its greeting and one event and a half.
const OFFSETS: usize = 1_500;
const THREADS: usize = 8;

/// The trades of a stream until it ends in any way.
async fn tokens(client: &HorizonClient, from: PagingToken) -> Vec<PagingToken> {
    let mut tokens = Vec::new();
    let Ok(mut stream) = client.stream_trades(from).await else { return tokens };
    loop {
        match stream.next().await {
            Ok(StreamItem::Trade(received)) => tokens.push(received.trade.token),
            Ok(StreamItem::Invalid(refused)) => panic!("half an event is none: {refused:?}"),
            Ok(StreamItem::Open) => {}
            Ok(StreamItem::End) | Err(_) => return tokens,
        }
    }
}

/// Each thread has a network of its own. All are alike, and their clocks stand still.
fn cut_everywhere(next: &AtomicUsize, time: &ManualTime) -> usize {
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig {
        seed: 161,
        network_passphrase: PASSPHRASE.into(),
        history_hours: 1,
        clock: SimClock::Manual(time.clone()),
        faults: plan.clone(),
        ..SimConfig::default()
    });
    let newest = sim.oracle().head().latest;
    let from = PagingToken::before_ledger(newest);
    let expected: Vec<i64> = sim.oracle().trades(newest..=newest).iter().map(|trade| trade.id.toid).collect();
    System::new().block_on(async {
        let settings =
            HorizonSettings { url: sim.url(), ca_file: None, stream_idle_timeout: Duration::from_secs(20) };
        let client = HorizonClient::new(settings, RateLimiter::new(0)).unwrap();
        let mut cut = 0;
        loop {
            let offset = next.fetch_add(1, Ordering::SeqCst);
            if offset >= OFFSETS {
                return cut;
            }
            plan.push(Endpoint::Stream, Fault::Cut { after_bytes: offset });
            let came = tokens(&client, from).await;
            let rest = came.last().copied().unwrap_or(from);
            plan.push(Endpoint::Stream, Fault::ByeByeEarly { after_records: expected.len() - came.len() });
            let then = tokens(&client, rest).await;
            let all: Vec<i64> = came.iter().chain(&then).map(|token| token.toid).collect();
            assert_eq!(all, expected, "cut after {offset} bytes, {} whole events", came.len());
            cut += 1;
        }
    })
}

#[test]
#[ignore = "some 30 s: ./ticker matrix"]
fn a_stream_that_is_cut_at_every_byte_of_an_event_loses_and_doubles_nothing() {
    let next = Arc::new(AtomicUsize::new(0));
    let time = ManualTime::new(Utc::now());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (next, time) = (Arc::clone(&next), time.clone());
            std::thread::spawn(move || cut_everywhere(&next, &time))
        })
        .collect();
    let cut: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(cut, OFFSETS);
    figure!(
        "a stream that is cut at any byte of an event loses nothing",
        "{cut} offsets, none lost, none doubled"
    );
}

/// Every string of a record, by its path.
fn strings(record: &Value, path: &str, found: &mut Vec<String>) {
    match record {
        Value::String(_) => found.push(path.to_owned()),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| strings(value, &format!("{path}/{name}"), found));
        }
        _ => {}
    }
}

/// Changes that spoil a good record.
type Spoil = Box<dyn Fn(&mut Value)>;

/// Records that no Horizon should send, each in a ledger of its own.
fn hostile_records() -> Vec<Value> {
    let now = Utc::now();
    let mut paths = Vec::new();
    strings(&trade(LEDGER, 0, now), "", &mut paths);
    let mut spoiled: Vec<Spoil> = Vec::new();
    for path in paths.into_iter().filter(|path| path != "/paging_token") {
        for text in ["\u{0}", "a\u{0}b", "\u{1}\u{8}\u{1b}[31m\u{7f}\u{85}", "\u{202e}\u{200b}\u{feff}", ""] {
            let path = path.clone();
            spoiled.push(Box::new(move |record| *record.pointer_mut(&path).unwrap() = json!(text)));
        }
    }
    for (field, value) in [
        ("base_amount", json!("922337203685.4775807")),
        ("counter_amount", json!("922337203685.4775807")),
        ("base_amount", json!("922337203685.4775808")),
        ("base_amount", json!("99999999999999999999999999999999.9999999")),
        ("base_amount", json!("-922337203685.4775808")),
        ("base_amount", json!("0.0000000")),
        ("base_amount", json!(1.5)),
        ("base_amount", json!("1e400")),
        ("price", json!({"n": "9223372036854775807", "d": "1"})),
        ("price", json!({"n": "1", "d": "9223372036854775807"})),
        ("price", json!({"n": "9223372036854775808", "d": "1"})),
        ("price", json!({"n": "-9223372036854775808", "d": "-1"})),
        ("trade_type", json!("a type of tomorrow")),
        ("base_asset_type", json!("credit_alphanum64")),
        ("counter_asset_type", json!("liquidity_pool_shares")),
        ("a_field_of_tomorrow", json!({"nested": [1, null, "\u{0}", {"deep": {}}]})),
        ("ledger_close_time", json!("+262143-12-31T23:59:59Z")),
        ("base_is_seller", json!("true")),
    ] {
        spoiled.push(Box::new(move |record| record[field] = value.clone()));
    }
    spoiled.push(Box::new(|record| {
        record["base_amount"] = json!("922337203685.4775807");
        record["counter_amount"] = json!("922337203685.4775807");
        record["price"] = json!({"n": "9223372036854775807", "d": "9223372036854775807"});
    }));
    let spoil = |(place, spoil): (usize, &Spoil)| {
        let mut record = trade(LEDGER + 2 + u32::try_from(place).unwrap(), 0, now);
        spoil(&mut record);
        record
    };
    spoiled.iter().enumerate().map(spoil).collect()
}

#[test]
fn whatever_a_record_holds_it_is_stored_or_quarantined_and_the_next_one_counts() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = connect(&database).await;
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        let records = hostile_records();
        let count = i64::try_from(records.len()).unwrap();
        for record in records {
            source.push_trade(record).unwrap();
        }
        let last = LEDGER + 2 + u32::try_from(count).unwrap();
        source.push_trade(trade(last, 0, Utc::now())).unwrap();
        let arrived = format!("SELECT count(*) FROM trades WHERE toid >> 32 = {last}");
        let begun = Instant::now();
        while number(&client, &arrived).await == 0 {
            assert!(begun.elapsed() < DEADLINE, "the stream does not go on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = begun.elapsed();
        let stored = number(&client, "SELECT count(*) FROM trades").await - 2;
        // From the stream or from pages, whichever came first.
        let quarantined = "SELECT count(DISTINCT token) FROM quarantine";
        let quarantined = number(&client, quarantined).await;
        let passed = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let passed = passed.lines().find_map(|line| line.strip_prefix("ticker_trades_passed_over_total "));
        let passed: i64 = passed.map_or(0, |text| text.parse().unwrap());
        assert_eq!(
            stored + quarantined + passed,
            count,
            "each is accounted for: {stored} {quarantined} {passed}"
        );
        assert!(daemon.is_running());
        assert_eq!(daemon.get("/livez").status, 200);
        wait_until("it is published, largest amounts and all", || {
            let answer = daemon.get("/markets.json");
            answer.status == 200 && !answer.json()["pairs"].as_array().unwrap().is_empty()
        });
        assert!(
            daemon.log().lines().all(|line| !line.chars().any(|c| c.is_control())),
            "no raw control in the log"
        );
        figure!(
            "records with NUL, control and bidi characters in every string, amounts at the int64 limit, unknown fields and values are stored or quarantined",
            "{count} records in {}: {stored} stored, {quarantined} quarantined, {passed} skipped",
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 20 s: ./ticker matrix"]
fn gzip_that_stops_in_the_middle_bytes_that_drip_and_silence_lose_nothing() {
    let plan = FaultPlan::none();
    for _ in 0..3 {
        for endpoint in
            [Endpoint::Root, Endpoint::Trades, Endpoint::Assets, Endpoint::Ledgers, Endpoint::OrderBook]
        {
            plan.push(endpoint, Fault::TruncatedGzip);
            plan.push(endpoint, Fault::SlowDrip { bytes: 4_000, pause: Duration::from_millis(20) });
        }
        plan.push(Endpoint::Stream, Fault::Cut { after_bytes: 30_000 });
        plan.push(Endpoint::Stream, Fault::Stall { after_bytes: 0 });
        plan.push(Endpoint::Stream, Fault::Stall { after_bytes: 7_000 });
    }
    // The last one: this stream drips until it ends by its time.
    plan.push(Endpoint::Stream, Fault::SlowDrip { bytes: 900, pause: Duration::from_millis(10) });
    let sim = network(162, plan.clone());
    block_on(async {
        let database = fresh_database().await;
        let idle = ["--stream-idle-timeout", "1s"];
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &idle);
        let client = connect(&database).await;
        for endpoint in [Endpoint::Stream, Endpoint::Trades, Endpoint::Assets] {
            wait_until("the faults have struck", || plan.pending(endpoint) == 0);
        }
        let took = fresh_again(&sim, &database).await;
        assert!(daemon.is_running());
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "truncated gzip, slow bytes and silence lose nothing",
            "fresh after {}; {trades} trades",
            seconds(took)
        );
    });
}
