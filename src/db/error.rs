//! Errors of database calls.

use std::io;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;

use super::unreachable::UnreachableError;
use crate::connection_string::ConnectionStringError;

/// Text of tokio-postgres for a server that refuses TLS.
const NO_TLS: &str = "server does not support TLS";

/// Error of a database call. No text contains a password.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The connection string or a certificate file is invalid.
    #[error("the database url cannot be used: {0}")]
    Settings(String),
    /// The pool had no connection in time, or connecting failed. The text says which.
    #[error("{text}")]
    Pool {
        /// Reason and remedy.
        text: String,
        /// State that the server answered the log-in with; none if it did not answer.
        state: Option<SqlState>,
    },
    /// No answer within the caller's limit, which is longer than the server's own limits.
    #[error("the database does not answer: no response for {} s", .0.as_secs_f32())]
    Silent(std::time::Duration),
    /// PostgreSQL or a pooler rejected the log-in: wrong password, role or database, or no rule in `pg_hba.conf`.
    #[error("authentication failed: {0} (check the role, the password, the database and pg_hba.conf)")]
    Refused(String),
    /// PostgreSQL refused a statement or the connection broke.
    #[error("database: {}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A migration failed.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
    /// A migration gave way to other transactions, or lost its connection. It is not applied,
    /// unless the connection broke during its commit.
    #[error("a migration was interrupted: {0}")]
    MigrationInterrupted(String),
    /// Migrations are missing, and this role may not run them.
    #[error(
        "the schema lacks {missing}, and this role may not change it: run `stellar-ticker migrate` as its owner, or give the owner's address as --database-direct-url"
    )]
    SchemaNotOurs {
        /// Names of the missing migrations, separated by commas.
        missing: String,
    },
    /// Another program keeps its tables in the schema.
    #[error(
        "the database holds {what} of another program: create a database for the ticker and name it in --database-url"
    )]
    SchemaTaken {
        /// Its tables or migrations, for the message.
        what: String,
    },
    /// The server, the database or the role does not meet a requirement. The text says what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// A later version of the program changed the schema in a way that this version does not support.
    #[error(
        "the schema is of a later version of this program: it needs migration {needs}, and this version knows migrations up to {known}; install the later version"
    )]
    SchemaTooNew {
        /// Latest migration that a program must know.
        needs: i32,
        /// Latest migration that this program knows.
        known: i32,
    },
    /// A daemon holds the lease and writes to the tables, so they cannot be set aside.
    #[error(
        "a daemon leads on this database, nothing was moved: stop all daemons and try again after some seconds"
    )]
    LeaseHeld,
    /// The database has no tables of a ticker.
    #[error("this database has no ticker tables, nothing was moved")]
    NothingToSetAside,
    /// The role may not create a schema, or does not own the tables.
    #[error(
        "this role may not set the tables aside: connect as their owner (--database-direct-url), with the right to \
         create a schema (GRANT CREATE ON DATABASE … TO …)"
    )]
    MayNotSetAside,
    /// Another replica holds the lease. Nothing was written.
    #[error("the lease was lost, nothing was written")]
    LeaseLost,
    /// Another writer moved the cursor. Nothing was written.
    #[error("the cursor {name} was moved by another writer, nothing was written")]
    CursorMoved {
        /// Name of the cursor.
        name: String,
    },
    /// The requested batches were deleted by the cleaner.
    #[error("the batches after {after} are no longer kept")]
    Trimmed {
        /// Batches after this `seq` were requested.
        after: i64,
    },
    /// More was committed after a batch than a reader catches up with.
    #[error("too much was committed after batch {after} to read it batch by batch")]
    TooFarBehind {
        /// Batches after this `seq` were requested.
        after: i64,
    },
    /// Committed batches are missing: a backup was restored, or a standby that was behind took over.
    #[error("the database has lost batches: its last batch is {seq}")]
    Rewound {
        /// Number of the last batch in the database.
        seq: i64,
    },
    /// The database holds the trades of another network.
    #[error(
        "the database holds trades of the network \"{}\", not of \"{}\": give another database or another --network",
        .held.escape_debug(), .wanted.escape_debug()
    )]
    OtherNetwork {
        /// Passphrase of the network in the database.
        held: String,
        /// Passphrase of the configured network.
        wanted: String,
    },
    /// The tables are not those of the start: the database was emptied and filled again, replaced, or started over.
    #[error(
        "the database has other tables than when this process started: it was emptied, replaced or started over"
    )]
    Replaced,
    /// A row has a value that this program never writes.
    #[error("the database holds an invalid value: {0}")]
    Corrupt(String),
    /// A batch exceeds a limit.
    #[error("the batch is too large: {0}")]
    TooLarge(String),
}

