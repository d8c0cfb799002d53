//! Expected markets and pairs, recomputed from the rows, and their comparison with `markets.json`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Comparison, UnreadableError,
    rows::{Figure, List, Row, compare_row},
    served::{ServedFile, compare_head, fields, named_entries},
    sums::{Ratio, TradeSums},
};
use crate::domain::{
    amount::STROOPS_PER_UNIT, conversions::Integer, instant::UnixSeconds, number::ratio_to_f64,
    ticker::pair_name,
};

/// Comparison rules for the pairs of `markets.json`.
const PAIRS: List =
    List { key: &["name"], kind: "a pair", absent: "no trade between valid assets in 7 days" };

/// Summed order books of a pair: all rows of `orderbook_stats` whose codes spell its name. All 0 without rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairBook {
    /// Number of bid levels.
    pub bid_count: i64,
    /// Sum of the bid volumes.
    pub bid_volume: f64,
    /// Highest best bid.
    pub bid_max: f64,
    /// Number of ask levels.
    pub ask_count: i64,
    /// Sum of the ask volumes.
    pub ask_volume: f64,
    /// Lowest best ask.
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

/// Asset on one side of a market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Asset code.
    pub code: String,
    /// Address of the issuer, or `native` for XLM.
    pub issuer: String,
    /// Code used in pair names: the anchor's code if there is one, else the asset's own.
    pub pair_code: String,
}

/// Figures of one market of valid assets, recomputed from its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedMarket {
    /// Base asset.
    pub base: Side,
    /// Counter asset.
    pub counter: Side,
    /// Trades of the most recent hours. The caller chooses how many hours.
    pub recent: TradeSums,
    /// Trades of the last 7 days. Never empty.
    pub week: TradeSums,
    /// Order book, or `None` if none was polled.
    pub book: Option<PairBook>,
}

/// Pair as it should be served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedPair {
    /// Name, `<base>_<counter>`.
    pub name: String,
    /// Trades of the most recent hours: 24 for `markets.json`.
    pub recent: TradeSums,
    /// Trades of the last 7 days.
    pub week: TradeSums,
    /// Summed order books.
    pub book: PairBook,
}

/// Groups markets into pairs. Trades belong to the name made of the anchors, books to the name made of the codes.
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

/// Compares a served `markets.json` with the expected pairs at `as_of`.
///
/// # Errors
///
/// [`UnreadableError`] if the file is not valid JSON.
pub fn compare(
    body: &[u8],
    as_of: UnixSeconds,
    expected: &[ExpectedPair],
) -> Result<Comparison, UnreadableError> {
    let served = ServedFile::read("markets.json", "pairs", body)?;
    let mut comparison = Comparison::default();
    compare_head(&mut comparison, &served.head, as_of);
    let wanted = expected.iter().map(|pair| (vec![pair.name.clone()], expected_fields(pair))).collect();
    PAIRS.compare(&mut comparison, &served.entries, wanted);
    Ok(comparison)
}

/// Compares only the `expected` pairs, and reports served pairs that are not in `names`. Returns the names of pairs
/// that differ.
pub(super) fn compare_some(
    comparison: &mut Comparison,
    body: &[u8],
    expected: &[ExpectedPair],
    names: &BTreeSet<String>,
) -> Result<BTreeSet<String>, UnreadableError> {
    let mut wanted: BTreeMap<&str, &ExpectedPair> =
        expected.iter().map(|pair| (pair.name.as_str(), pair)).collect();
    let mut differing = BTreeSet::new();
    comparison.entries = wanted.len();
    for (name, entry) in named_entries("markets.json", "pairs", body)? {
        let before = comparison.difference_count;
        match wanted.remove(name.as_str()) {
            Some(pair) => match fields(entry.get()) {
                Ok(fields) => compare_row(comparison, &name, &fields, &expected_fields(pair)),
                Err(_) => comparison.add_difference(&name, "", entry.get(), "an object"),
            },
            // A served pair that this slice does not cover. Another slice compares it.
            None if names.contains(&name) => {}
            None => comparison.add_difference(&name, "", PAIRS.kind, PAIRS.absent),
        }
        if comparison.difference_count > before {
            differing.insert(name);
        }
    }
    for name in wanted.into_keys() {
        comparison.add_difference(name, "", "nothing", PAIRS.kind);
        differing.insert(name.to_owned());
    }
    Ok(differing)
}

/// Expected fields of a pair in the legacy file.
fn expected_fields(pair: &ExpectedPair) -> Row {
    let price = priced(pair.week.close);
    let mut row = Row::new();
    for (suffix, window) in [("", &pair.recent), ("_7d", &pair.week)] {
        // The 24-hour figures have no suffix, those of 7 days have `_7d`.
        let mut put = |name: &str, value| row.insert(format!("{name}{suffix}"), Figure::Exact(value));
        put("base_volume", units(window.base_volume));
        put("counter_volume", units(window.counter_volume));
        put("trade_count", window.trade_count.to_f64());
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

/// Fields of a book, in the order of [`book_figures`].
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

/// Figures of a book: count, volume and best price of the bids, the same of the asks, spread and mid point.
pub(super) fn book_figures(book: &PairBook) -> [Figure; 8] {
    let (spread, spread_mid_point) = spread(book);
    [
        Figure::Exact(book.bid_count.to_f64()),
        Figure::Near(book.bid_volume),
        Figure::Exact(book.bid_max),
        Figure::Exact(book.ask_count.to_f64()),
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

/// Printed price. 0 without a price.
pub(super) fn legacy(ratio: Option<Ratio>) -> f64 {
    ratio.map_or(0.0, |(n, d)| ratio_to_f64(i128::from(n), d))
}

/// Printed price of the opening or closing trade. 0 without one.
pub(super) fn priced<T>(placed: Option<(T, Ratio)>) -> f64 {
    legacy(placed.map(|(_, ratio)| ratio))
}

/// Printed value of an amount in stroops.
pub(super) fn units(stroops: i128) -> f64 {
    ratio_to_f64(stroops, STROOPS_PER_UNIT)
}

#[cfg(test)]
mod tests;
