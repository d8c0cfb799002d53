//! Order books.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::{HorizonError, read, trade::WirePrice};
use crate::domain::{
    amount::Total,
    orderbook::{Level, OrderBook},
    price::Price,
};

#[derive(Deserialize)]
struct WireBook<'a> {
    #[serde(borrow)]
    bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<WireLevel<'a>>,
}

/// Level with its exact price. Two levels may share the printed price.
#[derive(Deserialize)]
struct WireLevel<'a> {
    price_r: WirePrice,
    #[serde(borrow)]
    amount: Cow<'a, str>,
}

/// Horizon's own limit on levels per side. Further levels are ignored.
const LEVELS_MAX: usize = 200;

/// Parses an order book. Fails as a whole if any level has an invalid amount or price, because half a book is wrong.
pub fn order_book(body: &Bytes) -> Result<OrderBook, HorizonError> {
    let wire: WireBook<'_> = read(body)?;
    Ok(OrderBook { bids: levels(&wire.bids)?, asks: levels(&wire.asks)? })
}

fn levels(wire: &[WireLevel<'_>]) -> Result<Vec<Level>, HorizonError> {
    let unreadable = |what: String| HorizonError::Unreadable(format!("order book level: {what}"));
    wire.iter()
        .take(LEVELS_MAX)
        .map(|level| {
            let price = Price::new(level.price_r.n, level.price_r.d)
                .ok_or_else(|| unreadable(format!("price {}/{}", level.price_r.n, level.price_r.d)))?;
            let amount = Total::parse(&level.amount).map_err(|error| unreadable(error.to_string()))?;
            // Readers get the amount in either asset of the market.
            let part = i128::from(price.n().max(price.d()));
            amount
                .stroops()
                .checked_mul(part)
                .ok_or_else(|| unreadable(format!("amount {}", level.amount)))?;
            Ok(Level { price, amount })
        })
        .collect()
}
