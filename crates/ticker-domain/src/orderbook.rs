//! Order books, and the figures of them that the ticker keeps.

use super::{
    amount::{STROOPS_PER_UNIT, Total},
    conversions::SaturatingFrom,
    instant::{HOUR, UnixSeconds},
    number::ratio_to_f64,
    price::Price,
};

/// Longest time in seconds since an order book was fetched for which its prices are shown.
pub const BOOK_AGE_MAX: i64 = HOUR;
/// Longest time in seconds since an order book was fetched for which a reader gets it without another request.
const BOOK_FRESH_MAX: i64 = 10;

/// Returns true if a reader may get a book that was fetched at this time without another request to Horizon.
///
/// A time ahead of `now` comes from a clock that is wrong or was corrected. The age of that book is unknown, so it is
/// not fresh.
#[must_use]
pub fn is_fresh_book(fetched_at: UnixSeconds, now: UnixSeconds) -> bool {
    (0..=BOOK_FRESH_MAX).contains(&now.0.saturating_sub(fetched_at.0))
}

/// One price level of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price, counter per base.
    pub price: Price,
    /// Sum of all offers at this price. As in Horizon: asks in units of the base, bids in units of the counter.
    pub amount: Total,
}

/// Offers of a market, without liquidity pools. A side may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderBook {
    /// Offers to buy the base.
    pub bids: Vec<Level>,
    /// Offers to sell the base.
    pub asks: Vec<Level>,
}

/// Figures of one order book, or summed figures of a pair's books. All 0 if none was polled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BookFigures {
    /// Number of bid levels.
    pub bid_count: u64,
    /// Sum of the bid amounts, in units of the counter.
    pub bid_volume: f64,
    /// Highest bid, counter per base. 0 without bids.
    pub bid_max: f64,
    /// Number of ask levels.
    pub ask_count: u64,
    /// Sum of amount times price of the asks, in units of the counter.
    pub ask_volume: f64,
    /// Lowest ask, counter per base. 0 without asks.
    pub ask_min: f64,
}

/// Exact best prices of an order book, counter per base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BestPrices {
    /// Highest bid. `None` without bids, and if only [`BookFigures::bid_max`] is known.
    pub bid: Option<Price>,
    /// Lowest ask. `None` without asks, and if only [`BookFigures::ask_min`] is known.
    pub ask: Option<Price>,
}

/// Figures of an order book, and the time when it was fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolledBook {
    /// Figures of the book.
    pub figures: BookFigures,
    /// Exact best prices.
    pub best: BestPrices,
    /// Time of Horizon's answer.
    pub fetched_at: UnixSeconds,
}

impl OrderBook {
    /// Best prices of this book.
    #[must_use]
    pub fn best(&self) -> BestPrices {
        BestPrices {
            bid: self.bids.iter().map(|bid| bid.price).max(),
            ask: self.asks.iter().map(|ask| ask.price).min(),
        }
    }

    /// Computes the figures of this book.
    #[must_use]
    pub fn figures(&self) -> BookFigures {
        let count = |side: &[Level]| u64::saturating_from(side.len());
        let bids = self.bids.iter().fold(0_i128, |sum, bid| sum.saturating_add(bid.amount.stroops()));
        let units = |level: &Level| ratio_to_f64(level.amount.stroops(), STROOPS_PER_UNIT);
        let BestPrices { bid, ask } = self.best();
        BookFigures {
            bid_count: count(&self.bids),
            bid_volume: ratio_to_f64(bids, STROOPS_PER_UNIT),
            bid_max: bid.map_or(0.0, Price::to_f64),
            ask_count: count(&self.asks),
            ask_volume: self.asks.iter().map(|ask| units(ask) * ask.price.to_f64()).sum(),
            ask_min: ask.map_or(0.0, Price::to_f64),
        }
    }
}

impl PolledBook {
    /// Figures and best prices of a book.
    #[must_use]
    pub fn of(book: &OrderBook, fetched_at: UnixSeconds) -> Self {
        Self { figures: book.figures(), best: book.best(), fetched_at }
    }

    /// Seconds since the book was fetched. 0 for a time before that.
    #[must_use]
    pub fn age_s(&self, as_of: UnixSeconds) -> i64 {
        as_of.0.saturating_sub(self.fetched_at.0).max(0)
    }

    /// Returns true if the book is new enough for its prices to be shown.
    #[must_use]
    pub fn is_recent(&self, as_of: UnixSeconds) -> bool {
        self.age_s(as_of) <= BOOK_AGE_MAX
    }
}

