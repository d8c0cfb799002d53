//! The old ticker's own answers: the same Horizon, the same files, the same books, and figures compared one by one.
//!
//! The data lie beside the project. Without them the test prints that it was skipped. Each allowed difference is
//! named with its reason, and any other fails.

mod assets;
mod graphql;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use stellar_ticker::sim::{FixedSource, SimConfig, SimServer, TomlReply};

use crate::support::{daemon::Daemon, fixtures, postgres::fresh_database, recomputation, wait_until};

const PASSPHRASE: &str = "Old Ticker Network";
/// `(toid >> 32) + offset_seconds` of every record.
const NEWEST_LEDGER: u32 = 58_894_800;
/// Doubles that were added in another order differ by so much, relative.
const RELATIVE: f64 = 1e-9;

/// Pairs of the old answer that must not be there, and why.
const GONE: [(&str, &str); 1] = [("XLM_BLANK", "a 404 with an empty body is no good file")];
/// Pairs that the old answer lacks, with the figures that are right, and why.
const NEW: [(&str, &str); 1] = [("XLM_TYPO", "one field of the wrong type costs only that field")];
/// Single figures that the old answer has wrong: pair, key, right value, and why.
const CORRECTED: [(&str, &str, f64, &str); 2] = [
    ("TEA1_TEA", "low", 2_390_438.247_011_952, "a price of 0 sets no price"),
    ("TEA1_TEA", "low_7d", 2_390_438.247_011_952, "a price of 0 sets no price"),
];

fn read(name: &str) -> Option<String> {
    fixtures::read(&PathBuf::from("old-ticker").join(name))
}

fn json_of(name: &str) -> Value {
    serde_json::from_str(&read(name).unwrap()).unwrap()
}

