//! Readers who use the limits of the market API.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use chrono::Utc;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use tokio_postgres::Client;

use super::exchange::{ASKED_MAX, status_of};
use crate::{hostile::counter, support::daemon::Daemon};

/// Documents of all markets or assets. They are of a pinned view, apart from the ages of the books.
const WHOLE: [&str; 13] = [
    "/v1/markets.json",
    "/api/v1/assets",
    "/api/v1/coinmarketcap/summary",
    "/api/v1/coinmarketcap/ticker",
    "/api/v1/coinmarketcap/dex",
    "/api/v1/coingecko/pairs",
    "/api/v1/coingecko/tickers",
    "/api/v1/contract/coingecko/tickers",
    "/api/v1/board/names",
    "/api/v1/board/figures",
    "/api/v1/board/sparks",
    "/api/v1/books",
    "/api/v1/symbols",
];
/// Readers of whole documents and of lists, half of each.
pub(super) const DOCUMENT_READERS: usize = 8;
/// Lists with other parameters: more than the daemon caches for a view.
const LISTS: usize = 600;
/// Readers of the stream that read nothing.
const STREAM_READERS: usize = 300;
/// One in this many of them reconnects for the events that it missed. Each has seen a different batch, so the daemon
/// cannot send one reader the events that it read for another.
const RETURNING: usize = 10;
/// Time for which these readers read nothing. The daemon closes the connections of such readers after 20 s.
const STILL_FOR: Duration = Duration::from_secs(25);
const ROUNDS_MAX: usize = 1_000;
/// Batches of an earlier run.
const BATCHES: usize = 2_000;

/// Answers to readers of documents and lists.
#[derive(Default)]
pub(super) struct MarketCounts {
    pub(super) answered: AtomicUsize,
    pub(super) busy: AtomicUsize,
    pub(super) cut: AtomicUsize,
}

/// Adds batches from before the trades of a wide database, for readers that come back. The daemon must not run yet.
pub(super) async fn add_batches(client: &Client) {
    let batches = format!(
        "INSERT INTO ingest_batches (seq, kind, trades, committed_at)
             SELECT seq, 'backfill', 0, now() - interval '50 minutes' FROM generate_series(2, {BATCHES}) seq;
         UPDATE ingest_lease SET seq = {BATCHES}"
    );
    client.batch_execute(&batches).await.unwrap();
}

/// Asks for documents or lists, one after the other, until the test ends.
pub(super) fn read_documents(
    address: SocketAddr,
    reader: usize,
    is_over: &AtomicBool,
    counts: &MarketCounts,
) {
    for number in (0..ASKED_MAX).take_while(|_| !is_over.load(Ordering::SeqCst)) {
        let turn = number * DOCUMENT_READERS + reader;
        let path = if reader.is_multiple_of(2) {
            WHOLE[(number + reader) % WHOLE.len()].to_owned()
        } else {
            format!("/api/v1/markets?limit={}", 1_000 - turn % LISTS)
        };
        let coding = if number % 2 == 0 { "" } else { "Accept-Encoding: gzip\r\n" };
        let question = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{coding}\r\n");
        let count = match status_of(address, &question, false) {
            Ok(200) => &counts.answered,
            Ok(503) => &counts.busy,
            Ok(other) => panic!("{other} for {path}"),
            Err(_) => &counts.cut,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Opens readers of the stream that read nothing, again and again until the test ends. Returns the largest number of
/// readers that the daemon had.
pub(super) fn hold_streams(daemon: &Daemon, is_over: &AtomicBool) -> u64 {
    let (mut readers_max, mut seq) = (0_u64, BATCHES - 1);
    for _ in (0..ROUNDS_MAX).take_while(|_| !is_over.load(Ordering::SeqCst)) {
        let seen_at = Utc::now().timestamp() - 1_800;
        let held: Vec<_> = (0..STREAM_READERS)
            .filter_map(|reader| {
                if reader % RETURNING != 0 {
                    return open_stream(daemon.public, "").ok();
                }
                seq = if seq > 2 { seq - 1 } else { BATCHES - 1 };
                open_stream(daemon.public, &format!("Last-Event-ID: {seq}.{seen_at}\r\n")).ok()
            })
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < STILL_FOR && !is_over.load(Ordering::SeqCst) {
            readers_max = readers_max.max(counter(daemon, "ticker_live_readers"));
            std::thread::park_timeout(Duration::from_millis(500));
        }
        drop(held);
    }
    readers_max
}

fn open_stream(address: SocketAddr, seen: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    setsockopt(&stream, RcvBuf, &65_536).unwrap();
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n{seen}\r\n")?;
    Ok(stream)
}
