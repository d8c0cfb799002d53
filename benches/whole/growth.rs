//! Growth of the cost of a publication and of the memory of the windows with the number of trades and of markets.

use super::{
    bench::Bench,
    publish::{self, FEW_TRADES, MARKETS, Measured, naive_seconds},
    report::{Point, Row, Unit},
};

/// Numbers of trades, each at [`MARKETS`] markets.
const TRADES: [u64; 5] = [FEW_TRADES, 1_000_000, 5_000_000, 10_000_000, 30_000_000];
const TRADES_QUICK: [u64; 3] = [FEW_TRADES, 300_000, 1_000_000];
/// Numbers of markets, each at [`MANY`] or [`MANY_QUICK`] trades.
const MANY_MARKETS: [u64; 4] = [1_000, 10_000, MARKETS, 100_000];
const MANY: u64 = 10_000_000;
const MANY_QUICK: u64 = 1_000_000;
/// Largest number of trades for SQL. Storing more takes too long and too much of the disk.
const SQL_TRADES_MAX: u64 = 10_000_000;

/// Names of the lines in the plots.
pub(crate) const RENDERED: &str = "publication, CPU before compression";
pub(crate) const SERVED: &str = "publication, until plain and gzip can be served";
pub(crate) const SQL: &str = "naive SQL";
pub(crate) const MEMORY: &str = "windows and directory";
/// Names of the quantities that grow.
pub(crate) const BY_TRADES: &str = "trades";
pub(crate) const BY_MARKETS: &str = "markets";

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let many = many(bench.is_full);
    let trades = if bench.is_full { &TRADES[..] } else { &TRADES_QUICK[..] };
    let (mut rows, mut published, mut naive) = (Vec::new(), Vec::new(), Vec::new());
    for trades in trades.iter().copied() {
        let measured = publish::measure_alone(trades, MARKETS);
        rows.extend(points(BY_TRADES, trades, &measured));
        if trades <= SQL_TRADES_MAX {
            let seconds = bench.block_on(naive_seconds(bench, trades));
            rows.push(Row::at(Point { by: BY_TRADES, size: trades, line: SQL }, seconds, Unit::Seconds));
            naive.push((trades, seconds));
        }
        published.push((trades, measured.rendered_s));
    }
    for markets in MANY_MARKETS {
        rows.extend(points(BY_MARKETS, markets, &publish::measure_alone(many, markets)));
    }
    let growth = |of: &[(u64, f64)]| {
        let at = |wanted| of.iter().find(|(trades, _)| *trades == wanted).unwrap().1;
        at(many) / at(FEW_TRADES)
    };
    let what = format!("growth of a publication, CPU before compression, from {FEW_TRADES} to {many} trades");
    let row = Row::new(what, growth(&published), Unit::Times);
    rows.push(row.baseline("naive SQL", growth(&naive)).goal(1.2));
    rows
}

/// Returns the number of trades for comparing numbers of markets.
pub(crate) const fn many(is_full: bool) -> u64 {
    if is_full { MANY } else { MANY_QUICK }
}

fn points(by: &'static str, size: u64, measured: &Measured) -> [Row; 3] {
    [
        Row::at(Point { by, size, line: RENDERED }, measured.rendered_s, Unit::Seconds),
        Row::at(Point { by, size, line: SERVED }, measured.served_s, Unit::Seconds),
        Row::at(Point { by, size, line: MEMORY }, measured.memory_bytes, Unit::Bytes),
    ]
}
