//! History from a data lake of ledgers of real size, through the whole program, and the time from an object's
//! appearance until its trades are published.
//!
//! The simulated network writes the lake. Its ledgers have payments beside their trades, with signatures and entry
//! changes, so that size and compressibility are those of real ledgers.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use ledger_metadata::{Network, Verification, decompress, read_object};
use serde_json::Value;
use stellar_ticker::sim::{self, SimConfig, SimServer, lake::LakeLayout};

use super::{
    bench::{Bench, Sorted, Store, Times, pause, resident},
    freshness::UNLIMITED,
    horizon::PASSPHRASE,
    report::{Row, Unit},
    start::{Daemon, get},
};

/// Trades per ledger, 20 a second, as on the public network.
const LEDGER_TRADES: f64 = 100.0;
const LEDGER_SECONDS: f64 = 5.0;
/// Payments per ledger, for 0.6 MB of metadata.
const PAYMENTS: u32 = 500;
const MARKETS: usize = 2_000;
/// Threads of the baselines, as many as the program decodes with.
const THREADS: usize = 2;
/// Ledgers of seven days on the public network.
const WEEK_LEDGERS: f64 = 104_300.0;
/// Ledgers of 24 hours.
const DAY_LEDGERS: f64 = 14_900.0;
/// Newest ledgers of a lake for 24 hours of its own network.
const NEWEST_LEDGERS: u32 = 17_280;
/// Ledgers whose trades are counted at once. Those of a week would take gigabytes.
const COUNTED_LEDGERS: u32 = 1_000;
/// Variable with the hours of history, instead of 3, or of 24 with `--full`: 139 for 100,000 ledgers.
const HOURS: &str = "BENCH_LAKE_HOURS";
/// Longest wait for the history of the lake.
const DEADLINE: Duration = Duration::from_secs(3_600);
/// Pause between two looks at the progress.
const POLL: Duration = Duration::from_millis(100);
/// Pause between two looks for a publication.
const WATCH: Duration = Duration::from_millis(10);
/// Time between two new objects. They are not in step with polls and publications.
const LIVE_LEDGER_SECONDS: f64 = 2.37;

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = history(bench);
    for source in LIVE {
        rows.extend(live(bench, &source));
    }
    rows
}

/// Lake in a directory.
struct Written {
    sim: SimServer,
    directory: tempfile::TempDir,
    first: u32,
    last: u32,
    trades: i64,
}

impl Written {
    /// Writes this many hours of history.
    fn hours(hours: u32) -> Self {
        let sim = serve(hours, LEDGER_SECONDS);
        let head = sim.oracle().head();
        let directory = tempfile::tempdir().unwrap();
        sim.lake().write_to(directory.path(), head.elder, head.latest).unwrap();
        let (first, last) = (head.elder, head.latest);
        let upto = |from: u32| last.min(from + COUNTED_LEDGERS - 1);
        let counted = (first..=last).step_by(COUNTED_LEDGERS as usize);
        let trades = counted.map(|from| sim.oracle().trades(from..=upto(from)).len()).sum::<usize>();
        let trades = i64::try_from(trades).unwrap();
        Self { sim, directory, first, last, trades }
    }

    fn url(&self) -> String {
        format!("file://{}", self.directory.path().display())
    }

    fn ledgers(&self) -> f64 {
        f64::from(self.last - self.first + 1)
    }

    fn objects(&self) -> Vec<PathBuf> {
        let path = |ledger| self.directory.path().join(self.sim.lake().key_of(ledger));
        (self.first..=self.last).map(path).collect()
    }
}

fn serve(history_hours: u32, ledger_seconds: f64) -> SimServer {
    let config = SimConfig {
        network_passphrase: PASSPHRASE.to_owned(),
        trades_per_second: LEDGER_TRADES / ledger_seconds,
        history_hours,
        ledger_seconds,
        markets: MARKETS,
        lake_layout: LakeLayout { payments_per_ledger: PAYMENTS, ..LakeLayout::default() },
        workers: 2,
        ..SimConfig::default()
    };
    sim::start(config, ([127, 0, 0, 1], 0).into()).unwrap()
}

/// Does something with all objects on [`THREADS`] threads. Returns the objects per second, and the sum of the results.
fn with_each(objects: &[PathBuf], work: impl Fn(&[u8]) -> usize + Sync) -> (f64, usize) {
    let (next, sum, begun) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(path) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    sum.fetch_add(work(&std::fs::read(path).unwrap()), Ordering::Relaxed);
                }
            });
        }
    });
    (objects.len() as f64 / begun.elapsed().as_secs_f64(), sum.into_inner())
}

