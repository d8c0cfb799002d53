//! The raw rows of some markets, summed as they come: a slice of the self-audit.

use std::{collections::BTreeMap, pin::pin};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Audited, Database, DbError, LaterColumns, later, snapshot_read};
use crate::{
    audit::{sums::RawTrade, windows::MarketSums},
    domain::{cursor::PagingToken, windows::MarketId},
};

/// One core only: what a slice costs is then the time that it takes. The auditor keeps that below 5 s as long as the week
/// lets it; beyond, a longer look is better than none.
pub(super) const LIMITS: &str = "SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '1s'; \
                      SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// What the raw rows of some markets come to.
#[derive(Debug)]
pub enum Summed {
    /// By market; one without rows is left out.
    Sums(BTreeMap<MarketId, MarketSums>),
    /// The rows of that `seq` cannot be told any more, or not yet: ask again with a newer publication.
    Missed(&'static str),
}

impl Database {
    /// Sums the raw rows of some markets, as they were at a publication.
    ///
    /// # Errors
    ///
    /// Any error of the connection, a time-out among them.
    pub async fn sum_markets(&self, audited: Audited, markets: &[MarketId]) -> Result<Summed, DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, LIMITS).await?;
        let later = match later(&transaction, audited.seq).await? {
            Ok(later) => later,
            Err(missed) => return Ok(Summed::Missed(missed)),
        };
        let [day, week] = crate::domain::window::published_edges(audited.as_of);
        let LaterColumns { first, toids: [from_toids, to_toids], orders: [from_orders, to_orders] } =
            later.columns();
        let week = week.to_utc();
        let params: [(&(dyn ToSql + Sync), Type); 7] = [
            (&week, Type::TIMESTAMPTZ),
            (&markets, Type::INT4_ARRAY),
            (&first, Type::INT8),
            (&from_toids, Type::INT8_ARRAY),
            (&from_orders, Type::INT4_ARRAY),
            (&to_toids, Type::INT8_ARRAY),
            (&to_orders, Type::INT4_ARRAY),
        ];
        let mut sums: BTreeMap<MarketId, MarketSums> = BTreeMap::new();
        {
            let rows = transaction.query_typed_raw(include_str!("../sql/audit/rows.sql"), params).await?;
            let mut rows = pin!(rows);
            while let Some(row) = rows.try_next().await? {
                let (market, trade) = raw_trade(&row)?;
                sums.entry(market).or_default().add(&trade, day);
            }
        }
        transaction.commit().await?;
        Ok(Summed::Sums(sums))
    }

    /// The numbers of all markets that were ever seen.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn market_ids(&self) -> Result<Vec<MarketId>, DbError> {
        let rows = self.client().await?.query_typed(include_str!("../sql/markets/ids.sql"), &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// A row as it stands, whatever it holds: a figure that cannot be is a difference, and no failure of the audit.
fn raw_trade(row: &Row) -> Result<(MarketId, RawTrade), DbError> {
    let closed_at: DateTime<Utc> = row.try_get(3)?;
    let trade = RawTrade {
        token: PagingToken { toid: row.try_get(1)?, order: row.try_get(2)? },
        closed_at: closed_at.into(),
        base_amount: row.try_get(4)?,
        counter_amount: row.try_get(5)?,
        price_n: row.try_get(6)?,
        price_d: row.try_get(7)?,
    };
    Ok((row.try_get(0)?, trade))
}
