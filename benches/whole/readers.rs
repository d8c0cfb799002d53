//! A thousand clients of all kinds at once, while 200 trades per second are ingested.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    bench::{Bench, Sorted, pause},
    freshness::{LEDGER_PERIOD, LEDGER_TRADES, SETTLING, UNLIMITED},
    http::ROW,
    live::{Going, Live},
    reader::{self, Connection, get, get_if_changed, post},
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

/// Bytes of an answer that are read at once.
const BUFFER_BYTES: usize = 64 * 1024;
const SECOND: Duration = Duration::from_secs(1);
/// Period of requests for megabytes. All clients together read as much as two cores can send beside their other work.
const SELDOM: Duration = Duration::from_secs(10);
/// Least part of the requests with a good answer before the client's next request is due. One commit that waits for the
/// disk may hold up the clients of one second.
const IN_TIME_MIN: f64 = 0.99;

/// Clients that send the same requests.
struct Kind {
    count: u32,
    every: Duration,
    /// Returns the request, from the entity tag of the last answer.
    request: fn(&str) -> Vec<u8>,
}

impl Kind {
    /// Returns the times at which one of the clients asks. The first requests of all are spread evenly.
    fn due(&self, number: u32, begun: Instant, until: Instant) -> impl Iterator<Item = Instant> + use<> {
        let every = self.every;
        let first = begun + every * number / self.count;
        std::iter::successors(Some(first), move |due| Some(*due + every)).take_while(move |due| *due < until)
    }
}

/// A thousand clients with 460 requests per second.
const KINDS: [Kind; 7] = [
    Kind { count: 100, every: SELDOM, request: |_| get("/markets.json") },
    Kind { count: 20, every: SELDOM, request: |_| plain("/markets.json") },
    Kind { count: 300, every: SELDOM, request: |etag| get_if_changed("/markets.json", etag) },
    Kind { count: 80, every: SELDOM, request: |etag| get_if_changed("/assets.json", etag) },
    Kind { count: 100, every: SELDOM, request: |_| whole() },
    Kind {
        count: 300,
        every: SECOND,
        request: |_| post("{ ticker(pairName: \"XLM_T1\") { tradePair open low high close } }"),
    },
    Kind { count: 100, every: SECOND, request: |_| get("/api/v1/status") },
];

