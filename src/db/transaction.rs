//! Begins transactions. Their isolation level does not depend on the default of the server, database or role, and a
//! process that is paused within one keeps its locks for a limited time only.

use deadpool_postgres::{Client, Transaction, TransactionBuilder};
use tokio_postgres::IsolationLevel;

use super::DbError;

/// A paused process keeps its sockets, so PostgreSQL would wait for it for ever, and `start-over`, migrations and the
/// cleaner would wait for its locks. `limits` of a transaction may set another time.
const IDLE_LIMIT: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Begins a transaction at READ COMMITTED. At a stricter level, every write that waits for the lease row would fail.
/// `limits` are the statements that set its time limits.
pub(super) async fn begin<'a>(client: &'a mut Client, limits: &str) -> Result<Transaction<'a>, DbError> {
    start(client, limits, |new| new.isolation_level(IsolationLevel::ReadCommitted)).await
}

/// Begins a transaction that writes nothing, at READ COMMITTED.
pub(super) async fn begin_read<'a>(client: &'a mut Client, limits: &str) -> Result<Transaction<'a>, DbError> {
    start(client, limits, |new| new.isolation_level(IsolationLevel::ReadCommitted).read_only(true)).await
}

/// Begins a transaction that reads several tables as of one moment: it writes nothing and sees no later commit.
pub(super) async fn begin_snapshot<'a>(
    client: &'a mut Client,
    limits: &str,
) -> Result<Transaction<'a>, DbError> {
    start(client, limits, |new| new.isolation_level(IsolationLevel::RepeatableRead).read_only(true)).await
}

#[expect(clippy::disallowed_methods, reason = "the only place that may")]
async fn start<'a>(
    client: &'a mut Client,
    limits: &str,
    with_mode: impl FnOnce(TransactionBuilder<'a>) -> TransactionBuilder<'a>,
) -> Result<Transaction<'a>, DbError> {
    let transaction = with_mode(client.build_transaction()).start().await?;
    transaction.batch_execute(&format!("{IDLE_LIMIT}; {limits}")).await?;
    Ok(transaction)
}
