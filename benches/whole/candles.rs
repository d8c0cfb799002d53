//! Candles: deriving them beside the ingest of a backlog, and requests for a thousand of them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::Utc;
use stellar_ticker::{
    actors::{
        candle_keeper::KeepCandles,
        supervision::status::ChildStatus,
        trace::recorder::Recorder,
        worker::{Work as _, WorkContext},
    },
    clock::SystemClock,
    db::trades::{BatchKind, IncomingTrade, TradeBatch},
    domain::{
        cursor::PagingToken,
        instant::{DAY, UnixSeconds},
        trade::TradeRecord,
    },
};

use super::{
    bench::{Bench, Sorted, Store, pause, timed},
    freshness::SETTLING,
    horizon::Rendered,
    ingest,
    reader::{Connection, exchange, get},
    report::{Row, Unit},
    start::{self, Daemon, LEASE, MARKETS},
    synthetic::Synthetic,
};

/// Runs of the ingest with the keeper, and as many without it.
const RUNS: usize = 3;
/// Requests for candles of each kind.
const REQUESTS: i64 = 400;
/// Buckets of an answer.
const BUCKETS: i64 = 1_000;
/// Seconds between two trades of the time before memory, so that each minute has some.
const STEP_S: i64 = 20;

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = vec![ingest_beside_the_keeper(bench)];
    rows.extend(requests(bench));
    rows
}

/// Compares the ingest of a backlog with and without the candle keeper.
fn ingest_beside_the_keeper(bench: &Bench) -> Row {
    let synthetic =
        Synthetic::week(bench.sized(1_000_000, 3_000_000), MARKETS, UnixSeconds::from(Utc::now()));
    let url = format!("http://{}", Rendered::of(&synthetic).serve());
    let [mut alone, mut beside] = [Vec::new(), Vec::new()];
    // In turns, so that other work on the machine slows down both.
    for _ in 0..RUNS {
        alone.push(bench.block_on(fill(bench, &url, false)));
        beside.push(bench.block_on(fill(bench, &url, true)));
    }
    let rate = |seconds: Vec<f64>| synthetic.trades as f64 / Sorted::new(seconds).at(500);
    Row::new("ingest of a backlog beside the candle keeper", rate(beside), Unit::PerSecond)
        .baseline("without it", rate(alone))
        .goal_ratio(1.0 / 1.3)
}

/// Returns the seconds that the backfiller takes, beside a candle keeper on the same thread or alone.
async fn fill(bench: &Bench, url: &str, has_keeper: bool) -> f64 {
    let store = bench.store().await;
    let backfill = ingest::backfill(&store, url).await;
    let clock = SystemClock::shared();
    let keeper = KeepCandles {
        database: store.database.clone(),
        leadership: backfill.writer.leadership.clone(),
        clock: Arc::clone(&clock),
        published: Arc::clone(&backfill.writer.published),
        first_publication_max: Duration::ZERO,
        retention_days: 365,
        status: ChildStatus::new("candle_keeper", 1, Arc::clone(&clock), Recorder::off(clock)),
    };
    let keeping = async {
        if has_keeper {
            // A keeper that finds nothing to do rests for longer than the ingest takes.
            let waiting = "SELECT EXISTS (SELECT FROM trades)";
            while !store.client.query_one(waiting, &[]).await.unwrap().get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            keeper.run(WorkContext::default()).await;
        }
        std::future::pending::<()>().await;
    };
    let context = WorkContext::default();
    let seconds = tokio::select! {
        (seconds, filled) = timed(backfill.fill_once(&context)) => {
            filled.unwrap();
            seconds
        }
        () = keeping => unreachable!("the keeper works until the context drains"),
    };
    let candles = "SELECT count(*) FROM candles_1h";
    let candles: i64 = store.client.query_one(candles, &[]).await.unwrap().get(0);
    assert_eq!(candles > 0, has_keeper, "candles were derived meanwhile");
    store.close().await;
    seconds
}

