//! Pairs of the legacy ticker. A pair sums all issuers of the same two codes.

use std::collections::{BTreeMap, HashMap};

use super::{
    amount::STROOPS_PER_UNIT,
    directory::Directory,
    instant::UnixSeconds,
    number::ratio_to_f64,
    orderbook::BookFigures,
    price::Price,
    trade_stats::TradeStats,
    windows::{Figures, MarketId},
};

/// Pair name, `<base>_<counter>`.
#[must_use]
pub fn pair_name(base: &str, counter: &str) -> String {
    format!("{base}_{counter}")
}

/// Figures of one window in the legacy orientation (base per counter), as doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegacyFigures {
    /// Volume in units of the base.
    pub base_volume: f64,
    /// Volume in units of the counter.
    pub counter_volume: f64,
    /// Number of trades.
    pub trade_count: u64,
    /// First price. All prices are 0 if no trade of the window has one.
    pub open: f64,
    /// Lowest price.
    pub low: f64,
    /// Highest price.
    pub high: f64,
    /// Last price.
    pub close: f64,
}

impl From<&TradeStats> for LegacyFigures {
    fn from(stats: &TradeStats) -> Self {
        // The inverse reverses the order: the legacy `low` is the inverse of the highest price.
        let legacy = |pick: fn(&super::trade_stats::Prices) -> Price| {
            stats.prices.as_ref().map_or(0.0, |prices| pick(prices).inverse().to_f64())
        };
        Self {
            base_volume: ratio_to_f64(stats.base_volume, STROOPS_PER_UNIT),
            counter_volume: ratio_to_f64(stats.counter_volume, STROOPS_PER_UNIT),
            trade_count: stats.trade_count,
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
    /// Name, `<base>_<counter>`.
    pub name: String,
    /// Figures of the last 24 hours. A day without trades has the last price of the week.
    pub day: LegacyFigures,
    /// Figures of the last 7 days.
    pub week: LegacyFigures,
    /// Last price of the 7 days, which is also the day's `close`.
    pub price: f64,
    /// Close time of the latest trade, with or without a price.
    pub close_time: UnixSeconds,
    /// Summed order books.
    pub book: BookFigures,
}

impl Pair {
    /// Builds the pair of these sums.
    #[must_use]
    pub fn new(name: String, figures: &Figures, book: BookFigures) -> Self {
        let week = LegacyFigures::from(&figures.week);
        let price = week.close;
        let mut day = LegacyFigures::from(&figures.day);
        if figures.day.is_empty() {
            day = LegacyFigures { open: price, low: price, high: price, close: price, ..day };
        }
        let close_time = figures.week.times.map_or(UnixSeconds::default(), |(_, last)| last);
        Self { name, day, week, price, close_time, book }
    }
}

/// Pairs with a trade in the last 7 days, by name.
///
/// As in the old ticker, trades belong to the name made of the anchors, and a book to the name made of the two codes.
pub fn pairs<'a>(
    figures: impl Iterator<Item = (MarketId, &'a Figures)>,
    directory: &Directory,
    books: &HashMap<String, BookFigures>,
) -> Vec<Pair> {
    let mut sums: BTreeMap<String, Figures> = BTreeMap::new();
    for (market, figures) in figures {
        let Some((base, counter)) = directory.valid_sides(market) else { continue };
        let sum = sums.entry(pair_name(base.pair_code(), counter.pair_code())).or_default();
        sum.merge(figures);
    }
    let book = |name: &str| books.get(name).copied().unwrap_or_default();
    sums.into_iter()
        .map(|(name, figures)| {
            let book = book(&name);
            Pair::new(name, &figures, book)
        })
        .collect()
}

/// Sums the order books of markets of valid assets by the name made of the two codes. Adds them in the order of
/// `markets`, since adding doubles in another order changes the last digit.
pub(crate) fn books_by_name(
    markets: impl Iterator<Item = MarketId>,
    directory: &Directory,
) -> HashMap<String, BookFigures> {
    let mut sums: HashMap<String, BookFigures> = HashMap::new();
    for market in markets {
        let sides = directory.valid_sides(market);
        let (Some((base, counter)), Some(book)) = (sides, directory.book(market)) else { continue };
        sums.entry(pair_name(base.code(), counter.code()))
            .and_modify(|sum| sum.merge(&book.figures))
            .or_insert(book.figures);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{self, trade};

    /// The fourth asset, BAD, is not valid.
    fn directory() -> Directory {
        let assets = [("XLM", "native", ""), ("BRL", "G1", ""), ("BRLT", "G2", "BRL")];
        test_support::directory(&assets, &[(12, 1, 2), (13, 1, 3), (14, 1, 4)], &[(12, 3), (13, 5), (14, 7)])
    }

    fn pairs_of(figures: &[(MarketId, &Figures)]) -> Vec<Pair> {
        let books = books_by_name(figures.iter().map(|(market, _)| *market), &directory());
        pairs(figures.iter().copied(), &directory(), &books)
    }

    fn figures(
        day: &[crate::trade_stats::WindowTrade],
        older: &[crate::trade_stats::WindowTrade],
    ) -> Figures {
        let day: TradeStats = day.iter().collect();
        let mut week: TradeStats = older.iter().collect();
        week.merge(&day);
        Figures { day, week }
    }

    #[test]
    fn sums_all_issuers_and_anchors_of_a_name_and_skips_invalid_assets() {
        let one = figures(&[trade(5, 0, 50, (20_000_000, 10_000_000), (1, 2))], &[]);
        let two = figures(&[trade(6, 0, 60, (10_000_000, 40_000_000), (4, 1))], &[]);
        let pairs = pairs_of(&[(12, &one), (13, &two), (14, &two)]);
        let [pair] = pairs.as_slice() else { panic!("{pairs:?}") };
        assert_eq!(pair.name, "XLM_BRL");
        assert_eq!((pair.day.base_volume, pair.day.counter_volume, pair.day.trade_count), (3.0, 5.0, 2));
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.day.close), (2.0, 0.25, 2.0, 0.25));
        assert_eq!(pair.close_time, UnixSeconds(60));
        assert_eq!(pair.book.bid_count, 3, "the book of the code, not of the anchored asset");
    }

    #[test]
    fn a_day_without_trades_falls_back_to_the_last_price_of_the_week() {
        let old = figures(&[], &[trade(5, 0, 50, (10, 10), (1, 4))]);
        let pair = &pairs_of(&[(12, &old)])[0];
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.price), (4.0, 4.0, 4.0, 4.0));
        assert_eq!((pair.day.trade_count, pair.week.trade_count), (0, 1));
    }

    #[test]
    fn a_day_of_trades_without_prices_has_only_the_weeks_last_price() {
        let mixed = figures(&[trade(9, 0, 90, (10, 10), (0, 1))], &[trade(5, 0, 50, (10, 10), (1, 4))]);
        let pair = &pairs_of(&[(12, &mixed)])[0];
        assert_eq!((pair.day.open, pair.day.low, pair.day.high, pair.day.close), (0.0, 0.0, 0.0, 0.0));
        assert_eq!((pair.price, pair.close_time, pair.day.trade_count), (4.0, UnixSeconds(90), 1));
    }
}
