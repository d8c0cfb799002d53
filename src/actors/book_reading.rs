//! Reading of one order book at Horizon, for the poller and for readers of the API.

use super::trace::context::TraceContext;
use crate::{
    db::market_assets::MarketAssets,
    domain::orderbook::OrderBook,
    horizon::{HorizonClient, HorizonError, budget::Class},
};

/// Reads the book of a market. `cause` is the message or the pass that wants it.
pub(super) async fn read(
    horizon: &HorizonClient,
    class: Class,
    market: &MarketAssets,
    cause: &TraceContext,
) -> Result<OrderBook, HorizonError> {
    let horizon = horizon.of_class(class).caused_by(cause);
    match horizon.order_book(&market.base, &market.counter).await {
        // Horizon does not know the pair, so it has no book. Only Horizon's own problem document says so: a proxy's 404
        // says nothing about the pair. A 400 says that the request was wrong, and nothing about the pair either.
        Err(HorizonError::Problem { status: 404, .. }) => Ok(OrderBook::default()),
        read => read,
    }
}