/// Times requests of 1,000 candles of the busiest market, from memory and from the database.
fn requests(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let store = bench.block_on(start::filled(bench, trades));
    let now = Utc::now().timestamp();
    let begin = now - 20 * DAY;
    let market = bench.block_on(derive_old_candles(&store, begin));
    let daemon = Daemon::start(&store.url);
    bench.block_on(daemon.first_publication());
    pause(SETTLING);
    // Each request has an end of its own, so that none is answered from a document that was made before.
    let of_memory = |number: i64| format!("interval=5m&fill=true&from={}&to={}", now - 5 * DAY, now - number);
    let of_database = |number: i64| {
        let from = begin + 60 * number;
        format!("interval=1m&from={from}&to={}", from + 60 * BUCKETS - 1)
    };
    let memory = times(daemon.public, &market, of_memory);
    let database = times(daemon.public, &market, of_database);
    drop(daemon);
    bench.block_on(store.close());
    let mut rows = Vec::new();
    for (times, place, goal) in [(memory, "memory", 0.005), (database, "the database", 0.05)] {
        let Times { all, renewed } = times;
        let what = format!("{BUCKETS} candles out of {place}:");
        rows.push(Row::new(format!("{what} p50"), all.at(500), Unit::Seconds));
        rows.push(Row::new(format!("{what} p99"), all.at(990), Unit::Seconds).goal(goal));
        let first = format!("{what} the first with a new view, the longest of {}", renewed.len());
        rows.push(Row::new(first, Sorted::new(renewed).at(1_000), Unit::Seconds));
    }
    rows
}

/// Stores a trade each [`STEP_S`] for the ten days after `begin`, and derives their candles. Returns the market's name.
async fn derive_old_candles(store: &Store, begin: i64) -> String {
    let epoch = store.database.take_lease("bench", LEASE).await.unwrap().unwrap();
    let synthetic = Synthetic::week(1_000_000, MARKETS, UnixSeconds(begin));
    let made = (0..).map(|number| synthetic.make(number)).find(|made| made.market == 0).unwrap();
    let old = |place: i64| {
        let token = PagingToken { toid: (1_000 + place) << 32 | 1 << 12 | 1, order: 0 };
        let closed_at = UnixSeconds(begin + place * STEP_S);
        let record = TradeRecord { token, closed_at, ..made.record };
        IncomingTrade { trade: record.normalise().unwrap(), raw: Bytes::new() }
    };
    let all: Vec<IncomingTrade> = (0..10 * DAY / STEP_S).map(old).collect();
    for trades in all.chunks(5_000).map(<[_]>::to_vec) {
        let (kind, quarantine) = (BatchKind::Backfill, Vec::new());
        let batch = TradeBatch { kind, cursor: None, trades, quarantine, covered: None };
        store.database.write_trades(epoch, &batch).await.unwrap();
    }
    store.database.release_lease(epoch).await.unwrap();
    start::derive_candles(store).await;
    synthetic.markets.first().unwrap().name()
}

/// Times of requests one after the other, in seconds.
struct Times {
    all: Sorted,
    /// Those of the requests that were the first of a view, and may have waited until it was made.
    renewed: Vec<f64>,
}

fn times(address: SocketAddr, market: &str, question: impl Fn(i64) -> String) -> Times {
    let (mut connection, mut as_of) = (Connection::open(address), String::new());
    let [mut all, mut renewed] = [Vec::new(), Vec::new()];
    for number in 1..=REQUESTS {
        let path = format!("/api/v1/markets/{market}/candles?limit={BUCKETS}&{}", question(number));
        let begun = Instant::now();
        let answer = exchange(&mut connection, &get(&path));
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.as_of.is_empty(), "{path} names its publication");
        all.push(seconds);
        if answer.as_of != as_of {
            renewed.push(seconds);
            as_of = answer.as_of;
        }
    }
    let path = format!("/api/v1/markets/{market}/candles?limit={BUCKETS}&{}", question(0));
    let whole: serde_json::Value = serde_json::from_slice(&start::get(address, &path).unwrap()).unwrap();
    let buckets = whole["candles"].as_array().unwrap().len();
    assert!(i64::try_from(buckets).unwrap() >= BUCKETS - 1, "{path}: {buckets} candles");
    Times { all: Sorted::new(all), renewed }
}
