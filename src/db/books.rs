//! Figures of order books, one row per market.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use tracing::warn;

use super::{
    Database, DbError,
    assets::versions,
    batches::BOOKS_REMOVED,
    book_levels,
    fenced::{self, ChangedRows},
    market_assets::{BookOfMarket, MarketAssets},
    refused::{self, Parts},
};
use crate::domain::{
    conversions::SaturatingFrom,
    instant::UnixSeconds,
    orderbook::{BestPrices, BookFigures, PolledBook},
    price::Price,
    windows::MarketId,
};

/// Result of storing books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedBooks {
    /// Number of the last batch; none if PostgreSQL refused all books.
    pub seq: Option<i64>,
    /// Markets whose books were not stored: PostgreSQL refused them, or another market has the id now. Each one was
    /// logged.
    pub refused: Vec<MarketId>,
}

impl Database {
    /// Returns the time at which each book was fetched.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn book_times(&self) -> Result<Vec<(MarketId, DateTime<Utc>)>, DbError> {
        self.bounded(async {
            let rows = self.client().await?.query_typed(include_str!("sql/books/times.sql"), &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
        .await
    }

    /// Stores books: their figures and their levels. The result names those that were not stored.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Some of the books may be stored then.
    pub async fn record_books(
        &self,
        epoch: i64,
        books: &[BookOfMarket],
        now: UnixSeconds,
    ) -> Result<RecordedBooks, DbError> {
        let (mut parts, mut recorded) = (Parts::of(books), RecordedBooks::default());
        while let Some(part) = parts.next() {
            match self.record_books_part(epoch, part.rows, now).await {
                Ok(RecordedBooks { seq, refused }) => {
                    recorded.seq = seq;
                    recorded.refused.extend(refused);
                }
                Err(error) => parts.failed(&part, error)?,
            }
        }
        for (place, error) in parts.refused() {
            let Some((market, ..)) = books.get(place) else { continue };
            refused::report("orderbook_stats", &market.market.to_string(), &error);
            recorded.refused.push(market.market);
        }
        Ok(recorded)
    }

    async fn record_books_part(
        &self,
        epoch: i64,
        books: &[BookOfMarket],
        now: UnixSeconds,
    ) -> Result<RecordedBooks, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let moved = reassigned(&transaction, books).await?;
        let books: Vec<&BookOfMarket> =
            books.iter().filter(|(market, ..)| !moved.contains(&market.market)).collect();
        let figures = |pick: fn(&BookFigures) -> f64| {
            books.iter().map(|(_, book, _)| pick(&book.figures)).collect::<Vec<f64>>()
        };
        let counts = |pick: fn(&BookFigures) -> u64| {
            let count = |book: &PolledBook| i32::saturating_from(pick(&book.figures));
            books.iter().map(|(_, book, _)| count(book)).collect::<Vec<i32>>()
        };
        let ids: Vec<MarketId> = books.iter().map(|(market, ..)| market.market).collect();
        let times: Vec<DateTime<Utc>> = books.iter().map(|(_, book, _)| book.fetched_at.to_utc()).collect();
        let (bid_count, ask_count) = (counts(|book| book.bid_count), counts(|book| book.ask_count));
        let (bid_volume, ask_volume) = (figures(|book| book.bid_volume), figures(|book| book.ask_volume));
        let (bid_max, ask_min) = (figures(|book| book.bid_max), figures(|book| book.ask_min));
        let prices = |pick: fn(&BestPrices) -> Option<Price>, part: fn(&Price) -> i64| {
            books.iter().map(|(_, book, _)| pick(&book.best).as_ref().map(part)).collect::<Vec<Option<i64>>>()
        };
        let (bid_n, bid_d) = (prices(|best| best.bid, |bid| bid.n()), prices(|best| best.bid, |bid| bid.d()));
        let (ask_n, ask_d) = (prices(|best| best.ask, |ask| ask.n()), prices(|best| best.ask, |ask| ask.d()));
        let now = now.to_utc();
        let params: [(&(dyn ToSql + Sync), Type); 13] = [
            (&ids, Type::INT4_ARRAY),
            (&bid_count, Type::INT4_ARRAY),
            (&bid_volume, Type::FLOAT8_ARRAY),
            (&bid_max, Type::FLOAT8_ARRAY),
            (&ask_count, Type::INT4_ARRAY),
            (&ask_volume, Type::FLOAT8_ARRAY),
            (&ask_min, Type::FLOAT8_ARRAY),
            (&times, Type::TIMESTAMPTZ_ARRAY),
            (&bid_n, Type::INT8_ARRAY),
            (&bid_d, Type::INT8_ARRAY),
            (&ask_n, Type::INT8_ARRAY),
            (&ask_d, Type::INT8_ARRAY),
            (&now, Type::TIMESTAMPTZ),
        ];
        let row = transaction.query_typed_one(include_str!("sql/books/record.sql"), &params).await?;
        book_levels::record(&transaction, &books, now).await?;
        let changes = ChangedRows::versions(versions(&row)?);
        let seq = fenced::commit(transaction, epoch, "books", &changes).await?;
        Ok(RecordedBooks { seq: Some(seq), refused: moved })
    }

    /// Removes the books of all other markets. Returns the number of removed books.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is removed then.
    pub async fn keep_books_of(&self, epoch: i64, alive: &[MarketId]) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let sql = include_str!("sql/books/keep_only.sql");
        let removed = transaction.execute_typed(sql, &[(&alive, Type::INT4_ARRAY)]).await?;
        if removed > 0 {
            fenced::commit(transaction, epoch, BOOKS_REMOVED, &ChangedRows::default()).await?;
        }
        Ok(removed)
    }
}

