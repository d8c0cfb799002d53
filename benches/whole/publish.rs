//! A publication after one ledger, from the windows in memory to bytes that can be served.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use stellar_ticker::{
    domain::{
        changes::Changes,
        directory::Directory,
        instant::{DAY, HOUR, UnixSeconds},
        issuer_file::Currency,
        listed_asset::ListedAsset,
        market_snapshot::MarketSnapshot,
        orderbook::{BestPrices, BookFigures, PolledBook},
        trade_stats::{TradeStats, WindowTrade},
        windows::{MarketId, Windows},
    },
    published::{FileMaker, Files, recent::Recent},
};

use super::{
    bench::{Bench, Sorted, resident, timed},
    report::{Row, Unit},
    start::{self, NAIVE},
    synthetic::{LEDGER_TRADES, Synthetic},
};

/// Number of markets of the public network today.
pub(crate) const MARKETS: u64 = 30_000;
/// Number of ledgers after which publications are measured. The median counts.
const ROUNDS: usize = 51;
/// Seconds, and so publications, between two ledgers.
const LEDGER_SECONDS: usize = 6;
/// Trades of the smaller network, for measuring the growth.
pub(crate) const FEW_TRADES: u64 = 100_000;

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let (many, few) = (measure_alone(trades, MARKETS), measure_alone(FEW_TRADES, MARKETS));
    let naive_s = bench.block_on(naive_seconds(bench, trades));
    let what = format!("publish after a ledger of 115 trades, {trades} trades in {MARKETS} markets:");
    let growth = many.rendered_s / few.rendered_s;
    vec![
        Row::new("a trade into the windows, on average over all", many.add_s, Unit::Seconds).goal(1e-6),
        Row::new("memory of windows and directory", many.memory_bytes, Unit::Bytes).goal(400e6),
        Row::new(format!("{what} CPU before compression"), many.rendered_s, Unit::Seconds)
            .baseline("naive SQL", naive_s)
            .goal(0.010)
            .goal_ratio(1_000.0),
        Row::new(format!("{what} the same in a second without trades"), many.quiet_s, Unit::Seconds),
        Row::new(format!("{what} the same on average over all seconds"), many.mean_s, Unit::Seconds),
        Row::new(
            format!("{what} CPU before compression, with the changes for readers of the stream"),
            many.followed_s,
            Unit::Seconds,
        )
        .baseline("without them", many.rendered_s)
        .goal_ratio(1.0 / 1.3),
        Row::new(format!("{what} until plain and gzip can be served"), many.served_s, Unit::Seconds)
            .baseline("naive SQL", naive_s)
            .goal(0.060),
        Row::new(format!("{what} brotli on top"), many.brotli_s, Unit::Seconds),
        Row::new(
            "the old way, but in memory: all trades of both windows again",
            in_memory(trades),
            Unit::Seconds,
        ),
        Row::new(
            format!("growth from {FEW_TRADES} to {trades} trades, CPU before compression"),
            growth,
            Unit::Times,
        )
        .goal(1.2),
        Row::new("the same on average over all seconds", many.mean_s / few.mean_s, Unit::Times),
        Row::new("markets.json", many.raw_bytes, Unit::Bytes),
        Row::new("markets.json.gz", many.gzip_bytes, Unit::Bytes),
    ]
}

/// Measurements of a network: medians of its publications, and memory.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    /// CPU time until all rows are rendered, after a ledger.
    pub(crate) rendered_s: f64,
    /// The same, with the changes since the last publication for readers of the stream.
    pub(crate) followed_s: f64,
    /// CPU time until all rows are rendered, for a second without a ledger.
    pub(crate) quiet_s: f64,
    /// CPU time until all rows are rendered, on average over all seconds.
    pub(crate) mean_s: f64,
    /// Wall time until plain and gzip can be served, after a ledger.
    pub(crate) served_s: f64,
    pub(crate) brotli_s: f64,
    pub(crate) raw_bytes: f64,
    pub(crate) gzip_bytes: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) add_s: f64,
}

/// Argument that makes this program measure one network and exit.
pub(crate) const ALONE: &str = "--network-only";

