//! Markets named by their pairs, as requests to Horizon need them.

use tokio_postgres::{Row, types::Type};

use super::{Database, DbError, ids};
use crate::domain::{
    asset::Asset,
    market::Market,
    orderbook::{OrderBook, PolledBook},
    windows::MarketId,
};

/// A market with its two assets, for requesting its book from Horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketAssets {
    /// Id of the market.
    pub market: MarketId,
    /// Base, the asset that the book sells.
    pub base: Asset,
    /// Counter, the asset that the book buys.
    pub counter: Asset,
}

impl MarketAssets {
    /// Statement that reads the markets `$1`, for [`Self::of_row`].
    pub(super) const SQL: &str = include_str!("sql/markets/assets.sql");

    /// Returns a row of [`Self::SQL`].
    pub(super) fn of_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            market: row.try_get(0)?,
            base: ids::asset(row.try_get(1)?, row.try_get(2)?)?,
            counter: ids::asset(row.try_get(3)?, row.try_get(4)?)?,
        })
    }

    /// True if the counter is the base of new outputs.
    #[must_use]
    pub fn is_flipped(&self) -> bool {
        Market::of(self.base, self.counter).is_some_and(|(market, _)| *market.quoted().0 == self.counter)
    }
}

/// A book to store. Its market is named by id and pair, because a lost batch may give the id to another market.
pub type BookOfMarket = (MarketAssets, PolledBook, OrderBook);

impl Database {
    /// Returns the assets of these markets, in no particular order.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn market_assets(&self, markets: &[MarketId]) -> Result<Vec<MarketAssets>, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let rows = client.query_typed(MarketAssets::SQL, &[(&markets, Type::INT4_ARRAY)]).await?;
            rows.iter().map(MarketAssets::of_row).collect()
        })
        .await
    }
}
