//! The legacy ticker: all issuers of the same two codes summed into one pair.

use std::collections::{BTreeMap, HashMap};

use super::{
    amount::STROOPS_PER_UNIT,
    instant::Second,
    market::Market,
    number::ratio_to_f64,
    orderbook::{BookFigures, PolledBook},
    price::Price,
    summary::Summary,
    windows::{Figures, MarketId},
};

/// An asset's number in the database.
pub type AssetId = i32;

/// What the ticker must know of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetFacts {
    /// Its code.
    pub code: String,
    /// The code that it is anchored to; empty where it is not.
    pub anchor_code: String,
    /// Whether its trades count.
    pub is_valid: bool,
}

impl AssetFacts {
    /// Its name in pairs: the anchor's code where it has one, else its own.
    #[must_use]
    pub fn pair_code(&self) -> &str {
        if self.anchor_code.is_empty() { &self.code } else { &self.anchor_code }
    }
}

/// Assets and markets by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// What is known of each asset.
    pub assets: HashMap<AssetId, AssetFacts>,
    /// Each market's base and counter, in the normalised orientation of [`Market`].
    pub markets: HashMap<MarketId, (AssetId, AssetId)>,
    /// The books that were polled.
    pub books: HashMap<MarketId, PolledBook>,
}

impl Directory {
    /// Both assets of a market whose trades count; none where an asset of it is not valid.
    #[must_use]
    pub fn valid_sides(&self, market: MarketId) -> Option<(&AssetFacts, &AssetFacts)> {
        let (base, counter) = self.markets.get(&market)?;
        let (base, counter) = (self.assets.get(base)?, self.assets.get(counter)?);
        (base.is_valid && counter.is_valid).then_some((base, counter))
    }
}

fn pair_name(base: &str, counter: &str) -> String {
    format!("{base}_{counter}")
}

/// The figures of one window in the legacy orientation, base per counter, as doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegacyFigures {
    /// Units of the base.
    pub base_volume: f64,
    /// Units of the counter.
    pub counter_volume: f64,
    /// How many trades.
    pub trade_count: u64,
    /// First price; this and the other prices are 0 where no trade of the window has one.
    pub open: f64,
    /// Smallest price.
    pub low: f64,
    /// Greatest price.
    pub high: f64,
    /// Last price.
    pub close: f64,
}

impl From<&Summary> for LegacyFigures {
    fn from(summary: &Summary) -> Self {
        // Base per counter turns smallest and greatest round.
        let legacy = |pick: fn(&super::summary::Prices) -> Price| {
            summary.prices.as_ref().map_or(0.0, |prices| pick(prices).inverse().to_f64())
        };
        Self {
            base_volume: ratio_to_f64(summary.base_volume, STROOPS_PER_UNIT),
            counter_volume: ratio_to_f64(summary.counter_volume, STROOPS_PER_UNIT),
            trade_count: summary.trade_count,
            open: legacy(|prices| prices.open.price),
            low: legacy(|prices| prices.max),
            high: legacy(|prices| prices.min),
            close: legacy(|prices| prices.close.price),
        }
    }
}

/// One pair of `markets.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// `<base>_<counter>`.
    pub name: String,
    /// The last 24 hours, the fallback to 7 days applied.
    pub day: LegacyFigures,
    /// The last 7 days.
    pub week: LegacyFigures,
    /// The last price of the 7 days, which is also the day's `close`.
    pub price: f64,
    /// When the latest trade closed, priced or not.
    pub close_time: Second,
    /// Its order books.
    pub book: BookFigures,
}

impl Pair {
    fn new(name: String, figures: &Figures, book: BookFigures) -> Self {
        let week = LegacyFigures::from(&figures.week);
        let price = week.close;
        let mut day = LegacyFigures::from(&figures.day);
        if figures.day.is_empty() {
            day = LegacyFigures { open: price, low: price, high: price, close: price, ..day };
        }
        let close_time = figures.week.times.map_or(Second::default(), |(_, last)| last);
        Self { name, day, week, price, close_time, book }
    }
}

