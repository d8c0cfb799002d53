//! The fenced transaction, the only way to write: it has time limits, and its last statement checks the lease.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::types::{ToSql, Type};

use super::{DbError, marks::Mark, transaction};

/// Limits of a write. A statement that hangs must not keep the lease's row locked.
///
/// Every statement uses an index. Sequential scans are off because PostgreSQL caches the plans of foreign keys, and a
/// plan made when the table was small would scan it for ever. JIT compilation costs more than these statements take.
const LIMITS: &str = "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '3s'; \
                      SET LOCAL idle_in_transaction_session_timeout = '3s'; \
                      SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// Advisory lock that every write shares until it ends, so that the ids of markets and assets that it uses stay valid.
/// Deleting ids takes the lock exclusively. The key is arbitrary.
const SHARE_IDS: &str = "SELECT pg_advisory_xact_lock_shared(8241991830413505)";
/// Exclusive form of [`SHARE_IDS`]. The wait is short, because all other writes queue behind it.
const LOCK_IDS: &str = "SET LOCAL lock_timeout = '500ms'; SELECT pg_advisory_xact_lock(8241991830413505); \
                        SET LOCAL enable_seqscan = on";

/// Changes of a write, for its row in `ingest_batches`.
#[derive(Debug, Default)]
pub(super) struct ChangedRows {
    /// First token or version of the changed rows.
    pub(super) from_token: Option<String>,
    /// Last token or version of the changed rows.
    pub(super) to_token: Option<String>,
    /// Number of new trades.
    pub(super) trades: i32,
}

impl ChangedRows {
    /// Changes of rows that have versions: the first and the last new version.
    pub(super) fn versions(versions: Option<(i64, i64)>) -> Self {
        let (first, last) = versions.unzip();
        let text = |version: Option<i64>| version.map(|version| version.to_string());
        Self { from_token: text(first), to_token: text(last), trades: 0 }
    }
}

/// Begins a write.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    transaction::begin(client, &format!("{LIMITS}; {SHARE_IDS}")).await
}

/// Begins a write that deletes ids of markets or assets. No other write runs until it ends.
///
/// Fails with `LOCK_NOT_AVAILABLE` if another write takes long.
pub(super) async fn begin_alone(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    transaction::begin(client, &format!("{LIMITS}; {LOCK_IDS}")).await
}

/// Commits a write with the fence and returns its `seq`. See [`commit_marked`].
pub(super) async fn commit(
    transaction: Transaction<'_>,
    epoch: i64,
    kind: &str,
    changes: &ChangedRows,
) -> Result<i64, DbError> {
    Ok(commit_marked(transaction, epoch, kind, changes).await?.seq)
}

/// Commits a write with the fence and returns its mark.
///
/// The fence is the last statement, so the lease's row is locked for one round trip only. If another replica leads, the
/// fence returns no row, and dropping the transaction rolls it back.
pub(super) async fn commit_marked(
    transaction: Transaction<'_>,
    epoch: i64,
    kind: &str,
    changes: &ChangedRows,
) -> Result<Mark, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&epoch, Type::INT8),
        (&kind, Type::TEXT),
        (&changes.from_token, Type::TEXT),
        (&changes.to_token, Type::TEXT),
        (&changes.trades, Type::INT4),
    ];
    let fence = transaction.query_typed_opt(include_str!("sql/batches/append_fenced.sql"), &params).await?;
    let row = fence.ok_or(DbError::LeaseLost)?;
    let mark = Mark { seq: row.try_get(0)?, committed_at: row.try_get(1)? };
    transaction.commit().await?;
    Ok(mark)
}

/// Commits a write with the fence, but without a `seq`: no reader of the batches needs to know of it.
pub(super) async fn commit_unnumbered(transaction: Transaction<'_>, epoch: i64) -> Result<(), DbError> {
    // From the fence on, the lease's row is locked. A frozen process must not keep it.
    transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '3s'").await?;
    let fence = include_str!("sql/lease/fence.sql");
    transaction.query_typed_opt(fence, &[(&epoch, Type::INT8)]).await?.ok_or(DbError::LeaseLost)?;
    Ok(transaction.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_versions_name_the_first_and_the_last() {
        let changes = ChangedRows::versions(Some((3, 9)));
        assert_eq!((changes.from_token.as_deref(), changes.to_token.as_deref()), (Some("3"), Some("9")));
        let none = ChangedRows::versions(None);
        assert_eq!((none.from_token, none.to_token, none.trades), (None, None, 0));
    }
}
