//! Ten thousand requests for order books, while 200 trades per second are ingested.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    bench::{Bench, pause},
    freshness::{LEDGER_PERIOD, LEDGER_TRADES, UNLIMITED},
    live::Live,
    reader::{Connection, exchange, get},
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

/// Requests of all readers. They are spread evenly over the time of a measurement.
const REQUESTS: u32 = 10_000;
/// Connections of the readers.
const CONNECTIONS: u32 = 64;
/// Busiest markets, whose books are requested in turns.
const MARKETS: usize = 100;
/// One pass over all books at the start, and none while something is measured.
const ONE_PASS: [&str; 2] = ["--orderbooks-schedule", "0 0 0 1 1 *"];
/// Longest wait until all books are stored.
const STORED_MAX: Duration = Duration::from_secs(900);
/// Pause between two looks at the poller.
const LOOK: Duration = Duration::from_secs(1);
/// Time that the readers may add to the age at which a trade is visible, in seconds.
const ADDED_MAX_S: f64 = 0.1;
/// Requests to Horizon that readers may cause in an hour with the default settings: a tenth of the budget.
const ASKED_AN_HOUR_MAX: f64 = 360.0;

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let span = bench.sized(Duration::from_secs(60), Duration::from_secs(240));
    let store = bench.block_on(start::filled(bench, trades));
    let network = Live::after(trades, true);
    let url = network.url();
    let daemon = Daemon::on(&store.url, &url, &[UNLIMITED, ONE_PASS].concat());
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    wait_for_books(&daemon);
    let paths = paths(daemon.public);
    watch::until_seen(daemon.public, &network.emitted);
    let alone = watch::ages(daemon.public, &network.emitted, span);
    let (address, read) = (daemon.public, paths.clone());
    let readers = std::thread::spawn(move || read_books(address, &read, span));
    let beside = watch::ages(daemon.public, &network.emitted, span);
    let mut refused = readers.join().unwrap();
    drop(daemon);
    // The same books, with the budget of the default settings.
    let daemon = Daemon::on(&store.url, &url, &ONE_PASS);
    bench.block_on(daemon.first_publication());
    refused += read_books(daemon.public, &paths, span / 2); // uses the requests that were saved up
    let before = asked(&daemon);
    refused += read_books(daemon.public, &paths, span);
    let asked_an_hour = (asked(&daemon) - before) * 3_600.0 / span.as_secs_f64();
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    let mut rows = Vec::new();
    for ((alone, beside), place) in alone.iter().zip(&beside).zip(["/markets.json", "GraphQL"]) {
        let (without, with) = (alone.at(990), beside.at(990));
        let what =
            format!("trade emitted to visible at {place} beside {REQUESTS} requests for order books: p99");
        rows.push(Row::new(what, with, Unit::Seconds).baseline("without them", without));
        let added = format!("time that they add to the p99 at {place}");
        rows.push(Row::new(added, (with - without).max(0.0), Unit::Seconds).goal(ADDED_MAX_S));
    }
    // The first request of the measurement may have been saved up in part.
    let one = 3_600.0 / span.as_secs_f64();
    rows.push(
        Row::new("their requests to Horizon, scaled to an hour", asked_an_hour, Unit::Count)
            .goal(ASKED_AN_HOUR_MAX + one),
    );
    rows.push(Row::new("answers other than 200", refused as f64, Unit::Count).goal(0.0));
    rows
}

/// Waits until the poller has stored the books of all markets.
fn wait_for_books(daemon: &Daemon) {
    let begun = Instant::now();
    loop {
        let actors = start::get(daemon.admin, "/actors.json").unwrap();
        let actors: Value = serde_json::from_slice(&actors).unwrap();
        let mut actors = actors["actors"].as_array().unwrap().iter();
        if actors.any(|actor| actor["name"] == "orderbook_poller" && actor["state"] == "idle") {
            return;
        }
        assert!(begun.elapsed() < STORED_MAX, "the order books are not stored");
        pause(LOOK);
    }
}

/// Paths of the busiest markets' books.
fn paths(address: SocketAddr) -> Vec<String> {
    let body = start::get(address, &format!("/api/v1/markets?limit={MARKETS}&sort=trades")).unwrap();
    let page: Value = serde_json::from_slice(&body).unwrap();
    let ids = page["markets"].as_array().unwrap().iter().map(|market| market["id"].as_str().unwrap());
    let paths: Vec<String> = ids.map(|id| format!("/api/v1/markets/{id}/orderbook")).collect();
    assert_eq!(paths.len(), MARKETS);
    paths
}

/// Requests to Horizon so far for books that readers asked for.
fn asked(daemon: &Daemon) -> f64 {
    let status: Value =
        serde_json::from_slice(&start::get(daemon.public, "/api/v1/status").unwrap()).unwrap();
    status["budget"]["requests"]["asked_books"].as_f64().unwrap()
}

/// Sends all requests within `span`. Returns the number of answers other than 200.
fn read_books(address: SocketAddr, paths: &[String], span: Duration) -> usize {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..CONNECTIONS)
            .map(|first| scope.spawn(move || read_from(address, paths, first, begun, span)))
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    })
}

/// Sends the requests of one connection, each when it is due.
fn read_from(address: SocketAddr, paths: &[String], first: u32, begun: Instant, span: Duration) -> usize {
    let mut connection = Connection::open(address);
    let mut refused = 0;
    for number in (first..REQUESTS).step_by(CONNECTIONS as usize) {
        let due = begun + span * number / REQUESTS;
        pause(due.saturating_duration_since(Instant::now()));
        let answer = exchange(&mut connection, &get(&paths[number as usize % paths.len()]));
        refused += usize::from(answer.status != 200);
    }
    refused
}
