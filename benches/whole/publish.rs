//! A publication after one ledger, from the windows in memory to bytes that can be served.

use std::time::Instant;

use stellar_ticker::{
    domain::{
        board::Board,
        directory::Directory,
        instant::{DAY, HOUR, Second},
        issuer_file::Currency,
        listed_asset::ListedAsset,
        orderbook::{BookFigures, PolledBook},
        summary::{Summary, WindowTrade},
        windows::{MarketId, Windows},
    },
    published::{FileMaker, Files},
};

use super::{
    bench::{Bench, resident},
    report::{Row, Unit},
    synthetic::{LEDGER_TRADES, Synthetic},
};

const MARKETS: u64 = 30_000;
/// Publications that are measured; the middle one counts.
const ROUNDS: usize = 101;
/// The smaller network that the growth is seen against.
const FEW_TRADES: u64 = 100_000;

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let before = resident(std::process::id()).0;
    let mut network = Network::filled(trades);
    let memory = resident(std::process::id()).0 - before;
    let add_s = network.add_s / trades as f64;
    let naive_s = network.naive();
    let many = network.publish();
    let few = Network::filled(FEW_TRADES).publish();
    let what = format!("publish after a ledger of 115 trades, {trades} trades in {MARKETS} markets:");
    vec![
        Row::new("a trade into the windows, on average over all", add_s, Unit::Seconds).goal(1e-6),
        Row::new("memory of windows and directory", memory, Unit::Bytes).goal(300e6),
        Row::new(format!("{what} before compression"), many.rendered_s, Unit::Seconds)
            .baseline("all trades anew, in memory", naive_s)
            .goal(0.010),
        Row::new(format!("{what} until plain and gzip can be served"), many.served_s, Unit::Seconds)
            .goal(0.060),
        Row::new(format!("{what} brotli on top"), many.brotli_s, Unit::Seconds),
        Row::new(
            format!("growth from {FEW_TRADES} to {trades} trades, before compression"),
            many.rendered_s / few.rendered_s,
            Unit::Times,
        )
        .goal(1.2),
        Row::new("markets.json", many.raw_bytes, Unit::Bytes),
        Row::new("markets.json.gz", many.gzip_bytes, Unit::Bytes),
    ]
}

/// What publications of a network took, in the middle.
struct Measured {
    rendered_s: f64,
    served_s: f64,
    brotli_s: f64,
    raw_bytes: f64,
    gzip_bytes: f64,
}

/// Windows and directory as the aggregator holds them, and the trades to come.
struct Network {
    synthetic: Synthetic,
    windows: Windows,
    directory: Directory,
    held: u64,
    add_s: f64,
    now: Second,
}

impl Network {
    fn filled(trades: u64) -> Self {
        let now = Second(1_800_000_000);
        let synthetic = Synthetic::week(trades, MARKETS, now);
        let mut windows = Windows::default();
        windows.advance(now.minus(DAY));
        let mut add_s = 0.0;
        let mut batch: Vec<(MarketId, WindowTrade)> = Vec::new();
        for number in 0..trades {
            let made = synthetic.make(number);
            // Each market has traded, however few trades there are: what is published does not depend on that.
            let market = if number < MARKETS { number } else { made.market as u64 };
            batch.push((market as MarketId, WindowTrade::from(&made.trade())));
            if batch.len() == 100_000 || number + 1 == trades {
                let begun = Instant::now();
                for (market, trade) in batch.drain(..) {
                    windows.add(market, trade);
                }
                add_s += begun.elapsed().as_secs_f64();
            }
        }
        windows.advance(now);
        let directory = directory(&synthetic);
        Self { synthetic, windows, directory, held: trades, add_s, now }
    }

    /// A ledger later, over and over.
    fn publish(&mut self) -> Measured {
        let mut maker = FileMaker::default();
        let mut kept: Vec<Files> = Vec::new();
        let (mut rendered, mut served, mut brotli) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let ledger: Vec<_> = (0..LEDGER_TRADES).map(|number| self.coming(number)).collect();
            self.now = self.now.plus(6);
            let begun = Instant::now();
            for (market, trade) in ledger {
                self.windows.add(market, trade);
            }
            self.windows.advance(self.now);
            self.directory.listing();
            let board = Board::new(self.windows.view(), self.directory.clone());
            maker.update(&board);
            let rendered_s = begun.elapsed().as_secs_f64();
            let files = maker.encode(self.now).unwrap();
            let served_s = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            files.markets.brotli.make();
            if round > 0 {
                rendered.push(rendered_s);
                served.push(served_s);
                brotli.push(begun.elapsed().as_secs_f64());
            }
            kept = vec![files];
        }
        let bytes = |bytes: usize| bytes as f64;
        let markets = &kept.first().unwrap().markets;
        Measured {
            rendered_s: middle(rendered),
            served_s: middle(served),
            brotli_s: middle(brotli),
            raw_bytes: bytes(markets.raw.len()),
            gzip_bytes: bytes(markets.gzip.len()),
        }
    }

    /// A trade as the network's are, but in the next ledger.
    fn coming(&mut self, number: u64) -> (MarketId, WindowTrade) {
        let made = self.synthetic.make(self.held);
        self.held += 1;
        let mut trade = WindowTrade::from(&made.trade());
        trade.closed_at = self.now.plus(6);
        trade.token.toid += i64::try_from(number).unwrap();
        (made.market as MarketId, trade)
    }

    /// What the old program did each minute, though with all rows in memory: every trade of both windows anew.
    fn naive(&self) -> f64 {
        let trades: Vec<_> = (0..self.held)
            .map(|number| {
                let made = self.synthetic.make(number);
                (made.market, WindowTrade::from(&made.trade()))
            })
            .collect();
        let begun = Instant::now();
        for hours in [24, 168] {
            let mut sums = vec![Summary::default(); self.synthetic.markets.len()];
            let edge = self.now.minus(hours * HOUR);
            for (market, trade) in trades.iter().filter(|(_, trade)| trade.closed_at > edge) {
                sums.get_mut(*market).unwrap().merge(&Summary::of(trade));
            }
            std::hint::black_box(&sums);
        }
        begun.elapsed().as_secs_f64()
    }
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    *times.get(times.len() / 2).unwrap()
}

/// All assets valid, and every third market with a book.
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
    directory.learn_assets(numbers.iter().map(|(asset, number)| {
        let (code, issuer) = (asset.code().to_owned(), asset.issuer().to_owned());
        let currency = Currency { code, issuer, ..Currency::default() };
        (*number, Some(ListedAsset { currency, ..ListedAsset::default() }))
    }));
    directory.learn_markets(markets);
    let figures = BookFigures {
        bid_count: 20,
        bid_volume: 1.5,
        bid_max: 0.5,
        ask_count: 20,
        ask_volume: 2.5,
        ask_min: 0.6,
    };
    let book = |market: usize| (market as MarketId, PolledBook { figures, fetched_at: Second(1) });
    directory.learn_books((0..synthetic.markets.len()).step_by(3).map(book).collect(), true);
    directory
}
