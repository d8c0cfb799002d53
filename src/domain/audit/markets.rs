//! `markets.json` against a recomputation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::{
    super::{amount::STROOPS_PER_UNIT, instant::Second, number::ratio_to_f64},
    Comparison, Unreadable,
    served::{Fields, ServedFile, expected_head, fields, named_entries, number, text},
};

/// Sums of doubles in another order may differ so much, relatively.
const BOOK_VOLUME_TOLERANCE: f64 = 1e-9;

/// A price in the legacy orientation, base per counter, as the ratio that it was traded at.
pub type Ratio = (i64, i64);

/// What the rows of one pair come to in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairWindow {
    /// How many trades.
    pub trade_count: i64,
    /// Sum of the base amounts, in stroops.
    pub base_volume: i128,
    /// Sum of the counter amounts, in stroops.
    pub counter_volume: i128,
    /// The first price by (toid, order); none where no trade has one, and so the others.
    pub open: Option<Ratio>,
    /// The smallest price.
    pub low: Option<Ratio>,
    /// The greatest price.
    pub high: Option<Ratio>,
    /// The last price by (toid, order).
    pub close: Option<Ratio>,
}

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

/// What a pair should be served as.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedPair {
    /// `<base>_<counter>`.
    pub name: String,
    /// The last 24 hours.
    pub day: PairWindow,
    /// The last 7 days.
    pub week: PairWindow,
    /// When the latest trade closed.
    pub close_time: Second,
    /// Its order books.
    pub book: PairBook,
}

/// What a figure should be.
#[derive(Clone, Debug, PartialEq)]
enum Figure {
    /// This double, to the last bit.
    Exact(f64),
    /// A sum of doubles, whose order of adding is not laid down.
    Near(f64),
    /// This text.
    Text(String),
}

impl Figure {
    fn agrees(&self, served: &RawValue) -> bool {
        match self {
            Self::Exact(expected) => number(served).is_some_and(|served| served == *expected),
            Self::Near(expected) => number(served).is_some_and(|served| {
                (served - expected).abs() <= BOOK_VOLUME_TOLERANCE * expected.abs().max(served.abs())
            }),
            Self::Text(expected) => text(served).is_some_and(|served| served == *expected),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Exact(number) | Self::Near(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
        }
    }
}

/// Compares a served `markets.json` with what its pairs should be at `as_of`.
///
/// # Errors
///
/// [`Unreadable`]: it is no such file at all.
pub fn compare(body: &[u8], as_of: Second, expected: &[ExpectedPair]) -> Result<Comparison, Unreadable> {
    let served = ServedFile::read("markets.json", "pairs", body)?;
    let mut comparison = Comparison { entries: served.entries.len(), ..Comparison::default() };
    for (field, wanted) in expected_head(as_of) {
        let told = served.head.get(field).map_or("nothing", |raw| raw.get());
        comparison.compared(told == wanted, "", field, told, &wanted);
    }
    let mut wanted: BTreeMap<&str, &ExpectedPair> =
        expected.iter().map(|pair| (pair.name.as_str(), pair)).collect();
    let mut last = None;
    for fields in &served.entries {
        let name = fields.get("name").and_then(|raw| text(raw)).unwrap_or_default();
        if last.as_ref().is_some_and(|last| *last >= name) {
            comparison.differs(&name, "name", "out of order, or twice", "sorted by name, each once");
        }
        match wanted.remove(name.as_str()) {
            Some(pair) => compare_pair(&mut comparison, fields, pair),
            None => comparison.differs(&name, "", "a pair", "no trade between valid assets in 7 days"),
        }
        last = Some(name);
    }
    for (name, pair) in wanted {
        let trades = format!("{} trades in 7 days", pair.week.trade_count);
        comparison.differs(name, "", "nothing", &trades);
    }
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
                Ok(fields) => compare_pair(comparison, &fields, pair),
                Err(_) => comparison.differs(&name, "", entry.get(), "an object"),
            },
            None if names.contains(&name) => {}
            None => comparison.differs(&name, "", "a pair", "no trade between valid assets in 7 days"),
        }
        if comparison.difference_count > before {
            differing.insert(name);
        }
    }
    for (name, pair) in wanted {
        let trades = format!("{} trades in 7 days", pair.week.trade_count);
        comparison.differs(name, "", "nothing", &trades);
        differing.insert(name.to_owned());
    }
    Ok(differing)
}

fn compare_pair(comparison: &mut Comparison, served: &Fields<'_>, pair: &ExpectedPair) {
    let expected = expected_fields(pair);
    for (field, figure) in &expected {
        let raw = served.get(field);
        let told = raw.map_or("nothing", |raw| raw.get());
        let agrees = raw.is_some_and(|raw| figure.agrees(raw));
        comparison.compared(agrees, &pair.name, field, told, &figure.shown());
    }
    for (field, raw) in served.iter().filter(|(field, _)| !expected.contains_key(*field)) {
        comparison.differs(&pair.name, field, raw.get(), "no such field");
    }
}

/// Every field of a pair, as the legacy file has it.
fn expected_fields(pair: &ExpectedPair) -> BTreeMap<String, Figure> {
    let price = legacy(pair.week.close);
    let mut fields = BTreeMap::new();
    for (suffix, window) in [("", &pair.day), ("_7d", &pair.week)] {
        let mut put = |name: &str, value| fields.insert(format!("{name}{suffix}"), Figure::Exact(value));
        put("base_volume", ratio_to_f64(window.base_volume, STROOPS_PER_UNIT));
        put("counter_volume", ratio_to_f64(window.counter_volume, STROOPS_PER_UNIT));
        put("trade_count", count(window.trade_count));
        // A day without trades shows the last price of the week.
        let falls_back = window.trade_count == 0;
        let shown = |ratio| if falls_back { price } else { legacy(ratio) };
        put("open", shown(window.open));
        put("low", shown(window.low));
        put("high", shown(window.high));
        put("change", shown(window.close) - shown(window.open));
    }
    for name in ["price", "close"] {
        fields.insert(name.to_owned(), Figure::Exact(price));
    }
    fields.insert("name".to_owned(), Figure::Text(pair.name.clone()));
    fields.insert("close_time".to_owned(), Figure::Text(pair.close_time.to_rfc3339()));
    let book = &pair.book;
    let (spread, spread_mid_point) = spread(book);
    for (name, figure) in [
        ("bid_count", Figure::Exact(count(book.bid_count))),
        ("bid_volume", Figure::Near(book.bid_volume)),
        ("bid_max", Figure::Exact(book.bid_max)),
        ("ask_count", Figure::Exact(count(book.ask_count))),
        ("ask_volume", Figure::Near(book.ask_volume)),
        ("ask_min", Figure::Exact(book.ask_min)),
        ("spread", Figure::Exact(spread)),
        ("spread_mid_point", Figure::Exact(spread_mid_point)),
    ] {
        fields.insert(name.to_owned(), figure);
    }
    fields
}

fn spread(book: &PairBook) -> (f64, f64) {
    if book.bid_max == 0.0 || book.ask_min == 0.0 {
        return (0.0, 0.0);
    }
    let spread = (book.ask_min - book.bid_max) / book.ask_min;
    (spread, book.bid_max + spread / 2.0)
}

/// A price as it is printed; 0 where there is none.
fn legacy(ratio: Option<Ratio>) -> f64 {
    ratio.map_or(0.0, |(n, d)| ratio_to_f64(i128::from(n), d))
}

/// A count as a double, exact below 2^53.
fn count(value: i64) -> f64 {
    ratio_to_f64(i128::from(value), 1)
}

#[cfg(test)]
mod tests;
