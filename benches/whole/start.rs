//! Start of the daemon with a week of trades in the database, and its memory afterwards.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command},
    time::{Duration, Instant},
};

use chrono::Utc;
use serde_json::Value;
use stellar_ticker::{
    actors::aggregator::MarketState,
    db::{Database, DatabaseSettings},
    domain::instant::UnixSeconds,
};

use super::{
    bench::{Bench, Sorted, Store, pause, resident, timed},
    copy,
    horizon::PASSPHRASE,
    report::{self, Row, Unit},
    synthetic::Synthetic,
};

pub(crate) const MARKETS: u64 = 30_000;
/// Variables of the surroundings that the program keeps. None is a setting.
const KEPT: [&str; 7] = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TICKER_PG_BIN_DIR"];
/// Lease of a bench that writes by itself.
pub(crate) const LEASE: Duration = Duration::from_secs(3_600);
/// Deadline of a start.
const DEADLINE: Duration = Duration::from_secs(120);
/// Time after which the memory that only the start needs is free again.
const SETTLED: Duration = Duration::from_secs(30);
/// Smaller networks whose memory is measured: trades, markets, and the bound in bytes.
const SMALLER: [(u64, u64, Option<f64>); 3] =
    [(3_000, 130, Some(60e6)), (200_000, 130, Some(75e6)), (1_000_000, MARKETS, None)];
/// Pause between two measurements of the memory.
const LOOK: Duration = Duration::from_millis(250);
/// Pause between two requests for the first publication.
const POLL: Duration = Duration::from_millis(20);

/// Statement of the old program, once per window: all trades, grouped by pair.
pub(crate) const NAIVE: &str = "
    SELECT b.code || '_' || c.code AS pair, count(*), sum(t.base_amount), sum(t.counter_amount),
           min(t.price_d::float8 / t.price_n), max(t.price_d::float8 / t.price_n),
           (array_agg(t.price_d::float8 / t.price_n ORDER BY t.toid, t.trade_order))[1],
           (array_agg(t.price_d::float8 / t.price_n ORDER BY t.toid DESC, t.trade_order DESC))[1]
    FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
    WHERE b.is_valid AND c.is_valid AND t.price_n > 0 AND t.ledger_close_time > now() - $1::text::interval
    GROUP BY 1";

/// Stores a batch of an earlier run for all trades.
pub(crate) const BATCH: &str = "
    UPDATE ingest_lease SET seq = 1;
    INSERT INTO ingest_batches (seq, kind, trades, committed_at) VALUES (1, 'backfill', 0, now() - interval '1 hour')";

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let mut rows = start(bench, trades);
    let smaller = SMALLER.iter().filter(|(smaller, ..)| *smaller < trades);
    rows.extend(smaller.map(|(trades, markets, bound)| {
        let what = format!("memory of the daemon 30 s after a start: {trades} trades in {markets} markets");
        let row = Row::new(what, memory(bench, *trades, *markets), Unit::Bytes);
        if let Some(bound) = bound { row.goal(*bound) } else { row }
    }));
    rows
}

/// Returns the median of the daemon's memory some time after a start with these trades, without readers.
fn memory(bench: &Bench, trades: u64, markets: u64) -> f64 {
    bench.block_on(async {
        let store = filled_with(bench, trades, markets).await;
        derive_candles(&store).await;
        let daemon = Daemon::start(&store.url);
        daemon.first_publication().await;
        pause(SETTLED);
        let memory = steady(daemon.pid()).at(500);
        drop(daemon);
        store.close().await;
        memory
    })
}

