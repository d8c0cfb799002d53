//! Begin of transactions that are no snapshots. The isolation is set for each, because the default is a setting of the
//! server, the database and the role. Above read committed, every write would fail that waits for the row of the lease.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::IsolationLevel;

use super::DbError;

/// Begins the transaction.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    Ok(client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?)
}
