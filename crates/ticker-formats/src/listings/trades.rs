//! Trades of a market, as documents show them.

use serde::Serialize;
use ticker_domain::{
    instant::UnixSeconds,
    listed_trade::{self, ListedTrade},
    trade_stats::WindowTrade,
    windows::MarketId,
};

use super::{value, view::ListingView};

/// Trade in the orientation of new outputs: amounts in units, price quote per base.
#[derive(Debug, Serialize)]
pub(crate) struct QuotedTrade {
    /// Close time of the ledger, RFC 3339.
    pub(crate) time: String,
    /// Horizon's id.
    pub(crate) paging_token: String,
    /// `buy` if the taker bought the base, else `sell`.
    #[serde(rename = "type")]
    pub(crate) side: &'static str,
    pub(crate) price: Option<String>,
    pub(crate) base_amount: String,
    pub(crate) quote_amount: String,
    /// `book` or `pool`.
    pub(crate) maker: &'static str,
}

/// Numbered trade of a document.
#[derive(Debug, Serialize)]
pub(super) struct TradeRow {
    /// Number of the trade within its market.
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) trade: QuotedTrade,
    /// Close time, in milliseconds since 1970.
    #[serde(skip)]
    pub(super) millis: i64,
}

/// Trades of complete ledgers that closed after `edge`, numbered.
pub(super) fn of_market(view: &ListingView, market: MarketId, edge: UnixSeconds) -> Vec<ListedTrade> {
    listed_trade::numbered(view.snapshot().windows().trades_since(market, edge), view.coverage())
}

impl QuotedTrade {
    /// A market's trade. `is_flipped` says that the market's counter is the base of new outputs.
    pub(super) fn of(trade: &WindowTrade, is_flipped: bool) -> Self {
        let (base, quote) = if is_flipped {
            (trade.counter_amount, trade.base_amount)
        } else {
            (trade.base_amount, trade.counter_amount)
        };
        Self {
            time: trade.closed_at.to_rfc3339(),
            paging_token: trade.token.to_string(),
            side: if trade.is_buy == is_flipped { "sell" } else { "buy" },
            price: value::price(trade.price.map(|price| if is_flipped { price.inverse() } else { price })),
            base_amount: base.to_string(),
            quote_amount: quote.to_string(),
            maker: if trade.is_pool { "pool" } else { "book" },
        }
    }
}

impl TradeRow {
    /// Row of a market's trade; `is_flipped` as in [`QuotedTrade::of`].
    pub(super) fn of(listed: &ListedTrade, is_flipped: bool) -> Self {
        Self {
            id: listed.id,
            trade: QuotedTrade::of(&listed.trade, is_flipped),
            millis: listed.trade.closed_at.0.saturating_mul(1_000),
        }
    }
}