impl BestPrices {
    /// These prices, as far as they are those of the figures.
    #[must_use]
    pub fn of_figures(self, figures: &BookFigures) -> Self {
        let is_of = |price: &Price, figure: f64| price.to_f64().total_cmp(&figure).is_eq();
        Self {
            bid: self.bid.filter(|price| is_of(price, figures.bid_max)),
            ask: self.ask.filter(|price| is_of(price, figures.ask_min)),
        }
    }
}

impl BookFigures {
    /// Adds another market's book of the same pair, as the old ticker did. An empty side counts as 0, so one market
    /// without asks makes `ask_min` 0.
    pub fn merge(&mut self, other: &Self) {
        self.bid_count = self.bid_count.saturating_add(other.bid_count);
        self.bid_volume += other.bid_volume;
        self.bid_max = self.bid_max.max(other.bid_max);
        self.ask_count = self.ask_count.saturating_add(other.ask_count);
        self.ask_volume += other.ask_volume;
        self.ask_min = self.ask_min.min(other.ask_min);
    }

    /// Relative spread, (ask - bid) / ask, and the mid point of the old ticker: the bid plus half of that spread. Both
    /// are 0 if a side is 0.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        if self.bid_max == 0.0 || self.ask_min == 0.0 {
            return (0.0, 0.0);
        }
        let spread = (self.ask_min - self.bid_max) / self.ask_min;
        (spread, self.bid_max + spread / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(n: i64, d: i64, amount: &str) -> Level {
        Level { price: Price::new(n, d).unwrap(), amount: Total::parse(amount).unwrap() }
    }

    #[test]
    fn a_book_is_fresh_for_ten_seconds_and_not_before_its_time() {
        let is_fresh = |now| is_fresh_book(UnixSeconds(100), UnixSeconds(now));
        assert_eq!([99, 100, 110, 111].map(is_fresh), [false, true, true, false]);
    }

    #[test]
    fn sums_bids_by_amount_and_asks_by_amount_times_price() {
        let book = OrderBook {
            bids: vec![level(2, 1, "3.5"), level(5, 2, "1.0")],
            asks: vec![level(4, 1, "10"), level(3, 1, "2")],
        };
        let figures = book.figures();
        assert_eq!((figures.bid_count, figures.bid_volume, figures.bid_max), (2, 4.5, 2.5));
        assert_eq!((figures.ask_count, figures.ask_volume, figures.ask_min), (2, 46.0, 3.0));
        assert_eq!(OrderBook::default().figures(), BookFigures::default());
    }

    #[test]
    fn exact_prices_that_are_not_those_of_the_figures_are_dropped() {
        let book = OrderBook { bids: vec![level(1, 3, "1")], asks: vec![level(2, 3, "1"), level(1, 2, "1")] };
        let (figures, best) = (book.figures(), book.best());
        assert_eq!((best.bid, best.ask), (Price::new(1, 3), Price::new(1, 2)));
        assert_eq!(best.of_figures(&figures), best);
        let moved = BookFigures { bid_max: 0.25, ..figures };
        assert_eq!(best.of_figures(&moved), BestPrices { bid: None, ..best });
        assert_eq!(best.of_figures(&BookFigures::default()), BestPrices::default());
        assert_eq!(OrderBook::default().best(), BestPrices::default());
    }

    #[test]
    fn an_empty_side_counts_as_0_in_a_sum() {
        let one = OrderBook { bids: vec![level(2, 1, "1")], asks: vec![level(3, 1, "1")] }.figures();
        let other = OrderBook { bids: vec![level(1, 1, "1")], asks: Vec::new() }.figures();
        let mut sum = one;
        sum.merge(&other);
        assert_eq!((sum.bid_count, sum.bid_max, sum.ask_count, sum.ask_min), (2, 2.0, 1, 0.0));
        assert_eq!(sum.spread(), (0.0, 0.0));
    }

    #[test]
    fn a_sum_has_all_levels_and_volumes_and_the_best_prices() {
        let one = OrderBook { bids: vec![level(2, 1, "1.5")], asks: vec![level(4, 1, "1")] }.figures();
        let other = OrderBook { bids: vec![level(1, 1, "2")], asks: vec![level(3, 1, "2")] }.figures();
        let sum = BookFigures {
            bid_count: 2,
            bid_volume: 3.5,
            bid_max: 2.0,
            ask_count: 2,
            ask_volume: 10.0,
            ask_min: 3.0,
        };
        for (mut first, second) in [(one, other), (other, one)] {
            first.merge(&second);
            assert_eq!(first, sum);
        }
    }

    #[test]
    fn the_spread_is_relative_and_0_without_both_sides() {
        let book = BookFigures { bid_max: 8.0, ask_min: 10.0, ..BookFigures::default() };
        assert_eq!(book.spread(), (0.2, 8.1));
        assert_eq!(BookFigures { ask_min: 0.0, ..book }.spread(), (0.0, 0.0));
    }
}
