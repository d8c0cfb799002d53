//! Coverage: the ledgers whose trades are stored completely.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError,
    fenced::{self, ChangedRows},
};
use crate::domain::coverage::{self, LedgerRange};

/// Statement that adds ranges to `coverage`.
const INSERT: &str = include_str!("sql/coverage/insert.sql");

impl Database {
    /// Returns the complete ledgers as merged ranges, in order.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn coverage(&self) -> Result<Vec<LedgerRange>, DbError> {
        self.bounded(async {
            let rows = self.client().await?.query_typed(include_str!("sql/coverage/all.sql"), &[]).await?;
            merged(&rows)
        })
        .await
    }

    /// Removes ledgers from the coverage, because Horizon has trades there that are not stored.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn uncover(&self, epoch: i64, hole: LedgerRange) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        remove_all(&transaction, &[hole]).await?;
        commit(transaction, epoch).await
    }
}

/// Removes the ledgers of some holes. However many there are, the table is locked for three statements: other writers
/// wait for the lock.
pub(super) async fn remove_all(transaction: &Transaction<'_>, holes: &[LedgerRange]) -> Result<(), DbError> {
    let (from, to) = (holes.iter().map(|hole| hole.from).min(), holes.iter().map(|hole| hole.to).max());
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    // A batch that adds a range replaces the ranges that it touches by their union. If it had read them before this
    // removal, it would restore the removed ledgers. So the table lock waits for all such batches first.
    transaction.batch_execute(include_str!("sql/coverage/lock.sql")).await?;
    let (from, to) = (i64::from(from), i64::from(to));
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::INT8), (&to, Type::INT8)];
    let touching = transaction.query_typed(include_str!("sql/coverage/take_touching.sql"), &params).await?;
    let left = holes.iter().fold(merged(&touching)?, |left, hole| coverage::without(&left, *hole));
    insert(transaction, INSERT, &left).await
}

/// Commits a removal as a batch, so that readers read the coverage again.
pub(super) async fn commit(transaction: Transaction<'_>, epoch: i64) -> Result<(), DbError> {
    fenced::commit(transaction, epoch, "repair", &ChangedRows::default()).await.map(drop)
}

/// Returns the ranges of rows of `coverage`, merged and in order.
pub(super) fn merged(rows: &[Row]) -> Result<Vec<LedgerRange>, DbError> {
    Ok(coverage::merge(ranges(rows, "coverage")?))
}

/// Returns the ranges of rows of a table that is shaped like `coverage`.
pub(super) fn ranges(rows: &[Row], table: &str) -> Result<Vec<LedgerRange>, DbError> {
    rows.iter().map(|row| range(row, table)).collect()
}

/// Adds a range, and replaces the ranges that it touches by their union. Two concurrent writers may leave ranges that
/// touch each other. Readers merge those.
pub(super) async fn add(transaction: &Transaction<'_>, new: LedgerRange) -> Result<(), DbError> {
    let (from, to) = (i64::from(new.from), i64::from(new.to));
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::INT8), (&to, Type::INT8)];
    let touching = transaction.query_typed(include_str!("sql/coverage/take_touching.sql"), &params).await?;
    let mut ranges = ranges(&touching, "coverage")?;
    ranges.push(new);
    insert(transaction, INSERT, &coverage::merge(ranges)).await
}

/// Replaces all rows by these ranges. The caller holds the lock of the table.
pub(super) async fn replace_all(
    transaction: &Transaction<'_>,
    ranges: &[LedgerRange],
) -> Result<(), DbError> {
    transaction.execute_typed(include_str!("sql/coverage/delete_all.sql"), &[]).await?;
    insert(transaction, INSERT, ranges).await
}

/// Inserts ranges by a statement that takes the four columns as arrays.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    statement: &str,
    ranges: &[LedgerRange],
) -> Result<(), DbError> {
    let column =
        |pick: fn(&LedgerRange) -> u32| ranges.iter().map(|range| i64::from(pick(range))).collect::<Vec<_>>();
    let times = |pick: fn(&LedgerRange) -> DateTime<Utc>| ranges.iter().map(pick).collect::<Vec<_>>();
    let (from, to) = (column(|range| range.from), column(|range| range.to));
    let (from_time, to_time) =
        (times(|range| range.from_time.to_utc()), times(|range| range.to_time.to_utc()));
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&from, Type::INT8_ARRAY),
        (&to, Type::INT8_ARRAY),
        (&from_time, Type::TIMESTAMPTZ_ARRAY),
        (&to_time, Type::TIMESTAMPTZ_ARRAY),
    ];
    transaction.execute_typed(statement, &params).await?;
    Ok(())
}

fn range(row: &Row, table: &str) -> Result<LedgerRange, DbError> {
    let ledger = |index| -> Result<u32, DbError> {
        let number: i64 = row.try_get(index)?;
        u32::try_from(number).map_err(|_| DbError::Corrupt(format!("{table}: ledger {number}")))
    };
    let (from_time, to_time): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(LedgerRange { from: ledger(0)?, to: ledger(1)?, from_time: from_time.into(), to_time: to_time.into() })
}
