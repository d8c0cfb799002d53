//! Order books with their levels: price quote per base, amounts in units of the base, the best price first.

use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use ticker_domain::{
    decimal,
    instant::UnixSeconds,
    orderbook::{Level, OrderBook},
    price::Price,
};

use super::{
    market::MarketView,
    own::to_bytes,
    value::{self, Number},
    view::IdStyle,
};

/// Levels of a book, in the orientation of new outputs.
#[derive(Clone, Debug)]
pub struct QuotedLevels {
    bids: Vec<QuotedLevel>,
    asks: Vec<QuotedLevel>,
    fetched_at: UnixSeconds,
}

/// Offers at one price: the price, and how much of the base is offered or wanted.
#[derive(Clone, Debug)]
struct QuotedLevel {
    price: String,
    amount: String,
}

/// Levels as pairs of strings, or of numbers.
struct Strings<'a>(&'a [QuotedLevel]);
pub(super) struct Numbers<'a>(&'a [QuotedLevel]);

impl Serialize for Strings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|level| [&level.price, &level.amount]))
    }
}

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut levels = serializer.serialize_seq(Some(self.0.len()))?;
        for level in self.0 {
            levels.serialize_element(&[Number(level.price.clone()), Number(level.amount.clone())])?;
        }
        levels.end()
    }
}

#[derive(Serialize)]
struct OwnBook<'a> {
    market: String,
    fetched_at: String,
    age_s: i64,
    bids: Strings<'a>,
    asks: Strings<'a>,
}

#[derive(Serialize)]
struct CoinGeckoBook<'a> {
    ticker_id: String,
    timestamp: i64,
    bids: Strings<'a>,
    asks: Strings<'a>,
}

#[derive(Serialize)]
struct CoinMarketCapBook<'a> {
    timestamp: i64,
    bids: Numbers<'a>,
    asks: Numbers<'a>,
}

impl QuotedLevels {
    /// Levels of a market's book. In a flipped market, an offer that sells the base of the book buys the base of
    /// new outputs.
    #[must_use]
    pub fn of(market: &MarketView<'_>, book: &OrderBook, fetched_at: UnixSeconds) -> Self {
        let (mut bids, mut asks): (Vec<_>, Vec<_>) = if market.is_flipped() {
            // Asks count the base of the book, which is the quote here: at a price of counter per base.
            let bid = |level: &Level| (level.price.inverse(), quoted(level, level.price));
            let ask = |level: &Level| (level.price.inverse(), whole(level));
            (book.asks.iter().map(bid).collect(), book.bids.iter().map(ask).collect())
        } else {
            // Bids count the counter of the book, which is the quote here.
            let bid = |level: &Level| (level.price, quoted(level, level.price.inverse()));
            let ask = |level: &Level| (level.price, whole(level));
            (book.bids.iter().map(bid).collect(), book.asks.iter().map(ask).collect())
        };
        bids.sort_by_key(|(price, _)| std::cmp::Reverse(*price));
        asks.sort_by_key(|(price, _)| *price);
        let printed = |levels: Vec<(Price, Option<String>)>| {
            let level = |(price, amount): (Price, Option<String>)| {
                Some(QuotedLevel { price: value::price(Some(price))?, amount: amount? })
            };
            levels.into_iter().filter_map(level).collect()
        };
        Self { bids: printed(bids), asks: printed(asks), fetched_at }
    }

    /// Bids and asks as pairs of numbers.
    pub(super) fn numbers(&self) -> (Numbers<'_>, Numbers<'_>) {
        (Numbers(&self.bids), Numbers(&self.asks))
    }

    /// Prices and amounts of the offers to buy, the best first.
    pub(crate) fn bids(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bids.iter().map(|level| (level.price.as_str(), level.amount.as_str()))
    }

    /// Prices and amounts of the offers to sell, the best first.
    pub(crate) fn asks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.asks.iter().map(|level| (level.price.as_str(), level.amount.as_str()))
    }

    /// Time of Horizon's answer.
    pub(crate) const fn fetched_at(&self) -> UnixSeconds {
        self.fetched_at
    }

    /// At most `a_side` levels on each side.
    #[must_use]
    pub fn cut(mut self, a_side: usize) -> Self {
        self.bids.truncate(a_side);
        self.asks.truncate(a_side);
        self
    }
}

/// Amount of a level that counts the base of new outputs already.
fn whole(level: &Level) -> Option<String> {
    Some(decimal::amount(level.amount.stroops()))
}

/// Amount of a level that counts the other asset, at a price of base per that asset.
fn quoted(level: &Level, price: Price) -> Option<String> {
    let product = level.amount.stroops().checked_mul(price.n().into())?;
    Some(decimal::amount(product.checked_div(price.d().into())?))
}

/// `/api/v1/markets/{market}/orderbook`
#[must_use]
pub fn own(market: &MarketView<'_>, levels: &QuotedLevels, now: UnixSeconds) -> Vec<u8> {
    to_bytes(&OwnBook {
        market: market.name(),
        fetched_at: levels.fetched_at.to_rfc3339(),
        age_s: now.0.saturating_sub(levels.fetched_at.0).max(0),
        bids: Strings(&levels.bids),
        asks: Strings(&levels.asks),
    })
}

/// CoinGecko's `orderbook`.
#[must_use]
pub fn coingecko(market: &MarketView<'_>, levels: &QuotedLevels, style: IdStyle) -> Vec<u8> {
    to_bytes(&CoinGeckoBook {
        ticker_id: market.spelled(style),
        timestamp: levels.fetched_at.0.saturating_mul(1_000),
        bids: Strings(&levels.bids),
        asks: Strings(&levels.asks),
    })
}

/// CoinMarketCap's `orderbook/{pair}`.
#[must_use]
pub fn coinmarketcap(levels: &QuotedLevels) -> Vec<u8> {
    to_bytes(&CoinMarketCapBook {
        timestamp: levels.fetched_at.0.saturating_mul(1_000),
        bids: Numbers(&levels.bids),
        asks: Numbers(&levels.asks),
    })
}
