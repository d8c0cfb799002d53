//! Migration of the schema. Safe when several daemons start at once.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::{Client, Transaction};
use refinery::{Migration, Runner, error::Kind};
use refinery_core::{
    AsyncMigrate,
    traits::r#async::{AsyncQuery, AsyncTransaction},
};
use tokio_postgres::{error::SqlState, types::Type};

use super::{Database, DbError, error, transaction};

/// All migrations, in order. Forward only: a released migration never changes, since its checksum is in the database.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__create_tables", include_str!("../../migrations/0001_create_tables.sql")),
    ("V2__add_metadata_and_books", include_str!("../../migrations/0002_add_metadata_and_books.sql")),
    ("V3__add_days_without_ownership", include_str!("../../migrations/0003_add_days_without_ownership.sql")),
    ("V4__add_supply", include_str!("../../migrations/0004_add_supply.sql")),
    ("V5__add_book_levels", include_str!("../../migrations/0005_add_book_levels.sql")),
    ("V6__add_symbol_choices", include_str!("../../migrations/0006_add_symbol_choices.sql")),
    ("V7__add_candles", include_str!("../../migrations/0007_add_candles.sql")),
    ("V8__add_market_accounts", include_str!("../../migrations/0008_add_market_accounts.sql")),
    ("V9__index_candles", include_str!("../../migrations/0009_index_candles.sql")),
    ("V10__add_best_prices", include_str!("../../migrations/0010_add_best_prices.sql")),
    ("V11__add_unproven_ledgers", include_str!("../../migrations/0011_add_unproven_ledgers.sql")),
    ("V12__add_unconfirmed_ranges", include_str!("../../migrations/0012_add_unconfirmed_ranges.sql")),
    ("V13__freeze_no_empty_days", include_str!("../../migrations/0013_freeze_no_empty_days.sql")),
    ("V14__index_assets", include_str!("../../migrations/0014_index_assets.sql")),
    ("V15__drop_candles_by_bounds", include_str!("../../migrations/0015_drop_candles_by_bounds.sql")),
];
/// Advisory lock that every migrating process takes. The number is arbitrary.
const MIGRATION_LOCK: i64 = 0x0073_7465_6c6c_6172;
/// Settings of the transaction that holds the lock. It is idle while migrations run on another connection. The server
/// notices within a minute if the holder's machine is gone.
const GUARD_LIMITS: &str = "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = 0; \
                            SET LOCAL tcp_keepalives_idle = 20; SET LOCAL tcp_keepalives_interval = 10; \
                            SET LOCAL tcp_keepalives_count = 3";
/// Longest wait for the lock and for the list of applied migrations. Longer than the lock timeout. Migrations
/// themselves may take hours.
const PREPARED_WITHIN: Duration = Duration::from_secs(15);
/// Longest wait for the answer of a second connection.
const SECOND_CLIENT_WITHIN: Duration = Duration::from_secs(5);
/// Limit of a migration's wait for a table, shorter than that of any reader: until it has the table, every later reader
/// and writer waits behind it. Its own work may take long.
const LIMITS: &str = "SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = 0";

impl Database {
    /// Runs the missing migrations and returns their names. If none is missing, it writes nothing, so a role that owns
    /// no table may call it.
    ///
    /// Unknown migrations of a later version are ignored, unless the table `schema_needs` says that a program must know
    /// them.
    ///
    /// # Errors
    ///
    /// [`DbError::SchemaTooNew`], [`DbError::SchemaNotOurs`], [`DbError::SchemaTaken`], [`DbError::Migration`],
    /// [`DbError::MigrationInterrupted`] if the same call may succeed later, or an error of the connection. Each
    /// migration is one transaction, so none is half applied.
    pub async fn migrate(&self) -> Result<Vec<String>, DbError> {
        self.apply(&all()?).await
    }

    /// Like [`Self::migrate`], for the migrations of another version of the program.
    ///
    /// # Errors
    ///
    /// Those of [`Self::migrate`].
    pub async fn apply(&self, migrations: &[Migration]) -> Result<Vec<String>, DbError> {
        // The lock belongs to a transaction of its own, on another connection than refinery's. So it is always released
        // with that transaction, behind a pooler as well.
        let mut guard = self.client().await?;
        let applied = self.apply_under(&mut guard, migrations).await;
        if matches!(applied, Err(DbError::Silent(_))) {
            drop(Client::take(guard)); // it may be in the middle of a statement, so it is closed
        }
        applied
    }

    async fn apply_under(
        &self,
        guard: &mut Client,
        migrations: &[Migration],
    ) -> Result<Vec<String>, DbError> {
        let guard = self.within(PREPARED_WITHIN, locked(guard)).await?;
        let schema = self.within(PREPARED_WITHIN, Schema::examine(&guard, migrations)).await?;
        if schema.missing(migrations)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut client = self.second_client().await?;
        let mut limited = Limited(&mut client);
        let run = Runner::new(migrations).set_abort_missing(false).run_async(&mut limited).await;
        let report = run.map_err(|error| failed(&error))?;
        guard.commit().await?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    }
}

impl Database {
    /// Another connection, which answers. A pooler accepts connections for which it has none to the server: their first
    /// statement waits.
    async fn second_client(&self) -> Result<Client, DbError> {
        let first = async {
            let client = self.client().await?;
            client.batch_execute("").await?;
            Ok(client)
        };
        self.within(SECOND_CLIENT_WITHIN, first).await.map_err(|error| match error {
            DbError::Silent(_) => DbError::MigrationInterrupted(
                "a migration needs two connections at once, and the second one does not answer: is there a pooler with \
                 one connection? Set --database-direct-url to the server itself"
                    .to_owned(),
            ),
            other => other,
        })
    }