/// Returns the ids that belong to other markets than those whose books were read, and logs them. Reads them in the
/// transaction that stores the books: no batch is lost between its statements.
async fn reassigned(transaction: &Transaction<'_>, books: &[BookOfMarket]) -> Result<Vec<MarketId>, DbError> {
    let ids: Vec<MarketId> = books.iter().map(|(read, ..)| read.market).collect();
    let rows = transaction.query_typed(MarketAssets::SQL, &[(&ids, Type::INT4_ARRAY)]).await?;
    let held = rows.iter().map(MarketAssets::of_row).collect::<Result<Vec<MarketAssets>, _>>()?;
    let has_moved = |read: &MarketAssets| held.iter().any(|row| row.market == read.market && row != read);
    let moved: Vec<MarketId> =
        books.iter().filter(|(read, ..)| has_moved(read)).map(|(read, ..)| read.market).collect();
    for market in &moved {
        warn!(market, "id now belongs to another market, order book not stored");
    }
    Ok(moved)
}

/// Returns a row of `all.sql` or `changed.sql`.
pub(super) fn book(row: &Row) -> Result<(MarketId, PolledBook), DbError> {
    let count = |index| -> Result<u64, DbError> {
        let levels: i32 = row.try_get(index)?;
        u64::try_from(levels).map_err(|_| DbError::Corrupt(format!("a book of {levels} levels")))
    };
    let fetched_at: DateTime<Utc> = row.try_get(7)?;
    let price = |n, d| -> Result<Option<Price>, DbError> {
        let (n, d): (Option<i64>, Option<i64>) = (row.try_get(n)?, row.try_get(d)?);
        Ok(n.zip(d).and_then(|(n, d)| Price::new(n, d)))
    };
    let best = BestPrices { bid: price(8, 9)?, ask: price(10, 11)? };
    let figures = BookFigures {
        bid_count: count(1)?,
        bid_volume: row.try_get(2)?,
        bid_max: row.try_get(3)?,
        ask_count: count(4)?,
        ask_volume: row.try_get(5)?,
        ask_min: row.try_get(6)?,
    };
    let best = best.of_figures(&figures);
    Ok((row.try_get(0)?, PolledBook { figures, best, fetched_at: fetched_at.into() }))
}
