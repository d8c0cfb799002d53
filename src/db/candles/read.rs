//! Reads of candles for answers. They write nothing, and have short limits: a reader waits.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    super::{Database, DbError, coverage, transaction},
    of_table, rows,
};
use crate::domain::{
    asset::Asset,
    candles::Stored,
    conversions::SaturatingFrom,
    coverage::{TimeSpan, merge_times, times_without},
    instant::UnixSeconds,
    market::Market,
    trade_stats::TradeStats,
};

/// Longest time that a statement of a reader of the API may take.
pub(in crate::db) const LIMITS: &str = "SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '500ms'; SET LOCAL jit = off; \
                      SET LOCAL max_parallel_workers_per_gather = 0";

/// Selection of candles of a market.
#[derive(Clone, Copy, Debug)]
pub struct StoredQuery {
    /// The market.
    pub market: Market,
    /// Length of a candle.
    pub stored: Stored,
    /// First start of a candle.
    pub from: UnixSeconds,
    /// End of the starts, exclusive.
    pub to: UnixSeconds,
    /// Number of candles with which the selection ends, at least 1.
    pub limit: usize,
    /// True for the newest candles of the span, false for the oldest.
    pub newest: bool,
    /// True if candles whose trades set no price do not count. Those between the others are selected too.
    pub priced: bool,
}

/// Candles as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredCandles {
    /// Start and statistics of each candle, the oldest first, in the orientation of the database.
    pub candles: Vec<(UnixSeconds, TradeStats)>,
    /// Times of complete ledgers whose trades are in the candles, dropped trades included: merged spans, in order.
    pub complete: Vec<TimeSpan>,
}

impl Database {
    /// Reads candles of a market. A market that never traded has none.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn candles(&self, query: StoredQuery) -> Result<StoredCandles, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let statement = if query.newest {
            include_str!("../sql/candles/last.sql")
        } else {
            include_str!("../sql/candles/first.sql")
        };
        let sql = of_table(statement, query.stored);
        let (base, counter) = (query.market.base().to_string(), query.market.counter().to_string());
        let (from, to) = (query.from.to_utc(), query.to.to_utc());
        let limit = i64::saturating_from(query.limit);
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&base, Type::TEXT),
            (&counter, Type::TEXT),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
            (&limit, Type::INT8),
            (&query.priced, Type::BOOL),
        ];
        let rows = transaction.query_typed(&sql, &params).await?;
        let mut candles = Vec::with_capacity(rows.len());
        for row in &rows {
            let (_, start, stats) = rows::decode(row)?;
            candles.push((start, stats));
        }
        if query.newest {
            candles.reverse();
        }
        let complete = complete(&transaction).await?;
        transaction.commit().await?;
        Ok(StoredCandles { candles, complete })
    }

    /// Returns true if the market has stored candles, of whatever time, or had some that are dropped by now. A market
    /// that is not in `markets` either is forgotten once the month of its last candle is dropped.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn had_candles(&self, market: Market) -> Result<bool, DbError> {
        let (base, counter) = (market.base().to_string(), market.counter().to_string());
        self.exists(
            include_str!("../sql/candles/is_named.sql"),
            &[(&base, Type::TEXT), (&counter, Type::TEXT)],
        )
        .await
    }

    /// The same of any market of an asset.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn had_candles_of(&self, asset: Asset) -> Result<bool, DbError> {
        let name = asset.to_string();
        self.exists(include_str!("../sql/candles/is_asset_named.sql"), &[(&name, Type::TEXT)]).await
    }

    async fn exists(&self, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<bool, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let exists = transaction.query_typed_one(sql, params).await?.try_get(0)?;
        transaction.commit().await?;
        Ok(exists)
    }
}

/// Reads the times of complete ledgers whose trades are in candles.
pub(super) async fn complete(transaction: &Transaction<'_>) -> Result<Vec<TimeSpan>, DbError> {
    let rows = transaction.query_typed(include_str!("../sql/coverage/all.sql"), &[]).await?;
    let mut spans: Vec<TimeSpan> = coverage::merged(&rows)?.iter().map(TimeSpan::from).collect();
    let waiting = transaction.query_typed_one(include_str!("../sql/candles/waiting.sql"), &[]).await?;
    let (first, last): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
        (waiting.try_get(0)?, waiting.try_get(1)?);
    if let (Some(first), Some(last)) = (first, last) {
        spans = times_without(&spans, TimeSpan { from: first.into(), to: last.into() });
    }
    for row in transaction.query_typed(include_str!("../sql/candles/coverage.sql"), &[]).await? {
        let (from, to): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(0)?, row.try_get(1)?);
        spans.push(TimeSpan { from: from.into(), to: to.into() });
    }
    Ok(merge_times(spans))
}