fn history(bench: &Bench) -> Vec<Row> {
    let hours = std::env::var(HOURS).ok().map(|hours| hours.parse::<u32>().expect("a number of hours"));
    let lake = Written::hours(hours.unwrap_or(bench.sized(3, 24)));
    let objects = lake.objects();
    let network = Network::of(PASSPHRASE);
    let compressed: u64 = objects.iter().map(|path| path.metadata().unwrap().len()).sum();
    let (decompressed, plain) = with_each(&objects, |bytes| decompress(bytes).unwrap().len());
    let (decoded, trades) = with_each(&objects, |bytes| {
        let ledgers = read_object(bytes, network, Verification::Full).unwrap();
        ledgers.iter().map(|ledger| ledger.as_ref().unwrap().trades.len()).sum()
    });
    assert_eq!(i64::try_from(trades).unwrap(), lake.trades, "decoding finds all trades");
    let from_horizon = peak_from_horizon(bench, &lake);
    let whole = from_lake(bench, &lake);
    let each = |bytes: f64| bytes / lake.ledgers() / 1e6;
    let what = format!(
        "a lake of {} ledgers of {:.2} MB ({:.2} MB compressed), {} trades each",
        lake.ledgers(),
        each(plain as f64),
        each(compressed as f64),
        (lake.trades as f64 / lake.ledgers()).round(),
    );
    let ledgers = lake.ledgers() / whole.seconds;
    let mut rows = vec![
        Row::new(format!("{what}: decompressed, {THREADS} threads"), decompressed, Unit::PerSecond),
        Row::new(format!("{what}: decoded and verified, {THREADS} threads"), decoded, Unit::PerSecond)
            .baseline("decompressed", decompressed),
        Row::new(format!("{what}: through the whole program, to committed"), ledgers, Unit::PerSecond)
            .baseline("decoded and verified", decoded)
            .goal(WEEK_LEDGERS / (25.0 * 60.0))
            .goal_ratio(0.4),
        Row::new("its trades", lake.trades as f64 / whole.seconds, Unit::PerSecond),
        Row::new("its plain megabytes", plain as f64 / 1e6 / whole.seconds, Unit::PerSecond),
        Row::new("start of the program before that", whole.started_s, Unit::Seconds),
        Row::new("CPU of the daemon for a ledger", whole.daemon_s / lake.ledgers(), Unit::Seconds),
        Row::new("CPU of PostgreSQL for a ledger", whole.postgres_s / lake.ledgers(), Unit::Seconds),
        Row::new(
            "24 hours of the public network at this pace, extrapolated",
            DAY_LEDGERS / ledgers,
            Unit::Seconds,
        )
        .goal(4.0 * 60.0),
        Row::new(
            "7 days of the public network at this pace, extrapolated",
            WEEK_LEDGERS / ledgers,
            Unit::Seconds,
        )
        .goal(25.0 * 60.0),
        Row::new("peak memory of the daemon meanwhile", whole.peak, Unit::Bytes)
            .baseline("the same history from Horizon", from_horizon)
            .goal(from_horizon + 100e6),
    ];
    let newest = format!("until the newest {NEWEST_LEDGERS} ledgers, 24 hours of this lake, are held");
    rows.extend(whole.day_s.map(|seconds| Row::new(newest, seconds, Unit::Seconds).goal(4.0 * 60.0)));
    rows
}

/// Figures of a run of the whole program.
struct Whole {
    /// Time from the start of the program until it answers.
    started_s: f64,
    /// Time from then until everything is committed.
    seconds: f64,
    /// Time from then until the newest 24 hours are held; none if the lake has fewer.
    day_s: Option<f64>,
    daemon_s: f64,
    postgres_s: f64,
    peak: f64,
}

fn from_lake(bench: &Bench, lake: &Written) -> Whole {
    let store = bench.block_on(bench.store());
    let before = bench.postgres_cpu_s();
    let url = lake.url();
    let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &url];
    let launched = Instant::now();
    let daemon = Daemon::on(&store.url, &lake.sim.url(), &[&UNLIMITED[..], &source].concat());
    while get(daemon.public, "/livez").is_none() {
        assert!(launched.elapsed() < DEADLINE && Times::of(daemon.pid()).is_some(), "it does not answer");
        pause(WATCH);
    }
    let (started_s, begun) = (launched.elapsed().as_secs_f64(), Instant::now());
    let held = "SELECT EXISTS (SELECT FROM coverage WHERE from_ledger <= $1 AND to_ledger >= $2)";
    let ends = [i64::from(lake.first), i64::from(lake.last)];
    let day =
        (lake.ledgers() >= f64::from(NEWEST_LEDGERS)).then(|| i64::from(lake.last - NEWEST_LEDGERS + 1));
    let day_s = day.map(|first| {
        wait_until(bench, &store, &daemon, held, &[first, i64::from(lake.last)]);
        begun.elapsed().as_secs_f64()
    });
    wait_until(bench, &store, &daemon, held, &ends);
    let seconds = begun.elapsed().as_secs_f64();
    let whole = Whole {
        started_s,
        seconds,
        day_s,
        daemon_s: Times::of(daemon.pid()).unwrap().own_s,
        postgres_s: bench.postgres_cpu_s() - before,
        peak: resident(daemon.pid()).1,
    };
    drop(daemon);
    let stored = "SELECT count(*) = $3 FROM trades WHERE toid >> 32 BETWEEN $1 AND $2";
    let [first, last] = ends;
    let row = bench.block_on(store.client.query_one(stored, &[&first, &last, &lake.trades])).unwrap();
    assert!(row.get::<_, bool>(0), "every trade is stored once");
    bench.block_on(store.close());
    whole
}

