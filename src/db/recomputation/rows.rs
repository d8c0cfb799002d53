//! Sums of the raw rows of some markets, for a slice of the self-audit.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures_util::TryStreamExt;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Audited, Database, DbError, LaterColumns, later, transaction};
use crate::{
    audit::{sums::RawTrade, usd::CleanMinutes, windows::MarketSums},
    db::trades::columns::TradeReader,
    domain::{instant::UnixSeconds, span::Span, windows::MarketId},
};

/// Limits of a slice, except for the statement that scans the week. It runs on one core, so that its time is its cost.
pub(super) const LIMITS: &str = "SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '1s'; \
                      SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// Result of summing the raw rows of some markets.
#[derive(Debug)]
pub enum Summed<T = BTreeMap<MarketId, MarketSums>> {
    /// Sums by market. A market without rows is missing.
    Sums(T),
    /// Reason for which the rows at that `seq` cannot be determined. Retry with a newer publication.
    Missed(&'static str),
}

impl Database {
    /// Sums the raw rows of some markets as of a publication. `limit` is the longest time for the scan of the week,
    /// which a slice takes however small it is.
    ///
    /// # Errors
    ///
    /// Any error of the connection, a time-out among them.
    pub async fn sum_markets(
        &self,
        audited: Audited,
        markets: &[MarketId],
        limit: Duration,
    ) -> Result<Summed, DbError> {
        let edge = Span::Week.edge(audited.as_of);
        let add = |sums: &mut BTreeMap<MarketId, MarketSums>, market: MarketId, trade: &RawTrade| {
            sums.entry(market).or_default().add(trade, audited.as_of);
        };
        self.sum_rows(audited, edge, markets, limit, add).await
    }

    /// Sums the clean trades of some markets in the 24 hours before a publication, by minute. Scans these hours.
    ///
    /// # Errors
    ///
    /// Any error of the connection, a time-out among them.
    pub async fn clean_minutes(
        &self,
        audited: Audited,
        markets: &[MarketId],
        limit: Duration,
    ) -> Result<Summed<CleanMinutes>, DbError> {
        self.sum_rows(audited, Span::Day.edge(audited.as_of), markets, limit, CleanMinutes::add).await
    }

    /// Sums the raw rows of some markets after `edge`, as of a publication.
    async fn sum_rows<T: Default>(
        &self,
        audited: Audited,
        edge: UnixSeconds,
        markets: &[MarketId],
        limit: Duration,
        add: impl Fn(&mut T, MarketId, &RawTrade),
    ) -> Result<Summed<T>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let later = match later(&transaction, audited.seq).await? {
            Ok(later) => later,
            Err(missed) => return Ok(Summed::Missed(missed)),
        };
        let LaterColumns { first, toids: [from_toids, to_toids], orders: [from_orders, to_orders] } =
            later.columns_since(&transaction, edge).await?;
        let since = edge.to_utc();
        let params: [(&(dyn ToSql + Sync), Type); 7] = [
            (&since, Type::TIMESTAMPTZ),
            (&markets, Type::INT4_ARRAY),
            (&first, Type::INT8),
            (&from_toids, Type::INT8_ARRAY),
            (&from_orders, Type::INT4_ARRAY),
            (&to_toids, Type::INT8_ARRAY),
            (&to_orders, Type::INT4_ARRAY),
        ];
        let scan_limit = format!("SET LOCAL statement_timeout = '{}ms'", limit.as_millis());
        transaction.batch_execute(&scan_limit).await?;
        let mut sums = T::default();
        // The rows are streamed and summed one by one, because those of a slice may not fit into memory. The block ends
        // the stream before the commit.
        {
            let rows = transaction.query_typed_raw(include_str!("../sql/audit/rows.sql"), params).await?;
            let mut rows = pin!(rows);
            let mut reader = TradeReader::default();
            while let Some(row) = rows.try_next().await? {
                let market = reader.market(&row)?;
                add(&mut sums, market, &raw_trade(&row, &mut reader)?);
            }
        }
        transaction.commit().await?;
        Ok(Summed::Sums(sums))
    }

    /// Returns the ids of all stored markets.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn market_ids(&self) -> Result<Vec<MarketId>, DbError> {
        self.bounded(async {
            let rows = self.client().await?.query_typed(include_str!("../sql/markets/ids.sql"), &[]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }
}

/// Returns a row without validation: an impossible figure must be reported as a difference, not fail the audit.
pub(in crate::db) fn raw_trade(row: &Row, reader: &mut TradeReader) -> Result<RawTrade, DbError> {
    let figures = reader.figures(row)?;
    Ok(RawTrade {
        token: figures.token,
        closed_at: figures.closed_at,
        base_amount: figures.base_amount,
        counter_amount: figures.counter_amount,
        price_n: figures.price_n,
        price_d: figures.price_d,
        is_buy: figures.base_is_seller,
        is_pool: figures.is_pool,
    })
}