/// Measures the start with these trades, and the memory afterwards.
fn start(bench: &Bench, trades: u64) -> Vec<Row> {
    bench.block_on(async {
        let store = filled(bench, trades).await;
        derive_candles(&store).await;
        let (naive_s, _) = timed(async {
            for window in ["24 hours", "7 days"] {
                store.client.query(NAIVE, &[&window]).await.unwrap();
            }
        })
        .await;
        let daemon = Daemon::start(&store.url);
        let (started_s, published) = daemon.first_publication().await;
        check(&store, &published, trades).await;
        let (then, peak) = resident(daemon.pid());
        pause(SETTLED);
        let steady = steady(daemon.pid());
        let audit_s = daemon.audit(&store.url);
        drop(daemon);
        let (loaded_s, windows) = load_in_a_process(&store.url);
        store.close().await;
        let million = trades / 1_000_000;
        let what = format!("start with {million} million trades in the database to the first publication");
        vec![
            Row::new(what, started_s, Unit::Seconds).baseline("naive SQL", naive_s).goal(11.0),
            Row::new("of that, from the database into the windows", loaded_s, Unit::Seconds),
            Row::new("memory of the daemon then", then, Unit::Bytes),
            Row::new("peak of the memory until then", peak, Unit::Bytes),
            Row::new(
                "memory of the daemon 30 s later, a publication each second",
                steady.at(500),
                Unit::Bytes,
            )
            .goal(800e6),
            Row::new("peak within 30 s, in which files are written twice", steady.at(1_000), Unit::Bytes),
            Row::new("audit of every figure that it serves: no difference", audit_s, Unit::Seconds),
            Row::new("memory of windows and directory alone", windows, Unit::Bytes).goal(400e6),
        ]
    })
}

/// Measures the resident memory repeatedly, for [`SETTLED`].
pub(crate) fn steady(pid: u32) -> Sorted {
    let looks = SETTLED.as_millis() / LOOK.as_millis();
    let look = |_| {
        pause(LOOK);
        resident(pid).0
    };
    Sorted::new((0..looks).map(look).collect())
}

/// Returns a database as a daemon leaves it: with a week of trades, vacuumed and analysed.
pub(crate) async fn filled(bench: &Bench, trades: u64) -> Store {
    filled_with(bench, trades, MARKETS).await
}

/// Returns such a database with this number of markets.
pub(crate) async fn filled_with(bench: &Bench, trades: u64, markets: u64) -> Store {
    let store = bench.store().await;
    let synthetic = Synthetic::week(trades, markets, UnixSeconds::from(Utc::now()));
    copy::make_days(&store.client, "trades", &synthetic).await;
    copy::seed_markets(&store.client, &synthetic).await;
    copy::send(&store.client, "trades", copy::encode(&synthetic, 0..trades)).await;
    store.client.batch_execute(BATCH).await.unwrap();
    store.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    // Only superusers may do this. Otherwise PostgreSQL checkpoints later by itself.
    store.client.batch_execute("CHECKPOINT").await.ok();
    store
}

/// Derives the candles of all trades, as a daemon has done before. Returns when none waits.
pub(crate) async fn derive_candles(store: &Store) {
    let epoch = store.database.take_lease("bench", LEASE).await.unwrap().unwrap();
    while !store.database.derive_candles(epoch, Utc::now(), || {}).await.unwrap().is_caught_up {}
    store.database.release_lease(epoch).await.unwrap();
    store.client.batch_execute("CHECKPOINT").await.ok();
}

