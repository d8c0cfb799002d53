//! Types and arguments of the root fields that the old ticker did not have: `trades` and `candles`.

use async_graphql::{Enum, Error, SimpleObject};

use super::{
    super::market_data::{FIRST_DEFAULT, FIRST_MAX},
    BigInt, Time,
};
use crate::domain::{
    asset::Asset, candles::Interval, conversions::SaturatingFrom, identity::SpelledAsset, market::Market,
};

/// Interval of candles, unless the reader says otherwise.
const INTERVAL_DEFAULT: &str = "1h";

/// An asset of a trade.
#[derive(Debug, SimpleObject)]
pub(super) struct Token {
    /// `XLM` or `CODE-ISSUER`.
    id: String,
    /// Code.
    symbol: String,
}

/// The market of a trade.
#[derive(Debug, SimpleObject)]
pub(super) struct TradedPair {
    /// `BASE_QUOTE`, each `XLM` or `CODE-ISSUER`.
    id: String,
    /// The base.
    token0: Token,
    /// The quote.
    token1: Token,
}

/// A trade. Amounts and prices are decimals as text.
#[derive(Debug, SimpleObject)]
pub(super) struct Trade {
    /// Horizon's paging token of the trade.
    id: String,
    /// Close time of the ledger, in seconds since 1970.
    timestamp: BigInt,
    /// Close time of the ledger.
    time: Time,
    /// The market.
    pair: TradedPair,
    /// `buy`: the taker bought the base.
    #[graphql(name = "type")]
    kind: String,
    /// Quote per base; null for a trade that sets none.
    price: Option<String>,
    /// Units of the base.
    base_amount: String,
    /// Units of the quote.
    quote_amount: String,
    /// `book`: an offer made the price; `pool`: a liquidity pool.
    maker: String,
}

/// The trades of a market in a bucket of time. Figures are decimals as text, prices quote per base.
#[derive(Debug, SimpleObject)]
pub(super) struct Candle {
    /// Start of the bucket.
    time: Time,
    /// Start of the bucket, in seconds since 1970.
    timestamp: BigInt,
    /// First clean price.
    open: Option<String>,
    /// Highest clean price.
    high: Option<String>,
    /// Lowest clean price.
    low: Option<String>,
    /// Last clean price.
    close: Option<String>,
    /// Volume-weighted clean price.
    vwap: Option<String>,
    /// Units of the base.
    base_volume: String,
    /// Units of the quote.
    quote_volume: String,
    /// Units of the base whose taker bought it.
    buy_volume: String,
    /// Units of the base with liquidity pools.
    pool_volume: String,
    /// Trades of the bucket.
    trade_count: BigInt,
}

/// Orders of trades.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub(super) enum TradeOrder {
    /// The newest first.
    #[graphql(name = "timestamp")]
    Timestamp,
}

/// Reads `first`.
pub(super) fn first(first: Option<i32>) -> Result<usize, Error> {
    let wanted = first.map_or(FIRST_DEFAULT, usize::saturating_from);
    if (1..=FIRST_MAX).contains(&wanted) {
        Ok(wanted)
    } else {
        Err(Error::new(format!("first must be from 1 to {FIRST_MAX}")))
    }
}

/// Reads the name of a market: two assets with `_` between them.
pub(super) fn market(name: &str) -> Result<Market, Error> {
    let asset = |text: &str| match text.parse() {
        Ok(SpelledAsset::Classic(asset)) => Some(asset),
        _ => None,
    };
    let sides = name.split_once('_').and_then(|(one, other)| Some((asset(one)?, asset(other)?)));
    let market = sides.and_then(|(one, other): (Asset, Asset)| Market::of(one, other));
    let wrong = || Error::new("market must be two assets with _ between them, such as XLM_CODE-ISSUER");
    market.map(|(market, _)| market).ok_or_else(wrong)
}

/// Reads the interval of candles.
pub(super) fn interval(name: Option<&str>) -> Result<Interval, Error> {
    let names = || Interval::ALL.map(Interval::name).join(", ");
    Interval::named(name.unwrap_or(INTERVAL_DEFAULT))
        .ok_or_else(|| Error::new(format!("interval must be one of: {}", names())))
}
