//! Requests per second: the file, against nginx with the same bytes, and GraphQL.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    bench::{Bench, Sorted, Store, connect, timed},
    reader::{Connection, exchange, get, post},
    report::{Row, Unit},
    start::{self, Daemon, NAIVE, free_address},
};

/// Number of concurrent clients.
const CONNECTIONS: usize = 8;
/// Time for which each kind of request is sent.
const SPAN: Duration = Duration::from_secs(6);
/// Markets in the small file.
const SMALL_MARKETS: u64 = 130;
/// Rounds in which both sides serve the small file.
const SMALL_ROUNDS: usize = 3;
/// Number of first answers that are measured.
const FIRSTS: usize = 9;
/// The market that is read alone.
const ONE_MARKET: &str = "{ ticker(pairName: \"XLM_T1\") { tradePair baseVolume open low high close } }";
/// End of the naive statement that makes it read that market only.
const ONLY_ONE_MARKET: &str = "AND (b.code, c.code) IN (('XLM', 'T1'), ('T1', 'XLM')) GROUP BY";
/// Fields that both lists have.
pub(crate) const ROW: &str = "tradePair baseVolume counterVolume tradeCount open low high change close intervalStart
    firstLedgerCloseTime lastLedgerCloseTime orderbookStats { bidCount bidVolume bidMax askCount askVolume askMin spread
    spreadMidPoint }";

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    bench.block_on(async {
        let store = start::filled(bench, 1_000_000).await;
        let naive = Naive::measure(&store).await;
        let daemon = Daemon::start(&store.url);
        daemon.first_publication().await;
        let mut rows = measure(&daemon, &naive);
        drop(daemon);
        store.close().await;
        rows.push(measure_small(bench).await);
        rows
    })
}

/// The old program's statement, on the same database.
struct Naive {
    /// Time of one, for all markets.
    whole_s: f64,
    /// All markets, on as many connections as clients have.
    wholes_per_second: f64,
    /// The market of [`ONE_MARKET`], likewise.
    ones_per_second: f64,
}

impl Naive {
    async fn measure(store: &Store) -> Self {
        let (whole_s, _) = timed(store.client.query(NAIVE, &[&"24 hours"])).await;
        let one = NAIVE.replace("GROUP BY", ONLY_ONE_MARKET);
        let found = store.client.query(&one, &[&"24 hours"]).await.unwrap();
        assert_eq!(found.len(), 1, "the statement finds the market");
        Self {
            whole_s,
            wholes_per_second: answered_per_second(store, NAIVE).await,
            ones_per_second: answered_per_second(store, &one).await,
        }
    }
}

/// Runs a statement repeatedly on all connections, on each of them one after the other.
async fn answered_per_second(store: &Store, sql: &str) -> f64 {
    let begun = Instant::now();
    let clients = (0..CONNECTIONS).map(|_| async {
        let client = connect(&store.url).await;
        let (statement, mut answered) = (client.prepare(sql).await.unwrap(), 0_u32);
        while begun.elapsed() < SPAN {
            client.query(&statement, &[&"24 hours"]).await.unwrap();
            answered += 1;
        }
        answered
    });
    let answered: u32 = futures_util::future::join_all(clients).await.into_iter().sum();
    f64::from(answered) / begun.elapsed().as_secs_f64()
}

/// Measures a small file, for which a request costs more than its bytes.
async fn measure_small(bench: &Bench) -> Row {
    let store = start::filled_with(bench, 20_000, SMALL_MARKETS).await;
    let daemon = Daemon::start(&store.url);
    daemon.first_publication().await;
    let file = get("/markets.json");
    let bytes = exchange(&mut Connection::open(daemon.public), &file).body;
    let nginx = Nginx::serving(&bytes);
    // In turns, so that fluctuations of the machine affect both sides.
    let rounds: Vec<(f64, f64)> = (0..SMALL_ROUNDS)
        .map(|_| (load(nginx.address, &file).per_second, load(daemon.public, &file).per_second))
        .collect();
    drop(daemon);
    store.close().await;
    let median = |rates: Vec<f64>| Sorted::new(rates).at(500);
    let (theirs, ours): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
    let title = format!("GET /markets.json of {SMALL_MARKETS} markets, {} KB by gzip", bytes.len() / 1_000);
    Row::new(title, median(ours), Unit::PerSecond)
        .baseline("nginx, the same bytes", median(theirs))
        .goal_ratio(0.8)
}

