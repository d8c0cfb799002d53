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
    bench::{Bench, Sorted, Times, pause},
    freshness::{LEDGER_PERIOD, LEDGER_TRADES, SETTLING, UNLIMITED},
    live::{Emitted, Live, place_of},
    reader::{Connection, exchange, get},
    readers::{self, Seen},
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

/// Readers of one market, which changes with each ledger.
const OF_MARKET: usize = 1_900;
/// Readers of all markets.
const OF_ALL: usize = 100;
const READERS: usize = OF_MARKET + OF_ALL;
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
    let rows = measure(&daemon, &market, &network.emitted, span);
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    rows
}

/// Measures without the readers, then with them: alone, beside requests that are due, and beside files.
fn measure(daemon: &Daemon, market: &str, emitted: &Emitted, span: Duration) -> Vec<Row> {
    let files_alone = files_a_second(daemon.public, span);
    let without = Costs::measure(daemon);
    let followers = Followers::start(daemon.public, market, emitted);
    let followed = Instant::now();
    let with = Costs::measure(daemon);
    let due = Instant::now();
    let seen = readers::crowd(daemon.public, span);
    let files = Instant::now();
    let files_beside = files_a_second(daemon.public, span);
    let ages = followers.stop([followed, due, files]);
    let mut rows = Vec::new();
    let cases = ["", ", 460 other requests a second", ", files read without a pause"];
    for (ages, case) in ages.iter().zip(cases) {
        let what = format!("trade emitted to event at {READERS} readers of the stream{case}:");
        rows.push(Row::new(format!("{what} p50"), ages.at(500), Unit::Seconds));
        rows.push(Row::new(format!("{what} p99"), ages.at(990), Unit::Seconds).goal(1.5));
    }
    rows.push(in_time(&seen, span));
    rows.push(
        Row::new("GET /markets.json, gzip, without a pause, beside them", files_beside, Unit::PerSecond)
            .baseline("without them", files_alone)
            .goal_ratio(0.9),
    );
    rows.extend(costs(&without, &with));
    rows
}

/// Row of the requests of [`readers::crowd`] that were answered in time.
fn in_time(seen: &Seen, span: Duration) -> Row {
    let per_second = |requests: usize| requests as f64 / span.as_secs_f64();
    let what = "the requests of `readers` beside them: good answers in time";
    Row::new(what, per_second(seen.in_time), Unit::PerSecond)
        .baseline("due", per_second(readers::requests_due(span)))
        .goal_ratio(0.9)
}

/// Rows of what the readers cost. This process runs the clients and the simulated Horizon.
fn costs(without: &Costs, with: &Costs) -> [Row; 3] {
    let reader_bytes = (with.memory - without.memory) / READERS as f64;
    [
        Row::new("CPU a second with them: the daemon", with.daemon_s, Unit::Seconds)
            .baseline("without them", without.daemon_s),
        Row::new("CPU a second with them: the clients", with.bench_s - without.bench_s, Unit::Seconds),
        Row::new("memory of a reader of the stream in the daemon", reader_bytes, Unit::Bytes).goal(20e3),
    ]
}

/// Costs while nothing but the stream is read.
struct Costs {
    /// CPU of the daemon a second, in seconds.
    daemon_s: f64,
    /// CPU of this process a second, in seconds.
    bench_s: f64,
    /// Median of the daemon's resident memory, in bytes.
    memory: f64,
}

impl Costs {
    fn measure(daemon: &Daemon) -> Self {
        let cpu = || [daemon.pid(), std::process::id()].map(|pid| Times::of(pid).unwrap().own_s);
        let (begun, [daemon_before, bench_before]) = (Instant::now(), cpu());
        let memory = start::steady(daemon.pid()).at(500);
        let (seconds, [daemon_after, bench_after]) = (begun.elapsed().as_secs_f64(), cpu());
        Self {
            daemon_s: (daemon_after - daemon_before) / seconds,
            bench_s: (bench_after - bench_before) / seconds,
            memory,
        }
    }
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
        while connected.load(Ordering::Relaxed) < READERS {
            assert!(begun.elapsed() < CONNECTED_MAX, "{connected:?} readers have connected");
            pause(Duration::from_millis(50));
        }
        complete.get_or_init(Instant::now);
        Self { stop, thread }
    }

    /// Returns the seconds from the emission of each mark to its event, by the phase in which the mark was emitted. A
    /// phase ends when the next one begins.
    fn stop<const PHASES: usize>(self, begins: [Instant; PHASES]) -> [Sorted; PHASES] {
        self.stop.store(true, Ordering::Relaxed);
        let mut ages = self.thread.join().unwrap();
        let mut phases = [const { Vec::new() }; PHASES];
        for (begin, phase) in begins.iter().zip(&mut phases).rev() {
            phase.extend(ages.extract_if(.., |(emitted, _)| *emitted >= *begin).map(|(_, seconds)| seconds));
        }
        phases.map(Sorted::new)
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
        let readers: Vec<_> = (0..READERS)
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