/// Checks that the published counts agree with the rows.
async fn check(store: &Store, published: &Value, trades: u64) {
    let pairs = published["pairs"].as_array().unwrap();
    let sum = |field: &str| pairs.iter().map(|pair| pair[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("trade_count_7d"), trades, "all trades of the week");
    let as_of = UnixSeconds(published["generated_at"].as_i64().unwrap() / 1_000);
    let day = "SELECT count(*) FROM trades WHERE ledger_close_time > $1";
    let counted: i64 = store.client.query_one(day, &[&as_of.minus(86_400).to_utc()]).await.unwrap().get(0);
    assert_eq!(sum("trade_count"), u64::try_from(counted).unwrap(), "all trades of the day");
}

pub(crate) struct Daemon {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    begun: Instant,
    _directory: tempfile::TempDir,
}

impl Daemon {
    /// Starts the real program without a reachable Horizon.
    pub(crate) fn start(url: &str) -> Self {
        Self::on(url, &format!("http://{}", free_address()), &[])
    }

    /// Starts the real program on this Horizon, with these further arguments.
    pub(crate) fn on(url: &str, horizon: &str, further: &[&str]) -> Self {
        Self::with(url, horizon, further, &[])
    }

    /// Starts it with these variables of the environment as well.
    pub(crate) fn with(url: &str, horizon: &str, further: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [public, admin] = std::array::from_fn(|_| free_address());
        let begun = Instant::now();
        std::fs::create_dir_all(report::directory()).unwrap();
        let log = std::fs::File::create(report::directory().join("daemon.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_stellar-ticker"))
            .args(["serve", "--database-url", url, "--network", PASSPHRASE])
            .args(["--horizon-url", horizon])
            .args(further)
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            // As the image and the systemd unit do.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .envs(variables.iter().copied())
            .args(["--bind", &public.to_string(), "--admin-bind", &admin.to_string()])
            .arg("--data-dir")
            .arg(directory.path())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, public, admin, begun, _directory: directory }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first publication. Returns the seconds since the start of the program, and the publication.
    pub(crate) async fn first_publication(&self) -> (f64, Value) {
        loop {
            if let Some(body) = get(self.public, "/markets.json") {
                return (self.begun.elapsed().as_secs_f64(), serde_json::from_slice(&body).unwrap());
            }
            assert!(self.begun.elapsed() < DEADLINE, "nothing was published");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Daemon {
    /// Returns the last batch in the newest publication.
    pub(crate) fn published_seq(&self) -> Option<i64> {
        let status: Value = serde_json::from_slice(&get(self.public, "/api/v1/status")?).unwrap();
        status["seq"].as_i64()
    }

    /// Returns a metric without labels, or 0 if it is not exposed.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(get(self.admin, "/metrics").unwrap()).unwrap();
        let figure = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        figure.map_or(0.0, |figure| figure.parse().unwrap())
    }

    /// Recomputes every served figure from the rows. Returns the time in seconds.
    fn audit(&self, url: &str) -> f64 {
        let begun = Instant::now();
        let served = format!("http://{}", self.public);
        let audit = ["audit", "--url", &served, "--database-url", url];
        let output = Command::new(env!("CARGO_BIN_EXE_stellar-ticker")).args(audit).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && report.contains("markets.json: "), "{report}");
        begun.elapsed().as_secs_f64()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns the body of an answer, if its status is 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<Vec<u8>> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).ok()?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.1 200").then(|| answer.split_off(head + 4))
}

/// Argument that makes this program load a database and exit.
pub(crate) const LOAD: &str = "--load-only";

/// Loads a database in a process of its own, because memory is counted per process. Returns the seconds and the bytes
/// that it took.
fn load_in_a_process(url: &str) -> (f64, f64) {
    let output = Command::new(std::env::current_exe().unwrap()).args([LOAD, url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut figures = text.split_whitespace().map(|figure| figure.parse::<f64>().unwrap());
    (figures.next().unwrap(), figures.next().unwrap())
}

/// Loads a database in this process, and prints the seconds and the bytes that it took.
pub(crate) fn load(url: &str) {
    stellar_ticker::process::disable_huge_pages(); // As the daemon does.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = DatabaseSettings { url: url.to_owned(), ca_file: None, max_connections: 16 };
        let database = Database::new(&settings, tokio::runtime::Handle::current()).unwrap();
        database.current_seq().await.unwrap();
        let (before, _) = resident(std::process::id());
        let now = UnixSeconds::from(Utc::now());
        let (seconds, state) = timed(async {
            let mut state = MarketState::load(&database, now).await.unwrap();
            state.snapshot_at(now);
            state
        })
        .await;
        println!("{seconds} {}", resident(std::process::id()).0 - before);
        drop(state);
    });
}
