//! Best prices of an order book, quote per base.

use ticker_domain::{instant::UnixSeconds, orderbook::PolledBook};

use super::BOOK_AGE_MAX;

/// Best bid and ask of a book that is recent enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotedBook {
    /// Highest price at which somebody buys the base.
    pub(super) bid: Option<f64>,
    /// Lowest price at which somebody sells the base.
    pub(super) ask: Option<f64>,
    /// Seconds since the book was polled.
    pub(super) age_s: i64,
}

impl QuotedBook {
    /// The book, or `None` if it was polled too long ago. In a flipped market the bids are the asks of the other side.
    pub(super) fn recent(book: &PolledBook, is_flipped: bool, as_of: UnixSeconds) -> Option<Self> {
        let age_s = as_of.0.saturating_sub(book.fetched_at.0).max(0);
        let known = |price: f64| Some(price).filter(|price| *price > 0.0 && price.is_finite());
        let (bid, ask) = (known(book.figures.bid_max), known(book.figures.ask_min));
        let (bid, ask) = if is_flipped { (ask.map(f64::recip), bid.map(f64::recip)) } else { (bid, ask) };
        (age_s <= BOOK_AGE_MAX).then_some(Self { bid, ask, age_s })
    }

    /// Difference of the best prices.
    pub(super) fn spread(&self) -> Option<f64> {
        Some(self.ask? - self.bid?)
    }

    /// Mean of the best prices.
    pub(super) fn mid(&self) -> Option<f64> {
        Some(f64::midpoint(self.ask?, self.bid?))
    }
}

/// Plain digits of a price: `Display` never prints an exponent.
pub(super) fn digits(price: Option<f64>) -> Option<String> {
    price.map(|price| price.to_string())
}
