//! Unconfirmed ledgers: stored ledgers of a lake whose chain leads to no hash of Horizon. The table `unproven_ledgers`,
//! named before the word changed, has one row: the lowest of them. It survives restarts and take-overs.

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::{Database, DbError, coverage, fenced};
use crate::domain::{coverage::LedgerRange, instant::UnixSeconds};

impl Database {
    /// Lowest unconfirmed ledger, and its close time.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn unconfirmed_ledgers(&self) -> Result<Option<(u32, UnixSeconds)>, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/unconfirmed/read.sql"), &[]).await?;
        row.map(|row| {
            let (number, at): (i64, DateTime<Utc>) = (row.try_get(0)?, row.try_get(1)?);
            let ledger = u32::try_from(number)
                .map_err(|_| DbError::Corrupt(format!("unproven_ledgers: ledger {number}")))?;
            Ok((ledger, at.into()))
        })
        .transpose()
    }

    /// Notes that ledgers from this one on are unconfirmed.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn add_unconfirmed(&self, epoch: i64, (from, at): (u32, UnixSeconds)) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let (from, at) = (i64::from(from), at.to_utc());
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::INT8), (&at, Type::TIMESTAMPTZ)];
        transaction.execute_typed(include_str!("sql/unconfirmed/add.sql"), &params).await?;
        fenced::commit_unnumbered(transaction, epoch).await
    }

    /// Notes that nothing from this ledger on is unconfirmed. Takes `uncovered` out of the coverage in the same
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn clear_unconfirmed(
        &self,
        epoch: i64,
        from: u32,
        uncovered: Option<LedgerRange>,
    ) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        if let Some(uncovered) = uncovered {
            coverage::remove(&transaction, uncovered).await?;
        }
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&i64::from(from), Type::INT8)];
        transaction.execute_typed(include_str!("sql/unconfirmed/clear.sql"), &params).await?;
        coverage::commit(transaction, epoch).await
    }
}
