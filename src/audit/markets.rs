//! Markets and pairs from what their rows come to, and `markets.json` against them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Comparison, Unreadable,
    rows::{Figure, List, Row, compare_row},
    served::{ServedFile, compare_head, fields, named_entries},
    sums::{Ratio, TradeSums},
};
use crate::domain::{
    amount::STROOPS_PER_UNIT, instant::UnixSeconds, number::ratio_to_f64, ticker::pair_name,
};

/// How the pairs of `markets.json` are compared.
const PAIRS: List =
    List { key: &["name"], kind: "a pair", absent: "no trade between valid assets in 7 days" };

/// What the rows of `orderbook_stats` whose codes spell a pair come to; all 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairBook {
    /// Levels of bids.
    pub bid_count: i64,
    /// Sum of the bids' volumes.
    pub bid_volume: f64,
    /// The greatest of the best bids.
    pub bid_max: f64,
    /// Levels of asks.
    pub ask_count: i64,
    /// Sum of the asks' volumes.
    pub ask_volume: f64,
    /// The smallest of the best asks.
    pub ask_min: f64,
}

impl PairBook {
    fn merge(&mut self, other: &Self) {
        self.bid_count = self.bid_count.saturating_add(other.bid_count);
        self.bid_volume += other.bid_volume;
        self.bid_max = self.bid_max.max(other.bid_max);
        self.ask_count = self.ask_count.saturating_add(other.ask_count);
        self.ask_volume += other.ask_volume;
        self.ask_min = self.ask_min.min(other.ask_min);
    }
}

/// An asset of a market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Its code.
    pub code: String,
    /// Its issuer; XLM's is `native`.
    pub issuer: String,
    /// What it is called in the names of pairs: the code, or its anchor's.
    pub pair_code: String,
}

/// What the rows of one market of valid assets come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedMarket {
    /// The base.
    pub base: Side,
    /// The counter.
    pub counter: Side,
    /// The last hours, as many as were asked for.
    pub recent: TradeSums,
    /// The last 7 days; never empty.
    pub week: TradeSums,
    /// Its order book, where it was polled.
    pub book: Option<PairBook>,
}

/// What a pair should be served as.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedPair {
    /// `<base>_<counter>`.
    pub name: String,
    /// The last hours: 24 in `markets.json`.
    pub recent: TradeSums,
    /// The last 7 days.
    pub week: TradeSums,
    /// Its order books.
    pub book: PairBook,
}

/// The pairs that markets belong to. Trades count by anchors, and books by the codes that spell a name.
#[must_use]
pub fn pairs(markets: &[ExpectedMarket]) -> Vec<ExpectedPair> {
    let mut books: BTreeMap<String, PairBook> = BTreeMap::new();
    for market in markets {
        if let Some(book) = &market.book {
            let spelt = pair_name(&market.base.code, &market.counter.code);
            books.entry(spelt).and_modify(|sum| sum.merge(book)).or_insert(*book);
        }
    }
    let mut pairs: BTreeMap<String, ExpectedPair> = BTreeMap::new();
    for market in markets {
        let pair = pairs.entry(pair_name(&market.base.pair_code, &market.counter.pair_code)).or_default();
        pair.recent.merge(&market.recent);
        pair.week.merge(&market.week);
    }
    let named = |(name, pair): (String, ExpectedPair)| {
        let book = books.get(&name).copied().unwrap_or_default();
        ExpectedPair { name, book, ..pair }
    };
    pairs.into_iter().map(named).collect()
}

/// Compares a served `markets.json` with what its pairs should be at `as_of`.
///
/// # Errors
///
/// [`Unreadable`]: it is no such file at all.
pub fn compare(body: &[u8], as_of: UnixSeconds, expected: &[ExpectedPair]) -> Result<Comparison, Unreadable> {
    let served = ServedFile::read("markets.json", "pairs", body)?;
    let mut comparison = Comparison::default();
    compare_head(&mut comparison, &served.head, as_of);
    let wanted = expected.iter().map(|pair| (vec![pair.name.clone()], expected_fields(pair))).collect();
    PAIRS.compare(&mut comparison, &served.entries, wanted);
    Ok(comparison)
}

