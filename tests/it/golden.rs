//! The old ticker's answers to a small input that lies in the project: `tests/golden`, where each figure is derived.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use stellar_ticker::{
    domain::instant::HOUR,
    sim::{FixedSource, SimConfig, SimServer, TomlReply},
};

use crate::support::{
    DEADLINE,
    daemon::{Answer, Daemon},
    network::{block_on, horizon},
    postgres::fresh_database,
    scripted::address,
};

const PASSPHRASE: &str = "Golden Network";
const HORIZON: &str = include_str!("../golden/horizon.json");
const MARKETS: &str = include_str!("../golden/markets.json");
const ASSETS: &str = include_str!("../golden/assets.json");
const GRAPHQL: &str = include_str!("../golden/graphql.json");

/// A ledger a second, so that ages and ledgers agree.
const NEWEST_LEDGER: u32 = 60_000_000;
const OLDEST_LEDGER: u32 = 59_000_000;

/// Horizon's members of one side of a trade or of a book.
fn side(name: &str, asset: &str) -> Vec<(String, Value)> {
    let Some((code, issuer)) = asset.split_once(':') else {
        return vec![(format!("{name}_asset_type"), json!("native"))];
    };
    vec![
        (format!("{name}_asset_type"), json!("credit_alphanum4")),
        (format!("{name}_asset_code"), json!(code)),
        (format!("{name}_asset_issuer"), json!(issuer)),
    ]
}

fn trade(input: &Value, start: DateTime<Utc>) -> Value {
    let text = |key: &str| input[key].as_str().unwrap();
    let age = input["age_s"].as_i64().unwrap();
    let token = format!("{}-{}", ((i64::from(NEWEST_LEDGER) - age) << 32) + 4_097, input["order"]);
    let mut record = json!({
        "_links": {"self": {"href": ""}}, "id": token, "paging_token": token,
        "ledger_close_time": printed(start - TimeDelta::seconds(age)),
        "trade_type": "orderbook", "base_is_seller": true,
        "base_offer_id": "1", "base_account": address(3), "base_amount": text("base_amount"),
        "counter_offer_id": "2", "counter_account": address(4), "counter_amount": text("counter_amount"),
        "price": {"n": input["price"][0].to_string(), "d": input["price"][1].to_string()}
    });
    for (key, value) in side("base", text("base")).into_iter().chain(side("counter", text("counter"))) {
        record[key] = value;
    }
    record
}

fn asset(input: &Value) -> Value {
    let (code, issuer) = (input["code"].as_str().unwrap(), input["issuer"].as_str().unwrap());
    json!({
        "_links": {"toml": {"href": input["link"]}},
        "asset_type": "credit_alphanum4", "asset_code": code, "asset_issuer": issuer,
        "paging_token": format!("{code}_{issuer}_credit_alphanum4"),
        "accounts": {"authorized": input["accounts"]}, "balances": {"authorized": input["balances"]},
        "flags": {"auth_required": input["auth_required"], "auth_revocable": input["auth_revocable"]}
    })
}

fn levels(side: &Value) -> Value {
    let level = |level: &Value| {
        let price = level[0].as_f64().unwrap() / level[1].as_f64().unwrap();
        json!({
            "price_r": {"n": level[0], "d": level[1]}, "price": format!("{price:.7}"), "amount": level[2]
        })
    };
    side.as_array().unwrap().iter().map(level).collect()
}

