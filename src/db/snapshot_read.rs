//! Transaction that reads several tables as of one moment: it writes nothing and sees no later commit.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::IsolationLevel;

use super::DbError;

/// Begins the transaction. `limits` are the statements that set its time limits.
pub(super) async fn begin<'a>(client: &'a mut Client, limits: &str) -> Result<Transaction<'a>, DbError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    transaction.batch_execute(limits).await?;
    Ok(transaction)
}