/// Measures a network in a process of its own. Memory is counted per process, and freed memory is not returned to the
/// system.
pub(crate) fn measure_alone(trades: u64, markets: u64) -> Measured {
    let sizes = [trades, markets].map(|size| size.to_string());
    let output = Command::new(std::env::current_exe().unwrap()).arg(ALONE).args(sizes).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("figures of a network")
}

/// Measures a network in this process, and prints the result.
pub(crate) fn alone(trades: &str, markets: &str) {
    stellar_ticker::process::disable_huge_pages(); // As the daemon does.
    let [trades, markets] = [trades, markets].map(|size| size.parse().expect("a size"));
    let before = resident(std::process::id()).0;
    let mut network = Network::filled(trades, markets);
    let memory_bytes = resident(std::process::id()).0 - before;
    let measured = Measured { memory_bytes, ..network.publish() };
    println!("{}", serde_json::to_string(&measured).unwrap());
}

/// Windows and directory as in the aggregator, and the source of further trades.
struct Network {
    synthetic: Synthetic,
    windows: Windows,
    directory: Directory,
    held: u64,
    add_s: f64,
    now: UnixSeconds,
}

impl Network {
    fn filled(trades: u64, markets: u64) -> Self {
        let now = UnixSeconds(1_800_000_000);
        let synthetic = Synthetic::week(trades, markets, now);
        let mut windows = Windows::default();
        windows.advance(now.minus(DAY));
        let mut add_s = 0.0;
        let mut batch: Vec<(MarketId, WindowTrade)> = Vec::new();
        for number in 0..trades {
            let made = synthetic.make(number);
            // Each market trades at least once, so that all sizes publish the same markets.
            let market = if number < markets { number } else { made.market as u64 };
            batch.push((market as MarketId, WindowTrade::from(&made.trade())));
            if batch.len() == 100_000 || number + 1 == trades {
                let begun = Instant::now();
                windows.add_run(&batch);
                add_s += begun.elapsed().as_secs_f64();
                batch.clear();
            }
        }
        windows.advance(now);
        let directory = directory(&synthetic);
        Self { synthetic, windows, directory, held: trades, add_s: add_s / trades as f64, now }
    }

    /// Publishes once per second, as the daemon does, with a ledger every sixth second.
    fn publish(&mut self) -> Measured {
        let mut maker = FileMaker::default();
        let mut kept: Vec<Files> = Vec::new();
        let (recent, mut last) = (Recent::default(), None);
        let (mut rendered, mut followed, mut quiet, mut all_s) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        let (mut served, mut brotli) = (Vec::new(), Vec::new());
        for second in 0..=ROUNDS * LEDGER_SECONDS {
            let is_ledger = second.is_multiple_of(LEDGER_SECONDS);
            let coming = if is_ledger { LEDGER_TRADES } else { 0 };
            let ledger: Vec<_> = (0..coming).map(|number| self.coming(number)).collect();
            self.now = self.now.plus(1);
            let (begun, begun_cpu) = (Instant::now(), thread_cpu());
            self.windows.add_run(&ledger);
            self.windows.advance(self.now);
            self.directory.listing();
            let snapshot = MarketSnapshot::new(self.windows.view(), self.directory.clone());
            maker.update(&snapshot);
            let rendered_s = (thread_cpu() - begun_cpu).as_secs_f64();
            let files = maker.encode(self.now).unwrap();
            let served_s = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            files.markets.brotli.make();
            let brotli_s = begun.elapsed().as_secs_f64();
            let changes_s = note_changes(&recent, last.as_ref(), &snapshot);
            last = Some(snapshot);
            if second == 0 {
                continue; // In the first publication all rows are new.
            }
            all_s += rendered_s;
            if is_ledger {
                rendered.push(rendered_s);
                followed.push(rendered_s + changes_s);
                served.push(served_s);
                brotli.push(brotli_s);
            } else {
                quiet.push(rendered_s);
            }
            kept = vec![files];
        }
        let bytes = |bytes: usize| bytes as f64;
        let markets = &kept.first().unwrap().markets;
        Measured {
            rendered_s: middle(rendered),
            followed_s: middle(followed),
            quiet_s: middle(quiet),
            mean_s: all_s / (ROUNDS * LEDGER_SECONDS) as f64,
            served_s: middle(served),
            brotli_s: middle(brotli),
            raw_bytes: bytes(markets.raw.len()),
            gzip_bytes: bytes(markets.gzip.len()),
            memory_bytes: f64::NAN, // The caller sets it.
            add_s: self.add_s,
        }
    }

