//! Best prices of an order book, quote per base.

use ticker_domain::{instant::UnixSeconds, orderbook::PolledBook, price::Price};

use super::value;
use crate::shown;

/// Quotient of two positive numbers.
type Ratio = (i128, i128);

/// Best bid and ask of a book that is recent enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotedBook {
    /// Highest price at which somebody buys the base.
    bid: Option<Ratio>,
    /// Lowest price at which somebody sells the base.
    ask: Option<Ratio>,
}

impl QuotedBook {
    /// The book, or `None` if it was polled too long ago. In a flipped market the bids are the asks of the other side.
    pub(super) fn recent(book: &PolledBook, is_flipped: bool, as_of: UnixSeconds) -> Option<Self> {
        let bid = best(book.best.bid, book.figures.bid_max);
        let ask = best(book.best.ask, book.figures.ask_min);
        let inverse = |price: Option<Ratio>| price.map(|(n, d)| (d, n));
        let (bid, ask) = if is_flipped { (inverse(ask), inverse(bid)) } else { (bid, ask) };
        book.is_recent(as_of).then_some(Self { bid, ask })
    }

    /// Best bid, as a decimal.
    pub(super) fn bid(&self) -> Option<String> {
        value::ratio(self.bid)
    }

    /// Best ask, as a decimal.
    pub(super) fn ask(&self) -> Option<String> {
        value::ratio(self.ask)
    }

    /// Difference of the best prices, as a decimal.
    pub(super) fn spread(&self) -> Option<String> {
        let (bid, ask, divisor) = self.over_one_divisor()?;
        value::ratio(Some((ask.checked_sub(bid)?, divisor)))
    }

    /// Mean of the best prices, as a decimal.
    pub(super) fn mid(&self) -> Option<String> {
        let (bid, ask, divisor) = self.over_one_divisor()?;
        value::ratio(Some((bid.checked_add(ask)?, divisor.checked_mul(2)?)))
    }

    /// Bid and ask as numerators over a common denominator, and this denominator. `None`
    /// beyond 128 bits, which no order book has.
    fn over_one_divisor(&self) -> Option<(i128, i128, i128)> {
        let ((bid_n, bid_d), (ask_n, ask_d)) = (self.bid?, self.ask?);
        Some((bid_n.checked_mul(ask_d)?, ask_n.checked_mul(bid_d)?, bid_d.checked_mul(ask_d)?))
    }
}

/// The exact price, or else the decimal digits of the double. `None` if the side is empty.
fn best(exact: Option<Price>, double: f64) -> Option<Ratio> {
    let of_double = || shown::ratio_of(&double.to_string()).filter(|(n, _)| *n > 0);
    exact.map(|price| (price.n().into(), price.d().into())).or_else(of_double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticker_domain::{
        amount::Total,
        orderbook::{BOOK_AGE_MAX, BestPrices, BookFigures, Level, OrderBook},
    };

    const NOW: UnixSeconds = UnixSeconds(1_000);

    fn quoted(book: &PolledBook, is_flipped: bool) -> [Option<String>; 4] {
        let book = QuotedBook::recent(book, is_flipped, NOW).unwrap();
        [book.bid(), book.ask(), book.spread(), book.mid()]
    }

    fn texts(figures: [&str; 4]) -> [Option<String>; 4] {
        figures.map(|text| Some(text.to_owned()))
    }

    #[test]
    fn prices_are_exact_and_so_are_their_difference_and_mean() {
        let level = |n, d| Level { price: Price::new(n, d).unwrap(), amount: Total::parse("1").unwrap() };
        let book = OrderBook {
            bids: vec![level(348_028_003, 5_000)],
            asks: vec![level(349_104_643, 5_000), level(70_000, 1)],
        };
        let book = PolledBook::of(&book, NOW);
        assert_eq!(quoted(&book, false), texts(["69605.6006", "69820.9286", "215.328", "69713.2646"]));
        let third = OrderBook { bids: vec![level(1, 3)], asks: vec![level(1, 2)] };
        let flipped = texts(["2", "3", "1", "2.5"]);
        assert_eq!(quoted(&PolledBook::of(&third, NOW), true), flipped);
    }

    #[test]
    fn without_exact_prices_the_digits_of_the_doubles_count() {
        let figures = BookFigures { bid_max: 0.1, ask_min: 0.3, ..BookFigures::default() };
        let book = PolledBook { figures, best: BestPrices::default(), fetched_at: NOW };
        assert_eq!(quoted(&book, false), texts(["0.1", "0.3", "0.2", "0.2"]));
        for odd in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            let figures = BookFigures { bid_max: odd, ..figures };
            let [bid, ask, spread, mid] = quoted(&PolledBook { figures, ..book }, false);
            assert_eq!((bid, ask.as_deref(), spread, mid), (None, Some("0.3"), None, None), "{odd}");
        }
    }

    #[test]
    fn an_old_book_has_an_age_and_no_prices() {
        let book = |age| PolledBook::of(&OrderBook::default(), NOW.minus(age));
        assert!(QuotedBook::recent(&book(BOOK_AGE_MAX), false, NOW).is_some());
        assert!(QuotedBook::recent(&book(BOOK_AGE_MAX + 1), false, NOW).is_none());
        assert_eq!(book(BOOK_AGE_MAX + 1).age_s(NOW), BOOK_AGE_MAX + 1);
    }
}
