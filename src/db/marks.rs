//! Whether the database still holds what it once said was committed. A standby that takes over may lack the last
//! second: numbers of batches and rows that were given out are then given out again, for other things.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{Database, DbError};

/// A batch as it was committed. The time tells it from another that later got the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its number.
    pub seq: i64,
    /// When its transaction began, to the microsecond.
    pub committed_at: DateTime<Utc>,
}

/// Where the database stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the last batch; 0 before the first.
    pub(super) seq: i64,
    /// That batch; none before the first.
    pub(super) newest: Option<Mark>,
}

/// Where the database stands, if it still holds all of `known`.
pub(super) async fn position(transaction: &Transaction<'_>, known: &[Mark]) -> Result<Position, DbError> {
    let row = transaction.query_typed_one(include_str!("sql/batches/position.sql"), &[]).await?;
    let seq: i64 = row.try_get(0)?;
    let newest: Option<DateTime<Utc>> = row.try_get(1)?;
    if !holds(transaction, known).await? {
        return Err(DbError::Rewound { seq });
    }
    Ok(Position { seq, newest: newest.map(|committed_at| Mark { seq, committed_at }) })
}

/// Whether the database still holds all of these batches.
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

impl Database {
    /// The number of the last committed write, if the database still holds all of `known`.
    ///
    /// # Errors
    ///
    /// [`DbError::Rewound`] where it does not, or an error of the connection.
    pub async fn current_seq_after(&self, known: &[Mark]) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let position = position(&transaction, known).await?;
        transaction.commit().await?;
        Ok(position.seq)
    }
}