/// The simulated Horizon with the golden input, whose newest ledger closed at `start`.
fn golden_horizon(start: DateTime<Utc>) -> SimServer {
    let input: Value = serde_json::from_str(HORIZON).unwrap();
    let source = FixedSource::new(OLDEST_LEDGER, NEWEST_LEDGER, start);
    let list = |key: &str| input[key].as_array().unwrap().clone();
    source.push_trades(list("trades").iter().map(|input| trade(input, start))).unwrap();
    for input in list("assets") {
        source.put_asset(asset(&input)).unwrap();
    }
    for (domain, file) in input["files"].as_object().unwrap() {
        let lines: Vec<&str> =
            file["lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        let status = u16::try_from(file["status"].as_u64().unwrap()).unwrap();
        source.put_toml(domain, TomlReply { status, body: lines.join("\n").into_bytes() });
    }
    for book in list("books") {
        let sides = json!({"bids": levels(&book["bids"]), "asks": levels(&book["asks"])});
        source.put_book(book["selling"].as_str().unwrap(), book["buying"].as_str().unwrap(), sides);
    }
    horizon(SimConfig {
        network_passphrase: PASSPHRASE.into(),
        fixed: Some(source),
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    })
}

fn printed(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Fills the times in: those of the trades by the start, the others by the answer's own publication.
fn filled(expected: &str, start: DateTime<Utc>, as_of: DateTime<Utc>) -> String {
    let mut parts = expected.split('@');
    let mut text = parts.next().unwrap().to_owned();
    while let (Some(place), Some(rest)) = (parts.next(), parts.next()) {
        let number = place.split(' ').next().unwrap();
        let time = match place.split_once(' ') {
            None if place == "generated_at" => (as_of.timestamp() * 1_000).to_string(),
            None if place == "as_of" => printed(as_of),
            Some((_, "s before the start")) => printed(start - TimeDelta::seconds(number.parse().unwrap())),
            Some((_, "h before the publication")) => {
                printed(as_of - TimeDelta::seconds(HOUR * number.parse::<i64>().unwrap()))
            }
            Some(("a", "time")) => place.to_owned(),
            _ => panic!("no such place: {place}"),
        };
        text = text + &time + rest;
    }
    text
}

/// The body with a fixed text in place of each `last_valid`, once that was seen to be a time since the start.
fn without_last_valid(body: &str, start: DateTime<Utc>) -> String {
    const KEY: &str = "\"last_valid\": \"";
    let mut parts = body.split(KEY);
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (time, rest) = part.split_once('"').unwrap();
        let last_valid: DateTime<Utc> = time.parse().unwrap();
        assert!(time.ends_with('Z') && last_valid >= start && last_valid <= Utc::now(), "{time}");
        text = text + KEY + "a time\"" + rest;
    }
    text
}

fn as_of(answer: &Answer) -> DateTime<Utc> {
    answer.header("x-ticker-as-of").unwrap().parse().unwrap()
}

/// Repeats the request until the answer is as expected: assets, files and books are read in turn.
async fn assert_answer(path: &str, start: DateTime<Utc>, daemon: &Daemon, expected: &str) {
    let begun = std::time::Instant::now();
    loop {
        let answer = daemon.get(path);
        if answer.status == 200 {
            let body = without_last_valid(str::from_utf8(&answer.body).unwrap(), start);
            let expected = filled(expected, start, as_of(&answer));
            if body == expected {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{path} is\n{body}\nand must be\n{expected}");
        }
        assert!(begun.elapsed() < DEADLINE, "{path} answers {}", answer.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn assert_graphql(start: DateTime<Utc>, daemon: &Daemon) {
    let cases: Vec<Value> = serde_json::from_str(GRAPHQL).unwrap();
    for case in cases {
        let query = case["query"].as_str().unwrap();
        let body = json!({"query": query}).to_string();
        let answer = daemon.post("/graphql", "Content-Type: application/json\r\n", body.as_bytes());
        assert_eq!(answer.status, 200, "{query}");
        let served = answer.json();
        if let Some(error) = case["error"].as_str() {
            assert_eq!(served["errors"][0]["message"], error, "{query}");
            continue;
        }
        let expected = filled(&case["data"].to_string(), start, as_of(&answer));
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(served.get("errors"), None, "{query}");
        assert_eq!(as_doubles(&served["data"]), as_doubles(&expected), "{query}");
    }
}

/// All numbers as doubles: `5` and `5.0` are the same number in JSON.
fn as_doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(list) => list.iter().map(as_doubles).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), as_doubles(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[test]
fn files_and_graphql_answers_are_those_that_the_old_tickers_rules_give() {
    let start = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let sim = golden_horizon(start);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        assert_answer("/markets.json", start, &daemon, MARKETS).await;
        assert_answer("/assets.json", start, &daemon, ASSETS).await;
        assert_graphql(start, &daemon);
    });
}

#[test]
fn the_places_for_times_are_filled_in() {
    let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
    let as_of = start + TimeDelta::seconds(9);
    let text = "@generated_at@ @as_of@ @60 s before the start@ @1 h before the publication@ @a time@.";
    let right = "1000009000 1970-01-12T13:46:49Z 1970-01-12T13:45:40Z 1970-01-12T12:46:49Z a time.";
    assert_eq!(filled(text, start, as_of), right);
}