fn plain(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

fn whole() -> Vec<u8> {
    post(&format!(
        "{{ markets {{ baseAssetCode baseAssetIssuer counterAssetCode counterAssetIssuer {ROW} }} }}"
    ))
}

/// Returns the answer to the request for all markets.
fn whole_text(address: SocketAddr) -> String {
    let answer = reader::exchange(&mut Connection::open(address), &whole());
    let mut text = String::new();
    MultiGzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let span = bench.sized(Duration::from_secs(20), Duration::from_secs(60));
    let store = bench.block_on(start::filled(bench, trades));
    let network = Live::after(trades, false);
    // All clients have one address here, and more than a thousand connections with those that watch.
    let arguments = [UNLIMITED.as_slice(), &["--connections-per-address", "0"]].concat();
    let daemon = Daemon::on(&store.url, &network.url(), &arguments);
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    pause(SETTLING);
    watch::until_seen(daemon.public, &network.emitted);
    let rows = measure(&daemon, &network, span);
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    rows
}

fn measure(daemon: &Daemon, network: &Going, span: Duration) -> Vec<Row> {
    assert!(!whole_text(daemon.public).contains("\"errors\""), "GraphQL answers without errors");
    let alone = watch::ages(daemon.public, &network.emitted, span);
    let address = daemon.public;
    let crowd = std::thread::spawn(move || crowd(address, span + SETTLING));
    pause(SETTLING); // By then every client has connected.
    let beside = watch::ages(daemon.public, &network.emitted, span);
    let crowd = crowd.join().unwrap();
    let readers: u32 = KINDS.iter().map(|kind| kind.count).sum();
    let per_second = |requests: usize| requests as f64 / (span + SETTLING).as_secs_f64();
    let (in_time, wrong) = (crowd.in_time, crowd.failed.len());
    print_failed(crowd.failed);
    let times = Sorted::new(crowd.seconds);
    let mut rows = vec![
        Row::new(
            format!("{readers} readers, 200 trades a second: good answers in time; {wrong} requests failed"),
            per_second(in_time),
            Unit::PerSecond,
        )
        .baseline("due", per_second(requests_due(span + SETTLING)))
        .goal_ratio(IN_TIME_MIN),
        Row::new("their p50, from the time at which the request was due", times.at(500), Unit::Seconds),
        Row::new("their p99", times.at(990), Unit::Seconds),
    ];
    for ((alone, beside), place) in alone.iter().zip(&beside).zip(["/markets.json", "GraphQL"]) {
        let what = format!("trade emitted to visible at {place} beside them:");
        rows.push(
            Row::new(format!("{what} p50"), beside.at(500), Unit::Seconds)
                .baseline("without them", alone.at(500)),
        );
        rows.push(
            Row::new(format!("{what} p99"), beside.at(990), Unit::Seconds)
                .baseline("without them", alone.at(990))
                .goal_ratio(0.667),
        );
    }
    rows
}

/// Returns the number of requests that all clients send in this time if none waits for an answer.
pub(crate) fn requests_due(span: Duration) -> usize {
    let begun = Instant::now();
    let clients = KINDS.iter().flat_map(|kind| (0..kind.count).map(move |number| (kind, number)));
    clients.map(|(kind, number)| kind.due(number, begun, begun + span).count()).sum::<usize>()
}

/// Results of clients.
#[derive(Default)]
pub(crate) struct Seen {
    /// Seconds from the times at which the successful requests were due to their answers. A client that waits for an
    /// answer sends the next request late, and that wait counts too.
    seconds: Vec<f64>,
    /// Number of successful requests that were answered before the client's next one was due.
    pub(crate) in_time: usize,
    /// Failed requests: the first line of each, and its status or the error of its connection.
    failed: Vec<(String, String)>,
}

/// Prints how many requests of each kind failed, and why.
fn print_failed(failed: Vec<(String, String)>) {
    let mut counts = BTreeMap::<_, usize>::new();
    for one in failed {
        *counts.entry(one).or_default() += 1;
    }
    for ((request, why), count) in counts {
        println!("{count} times {request} failed: {why}");
    }
}

/// Runs all clients on this thread.
pub(crate) fn crowd(address: SocketAddr, span: Duration) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = Instant::now();
        let readers: Vec<_> = KINDS
            .iter()
            .flat_map(|kind| (0..kind.count).map(move |number| (kind, number)))
            .map(|(kind, number)| tokio::spawn(read_on(address, kind, kind.due(number, begun, begun + span))))
            .collect();
        let mut all = Seen::default();
        for reader in readers {
            let seen = reader.await.unwrap();
            all.seconds.extend(seen.seconds);
            all.in_time += seen.in_time;
            all.failed.extend(seen.failed);
        }
        all
    })
}

/// Runs one client, on a connection that stays open until a request fails.
async fn read_on(address: SocketAddr, kind: &'static Kind, times: impl Iterator<Item = Instant>) -> Seen {
    let (mut seen, mut connection, mut etag) = (Seen::default(), None, String::new());
    for due in times {
        tokio::time::sleep_until(due.into()).await;
        let request = (kind.request)(&etag);
        let failed = |why: String| {
            (String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned(), why)
        };
        match exchange(address, &mut connection, &request).await {
            Ok((200 | 304, tag)) => {
                etag = tag;
                let took = due.elapsed();
                seen.seconds.push(took.as_secs_f64());
                seen.in_time += usize::from(took < kind.every);
            }
            Ok((status, _)) => seen.failed.push(failed(status.to_string())),
            Err(error) => {
                seen.failed.push(failed(error.to_string()));
                connection = None;
            }
        }
    }
    seen
}

/// Sends a request and reads the whole answer. Returns the status and the entity tag.
async fn exchange(
    address: SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    request: &[u8],
) -> std::io::Result<(u16, String)> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(BufReader::with_capacity(BUFFER_BYTES, TcpStream::connect(address).await?)),
    };
    connection.write_all(request).await?;
    let (mut line, mut status, mut etag, mut length) = (String::new(), 0, String::new(), 0_usize);
    loop {
        line.clear();
        if connection.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
        } else if let Some((name, value)) = text.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "etag" => value.clone_into(&mut etag),
                "content-length" => length = value.parse().unwrap_or_default(),
                _ => {}
            }
        } else {
            break;
        }
    }
    while length > 0 && status != 304 {
        let taken = connection.fill_buf().await?.len().min(length);
        if taken == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        connection.consume(taken);
        length -= taken;
    }
    Ok((status, etag))
}