/// Returns the server's own message. The `Display` of tokio-postgres says only "db error".
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let source =
                std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{source}")
        },
        |server| format!("{} ({})", server.message(), server.code().code()),
    )
}

/// Reasons of TLS against certificates that PostgreSQL's own programs accept.
const REFUSED_CERTIFICATES: [&str; 3] =
    ["UnsupportedCertVersion", "CaUsedAsEndEntity", "certificate is not valid for any names"];

/// Returns the text of a failed attempt to connect.
fn describe_connecting(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let inner = source.and_then(io::Error::get_ref);
    if let Some(unreachable) = inner.and_then(|inner| inner.downcast_ref::<UnreachableError>()) {
        return unreachable.to_string();
    }
    let text = format!("no database connection: {}", describe(error));
    if text.ends_with(NO_TLS) {
        return format!(
            "{text} (set `ssl = on` in postgresql.conf, or sslmode=disable in the connection string)"
        );
    }
    if REFUSED_CERTIFICATES.iter().any(|reason| text.contains(reason)) {
        return format!(
            "{text} (the server's certificate must be of X.509 version 3, name the host in subjectAltName, and be no authority \
             itself: docs/secure.md)"
        );
    }
    text
}

impl DbError {
    /// Returns true if the same call may succeed later. A refused log-in counts as transient: once the daemon runs, it
    /// means that an operator is changing the password. At start `is_final_at_start` decides.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Pool { .. } | Self::Silent(_) | Self::Refused(_) | Self::MigrationInterrupted(_) => true,
            Self::Postgres(error) => may_pass(error),
            _ => false,
        }
    }

    /// Returns true if the whole database is down, read-only or not ours, so that every other caller fails as well.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Pool { .. }
            | Self::Silent(_)
            | Self::Refused(_)
            | Self::OtherNetwork { .. }
            | Self::Replaced => true,
            Self::Postgres(error) => {
                let code = error.code().map(SqlState::code);
                // Connection exceptions, operator intervention, read-only transaction.
                let server_wide = ["08", "57P", "25006"];
                code.is_none_or(|code| server_wide.iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        }
    }

    /// Returns true if another replica has taken the lease. A take-over is no failure of the work that it ends.
    #[must_use]
    pub const fn is_take_over(&self) -> bool {
        matches!(self, Self::LeaseLost)
    }

    /// Returns true if a statement ran into its time limit.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.is(&SqlState::QUERY_CANCELED)
    }

    /// Returns true if the database takes no writes: it is a standby, or a setting makes it read-only.
    pub(super) fn is_read_only(&self) -> bool {
        self.is(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    /// Returns true if waiting at start cannot help: the server is up, and only other settings change its answer.
    pub(super) fn is_final_at_start(&self) -> bool {
        !self.is_transient() || matches!(self, Self::Refused(_))
    }

    /// Returns the server's state; none if it did not answer, or the error is this program's own.
    pub(super) fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::Pool { state, .. } => state.as_ref(),
            _ => None,
        }
    }

    pub(super) fn is(&self, state: &SqlState) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(state))
    }
}

/// Returns true if the same statement may succeed later, on another connection.
pub(super) fn may_pass(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.code().is_none_or(is_passing)
}

/// Returns true for states that pass by themselves: the server stops or starts, another transaction conflicts, or
/// resources are short.
fn is_passing(state: &SqlState) -> bool {
    let code = state.code();
    let classes = ["08", "40", "53", "57", "58"];
    let single = [
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    classes.iter().any(|class| code.starts_with(class)) || single.contains(&state)
}

/// Returns true for a failed log-in that only other settings can cure.
///
/// Other failures may pass: a server that starts or stops reports 57P03, a pooler without its server 08P01, and an
/// unknown host name may be a container that is not up yet.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let states = [
        &SqlState::INVALID_PASSWORD,
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        &SqlState::INVALID_CATALOG_NAME,
    ];
    error.code().is_some_and(|code| states.contains(&code))
}

impl From<ConnectionStringError> for DbError {
    fn from(error: ConnectionStringError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<PoolError> for DbError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) if is_refusal(&error) => Self::Refused(describe(&error)),
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::Pool { text: describe_connecting(&error), state: error.code().cloned() }
            }
            other => Self::Pool { text: format!("no database connection: {other}"), state: None },
        }
    }
}
