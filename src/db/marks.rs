//! Marks of committed batches, to detect that the database has lost some. A standby that takes over may lack the last
//! second of commits. It then assigns the same numbers again, to other batches and rows.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::DbError;

/// Number and time of a committed batch. The time distinguishes it from a later batch with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the batch.
    pub seq: i64,
    /// Start of its transaction, to the microsecond, by the clock of the server.
    pub committed_at: DateTime<Utc>,
}

/// Last batch of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of the last batch; 0 before the first.
    pub(super) seq: i64,
    /// Mark of the last batch; none before the first.
    pub(super) newest: Option<Mark>,
}

/// Returns the last batch. Fails with [`DbError::Rewound`] if the database lacks a batch of `known`.
pub(super) async fn position(transaction: &Transaction<'_>, known: &[Mark]) -> Result<Position, DbError> {
    let row = transaction.query_typed_one(include_str!("sql/batches/position.sql"), &[]).await?;
    let seq: i64 = row.try_get(0)?;
    let newest: Option<DateTime<Utc>> = row.try_get(1)?;
    if !holds(transaction, known).await? {
        return Err(DbError::Rewound { seq });
    }
    Ok(Position { seq, newest: newest.map(|committed_at| Mark { seq, committed_at }) })
}

/// Returns true if the database holds all of these batches.
pub(super) async fn holds(transaction: &Transaction<'_>, known: &[Mark]) -> Result<bool, DbError> {
    if known.is_empty() {
        return Ok(true);
    }
    let (seqs, times): (Vec<i64>, Vec<DateTime<Utc>>) =
        known.iter().map(|mark| (mark.seq, mark.committed_at)).unzip();
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&seqs, Type::INT8_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)];
    Ok(transaction.query_typed_one(include_str!("sql/batches/holds.sql"), &params).await?.try_get(0)?)
}
