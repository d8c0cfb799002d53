//! One ledger of 5,000 trades, from the wire to committed and published.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use stellar_ticker::db::trades::LIVE_CURSOR;

use super::{
    bench::{Bench, Sorted, Store, pause},
    freshness::{SETTLING, UNLIMITED},
    live::{Live, take_stream},
    reader::{Connection, exchange, get, get_if_changed},
    report::{Row, Unit},
    start::{self, Daemon},
};

const TRADES: u64 = 5_000;
/// Pause between two checks.
const POLL: Duration = Duration::from_millis(5);
/// Pause between two ledgers, which is not in step with publications.
const REST: Duration = Duration::from_millis(3_370);
/// Longest wait for a ledger.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let rounds = bench.sized(9, 25);
    let mut rows = Vec::new();
    for (interval, name) in [("1s", "the default interval"), ("100ms", "--publish-interval 100ms")] {
        // For ten minutes no trade of the week leaves the windows, so the sum of all counts shows which trades are in.
        let store = bench.block_on(start::filled(bench, trades));
        let mut network = Live::after(trades, false);
        let (taken, connections) = baseline(&mut network, rounds);
        network.forget();
        let arguments =
            [UNLIMITED.as_slice(), &["--publish-interval", interval, "--backfill-hours", "0"]].concat();
        let daemon = Daemon::on(&store.url, &network.url(), &arguments);
        bench.block_on(daemon.first_publication());
        // The first ledger is not measured, because it also pays for first uses of statements and streams.
        network.emit(TRADES);
        pause(SETTLING);
        let (committed, visible) = bench.block_on(measure(&daemon, &store, &mut network, rounds));
        drop(daemon);
        bench.block_on(store.close());
        let what = format!("a ledger of {TRADES} trades, {name}:");
        let taken = taken.at(500);
        rows.push(Row::new(
            format!("{what} Horizon's own {connections} connections, to a client that does nothing else"),
            taken,
            Unit::Seconds,
        ));
        rows.push(Row::new(
            format!("{what} beyond that, to committed"),
            committed.at(500) - taken,
            Unit::Seconds,
        ));
        rows.push(
            Row::new(
                format!("{what} beyond that, to visible at /markets.json"),
                visible.at(500) - taken,
                Unit::Seconds,
            )
            .goal(0.5),
        );
        rows.push(Row::new(
            format!("{what} the worst of {rounds}"),
            visible.at(1_000) - taken,
            Unit::Seconds,
        ));
    }
    rows
}

/// Measures the stream alone. Returns the times in seconds, and the number of connections.
fn baseline(network: &mut Live, rounds: usize) -> (Sorted, usize) {
    let mut connections = 0;
    let seconds = (0..rounds).map(|_| {
        let (url, after) = (network.url(), network.last);
        let reader = std::thread::spawn(move || (take_stream(&url, after, TRADES as usize), Instant::now()));
        pause(Duration::from_millis(100)); // So that it waits for the ledger, as the daemon does.
        let begun = network.emit(TRADES);
        let (taken, ended) = reader.join().unwrap();
        connections = taken;
        ended.saturating_duration_since(begun).as_secs_f64()
    });
    let ages = Sorted::new(seconds.collect());
    (ages, connections)
}

/// Returns the times until each ledger was committed, and until all of it was published, in seconds.
async fn measure(daemon: &Daemon, store: &Store, network: &mut Live, rounds: usize) -> (Sorted, Sorted) {
    let (mut committed, mut visible) = (Vec::new(), Vec::new());
    let mut counter = Counter::new(daemon);
    let mut held = counter.settled();
    for _ in 0..rounds {
        tokio::time::sleep(REST).await;
        let (begun, last) = (network.emit(TRADES), network.last);
        let counting = std::thread::spawn(move || {
            let at = counter.until(held + TRADES, begun);
            (counter, at)
        });
        let in_database = async {
            while store.database.cursor(LIVE_CURSOR).await.unwrap().is_none_or(|at| at < last) {
                assert!(begun.elapsed() < DEADLINE, "a ledger is not committed");
                tokio::time::sleep(POLL).await;
            }
        };
        in_database.await;
        committed.push(begun.elapsed().as_secs_f64());
        let at;
        (counter, at) = counting.join().unwrap();
        visible.push(at);
        held += TRADES;
    }
    (Sorted::new(committed), Sorted::new(visible))
}

/// Counts the trades of all markets in the published file.
struct Counter {
    connection: Connection,
    etag: String,
}

impl Counter {
    fn new(daemon: &Daemon) -> Self {
        Self { connection: Connection::open(daemon.public), etag: String::new() }
    }

    /// Returns the current count.
    fn settled(&mut self) -> u64 {
        let answer = exchange(&mut self.connection, &get("/markets.json"));
        count(&answer.body)
    }

    /// Waits until this number of trades is counted. Returns the time since `begun` in seconds.
    fn until(&mut self, trades: u64, begun: Instant) -> f64 {
        loop {
            let answer = exchange(&mut self.connection, &get_if_changed("/markets.json", &self.etag));
            let seconds = begun.elapsed().as_secs_f64();
            if answer.status == 200 {
                self.etag = answer.etag;
                let counted = count(&answer.body);
                assert!(counted <= trades, "no trade is counted twice");
                if counted == trades {
                    return seconds;
                }
            }
            assert!(begun.elapsed() < DEADLINE, "a ledger is not counted");
            pause(POLL);
        }
    }
}

fn count(gzip: &[u8]) -> u64 {
    let mut text = String::new();
    MultiGzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    let counts = text.split("\"trade_count_7d\": ").skip(1);
    counts.map(|rest| rest.split(',').next().unwrap().trim().parse::<u64>().unwrap()).sum()
}