/// Every pair with a trade in the last 7 days, by name.
///
/// Trades belong to the name that the anchors give, a book to the name that the two codes spell: that is how the old
/// ticker had it.
pub fn pairs<'a>(figures: impl Iterator<Item = (MarketId, &'a Figures)>, directory: &Directory) -> Vec<Pair> {
    let mut sums: BTreeMap<String, Figures> = BTreeMap::new();
    let mut books: BTreeMap<MarketId, (String, &PolledBook)> = BTreeMap::new();
    for (market, figures) in figures {
        let Some((base, counter)) = directory.valid_sides(market) else { continue };
        let sum = sums.entry(pair_name(base.pair_code(), counter.pair_code())).or_default();
        sum.day.merge(&figures.day);
        sum.week.merge(&figures.week);
        if let Some(book) = directory.books.get(&market) {
            books.insert(market, (pair_name(&base.code, &counter.code), book));
        }
    }
    let mut books = books_by_name(books.into_values());
    sums.into_iter()
        .map(|(name, figures)| {
            let book = books.remove(&name).unwrap_or_default();
            Pair::new(name, &figures, book)
        })
        .collect()
}

/// Sums books in the order in which they come: doubles added in another order differ in their last digit.
fn books_by_name<'a>(books: impl Iterator<Item = (String, &'a PolledBook)>) -> HashMap<String, BookFigures> {
    let mut sums: HashMap<String, BookFigures> = HashMap::new();
    for (name, book) in books {
        sums.entry(name).and_modify(|sum| sum.merge(&book.figures)).or_insert(book.figures);
    }
    sums
}

/// The name of a market's two issued assets, `CODE:ISSUER / CODE:ISSUER` (XLM's issuer is `native`).
#[must_use]
pub fn trade_pair(market: &Market) -> String {
    let side = |asset: &super::asset::Asset| format!("{}:{}", asset.code(), asset.issuer());
    format!("{} / {}", side(market.base()), side(market.counter()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::summary::tests::trade;
    use super::*;

    pub(crate) fn facts(code: &str, anchor_code: &str, is_valid: bool) -> AssetFacts {
        AssetFacts { code: code.into(), anchor_code: anchor_code.into(), is_valid }
    }

    fn book(bid_count: u64) -> PolledBook {
        PolledBook { figures: BookFigures { bid_count, ..BookFigures::default() }, fetched_at: Second(1) }
    }

    fn directory() -> Directory {
        Directory {
            assets: HashMap::from([
                (1, facts("XLM", "", true)),
                (2, facts("BRL", "", true)),
                (3, facts("BRLT", "BRL", true)),
                (4, facts("BAD", "", false)),
            ]),
            markets: HashMap::from([(12, (1, 2)), (13, (1, 3)), (14, (1, 4))]),
            books: HashMap::from([(12, book(3)), (13, book(5)), (14, book(7))]),
        }
    }

    fn figures(
        day: &[super::super::summary::WindowTrade],
        older: &[super::super::summary::WindowTrade],
    ) -> Figures {
        let day: Summary = day.iter().collect();
        let mut week: Summary = older.iter().collect();
        week.merge(&day);
        Figures { day, week }
    }

    #[test]
    fn sums_all_issuers_and_anchors_of_a_name_and_leaves_out_what_is_not_valid() {
        let one = figures(&[trade(5, 0, 50, (20_000_000, 10_000_000), (1, 2))], &[]);
        let two = figures(&[trade(6, 0, 60, (10_000_000, 40_000_000), (4, 1))], &[]);
        let pairs = pairs([(12, &one), (13, &two), (14, &two)].into_iter(), &directory());
        let [pair] = pairs.as_slice() else { panic!("{pairs:?}") };
        assert_eq!(pair.name, "XLM_BRL");
        assert_eq!((pair.day.base_volume, pair.day.counter_volume, pair.day.trade_count), (3.0, 5.0, 2));
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.day.close), (2.0, 0.25, 2.0, 0.25));
        assert_eq!(pair.close_time, Second(60));
        assert_eq!(pair.book.bid_count, 3, "the book of the code, not that of the anchored one");
    }

    #[test]
    fn a_day_without_trades_falls_back_to_the_last_price_of_the_week() {
        let old = figures(&[], &[trade(5, 0, 50, (10, 10), (1, 4))]);
        let pair = &pairs([(12, &old)].into_iter(), &directory())[0];
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.price), (4.0, 4.0, 4.0, 4.0));
        assert_eq!((pair.day.trade_count, pair.week.trade_count), (0, 1));
    }

    #[test]
    fn a_day_with_only_priceless_trades_shows_no_prices_but_the_last_of_the_week() {
        let mixed = figures(&[trade(9, 0, 90, (10, 10), (0, 1))], &[trade(5, 0, 50, (10, 10), (1, 4))]);
        let pair = &pairs([(12, &mixed)].into_iter(), &directory())[0];
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.day.close), (0.0, 0.0, 0.0, 0.0));
        assert_eq!((pair.price, pair.close_time, pair.day.trade_count), (4.0, Second(90), 1));
    }
}