    /// Returns the names of the migrations that are missing and that [`Self::migrate`] would run. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::SchemaTooNew`], [`DbError::SchemaNotOurs`], [`DbError::SchemaTaken`], or an error of the
    /// connection.
    pub async fn missing_migrations(&self) -> Result<Vec<String>, DbError> {
        let migrations = all()?;
        let mut client = self.client().await?;
        let schema = Schema::examine(&transaction::begin(&mut client, "").await?, &migrations).await?;
        schema.missing(&migrations)
    }
}

impl Database {
    /// Identity of the database: the time at which its tables were made. Numbers of markets and assets are numbers
    /// within one database. Replicas, copies and restored dumps have the same identity. After `start-over` the new
    /// tables have another.
    ///
    /// Needs the rights of [`Self::migrate`].
    ///
    /// # Errors
    ///
    /// An error of the connection.
    pub async fn identity(&self) -> Result<String, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_one(include_str!("sql/schema/identity.sql"), &[]).await?;
        Ok(row.try_get(0)?)
    }
}

/// Returns [`MIGRATIONS`] as refinery runs them.
fn all() -> Result<Vec<Migration>, DbError> {
    let migrations = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql));
    migrations.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

/// Begins the transaction that holds the lock of migrations.
async fn locked(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    let guard = transaction::begin(client, GUARD_LIMITS).await?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    guard.execute_typed(lock, &[(&MIGRATION_LOCK, Type::INT8)]).await.map_err(|error| {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            DbError::MigrationInterrupted("another process is migrating the database".to_owned())
        } else {
            error.into()
        }
    })?;
    Ok(guard)
}

/// Connection on which each migration has [`LIMITS`]. They end with its transaction, so behind
/// a pooler no other session inherits them.
struct Limited<'a>(&'a mut tokio_postgres::Client);

impl AsyncTransaction for Limited<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        self.0.execute(std::iter::once(LIMITS).chain(queries)).await
    }
}

impl AsyncQuery<Vec<Migration>> for Limited<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        AsyncQuery::query(self.0, query).await
    }
}

impl AsyncMigrate for Limited<'_> {}

fn failed(error: &refinery::Error) -> DbError {
    let Kind::Connection(step, cause) = error.kind() else { return DbError::Migration(error.to_string()) };
    match cause.downcast_ref::<tokio_postgres::Error>() {
        Some(cause) => {
            let text = format!("{step}: {}", error::describe(cause));
            if error::may_pass(cause) {
                DbError::MigrationInterrupted(text)
            } else {
                DbError::Migration(text)
            }
        }
        None => DbError::Migration(error.to_string()),
    }
}

/// Current state of the schema.
struct Schema {
    /// Versions of the applied migrations.
    applied: HashMap<i32, String>,
    /// Latest migration that a program must know; 0 for none.
    needs: i32,
    /// True if this role may change the schema.
    may_change: bool,
}

impl Schema {
    /// Reads the schema. Fails if it is too new for `migrations`, or another program's.
    async fn examine(client: &Transaction<'_>, migrations: &[Migration]) -> Result<Self, DbError> {
        let schema = Self::read(client).await?;
        let known = migrations.iter().map(Migration::version).max().unwrap_or_default();
        if schema.needs > known {
            return Err(DbError::SchemaTooNew { needs: schema.needs, known });
        }
        schema.check_owner(client, migrations).await?;
        Ok(schema)
    }

    async fn read(client: &Transaction<'_>) -> Result<Self, DbError> {
        let row = client.query_typed_one(include_str!("sql/schema/is_made.sql"), &[]).await?;
        let (has_history, has_needs, may_change): (bool, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let mut schema = Self { applied: HashMap::new(), needs: 0, may_change };
        if has_history {
            for row in client.query_typed(include_str!("sql/schema/applied.sql"), &[]).await? {
                schema.applied.insert(row.try_get(0)?, row.try_get(1)?);
            }
        }
        if has_needs {
            let row = client.query_typed_one(include_str!("sql/schema/needs.sql"), &[]).await?;
            schema.needs = row.try_get(0)?;
        }
        Ok(schema)
    }

    /// Returns the names of the missing migrations. Fails if there are any and this role may not run them.
    fn missing(&self, migrations: &[Migration]) -> Result<Vec<String>, DbError> {
        let is_missing = |migration: &&Migration| !self.applied.contains_key(&migration.version());
        let missing: Vec<String> = migrations.iter().filter(is_missing).map(ToString::to_string).collect();
        if missing.is_empty() || self.may_change {
            return Ok(missing);
        }
        Err(DbError::SchemaNotOurs { missing: missing.join(", ") })
    }

    /// Fails if the schema is another program's: it applied other migrations, or made tables of the same names.
    async fn check_owner(&self, client: &Transaction<'_>, migrations: &[Migration]) -> Result<(), DbError> {
        let is_other = |migration: &&Migration| {
            self.applied.get(&migration.version()).is_some_and(|name| name != migration.name())
        };
        if migrations.iter().any(|migration| is_other(&migration)) {
            return Err(DbError::SchemaTaken { what: "migrations".to_owned() });
        }
        if !self.applied.is_empty() {
            return Ok(());
        }
        let scripts = migrations.iter().filter_map(Migration::sql);
        let lines = scripts.flat_map(str::lines).filter_map(|line| line.strip_prefix("CREATE TABLE "));
        let tables: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        let rows = client
            .query_typed(include_str!("sql/schema/tables_named.sql"), &[(&tables, Type::TEXT_ARRAY)])
            .await?;
        let taken: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        if taken.is_empty() {
            return Ok(());
        }
        Err(DbError::SchemaTaken { what: format!("tables ({})", taken.join(", ")) })
    }
}