/// Compares only these pairs, and looks for served ones that are none of `names`. Gives the names of those that differ.
pub(super) fn compare_some(
    comparison: &mut Comparison,
    body: &[u8],
    expected: &[ExpectedPair],
    names: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Unreadable> {
    let mut wanted: BTreeMap<&str, &ExpectedPair> =
        expected.iter().map(|pair| (pair.name.as_str(), pair)).collect();
    let mut differing = BTreeSet::new();
    comparison.entries = wanted.len();
    for (name, entry) in named_entries("markets.json", "pairs", body)? {
        let before = comparison.difference_count;
        match wanted.remove(name.as_str()) {
            Some(pair) => match fields(entry.get()) {
                Ok(fields) => compare_row(comparison, &name, &fields, &expected_fields(pair)),
                Err(_) => comparison.differs(&name, "", entry.get(), "an object"),
            },
            None if names.contains(&name) => {}
            None => comparison.differs(&name, "", PAIRS.kind, PAIRS.absent),
        }
        if comparison.difference_count > before {
            differing.insert(name);
        }
    }
    for name in wanted.into_keys() {
        comparison.differs(name, "", "nothing", PAIRS.kind);
        differing.insert(name.to_owned());
    }
    Ok(differing)
}

/// Every field of a pair, as the legacy file has it.
fn expected_fields(pair: &ExpectedPair) -> Row {
    let price = priced(pair.week.close);
    let mut row = Row::new();
    for (suffix, window) in [("", &pair.recent), ("_7d", &pair.week)] {
        let mut put = |name: &str, value| row.insert(format!("{name}{suffix}"), Figure::Exact(value));
        put("base_volume", units(window.base_volume));
        put("counter_volume", units(window.counter_volume));
        put("trade_count", count(window.trade_count));
        // A day without trades shows the last price of the week.
        let shown = |figure: f64| if window.is_empty() { price } else { figure };
        put("open", shown(priced(window.open)));
        put("low", shown(legacy(window.low)));
        put("high", shown(legacy(window.high)));
        put("change", shown(priced(window.close)) - shown(priced(window.open)));
    }
    for name in ["price", "close"] {
        row.insert(name.to_owned(), Figure::Exact(price));
    }
    row.insert("name".to_owned(), Figure::Text(pair.name.clone()));
    row.insert("close_time".to_owned(), Figure::Text(pair.week.latest().to_rfc3339()));
    let book = book_figures(&pair.book).into_iter().zip(BOOK_FIELDS);
    row.extend(book.map(|(figure, name)| (name.to_owned(), figure)));
    row
}

/// The fields of a book, in the order of [`book_figures`].
const BOOK_FIELDS: [&str; 8] = [
    "bid_count",
    "bid_volume",
    "bid_max",
    "ask_count",
    "ask_volume",
    "ask_min",
    "spread",
    "spread_mid_point",
];

/// What is told of a book: bids' count, volume and best, those of asks, spread and its middle.
pub(super) fn book_figures(book: &PairBook) -> [Figure; 8] {
    let (spread, spread_mid_point) = spread(book);
    [
        Figure::Exact(count(book.bid_count)),
        Figure::Near(book.bid_volume),
        Figure::Exact(book.bid_max),
        Figure::Exact(count(book.ask_count)),
        Figure::Near(book.ask_volume),
        Figure::Exact(book.ask_min),
        Figure::Exact(spread),
        Figure::Exact(spread_mid_point),
    ]
}

fn spread(book: &PairBook) -> (f64, f64) {
    if book.bid_max == 0.0 || book.ask_min == 0.0 {
        return (0.0, 0.0);
    }
    let spread = (book.ask_min - book.bid_max) / book.ask_min;
    (spread, book.bid_max + spread / 2.0)
}

/// A price as it is printed; 0 where there is none.
pub(super) fn legacy(ratio: Option<Ratio>) -> f64 {
    ratio.map_or(0.0, |(n, d)| ratio_to_f64(i128::from(n), d))
}

/// The price of the trade that opens or closes, as it is printed.
pub(super) fn priced<T>(placed: Option<(T, Ratio)>) -> f64 {
    legacy(placed.map(|(_, ratio)| ratio))
}

/// Stroops as they are printed.
pub(super) fn units(stroops: i128) -> f64 {
    ratio_to_f64(stroops, STROOPS_PER_UNIT)
}

/// A count as a double, exact below 2^53.
pub(super) fn count(value: i64) -> f64 {
    ratio_to_f64(i128::from(value), 1)
}

#[cfg(test)]
mod tests;
