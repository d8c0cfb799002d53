//! The one way to write: a transaction with time limits that ends with the fence.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::types::{ToSql, Type};

use super::{DbError, marks::Mark};

/// No statement of ours takes long; one that hangs must not hold the lease's row. All of them go by an index, also where
/// a plan is kept from when the table was small (foreign keys do so), and none is worth to be compiled.
const LIMITS: &str = "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '3s'; \
                      SET LOCAL idle_in_transaction_session_timeout = '3s'; \
                      SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// Advisory lock that every write holds until it ends. Writes share it, so that their numbers of markets and assets stay
/// valid. A deletion of numbers holds it alone. The key is arbitrary; nothing else here locks it.
const SHARE_NUMBERS: &str = "SELECT pg_advisory_xact_lock_shared(8241991830413505)";
/// The wait is short, because all other writes wait behind it.
const OWN_NUMBERS: &str = "SET LOCAL lock_timeout = '500ms'; SELECT pg_advisory_xact_lock(8241991830413505); \
                           SET LOCAL enable_seqscan = on";

/// What a write has done, for the batch's row.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) from_token: Option<String>,
    pub(super) to_token: Option<String>,
    pub(super) trades: i32,
}

impl Done {
    /// A write that changed rows with versions: the first and the last of those.
    pub(super) fn versions(versions: Option<(i64, i64)>) -> Self {
        let (first, last) = versions.unzip();
        let text = |version: Option<i64>| version.map(|version| version.to_string());
        Self { from_token: text(first), to_token: text(last), trades: 0 }
    }
}

/// Opens a write.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("{LIMITS}; {SHARE_NUMBERS}")).await?;
    Ok(transaction)
}

/// Opens a write that takes numbers of markets or assets away: no other write is under way until it ends. Fails with
/// `LOCK_NOT_AVAILABLE` where one takes long.
pub(super) async fn begin_alone(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("{LIMITS}; {OWN_NUMBERS}")).await?;
    Ok(transaction)
}

/// Ends a write with the fence and gives its number. See [`commit_marked`].
pub(super) async fn commit(
    transaction: Transaction<'_>,
    epoch: i64,
    kind: &str,
    done: &Done,
) -> Result<i64, DbError> {
    Ok(commit_marked(transaction, epoch, kind, done).await?.seq)
}

/// Ends a write with the fence and gives its mark.
///
/// The fence is the last statement, so that the lease's row is held for one round trip only. No row comes back from
/// it when another replica leads; the transaction is then rolled back by being dropped.
pub(super) async fn commit_marked(
    transaction: Transaction<'_>,
    epoch: i64,
    kind: &str,
    done: &Done,
) -> Result<Mark, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&epoch, Type::INT8),
        (&kind, Type::TEXT),
        (&done.from_token, Type::TEXT),
        (&done.to_token, Type::TEXT),
        (&done.trades, Type::INT4),
    ];
    let fence = transaction.query_typed_opt(include_str!("sql/batches/append_fenced.sql"), &params).await?;
    let row = fence.ok_or(DbError::LeaseLost)?;
    let mark = Mark { seq: row.try_get(0)?, committed_at: row.try_get(1)? };
    transaction.commit().await?;
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_by_the_first_and_the_last_of_its_versions() {
        let done = Done::versions(Some((3, 9)));
        assert_eq!((done.from_token.as_deref(), done.to_token.as_deref()), (Some("3"), Some("9")));
        let none = Done::versions(None);
        assert_eq!((none.from_token, none.to_token, none.trades), (None, None, 0));
    }
}