/// Peak memory of a daemon that reads the same history from Horizon's pages.
fn peak_from_horizon(bench: &Bench, lake: &Written) -> f64 {
    let store = bench.block_on(bench.store());
    let daemon = Daemon::on(&store.url, &lake.sim.url(), &UNLIMITED);
    // The oldest ledgers leave the simulated history meanwhile.
    let held = "SELECT coalesce(sum(trades), 0)::bigint > $1 FROM ingest_batches";
    wait_until(bench, &store, &daemon, held, &[lake.trades * 9 / 10]);
    // The peak of a lake is taken with all ledgers held, so this one is too.
    let begun = Instant::now();
    while daemon.metric("ticker_backfill_done_ratio") < 1.0 {
        assert!(begun.elapsed() < DEADLINE && Times::of(daemon.pid()).is_some(), "the history is not held");
        pause(POLL);
    }
    let (_, peak) = resident(daemon.pid());
    drop(daemon);
    bench.block_on(store.close());
    peak
}

fn wait_until(bench: &Bench, store: &Store, daemon: &Daemon, sql: &str, values: &[i64]) {
    let begun = Instant::now();
    let values: Vec<_> =
        values.iter().map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
    while !bench.block_on(store.client.query_one(sql, &values)).unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < DEADLINE && Times::of(daemon.pid()).is_some(), "{sql}");
        pause(POLL);
    }
}

/// Source of new ledgers, and the text of its rows.
struct LiveSource {
    /// Value of `--live-from`.
    kind: &'static str,
    /// Path at the simulated network; none for a directory.
    path: Option<&'static str>,
    what: &'static str,
}

const LIVE: [LiveSource; 3] = [
    LiveSource {
        kind: "lake",
        path: None,
        what: "new object of a lake in a directory until its trades are published:",
    },
    LiveSource {
        kind: "lake",
        path: Some("/lake"),
        what: "ledger closed until its trades are published, from a lake over HTTP:",
    },
    LiveSource {
        kind: "rpc",
        path: Some("/rpc"),
        what: "ledger closed until its trades are published, from RPC:",
    },
];

/// New ledgers appear, and the daemon publishes them. Over HTTP a ledger appears when it closes.
fn live(bench: &Bench, source: &LiveSource) -> Vec<Row> {
    let LiveSource { kind, path, what } = *source;
    let objects = bench.sized(45, 300);
    let sim = serve(1, LIVE_LEDGER_SECONDS);
    let directory = tempfile::tempdir().unwrap();
    let latest = || sim.oracle().head().latest;
    let mut next = latest();
    let written = |ledger| sim.lake().write_to(directory.path(), ledger, ledger).unwrap();
    written(next);
    let store = bench.block_on(bench.store());
    let url = match path {
        Some(path) => format!("{}{path}", sim.url()),
        None => format!("file://{}", directory.path().display()),
    };
    let setting = format!("--{kind}-url");
    let source = ["--ledger-source", kind, "--live-from", kind, &setting, &url, "--backfill-hours", "0"];
    let daemon = Daemon::on(&store.url, &sim.url(), &[&UNLIMITED[..], &source].concat());
    bench.block_on(daemon.first_publication());
    if path.is_some() {
        next = latest(); // Those before closed while the daemon started.
    }
    let mut ages = Vec::new();
    for number in 0..objects {
        while latest() <= next {
            pause(WATCH);
        }
        next += 1;
        if path.is_none() {
            written(next);
        }
        let appeared = Instant::now();
        while published_ledger(&daemon).is_none_or(|ledger| ledger < u64::from(next)) {
            assert!(appeared.elapsed() < DEADLINE, "ledger {next} is not published");
            pause(WATCH);
        }
        // The first ones are read while the daemon still starts.
        if number >= 5 {
            ages.push(appeared.elapsed().as_secs_f64());
        }
    }
    drop(daemon);
    bench.block_on(store.close());
    let ages = Sorted::new(ages);
    vec![
        Row::new(format!("{what} p50"), ages.at(500), Unit::Seconds),
        Row::new(format!("{what} p99"), ages.at(990), Unit::Seconds).goal(1.5),
    ]
}

fn published_ledger(daemon: &Daemon) -> Option<u64> {
    let status: Value = serde_json::from_slice(&get(daemon.public, "/api/v1/status")?).unwrap();
    status["ledger"].as_u64()
}
