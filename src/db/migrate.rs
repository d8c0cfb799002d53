//! Bringing the schema up to date, safely when several start at once.

use refinery::{Migration, Runner};

use super::{Database, DbError};

/// All migrations, in order. Forward only: one that has been released is never changed.
const MIGRATIONS: [(&str, &str); 2] = [
    ("V1__create_tables", include_str!("../../migrations/0001_create_tables.sql")),
    ("V2__add_metadata_and_books", include_str!("../../migrations/0002_add_metadata_and_books.sql")),
];
/// Any number; whoever migrates a ticker's database takes this lock.
const MIGRATION_LOCK: i64 = 0x0073_7465_6c6c_6172;

impl Database {
    /// Brings the schema up to date and gives the names of the migrations that were missing.
    ///
    /// # Errors
    ///
    /// [`DbError::Migration`], or what the connection said. Nothing is half done: each migration is a transaction.
    pub async fn migrate(&self) -> Result<Vec<String>, DbError> {
        let told = |error: refinery::Error| DbError::Migration(error.to_string());
        let migrations: Vec<Migration> = MIGRATIONS
            .iter()
            .map(|(name, sql)| Migration::unapplied(name, sql))
            .collect::<Result<_, _>>()
            .map_err(told)?;
        // The lock lives in a transaction of its own, on another connection than refinery's: it ends with that
        // transaction whatever happens, also behind a pooler.
        let mut guard = self.client().await?;
        let guard = guard.transaction().await?;
        guard
            .execute_typed(
                "SELECT pg_advisory_xact_lock($1)",
                &[(&MIGRATION_LOCK, tokio_postgres::types::Type::INT8)],
            )
            .await?;
        let mut client = self.client().await?;
        let client: &mut tokio_postgres::Client = &mut client;
        let report =
            Runner::new(&migrations).set_abort_missing(false).run_async(client).await.map_err(told)?;
        guard.commit().await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }
}
