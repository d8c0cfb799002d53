//! Whole documents of the market API: their first answer after a new view, later ones, and the daemon's memory if every
//! document is read once a minute.

use std::time::{Duration, Instant};

use ticker_formats::output::OUTPUTS;

use super::{
    bench::{Bench, Sorted, pause, resident},
    http::{Nginx, ROW, load},
    reader::{Connection, exchange, get, post},
    report::{Row, Unit},
    start::{self, Daemon},
};

/// The largest document.
const ALL_MARKETS: &str = "/v1/markets.json";
/// Document whose later answers are counted.
const TICKERS: &str = "/api/v1/coingecko/tickers";
/// Views of which every document is read.
const VIEWS: usize = 5;
/// Time after which the next request gets a new view.
const VIEW: Duration = Duration::from_secs(11);
/// Interval at which readers read every document.
const READ: Duration = Duration::from_secs(60);
/// Readings of every document while the memory is measured.
const READINGS: u32 = 3;
/// Pause between two measurements of the memory.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    bench.block_on(async {
        let store = start::filled(bench, bench.sized(1_000_000, 10_000_000)).await;
        let daemon = Daemon::start(&store.url);
        daemon.first_publication().await;
        let mut rows = first_answers(&daemon);
        rows.push(later_answers(&daemon));
        rows.extend(memory(&daemon));
        drop(daemon);
        store.close().await;
        rows
    })
}

/// Paths of all documents, and those with contract ids.
fn paths() -> Vec<&'static str> {
    OUTPUTS.iter().flat_map(|output| [Some(output.path), output.contract_path]).flatten().collect()
}

fn read(daemon: &Daemon, request: &[u8]) -> f64 {
    let mut connection = Connection::open(daemon.public);
    let begun = Instant::now();
    assert_eq!(exchange(&mut connection, request).status, 200);
    begun.elapsed().as_secs_f64()
}

fn first_answers(daemon: &Daemon) -> Vec<Row> {
    let (mut largest, mut others, mut graphql) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..VIEWS {
        pause(VIEW);
        for path in paths() {
            let took = read(daemon, &get(path));
            if path == ALL_MARKETS { largest.push(took) } else { others.push(took) }
        }
        // A new document, so that its answer is not cached.
        let new = format!("{{ d{number}: markets {{ baseAssetCode counterAssetCode {ROW} }} }}");
        graphql.push(read(daemon, &post(&new)));
    }
    let whole_list = Sorted::new(graphql).at(500);
    let baseline = "GraphQL markets, whole";
    vec![
        Row::new(
            "first answer of v1/markets.json after a new view, gzip",
            Sorted::new(largest).at(500),
            Unit::Seconds,
        )
        .baseline(baseline, whole_list)
        .goal(0.8),
        Row::new(
            "first answer of any other document, the slowest of all",
            Sorted::new(others).at(1_000),
            Unit::Seconds,
        )
        .baseline(baseline, whole_list)
        .goal(0.3),
    ]
}

fn later_answers(daemon: &Daemon) -> Row {
    let request = get(TICKERS);
    let bytes = exchange(&mut Connection::open(daemon.public), &request).body;
    let nginx = Nginx::serving(&bytes);
    let theirs = load(nginx.address, &get("/markets.json")).per_second;
    drop(nginx);
    Row::new(
        "later answers of CoinGecko's tickers, gzip",
        load(daemon.public, &request).per_second,
        Unit::PerSecond,
    )
    .baseline("nginx, the same bytes", theirs)
    .goal(500.0)
}

fn memory(daemon: &Daemon) -> Vec<Row> {
    let mut looks = Vec::new();
    for _ in 0..READINGS {
        let begun = Instant::now();
        let reading = std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| paths().into_iter().map(|path| read(daemon, &get(path))).sum::<f64>());
            while begun.elapsed() < READ {
                pause(LOOK);
                looks.push(resident(daemon.pid()).0);
            }
            reader.join().unwrap()
        });
        println!("every document read in {reading:.2} s");
    }
    let looks = Sorted::new(looks);
    vec![
        Row::new("memory of the daemon, every document read once a minute", looks.at(500), Unit::Bytes)
            .goal(800e6),
        Row::new("peak of that", looks.at(1_000), Unit::Bytes),
    ]
}
