//! The real binary on a simulated Horizon and a real PostgreSQL, from the stream to the reader.

mod assets;
mod audit;
mod begun_anew;
mod budget;
mod close_times;
mod commands;
mod empty_pages;
mod faults;
mod forgetting;
mod graphql;
mod history;
pub(crate) mod hostile;
mod lives;
mod minutes;
mod panics;
mod readiness;
mod requirements;
mod self_audit;
mod slow_machine;
mod start_and_stop;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::Value;
use stellar_ticker::sim::{FaultPlan, SimConfig, SimServer, Simulation};
use tokio_postgres::Client;

use crate::support::{
    DEADLINE,
    daemon::{Daemon, run},
    postgres::fresh_database,
    recomputation, wait_until,
};

pub(crate) const PASSPHRASE: &str = "A network of tests ; November 2026";

/// A simulated network with a ledger of some 20 trades each 0.2 s.
pub(crate) fn network(seed: u64, faults: FaultPlan) -> SimServer {
    let config = SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 0, // filling history has tests of its own
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    };
    horizon(config)
}

pub(crate) fn horizon(config: SimConfig) -> SimServer {
    stellar_ticker::sim::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until so many trades are stored.
pub(crate) async fn wait_for_trades(client: &Client, count: i64) {
    let begun = Instant::now();
    while number(client, "SELECT count(*) FROM trades").await < count {
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {count} trades");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a pair is published: its assets were looked up and their files read.
pub(crate) fn wait_for_pairs(daemon: &Daemon) {
    wait_until("pairs are published", || {
        let answer = daemon.get("/markets.json");
        answer.status == 200 && !answer.json()["pairs"].as_array().unwrap().is_empty()
    });
}

/// Waits until the daemon has looked up every asset and read every file, so that it writes to none of them for hours.
pub(crate) async fn wait_until_no_asset_is_due(client: &Client) {
    let due = "SELECT (SELECT count(*) FROM asset_sweep WHERE finished_at IS NULL)
                    + (SELECT count(*) FROM assets WHERE checked_at IS NULL)
                    + (SELECT count(*) FROM assets a LEFT JOIN toml_files f ON f.url = a.toml_url
                       WHERE a.meets_rules AND a.toml_url <> ''
                       AND (f.url IS NULL OR f.is_good AND a.toml_applied_at IS NULL))";
    let begun = Instant::now();
    while number(client, due).await > 0 {
        assert!(begun.elapsed() < DEADLINE, "assets are due for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until everything that Horizon has is held whole.
pub(crate) fn wait_until_whole(daemon: &Daemon) {
    wait_until("history is held whole", || daemon.status()["backfill"]["done_ratio"] == 1.0);
}

/// Compares a publication with a recomputation from the rows of its `seq`, while trades go on coming in: tried until
/// nothing was committed between the two. Gives the number of pairs.
pub(crate) async fn compare_published(daemon: &Daemon, client: &Client) -> usize {
    daemon.wait_for_publication();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < DEADLINE, "the daemon never stood still");
        let before = daemon.status();
        let markets = daemon.get("/markets.json").json();
        let after = daemon.status();
        let same = ["seq", "as_of"].iter().all(|name| before[name] == after[name]);
        if same && before["as_of"] == markets["generated_at_rfc3339"] {
            let seq = before["seq"].as_i64();
            if let Some(pairs) = recomputation::compare_at(client, &markets, seq).await {
                return pairs;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ledgers that are held whole, once they are one range without a gap.
pub(crate) async fn held_whole(client: &Client) -> (i64, i64) {
    let begun = Instant::now();
    loop {
        let rows = client.query("SELECT from_ledger, to_ledger FROM coverage ORDER BY 1", &[]).await.unwrap();
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for (from, to) in rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))) {
            match ranges.last_mut() {
                Some(last) if from <= last.1 + 1 => last.1 = to.max(last.1),
                _ => ranges.push((from, to)),
            }
        }
        if let [range] = ranges.as_slice() {
            return *range;
        }
        assert!(begun.elapsed() < DEADLINE, "gaps stay: {ranges:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every trade of the ledgers that count as whole is stored, once, with the figures that were emitted.
pub(crate) async fn compare_with_what_was_emitted(client: &Client, oracle: &Simulation) -> usize {
    let (from, to) = held_whole(client).await;
    let rows = client
        .query(
            "SELECT t.toid, t.trade_order, t.base_amount, t.counter_amount, t.price_n, t.price_d, t.base_is_seller,
                    b.code, b.issuer, t.liquidity_pool_id
             FROM trades t JOIN assets b ON b.id = t.base_asset_id
             WHERE t.toid >> 32 BETWEEN $1 AND $2 ORDER BY t.toid, t.trade_order",
            &[&from, &to],
        )
        .await
        .unwrap();
    let emitted = oracle.trades(u32::try_from(from).unwrap()..=u32::try_from(to).unwrap());
    let stored: Vec<(i64, i64)> =
        rows.iter().map(|row| (row.get(0), i64::from(row.get::<_, i32>(1)))).collect();
    let expected: Vec<(i64, i64)> = emitted.iter().map(|trade| (trade.id.toid, trade.id.order)).collect();
    assert_eq!(stored, expected, "the same trades, each once");
    for (row, trade) in rows.iter().zip(&emitted) {
        let (code, issuer): (String, String) = (row.get(7), row.get(8));
        let base = if issuer == "native" { "native".to_owned() } else { format!("{code}:{issuer}") };
        let as_emitted = trade.base.asset == base;
        let (side, other) =
            if as_emitted { (&trade.base, &trade.counter) } else { (&trade.counter, &trade.base) };
        let (n, d) = if as_emitted { (trade.price_n, trade.price_d) } else { (trade.price_d, trade.price_n) };
        assert_eq!(side.asset, base);
        assert_eq!((row.get::<_, i64>(2), row.get::<_, i64>(3)), (side.amount, other.amount));
        assert_eq!((row.get::<_, i64>(4), row.get::<_, i64>(5)), (n, d));
        assert_eq!(row.get::<_, bool>(6), trade.base_is_seller == as_emitted);
        assert_eq!(row.get::<_, Option<String>>(9), side.pool.clone().or_else(|| other.pool.clone()));
    }
    stored.len()
}

#[test]
fn every_figure_equals_a_recomputation_and_every_trade_is_stored_as_it_was_emitted() {
    let sim = network(1, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 500).await;
        daemon.wait_for_publication();
        let pairs = compare_published(&daemon, &client).await;
        let trades = compare_with_what_was_emitted(&client, sim.oracle()).await;
        println!("{pairs} pairs and {trades} trades compared");
        assert!(pairs > 10 && trades > 300);
    });
}

#[test]
fn files_hold_what_http_gives_and_their_twins_the_same() {
    let sim = network(2, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("the file is there", || daemon.output("markets.json").exists());
        assert!(daemon.terminate().success());
        let raw = std::fs::read(daemon.output("markets.json")).unwrap();
        let file: Value = serde_json::from_slice(&raw).unwrap();
        let client = recomputation::connect(&database).await;
        // The last publication was made in the drain, of everything that was committed.
        recomputation::compare(&client, &file).await;
        let mut unzipped = Vec::new();
        let gzip = std::fs::read(daemon.output("markets.json.gz")).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut unzipped).unwrap();
        let mut unbrotlied = Vec::new();
        let br = std::fs::read(daemon.output("markets.json.br")).unwrap();
        std::io::Read::read_to_end(&mut brotli::Decompressor::new(&br[..], 4_096), &mut unbrotlied).unwrap();
        assert!(unzipped == raw && unbrotlied == raw);
        let names: Vec<_> =
            std::fs::read_dir(daemon.output("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 6, "nothing else is left behind: {names:?}");
    });
}

#[test]
fn the_listeners_answer_as_promised() {
    let sim = network(3, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let first = daemon.get("/markets.json").json();
        assert!(
            !first["pairs"].as_array().unwrap().is_empty(),
            "nothing is published before assets are known"
        );
        let plain = daemon.get("/");
        assert_eq!((plain.status, plain.header("vary")), (200, Some("Accept, Accept-Encoding")));
        assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
        for (coding, header) in [("gzip", Some("gzip")), ("br", Some("br")), ("identity", None)] {
            let answer = daemon.get_with("GET", "/markets.json", &format!("Accept-Encoding: {coding}\r\n"));
            assert_eq!((answer.status, answer.header("content-encoding")), (200, header));
        }
        let head = daemon.get_with("HEAD", "/markets.json", "");
        assert!(head.status == 200 && head.body.is_empty() && head.header("content-length").unwrap() != "0");
        wait_until("a publication outlives two requests", || {
            let tag = daemon.get("/markets.json").header("etag").unwrap().to_owned();
            daemon.get_with("GET", "/markets.json", &format!("If-None-Match: {tag}\r\n")).status == 304
        });
        let refused = daemon.get_with("POST", "/markets.json", "Content-Length: 0\r\n");
        assert_eq!((refused.status, refused.header("content-type")), (405, Some("application/problem+json")));
        assert_eq!(daemon.get("/no/such/path").status, 404);
        assert_eq!(daemon.get_with("OPTIONS", "/", "").status, 204);
        assert_eq!(daemon.get("/livez").status, 200);
        wait_until("all checks are well", || daemon.get("/readyz").json()["status"] == "ok");
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        assert!(
            metrics.contains("# HELP ticker_trades_ingested_total")
                && metrics.contains("ticker_publications_total")
        );
        let actors = daemon.admin("/actors.json").json();
        let names: Vec<_> = actors["actors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|actor| actor["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "lease_keeper",
                "stream_ingester",
                "backfiller",
                "asset_poller",
                "toml_checker",
                "orderbook_poller",
                "cleaner",
                "auditor",
                "aggregator",
                "json_writer"
            ]
        );
        assert!(daemon.admin("/quarantine.json").json()["quarantine"].is_array());
    });
}

#[test]
fn one_shot_commands_work_on_the_same_database() {
    let sim = network(4, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        assert_eq!(
            run(&["migrate", "--database-url", &database]).0,
            0,
            "a second time there is nothing to do"
        );
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        wait_for_pairs(&daemon);
        let bind = daemon.public.to_string();
        assert_eq!(run(&["healthcheck", "--bind", &bind]).0, 0);
        assert!(daemon.terminate().success());
        assert_eq!(run(&["healthcheck", "--bind", &bind]).0, 1);
        let file = daemon.directory.path().join("once.json");
        let file = file.to_str().unwrap();
        let generate =
            ["generate", "market-data", "-o", file, "--database-url", &database, "--network", PASSPHRASE];
        let (code, _, log) = run(&generate);
        assert_eq!(code, 0, "{log}");
        let markets: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(recomputation::compare(&client, &markets).await > 0);
    });
}
