//! Trades of a market, as documents show them.

use serde::Serialize;
use ticker_domain::{
    instant::UnixSeconds,
    listed_trade::{self, ListedTrade},
    windows::MarketId,
};

use super::{value, view::ListingView};

/// Trade of a document: amounts in units, price quote per base.
#[derive(Debug, Serialize)]
pub(super) struct TradeRow {
    /// Number of the trade within its market.
    pub(super) id: u64,
    pub(super) time: UnixSecondsText,
    /// Horizon's id.
    pub(super) paging_token: String,
    /// `buy` if the taker bought the base, else `sell`.
    #[serde(rename = "type")]
    pub(super) side: &'static str,
    pub(super) price: Option<String>,
    pub(super) base_amount: String,
    pub(super) quote_amount: String,
    /// `book` or `pool`.
    pub(super) maker: &'static str,
    /// Close time, in milliseconds since 1970.
    #[serde(skip)]
    pub(super) millis: i64,
}

/// Time as RFC 3339.
#[derive(Debug, Serialize)]
pub(super) struct UnixSecondsText(String);

impl From<UnixSeconds> for UnixSecondsText {
    fn from(time: UnixSeconds) -> Self {
        Self(time.to_rfc3339())
    }
}

/// Trades of complete ledgers that closed after `edge`, numbered.
pub(super) fn of_market(view: &ListingView, market: MarketId, edge: UnixSeconds) -> Vec<ListedTrade> {
    listed_trade::numbered(view.snapshot().windows().trades_since(market, edge), view.coverage())
}

impl TradeRow {
    /// Row of a market's trade. `is_flipped` says that the market's counter is the base of new outputs.
    pub(super) fn of(listed: &ListedTrade, is_flipped: bool) -> Self {
        let trade = &listed.trade;
        let (base, quote) = if is_flipped {
            (trade.counter_amount, trade.base_amount)
        } else {
            (trade.base_amount, trade.counter_amount)
        };
        let price = trade.price.map(|price| if is_flipped { price.inverse() } else { price });
        Self {
            id: listed.id,
            time: trade.closed_at.into(),
            paging_token: trade.token.to_string(),
            side: if trade.is_buy == is_flipped { "sell" } else { "buy" },
            price: value::price(price),
            base_amount: base.to_string(),
            quote_amount: quote.to_string(),
            maker: if trade.is_pool { "pool" } else { "book" },
            millis: trade.closed_at.0.saturating_mul(1_000),
        }
    }
}
