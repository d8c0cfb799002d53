//! Two thousand readers of the live stream, while 200 trades per second are ingested and files are read.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    bench::{Bench, Sorted, pause},
    freshness::{LEDGER_PERIOD, LEDGER_TRADES, SETTLING, UNLIMITED},
    live::{Emitted, Live, place_of},
    reader::{Connection, exchange, get},
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

/// Readers of one market, which changes with each ledger.
const OF_MARKET: usize = 1_900;
/// Readers of all markets.
const OF_ALL: usize = 100;
/// Connections that read the file without a pause.
const FILE_READERS: usize = 4;
/// Longest wait until all readers have connected.
const CONNECTED_MAX: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let span = bench.sized(Duration::from_secs(20), Duration::from_secs(60));
    let store = bench.block_on(start::filled(bench, trades));
    // Their keeper would write for minutes, and the disk would be measured.
    bench.block_on(start::derive_candles(&store));
    let network = Live::after(trades, false);
    let market = network.mark_market();
    // All readers come from one address.
    let unlimited = [UNLIMITED.as_slice(), &["--connections-per-address", "0"]].concat();
    let daemon = Daemon::on(&store.url, &network.url(), &unlimited);
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    pause(SETTLING);
    watch::until_seen(daemon.public, &network.emitted);
    let alone = files_a_second(daemon.public, span);
    let followers = Followers::start(daemon.public, &market, &network.emitted);
    pause(span);
    let files_begun = Instant::now();
    let beside = files_a_second(daemon.public, span);
    let ages = followers.stop(files_begun);
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    let readers = OF_MARKET + OF_ALL;
    let mut rows = Vec::new();
    for (ages, when) in ages.into_iter().zip(["", ", files read without a pause"]) {
        let what = format!("trade emitted to event at {readers} readers of the stream{when}:");
        rows.push(Row::new(format!("{what} p50"), ages.at(500), Unit::Seconds));
        rows.push(Row::new(format!("{what} p99"), ages.at(990), Unit::Seconds).goal(1.5));
    }
    rows.push(
        Row::new("GET /markets.json, gzip, beside them", beside, Unit::PerSecond)
            .baseline("without them", alone)
            .goal_ratio(0.9),
    );
    rows
}

/// Reads the file on some connections without a pause. Returns the answers per second.
fn files_a_second(address: SocketAddr, span: Duration) -> f64 {
    let begun = Instant::now();
    let readers: Vec<_> = (0..FILE_READERS)
        .map(|_| {
            std::thread::spawn(move || {
                let (mut connection, mut answers) = (Connection::open(address), 0_u32);
                while begun.elapsed() < span {
                    assert_eq!(exchange(&mut connection, &get("/markets.json")).status, 200);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let answers: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    f64::from(answers) / begun.elapsed().as_secs_f64()
}

/// Time of emission of a mark, and the seconds until its event.
type Age = (Instant, f64);

/// Readers of the stream, on a thread of their own.
struct Followers {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Age>>,
}

impl Followers {
    /// Connects all readers, and waits until each has its first event.
    fn start(address: SocketAddr, market: &str, emitted: &Emitted) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicUsize::new(0));
        let complete = Arc::new(OnceLock::new());
        let (market, emitted) = (market.to_owned(), Emitted::clone(emitted));
        let follower = Follower {
            address,
            market,
            emitted,
            stop: Arc::clone(&stop),
            connected: Arc::clone(&connected),
            complete: Arc::clone(&complete),
        };
        let thread = std::thread::spawn(move || follow(&Arc::new(follower)));
        let begun = Instant::now();
        while connected.load(Ordering::Relaxed) < OF_MARKET + OF_ALL {
            assert!(begun.elapsed() < CONNECTED_MAX, "{connected:?} readers have connected");
            pause(Duration::from_millis(50));
        }
        complete.get_or_init(Instant::now);
        Self { stop, thread }
    }

    /// Returns the seconds from the emission of each mark to its event, of marks before this time and of the others.
    fn stop(self, time: Instant) -> [Sorted; 2] {
        self.stop.store(true, Ordering::Relaxed);
        let (before, after): (Vec<Age>, Vec<Age>) =
            self.thread.join().unwrap().into_iter().partition(|(emitted, _)| *emitted < time);
        [before, after].map(|ages| Sorted::new(ages.into_iter().map(|(_, seconds)| seconds).collect()))
    }
}

/// State that all readers share.
struct Follower {
    address: SocketAddr,
    market: String,
    emitted: Emitted,
    stop: Arc<AtomicBool>,
    connected: Arc<AtomicUsize>,
    /// Time at which all were connected.
    complete: Arc<OnceLock<Instant>>,
}

fn follow(follower: &Arc<Follower>) -> Vec<Age> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let readers: Vec<_> = (0..OF_MARKET + OF_ALL)
            .map(|number| {
                let filter =
                    if number < OF_MARKET { format!("?markets={}", follower.market) } else { String::new() };
                let follower = Arc::clone(follower);
                tokio::spawn(async move { follower.read(&filter).await })
            })
            .collect();
        let mut ages = Vec::new();
        for reader in readers {
            ages.extend(reader.await.unwrap());
        }
        ages
    })
}

impl Follower {
    /// Reads events until all stop. Returns the ages of the marks.
    async fn read(&self, filter: &str) -> Vec<Age> {
        let mut socket = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        let request = format!("GET /api/v1/stream{filter} HTTP/1.1\r\nHost: bench\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let (mut line, mut ages, mut is_connected) = (String::new(), Vec::new(), false);
        socket.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{filter}: {line}");
        while !self.stop.load(Ordering::Relaxed) {
            line.clear();
            assert!(socket.read_line(&mut line).await.unwrap() > 0, "the stream ended");
            assert!(!line.starts_with("event: dropped"), "a reader was too slow");
            if line.starts_with("event: hello") {
                is_connected = true;
                self.connected.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(place) = self.mark(&line).filter(|_| is_connected) {
                let emitted = self.emitted.lock().unwrap().get(place).copied();
                // Marks of the time before are news only to this reader, or came while others connected.
                let complete = self.complete.get();
                let counted = emitted.filter(|at| complete.is_some_and(|complete| at > complete));
                ages.extend(counted.map(|at| (at, at.elapsed().as_secs_f64())));
            }
        }
        ages
    }

    /// Number of the mark in an event of a trade.
    fn mark(&self, line: &str) -> Option<usize> {
        // A line that is cut by the end of a chunk is left out.
        let rest = line.strip_prefix("data: ").filter(|rest| rest.ends_with("}\n"))?;
        (rest.contains("\"paging_token\"") && rest.contains(&self.market)).then_some(())?;
        let (_, price) = rest.split_once("\"price\":\"")?;
        let price: f64 = price.split('"').next()?.parse().ok()?;
        // The mark is a price far from 1, in one direction or the other.
        place_of(if price > 1.0 { price.recip() } else { price })
    }
}
