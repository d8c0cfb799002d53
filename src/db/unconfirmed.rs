//! Unconfirmed ledgers: stored ledgers of a lake whose chain leads to no hash of Horizon. The rows of
//! `unconfirmed_ranges` survive restarts and take-overs.

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{Database, DbError, coverage, fenced};
use crate::domain::coverage::{LedgerRange, joined_in_pairs, merge, without};

/// Name of the table in errors.
const TABLE: &str = "unconfirmed_ranges";
/// Statement that adds ranges.
const INSERT: &str = include_str!("sql/unconfirmed/insert.sql");
/// Most rows. With more, neighbours are joined, and what lies between them counts as unconfirmed too.
const ROWS_MAX: i64 = 1_000;

impl Database {
    /// Ranges of unconfirmed ledgers, in order, as they are stored. A range up to `u32::MAX` was noted by an earlier
    /// version, which knew only its first ledger.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn unconfirmed_ledgers(&self) -> Result<Vec<LedgerRange>, DbError> {
        let client = self.client().await?;
        let rows = client.query_typed(include_str!("sql/unconfirmed/read.sql"), &[]).await?;
        coverage::ranges(&rows, TABLE)
    }

    /// Notes that these ledgers are unconfirmed.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn add_unconfirmed(&self, epoch: i64, new: LedgerRange) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let mut ranges = take_touching(&transaction, new).await?;
        ranges.push(new);
        coverage::insert(&transaction, INSERT, &merge(ranges)).await?;
        let counted = transaction.query_typed_one(include_str!("sql/unconfirmed/count.sql"), &[]).await?;
        if counted.try_get::<_, i64>(0)? > ROWS_MAX {
            let all = transaction.query_typed(include_str!("sql/unconfirmed/take_all.sql"), &[]).await?;
            let joined = joined_in_pairs(&merge(coverage::ranges(&all, TABLE)?));
            coverage::insert(&transaction, INSERT, &joined).await?;
        }
        fenced::commit_unnumbered(transaction, epoch).await
    }

    /// Takes ledgers out of the coverage, and deletes these rows if they are as they were read, in one transaction.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn clear_unconfirmed(
        &self,
        epoch: i64,
        read: &[LedgerRange],
        uncovered: &[LedgerRange],
    ) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        coverage::remove_all(&transaction, uncovered).await?;
        let column = |pick: fn(&LedgerRange) -> u32| {
            read.iter().map(|range| i64::from(pick(range))).collect::<Vec<_>>()
        };
        let (from, to) = (column(|range| range.from), column(|range| range.to));
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::INT8_ARRAY), (&to, Type::INT8_ARRAY)];
        transaction.execute_typed(include_str!("sql/unconfirmed/clear.sql"), &params).await?;
        coverage::commit(transaction, epoch).await
    }

    /// Takes ledgers out of the coverage, and ends the notes about the settled ones, in one transaction. Ranges that
    /// reach beyond these keep their other ledgers.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn settle_unconfirmed(
        &self,
        epoch: i64,
        settled: &[LedgerRange],
        uncovered: &[LedgerRange],
    ) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        coverage::remove_all(&transaction, uncovered).await?;
        for settled in settled {
            let touching = take_touching(&transaction, *settled).await?;
            coverage::insert(&transaction, INSERT, &without(&merge(touching), *settled)).await?;
        }
        if uncovered.is_empty() {
            fenced::commit_unnumbered(transaction, epoch).await
        } else {
            coverage::commit(transaction, epoch).await
        }
    }
}

/// Locks the table, and takes out the rows that touch a range.
async fn take_touching(
    transaction: &Transaction<'_>,
    range: LedgerRange,
) -> Result<Vec<LedgerRange>, DbError> {
    // Otherwise two writers could both replace a row by its union with their ledgers.
    transaction.batch_execute(include_str!("sql/unconfirmed/lock.sql")).await?;
    let (from, to) = (i64::from(range.from), i64::from(range.to));
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::INT8), (&to, Type::INT8)];
    let rows = transaction.query_typed(include_str!("sql/unconfirmed/take_touching.sql"), &params).await?;
    coverage::ranges(&rows, TABLE)
}