    /// Returns a further trade, in the next ledger.
    fn coming(&mut self, number: u64) -> (MarketId, WindowTrade) {
        let made = self.synthetic.make(self.held);
        self.held += 1;
        let mut trade = WindowTrade::from(&made.trade());
        trade.closed_at = self.now.plus(1);
        trade.token.toid += i64::try_from(number).unwrap();
        (made.market as MarketId, trade)
    }
}

/// Notes the changes since the last publication, as the aggregator does for readers of the stream. Returns the CPU
/// time in seconds.
fn note_changes(recent: &Recent, last: Option<&MarketSnapshot>, snapshot: &MarketSnapshot) -> f64 {
    let begun = thread_cpu();
    let changes = last.map_or_else(Changes::whole, |last| Changes::between(last, snapshot));
    // The publication keeps its changes beside these.
    let kept = changes.clone();
    recent.push(snapshot.as_of().0, snapshot.as_of(), changes);
    let spent = thread_cpu() - begun;
    drop(kept);
    spent.as_secs_f64()
}

/// Recomputes all trades of both windows, as the old program did each minute, but with all rows in memory. Returns the
/// time in seconds.
fn in_memory(trades: u64) -> f64 {
    let now = UnixSeconds(1_800_000_000);
    let synthetic = Synthetic::week(trades, MARKETS, now);
    let trades: Vec<_> = (0..trades)
        .map(|number| {
            let made = synthetic.make(number);
            (made.market, WindowTrade::from(&made.trade()))
        })
        .collect();
    let begun = Instant::now();
    for hours in [24, 168] {
        let mut sums = vec![TradeStats::default(); synthetic.markets.len()];
        let edge = now.minus(hours * HOUR);
        for (market, trade) in trades.iter().filter(|(_, trade)| trade.closed_at > edge) {
            sums.get_mut(*market).unwrap().add(trade);
        }
        std::hint::black_box(&sums);
    }
    begun.elapsed().as_secs_f64()
}

/// Returns the seconds that both windows take in SQL, over this number of trades.
pub(crate) async fn naive_seconds(bench: &Bench, trades: u64) -> f64 {
    let store = start::filled(bench, trades).await;
    let both = async {
        for window in ["24 hours", "7 days"] {
            store.client.query(NAIVE, &[&window]).await.unwrap();
        }
    };
    let (seconds, ()) = timed(both).await;
    store.close().await;
    seconds
}

/// Returns the CPU time of this thread so far. Other work on the machine does not add to it.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn middle(times: Vec<f64>) -> f64 {
    Sorted::new(times).at(500)
}

/// Returns a directory in which all assets are valid and every third market has a book.
fn directory(synthetic: &Synthetic) -> Directory {
    let mut directory = Directory::default();
    let mut numbers = std::collections::HashMap::new();
    let mut markets = Vec::new();
    for (market, sides) in synthetic.markets.iter().enumerate() {
        let mut number = |asset: &stellar_ticker::domain::asset::Asset| {
            let next = numbers.len() as i32;
            *numbers.entry(*asset).or_insert(next)
        };
        markets.push((market as MarketId, number(sides.base()), number(sides.counter())));
    }
    directory.update_assets(numbers.iter().map(|(asset, number)| {
        let (code, issuer) = (asset.code().to_owned(), asset.issuer().to_owned());
        let currency = Currency { code, issuer, ..Currency::default() };
        (*number, Some(ListedAsset { currency, ..ListedAsset::default() }))
    }));
    directory.add_markets(markets);
    let figures = BookFigures {
        bid_count: 20,
        bid_volume: 1.5,
        bid_max: 0.5,
        ask_count: 20,
        ask_volume: 2.5,
        ask_min: 0.6,
    };
    let book = |market: usize| {
        (market as MarketId, PolledBook { figures, best: BestPrices::default(), fetched_at: UnixSeconds(1) })
    };
    directory.update_books((0..synthetic.markets.len()).step_by(3).map(book).collect(), true);
    directory
}
