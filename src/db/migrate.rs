//! Bringing the schema up to date, safely when several start at once.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use refinery::{Migration, Runner};
use tokio_postgres::types::Type;

use super::{Database, DbError};

/// All migrations, in order. Forward only: one that has been released is never changed.
const MIGRATIONS: [(&str, &str); 4] = [
    ("V1__create_tables", include_str!("../../migrations/0001_create_tables.sql")),
    ("V2__add_metadata_and_books", include_str!("../../migrations/0002_add_metadata_and_books.sql")),
    ("V3__add_days_without_ownership", include_str!("../../migrations/0003_add_days_without_ownership.sql")),
    ("V4__add_supply", include_str!("../../migrations/0004_add_supply.sql")),
];
/// Any number; whoever migrates a ticker's database takes this lock.
const MIGRATION_LOCK: i64 = 0x0073_7465_6c6c_6172;

impl Database {
    /// Brings the schema up to date and gives the names of the migrations that were missing. Where none is, nothing is
    /// written, so that a role may call it that owns nothing. Migrations that this program does not know do no harm, as
    /// long as the schema does not say that one of them must be known.
    ///
    /// # Errors
    ///
    /// [`DbError::SchemaTooNew`], [`DbError::SchemaNotOurs`], [`DbError::Migration`], or an error of the connection.
    /// Nothing is half done: each migration is a transaction.
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
        guard.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
        let schema = Schema::read(&guard).await?;
        let known = migrations.iter().map(Migration::version).max().unwrap_or_default();
        if schema.needs > known {
            return Err(DbError::SchemaTooNew { needs: schema.needs, known });
        }
        let missing = || migrations.iter().filter(|migration| !schema.applied.contains(&migration.version()));
        if missing().next().is_none() {
            return Ok(Vec::new());
        }
        if !schema.may_change {
            let missing: Vec<String> = missing().map(ToString::to_string).collect();
            return Err(DbError::SchemaNotOurs { missing: missing.join(", ") });
        }
        let mut client = self.client().await?;
        let client: &mut tokio_postgres::Client = &mut client;
        let report =
            Runner::new(&migrations).set_abort_missing(false).run_async(client).await.map_err(told)?;
        guard.commit().await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }
}

/// The schema as it is found.
struct Schema {
    /// Versions of the migrations that were applied.
    applied: HashSet<i32>,
    /// The latest that a program must know.
    needs: i32,
    /// Whether this role may change it.
    may_change: bool,
}

impl Schema {
    async fn read(client: &Transaction<'_>) -> Result<Self, DbError> {
        let row = client.query_typed_one(include_str!("sql/schema/is_made.sql"), &[]).await?;
        let (has_history, has_needs, may_change): (bool, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let mut schema = Self { applied: HashSet::new(), needs: 0, may_change };
        if has_history {
            for row in client.query_typed(include_str!("sql/schema/applied.sql"), &[]).await? {
                schema.applied.insert(row.try_get(0)?);
            }
        }
        if has_needs {
            let row = client.query_typed_one(include_str!("sql/schema/needs.sql"), &[]).await?;
            schema.needs = row.try_get(0)?;
        }
        Ok(schema)
    }
}
