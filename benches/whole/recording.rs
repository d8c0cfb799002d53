//! Cost of the recorded messages: CPU at 200 trades a second with recording off, on, and on with readers and a
//! collector.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stellar_ticker::{actors::trace::recorder::Recorder, clock::SystemClock};

use super::{
    bench::{Bench, Sorted, Store, Times, pause},
    freshness::{LEDGER_PERIOD, LEDGER_TRADES, SETTLING, UNLIMITED},
    idle::Sender,
    live::Live,
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

const TRADES: u64 = 100_000;
/// Rounds. Each measures all cases, so that a machine that grows slower changes all of them.
const ROUNDS: usize = 3;
/// Time after which an open page loads itself again.
const RELOAD: Duration = Duration::from_secs(1);
/// CPU a second that recording may cost, and that it may cost with readers and a collector.
const RECORDING_MAX_S: f64 = 0.01;
const WATCHED_MAX_S: f64 = 0.03;
/// Time that recording may add to a message.
const MESSAGE_MAX_S: f64 = 1e-6;
/// Messages of a round, and rounds, for that time.
const MESSAGES: u64 = 20_000;
const MESSAGE_ROUNDS: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Off,
    Recorded,
    Watched,
}

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let span = bench.sized(Duration::from_secs(20), Duration::from_secs(120));
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (case, costs) in [Case::Off, Case::Recorded, Case::Watched].into_iter().zip(&mut costs) {
            let store = bench.block_on(start::filled(bench, TRADES));
            costs.push(measure(bench, &store, case, span));
            bench.block_on(store.close());
        }
    }
    let [off, recorded, watched] = costs.map(|costs| Sorted::new(costs).at(500));
    let what = "CPU a second at 200 trades a second, messages recorded:";
    vec![
        Row::new(format!("{what} at most 1 % of a core more"), recorded, Unit::Seconds)
            .baseline("not recorded", off)
            .goal(off + RECORDING_MAX_S),
        Row::new(
            format!("{what} with two pages open and a collector, at most 3 % of a core more"),
            watched,
            Unit::Seconds,
        )
        .baseline("not recorded", off)
        .goal(off + WATCHED_MAX_S),
        Row::new("what recording adds to a message and its answer", message_s(bench), Unit::Seconds)
            .goal(MESSAGE_MAX_S),
    ]
}

/// Returns the seconds that recording adds to a message and its answer.
fn message_s(bench: &Bench) -> f64 {
    let clock = SystemClock::shared();
    let recorders = [Recorder::off(Arc::clone(&clock)), Recorder::on(clock)];
    let mut seconds = [const { Vec::new() }; 2];
    bench.block_on(async {
        let senders = recorders.map(Sender::start);
        // In turns, so that other work on the machine slows down both.
        for _ in 0..MESSAGE_ROUNDS {
            for (sender, seconds) in senders.iter().zip(&mut seconds) {
                seconds.push(sender.send(MESSAGES).await.as_secs_f64() / MESSAGES as f64);
            }
        }
    });
    let [off, on] = seconds.map(|seconds| Sorted::new(seconds).at(500));
    on - off
}

/// Returns the CPU time of the daemon in a second.
fn measure(bench: &Bench, store: &Store, case: Case, span: Duration) -> f64 {
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.address);
    let (variables, recording) = match case {
        Case::Off => (vec![], "off"),
        Case::Recorded => (vec![], "on"),
        Case::Watched => (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())], "on"),
    };
    let arguments = [UNLIMITED.as_slice(), &["--trace-messages", recording]].concat();
    let network = Live::after(TRADES, false);
    let daemon = Daemon::with(&store.url, &network.url(), &arguments, &variables);
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    let pages =
        ["/actors", "/trace"].map(|page| (case == Case::Watched).then(|| Page::open(daemon.admin, page)));
    pause(SETTLING);
    watch::until_seen(daemon.public, &network.emitted);
    let cpu = || Times::of(daemon.pid()).unwrap().own_s;
    let (begun, before) = (Instant::now(), cpu());
    pause(span);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), cpu());
    watch::until_seen(daemon.public, &network.emitted); // it did not stand still
    assert_eq!(collector.requests.load(Ordering::Relaxed) > 0, case == Case::Watched, "spans were sent");
    assert!(pages.iter().flatten().all(|page| page.loads.load(Ordering::Relaxed) > 0), "pages were loaded");
    drop(pages);
    (after - before) / seconds
}

/// An open page: it reads the stream of records, and loads itself again each second.
struct Page {
    is_closed: Arc<AtomicBool>,
    loads: Arc<AtomicUsize>,
}

impl Page {
    fn open(admin: SocketAddr, path: &'static str) -> Self {
        let page = Self { is_closed: Arc::default(), loads: Arc::default() };
        let (is_closed, loads) = (Arc::clone(&page.is_closed), Arc::clone(&page.loads));
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(admin).unwrap();
            stream.write_all(b"GET /trace/stream HTTP/1.1\r\nhost: bench\r\n\r\n").unwrap();
            // Ends with the daemon.
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        });
        std::thread::spawn(move || {
            while !is_closed.load(Ordering::Relaxed) {
                loads.fetch_add(usize::from(start::get(admin, path).is_some()), Ordering::Relaxed);
                pause(RELOAD);
            }
        });
        page
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

/// Collector of OpenTelemetry that accepts everything. Its threads end with the bench.
struct Collector {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let requests = Arc::clone(&collector.requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&requests);
                std::thread::spawn(move || accept(&stream, &requests));
            }
        });
        collector
    }
}

/// Answers the requests of a connection, until it ends.
fn accept(stream: &TcpStream, requests: &AtomicUsize) -> Option<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = rest.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        requests.fetch_add(1, Ordering::Relaxed);
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