fn records(name: &str) -> Vec<Value> {
    read(name).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The simulated Horizon with everything that the old program was given.
fn horizon(now: DateTime<Utc>) -> SimServer {
    let source = FixedSource::new(58_000_000, NEWEST_LEDGER, now);
    for mut trade in records("trades.ndjson") {
        let age = trade.as_object_mut().unwrap().remove("offset_seconds").unwrap().as_i64().unwrap();
        let closed_at = now - TimeDelta::seconds(age);
        trade["ledger_close_time"] = json!(closed_at.to_rfc3339_opts(SecondsFormat::Secs, true));
        source.push_trade(trade).unwrap();
    }
    for asset in records("assets.ndjson") {
        source.put_asset(asset).unwrap();
    }
    for (pair, book) in json_of("orderbooks.json").as_object().unwrap() {
        let (selling, buying) = pair.split_once('|').unwrap();
        source.put_book(selling, buying, book.clone());
    }
    for (domain, reply) in json_of("toml/responses.json").as_object().unwrap() {
        if reply["unreachable"] != true {
            let body = read(&format!("toml/{domain}.toml")).unwrap().into_bytes();
            let status = u16::try_from(reply["status"].as_u64().unwrap_or(200)).unwrap();
            source.put_toml(domain, TomlReply { status, body });
        }
    }
    let config =
        SimConfig { network_passphrase: PASSPHRASE.into(), fixed: Some(source), ..SimConfig::default() };
    stellar_ticker::sim::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

/// Starts the daemon on the old ticker's data and waits until all of it is published.
async fn filled(sim: &SimServer) -> (Daemon, tokio_postgres::Client) {
    let database = fresh_database().await;
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    let client = recomputation::connect(&database).await;
    let all = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0);
    let is_filled = "SELECT (SELECT finished_at IS NOT NULL FROM asset_sweep)
         AND NOT EXISTS (SELECT 1 FROM assets WHERE checked_at IS NULL)
         AND NOT EXISTS (SELECT 1 FROM assets a LEFT JOIN toml_files f ON f.url = a.toml_url
                         WHERE a.meets_rules AND a.toml_url <> '' AND (f.url IS NULL OR f.is_good AND a.toml_applied_at IS NULL))
         AND (SELECT count(*) FROM orderbook_stats) = (SELECT count(DISTINCT market_id) FROM trades WHERE ledger_close_time > now() - interval '7 days')";
    wait_until("history is whole", || daemon.status()["backfill"]["done_ratio"] == 1.0);
    let begun = std::time::Instant::now();
    while !all(is_filled).await {
        assert!(begun.elapsed() < crate::support::DEADLINE, "assets, files or books stay unread");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let seq: i64 = client.query_one("SELECT seq FROM ingest_lease", &[]).await.unwrap().get(0);
    wait_until("all of it is published", || daemon.status()["seq"].as_i64().unwrap_or(0) >= seq);
    (daemon, client)
}

fn by_name(file: &Value) -> BTreeMap<String, Value> {
    let pairs = file["pairs"].as_array().unwrap();
    pairs.iter().map(|pair| (pair["name"].as_str().unwrap().to_owned(), pair.clone())).collect()
}

/// First or last price of a pair of which several trades share a second.
fn by_paging_token(ties: &Value, pair: &str, key: &str) -> Option<f64> {
    let (section, side) = match key {
        "open" => ("markets.json_24h", "open"),
        "close" | "price" => ("markets.json_24h", "close"),
        "open_7d" => ("markets.json_7d", "open"),
        _ => return None,
    };
    let tie = &ties[section][pair];
    // The last price of a pair is that of 7 days, also where it had no trade in 24 hours.
    let seven = &ties["markets.json_7d"][pair];
    let right = |tie: &Value| tie[format!("{side}_by_paging_token")].as_f64();
    right(tie).or_else(|| if side == "close" { right(seven) } else { None })
}

fn compare(name: &str, old: &Value, new: &Value, ties: &Value, now: i64, faults: &mut Vec<String>) {
    let number = |pair: &Value, key: &str| pair[key].as_f64().unwrap_or_else(|| panic!("{name} {key}"));
    for key in new.as_object().unwrap().keys() {
        let (is, is_exact) = match key.as_str() {
            "name" => continue,
            "close_time" => {
                let closed_at: DateTime<Utc> = new[key].as_str().unwrap().parse().unwrap();
                let age = now - closed_at.timestamp();
                if Some(age) != old["close_offset_seconds"].as_i64() {
                    faults
                        .push(format!("{name} close_time: {age} s old, was {}", old["close_offset_seconds"]));
                }
                continue;
            }
            "change" => (number(new, "close") - number(new, "open"), false),
            "change_7d" => (number(new, "close") - number(new, "open_7d"), false),
            "open" | "open_7d" | "close" | "price" => {
                (by_paging_token(ties, name, key).unwrap_or_else(|| number(old, key)), true)
            }
            "low" | "high" | "low_7d" | "high_7d" | "trade_count" | "trade_count_7d" | "bid_count"
            | "ask_count" => (number(old, key), true),
            _ => (number(old, key), false),
        };
        let corrected = CORRECTED.iter().find(|(pair, corrected, ..)| *pair == name && *corrected == key);
        let is = corrected.map_or(is, |(_, _, right, _)| *right);
        let served = number(new, key);
        // A difference is as exact as what it was taken between.
        let scale = if key.starts_with("change") { number(new, "high_7d") * 1e-6 } else { is };
        let differs = if is_exact { served != is } else { (served - is).abs() > RELATIVE * scale.abs() };
        // 24 hours without a trade show the last price of 7 days: that is compared by `close`.
        let falls_back = new["trade_count"] == 0 && ["open", "low", "high"].contains(&key.as_str());
        if falls_back && served == number(new, "close") {
            continue;
        }
        if differs {
            faults.push(format!("{name} {key}: {served}, was {is}"));
        }
    }
}

#[test]
fn markets_json_is_the_old_tickers_but_for_what_is_named() {
    if !fixtures::are_there() {
        return;
    }
    // Whole seconds, and the answers hold for 15 minutes from here.
    let now = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let sim = horizon(now);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (daemon, client) = filled(&sim).await;
        let markets = daemon.get("/markets.json").json();
        recomputation::compare(&client, &markets).await;
        let (old, new) = (by_name(&json_of("expected-markets.json")), by_name(&markets));
        let ties = json_of("expected-ties.json");
        let mut faults = Vec::new();
        let mut names: BTreeSet<&str> = old.keys().map(String::as_str).collect();
        for (gone, _) in GONE {
            assert!(names.remove(gone), "{gone} was in the old answer");
        }
        names.extend(NEW.iter().map(|(name, _)| *name));
        assert_eq!(new.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
        for (name, pair) in &new {
            if let Some(old) = old.get(name) {
                compare(name, old, pair, &ties, now.timestamp(), &mut faults);
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        let typo = &new["XLM_TYPO"];
        for (key, right) in [
            ("trade_count_7d", 15.0),
            ("base_volume_7d", 29_698.283_322),
            ("counter_volume_7d", 13_065.665_501_9),
            ("open_7d", 2.259_786_476_868_327_6),
            ("low_7d", 2.147_282_790_055_123),
            ("high_7d", 2.415_847_310_584_152_5),
            ("close", 2.300_561_351_070_014_5),
        ] {
            assert_eq!(typo[key].as_f64().unwrap(), right, "XLM_TYPO {key}");
        }
        println!("{} pairs compared with the old ticker's", new.len());
    });
}
