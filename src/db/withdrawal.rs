//! Withdrawal of ledgers of a lake that Horizon contradicts: their trades and candles are deleted, and they are read again.
//!
//! The first unproven ledger is stored until the end, so that a restart or another replica withdraws the rest.

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    batches::TRADES_WITHDRAWN,
    candles,
    fenced::{self, ChangedRows},
};
use crate::domain::{
    candles::Stored,
    conversions::SaturatingFrom,
    instant::{HOUR, UnixSeconds},
};

/// Number by which a ledger's number is shifted in a paging token.
const LEDGER_BITS: u32 = 32;

impl Database {
    /// Lowest stored ledger to which no hash of Horizon leads, and its close time.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn unproven_ledgers(&self) -> Result<Option<(u32, UnixSeconds)>, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/withdrawal/unproven.sql"), &[]).await?;
        row.map(|row| {
            let at: DateTime<Utc> = row.try_get(1)?;
            Ok((ledger(row.try_get(0)?)?, at.into()))
        })
        .transpose()
    }

    /// Stores the lowest unproven ledger, or that there is none.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn set_unproven_ledgers(
        &self,
        epoch: i64,
        lowest: Option<(u32, UnixSeconds)>,
    ) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        match lowest {
            Some((from, at)) => {
                let (from, at) = (i64::from(from), at.to_utc());
                let params: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&from, Type::INT8), (&at, Type::TIMESTAMPTZ)];
                let sql = include_str!("sql/withdrawal/set_unproven.sql");
                transaction.execute_typed(sql, &params).await?;
            }
            None => {
                let sql = include_str!("sql/withdrawal/clear_unproven.sql");
                transaction.execute_typed(sql, &[]).await?;
            }
        }
        fenced::commit_unnumbered(transaction, epoch).await
    }

    /// Newest ledger of which a trade is stored.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn newest_ledger_with_trades(&self) -> Result<Option<u32>, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/withdrawal/newest_ledger.sql"), &[]).await?;
        row.map(|row| ledger(row.try_get(0)?)).transpose()
    }

    /// Deletes the trades of some ledgers, both ends inclusive, and derives the candles of their hours again. Returns the
    /// number of trades.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn withdraw_trades(
        &self,
        epoch: i64,
        (from, to): (u32, u32),
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let transaction = candles::begin(&mut client).await?;
        let (first, end) = (i64::from(from) << LEDGER_BITS, (i64::from(to) + 1) << LEDGER_BITS);
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&end, Type::INT8)];
        let sql = include_str!("sql/withdrawal/delete_trades.sql");
        let row = transaction.query_typed_one(sql, &params).await?;
        let (count, first, last): (i64, Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if let (Some(first), Some(last)) = (first.map(UnixSeconds::from), last.map(UnixSeconds::from)) {
            let mut hour = Stored::Hour.buckets().start_of(first);
            while hour <= last {
                candles::mend_hour(&transaction, hour, now, &advance).await?;
                hour = hour.plus(HOUR);
            }
        }
        fenced::commit_unnumbered(transaction, epoch).await?;
        Ok(u64::saturating_from(count))
    }

    /// Ends a withdrawal: nothing is unproven any more, and all readers load everything again.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn end_withdrawal(&self, epoch: i64) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        transaction.execute_typed(include_str!("sql/withdrawal/clear_unproven.sql"), &[]).await?;
        fenced::commit(transaction, epoch, TRADES_WITHDRAWN, &ChangedRows::default()).await?;
        Ok(())
    }
}

fn ledger(number: i64) -> Result<u32, DbError> {
    u32::try_from(number).map_err(|_| DbError::Corrupt(format!("ledger {number}")))
}
