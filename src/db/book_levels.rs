//! Levels of order books. Few readers ask for them, so that they stay in the database.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{Database, DbError, market_assets::BookOfMarket, transaction};
use crate::domain::{
    amount::Total,
    instant::UnixSeconds,
    orderbook::{Level, OrderBook},
    price::Price,
    windows::MarketId,
};

/// Longest time that reading one book may take.
const LIMIT: &str = "SET LOCAL statement_timeout = '2s'";

/// Level as it is stored: numerator and denominator of the price, and stroops as text, which may exceed 64 bits.
type StoredLevel = (i64, i64, String);

impl Database {
    /// Returns the levels of a market's book and the time of the request, or none if it was never read.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn book_levels(&self, market: MarketId) -> Result<Option<(OrderBook, UnixSeconds)>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMIT).await?;
        let sql = include_str!("sql/books/levels.sql");
        let row = transaction.query_typed_opt(sql, &[(&market, Type::INT4)]).await?;
        transaction.commit().await?;
        let Some(row) = row else { return Ok(None) };
        let fetched_at: DateTime<Utc> = row.try_get(2)?;
        let book = OrderBook { bids: parsed(row.try_get(0)?)?, asks: parsed(row.try_get(1)?)? };
        Ok(Some((book, fetched_at.into())))
    }
}

/// Stores the levels of these books, in the transaction that stores their figures.
pub(super) async fn record(
    transaction: &Transaction<'_>,
    books: &[&BookOfMarket],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let ids: Vec<MarketId> = books.iter().map(|(market, ..)| market.market).collect();
    let bids: Vec<String> = books.iter().map(|(.., book)| printed(&book.bids)).collect();
    let asks: Vec<String> = books.iter().map(|(.., book)| printed(&book.asks)).collect();
    let times: Vec<DateTime<Utc>> = books.iter().map(|(_, polled, _)| polled.fetched_at.to_utc()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&ids, Type::INT4_ARRAY),
        (&bids, Type::TEXT_ARRAY),
        (&asks, Type::TEXT_ARRAY),
        (&times, Type::TIMESTAMPTZ_ARRAY),
        (&now, Type::TIMESTAMPTZ),
    ];
    transaction.execute_typed(include_str!("sql/books/record_levels.sql"), &params).await?;
    Ok(())
}

fn printed(levels: &[Level]) -> String {
    let stored: Vec<StoredLevel> = levels
        .iter()
        .map(|level| (level.price.n(), level.price.d(), level.amount.stroops().to_string()))
        .collect();
    serde_json::json!(stored).to_string()
}

fn parsed(text: &str) -> Result<Vec<Level>, DbError> {
    let corrupt = |what: &str| DbError::Corrupt(format!("orderbook_levels: {what}"));
    let stored: Vec<StoredLevel> = serde_json::from_str(text).map_err(|error| corrupt(&error.to_string()))?;
    stored
        .into_iter()
        .map(|(n, d, stroops)| {
            let price = Price::new(n, d).ok_or_else(|| corrupt("a price is not positive"))?;
            let stroops = stroops.parse().map_err(|_| corrupt("an amount is no number"))?;
            let amount = Total::from_stroops(stroops).map_err(|error| corrupt(&error.to_string()))?;
            Ok(Level { price, amount })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_read_back_and_nonsense_is_an_error() {
        let level = |n, d, stroops| Level {
            price: Price::new(n, d).unwrap(),
            amount: Total::from_stroops(stroops).unwrap(),
        };
        let levels = vec![level(1, 3, 0), level(i64::MAX, 7, i128::from(i64::MAX) * 5)];
        assert_eq!(parsed(&printed(&levels)).unwrap(), levels);
        for text in ["", "{}", "[[0, 1, \"5\"]]", "[[1, 1, \"x\"]]", "[[1, 1, \"-5\"]]", "[[1, 1]]"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