fn measure(daemon: &Daemon, naive: &Naive) -> Vec<Row> {
    let file = get("/markets.json");
    let bytes = exchange(&mut Connection::open(daemon.public), &file).body;
    let nginx = Nginx::serving(&bytes);
    let (theirs, ours) = (load(nginx.address, &file), load(daemon.public, &file));
    drop(nginx);
    let whole = post(&format!(
        "{{ markets {{ baseAssetCode baseAssetIssuer counterAssetCode counterAssetIssuer {ROW} }} }}"
    ));
    let week = post(&format!("{{ ticker(numHoursAgo: 168) {{ {ROW} }} }}"));
    let firsts = (0..FIRSTS)
        .map(|number| {
            // A new document, so that its answer is not cached.
            let new = post(&format!("{{ a{number}: markets {{ baseAssetCode counterAssetCode {ROW} }} }}"));
            let begun = Instant::now();
            exchange(&mut Connection::open(daemon.public), &new);
            begun.elapsed().as_secs_f64()
        })
        .collect();
    let first_s = Sorted::new(firsts).at(500);
    let (lists, weeks) = (load(daemon.public, &whole), load(daemon.public, &week));
    let ones = load(daemon.public, &post(ONE_MARKET));
    vec![
        Row::new("GET /markets.json, gzip", ours.per_second, Unit::PerSecond)
            .baseline("nginx, the same bytes", theirs.per_second)
            .goal_ratio(0.8),
        Row::new("its p99", ours.p99_s, Unit::Seconds).baseline("nginx", theirs.p99_s).goal_ratio(1.0 / 1.5),
        Row::new("GraphQL markets, 24 h, whole, all fields, gzip", lists.per_second, Unit::PerSecond)
            .baseline("naive SQL, on as many connections", naive.wholes_per_second)
            .goal(200.0),
        Row::new("GraphQL ticker, 168 h, whole, all fields, gzip", weeks.per_second, Unit::PerSecond)
            .goal(200.0),
        Row::new("the first answer of GraphQL markets, whole", first_s, Unit::Seconds)
            .baseline("naive SQL", naive.whole_s)
            .goal(0.5),
        Row::new("GraphQL, one market", ones.per_second, Unit::PerSecond)
            .baseline("naive SQL of that market, on as many connections", naive.ones_per_second)
            .goal(10_000.0),
        Row::new("its p99", ones.p99_s, Unit::Seconds).goal(0.010),
    ]
}

/// Result of many requests.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    p99_s: f64,
}

/// Sends a request repeatedly on all connections, on each of them one after the other.
pub(crate) fn load(address: SocketAddr, request: &[u8]) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, request) = (Arc::clone(&stop), request.to_vec());
            std::thread::spawn(move || {
                let (mut connection, mut times) = (Connection::open(address), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(exchange(&mut connection, &request).status, 200);
                    times.push(begun.elapsed().as_secs_f64());
                }
                times
            })
        })
        .collect();
    while begun.elapsed() < SPAN {
        std::thread::park_timeout(SPAN.saturating_sub(begun.elapsed()));
    }
    stop.store(true, Ordering::Relaxed);
    let times: Vec<f64> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    Load { per_second, p99_s: Sorted::new(times).at(990) }
}

/// An nginx that serves one file, compressed beforehand.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    pub(crate) fn serving(gzip: &[u8]) -> Self {
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let path = directory.path();
        std::fs::write(path.join("markets.json.gz"), gzip).unwrap();
        std::fs::write(path.join("markets.json"), b"{}").unwrap();
        let conf = format!(
            "user root; daemon off; worker_processes 2; pid {path}/pid; error_log stderr; events {{ worker_connections 1024; }}
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; types {{ application/json json; }}
             server {{ listen {address}; root {path}; gzip_static on; gzip_vary on; }} }}",
            path = path.display()
        );
        std::fs::write(path.join("nginx.conf"), conf).unwrap();
        let program =
            if std::path::Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = Command::new(program)
            .arg("-p")
            .arg(path)
            .arg("-c")
            .arg(path.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx: ./ticker need nginx");
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen");
            std::thread::yield_now();
        }
        Self { child, address, _directory: directory }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // On SIGTERM the master ends its workers as well, which SIGKILL would leave running.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}
