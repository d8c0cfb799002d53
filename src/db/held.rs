//! Rows of `trades` with all that is held of them, to be compared with what Horizon tells.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Database, DbError};
use crate::domain::{cursor::PagingToken, instant::UnixSeconds, trade::Trade};

/// More rows are not read at once: a page of Horizon holds 200 trades, so these are many that it lacks.
const ROWS_MAX: usize = 2_000;
const LIMITS: &str = "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '3s'";

/// The rows between two places.
#[derive(Clone, Debug)]
pub struct HeldRows {
    /// By their identity.
    pub rows: BTreeMap<PagingToken, HeldRow>,
    /// All that is held from here on is there: the place that was asked for, or a later one where that would be too many.
    pub from: PagingToken,
}

/// A row as it stands, its assets spelt out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// How often its identity is held: more than once is wrong, whatever the rows say.
    copies: u32,
    closed_at: UnixSeconds,
    /// Of the market and of the row itself: code and issuer of base and counter.
    assets: [Option<String>; 4],
    figures: [i64; 4],
    base_is_seller: bool,
    parties: [Option<String>; 3],
}

impl HeldRow {
    /// When its ledger closed.
    #[must_use]
    pub const fn closed_at(&self) -> UnixSeconds {
        self.closed_at
    }

    /// Whether it is this very trade.
    #[must_use]
    pub fn is(&self, trade: &Trade) -> bool {
        let spelt = |asset: &crate::domain::asset::Asset| Some(asset.to_string());
        let [base, counter] = [trade.market.base(), trade.market.counter()].map(spelt);
        let party = |party: Option<&str>| party.map(str::to_owned);
        let wanted = Self {
            copies: 1,
            closed_at: trade.closed_at,
            assets: [base.clone(), counter.clone(), base, counter],
            figures: [
                trade.base_amount.stroops(),
                trade.counter_amount.stroops(),
                trade.price_n,
                trade.price_d,
            ],
            base_is_seller: trade.base_is_seller,
            parties: [
                party(trade.base_account.as_ref().map(|account| account.as_str())),
                party(trade.counter_account.as_ref().map(|account| account.as_str())),
                party(trade.liquidity_pool.as_ref().map(|pool| pool.as_str())),
            ],
        };
        *self == wanted
    }
}

impl Database {
    /// The rows from `from` on and before `to`, the last 2,000 of them.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn held_between(&self, from: PagingToken, to: PagingToken) -> Result<HeldRows, DbError> {
        let limit = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
            (&limit, Type::INT8),
        ];
        let mut client = self.client().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        transaction.batch_execute(LIMITS).await?;
        let rows = transaction.query_typed(include_str!("sql/trades/held_between.sql"), &params).await?;
        transaction.commit().await?;
        let mut held: BTreeMap<PagingToken, HeldRow> = BTreeMap::new();
        for row in &rows {
            let (token, row) = held_row(row)?;
            held.entry(token).and_modify(|held| held.copies = held.copies.saturating_add(1)).or_insert(row);
        }
        if rows.len() < ROWS_MAX {
            return Ok(HeldRows { rows: held, from });
        }
        // Of the lowest identity more rows may lie below.
        held.pop_first();
        let from = held.first_key_value().map_or(to, |(token, _)| *token);
        Ok(HeldRows { rows: held, from })
    }
}

impl Database {
    /// Identity and close time of the newest trade from `from` on and before `to`.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn newest_held_between(
        &self,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        self.one_between(include_str!("sql/trades/newest_between.sql"), from, to).await
    }

    /// Identity and close time of the oldest trade from `from` on and before `to`.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn oldest_held_between(
        &self,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        self.one_between(include_str!("sql/trades/oldest_between.sql"), from, to).await
    }

    /// Ledgers and close times of the newest trades, one each, the newest first.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn newest_held(&self, count: i64) -> Result<Vec<(u32, UnixSeconds)>, DbError> {
        let client = self.client().await?;
        let sql = include_str!("sql/trades/newest.sql");
        let rows = client.query_typed(sql, &[(&count, Type::INT8)]).await?;
        let row = |row: &Row| {
            let (toid, closed_at): (i64, DateTime<Utc>) = (row.try_get(0)?, row.try_get(1)?);
            Ok((PagingToken { toid, order: 0 }.ledger(), closed_at.into()))
        };
        rows.iter().map(row).collect()
    }

    async fn one_between(
        &self,
        sql: &str,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
        ];
        let mut client = self.client().await?;
        let transaction = client.build_transaction().read_only(true).start().await?;
        transaction.batch_execute(LIMITS).await?;
        let row = transaction.query_typed_opt(sql, &params).await?;
        transaction.commit().await?;
        row.map(|row| {
            let closed_at: DateTime<Utc> = row.try_get(2)?;
            Ok((PagingToken { toid: row.try_get(0)?, order: row.try_get(1)? }, closed_at.into()))
        })
        .transpose()
    }
}

fn held_row(row: &Row) -> Result<(PagingToken, HeldRow), DbError> {
    let closed_at: DateTime<Utc> = row.try_get(2)?;
    let held = HeldRow {
        copies: 1,
        closed_at: closed_at.into(),
        figures: [row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?],
        base_is_seller: row.try_get(7)?,
        parties: [row.try_get(8)?, row.try_get(9)?, row.try_get(10)?],
        assets: [row.try_get(11)?, row.try_get(12)?, row.try_get(13)?, row.try_get(14)?],
    };
    Ok((PagingToken { toid: row.try_get(0)?, order: row.try_get(1)? }, held))
}
