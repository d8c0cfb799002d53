//! What can go wrong with the database.

use tokio_postgres::error::SqlState;

use crate::connection_string::ConnectionStringError;

/// Why a database call failed. No text of it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The connection string or its certificates cannot be used.
    #[error("the database url cannot be used: {0}")]
    Settings(String),
    /// No connection came out of the pool in time, or none could be made.
    #[error("no database connection: {0}")]
    Pool(String),
    /// Nothing came back in a time in which the server itself would have given up.
    #[error("the database does not answer: nothing came for {} s", .0.as_secs_f32())]
    Silent(std::time::Duration),
    /// PostgreSQL, or the pooler before it, lets this role in no more than it did: password, role, database or `pg_hba.conf`
    /// is another.
    #[error("the database lets nobody in so: {0}")]
    Refused(String),
    /// PostgreSQL refused a statement or the connection broke.
    #[error("database: {}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
    /// Migrations are missing, and this role may not make them.
    #[error(
        "the schema lacks {missing}, and this role may not change it: run `stellar-ticker migrate` as its owner, or give the owner's address as --database-direct-url"
    )]
    SchemaNotOurs {
        /// Their names.
        missing: String,
    },
    /// The database is not as it must be; the text says what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// A later program has taken away what this one needs.
    #[error(
        "the schema is of a later version of this program: it asks for one that knows migration {needs}, and this one knows {known}; install that version"
    )]
    SchemaTooNew {
        /// The latest migration that a program must know.
        needs: i32,
        /// The latest that this one knows.
        known: i32,
    },
    /// The tables cannot be set aside while a daemon writes to them.
    #[error(
        "a daemon leads on this database, nothing was moved: stop all of its daemons and try again some seconds later"
    )]
    LeaseHeld,
    /// There is nothing to start over from.
    #[error("this database holds no ticker, nothing was moved")]
    NothingToSetAside,
    /// The role may not make a schema, or does not own the tables.
    #[error(
        "this role may not set the tables aside: run it as their owner (--database-direct-url), and let it make a schema \
         (GRANT CREATE ON DATABASE … TO …)"
    )]
    MayNotSetAside,
    /// Another replica leads: nothing was written.
    #[error("the lease was lost, nothing was written")]
    LeaseLost,
    /// Another writer moved the cursor: nothing was written.
    #[error("the cursor {name} was moved by another writer, nothing was written")]
    CursorMoved {
        /// Which cursor.
        name: String,
    },
    /// The batches that were asked for are not kept any more.
    #[error("the batches after {after} are not kept any more")]
    Trimmed {
        /// The `seq` behind which batches were asked for.
        after: i64,
    },
    /// The database lacks what it once said was committed: it was restored, or a standby that was behind took over.
    #[error("the database has lost batches and stands at {seq} now")]
    Rewound {
        /// Its last batch.
        seq: i64,
    },
    /// The database holds another network's trades.
    #[error("the database holds the network {held:?}, not {wanted:?}")]
    OtherNetwork {
        /// Whose trades it holds.
        held: String,
        /// Whose were wanted.
        wanted: String,
    },
    /// A row that this program did not write, or wrote wrongly.
    #[error("the database holds what cannot be: {0}")]
    Corrupt(String),
    /// A batch beyond a bound.
    #[error("the batch is too large: {0}")]
    TooLarge(String),
}

/// The server's own message; tokio-postgres alone says only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let source =
                std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{source}")
        },
        |told| format!("{} ({})", told.message(), told.code().code()),
    )
}

impl DbError {
    /// Whether the same call may succeed later. Who is refused is at work already when that matters: a password is being
    /// changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Silent(_) | Self::Refused(_) => true,
            Self::Postgres(error) => error.is_closed() || error.code().is_none_or(is_passing),
            _ => false,
        }
    }

    /// Returns true if the whole database does not answer or takes no writes, so that every other caller fails as well.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Silent(_) | Self::Refused(_) => true,
            Self::Postgres(error) => {
                let code = error.code().map(SqlState::code);
                let of_the_server = ["08", "57P", "25006"];
                code.is_none_or(|code| of_the_server.iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        }
    }

    /// Whether a start need not wait: the server is there, and what it says is a matter of settings.
    pub(super) fn is_final_at_start(&self) -> bool {
        !self.is_transient() || matches!(self, Self::Refused(_))
    }

    pub(super) fn is(&self, state: &SqlState) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(state))
    }
}

/// States that pass: a server going down or coming up, a conflict with another transaction, want of resources.
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

/// States of a log-in that only other settings change. A server that starts or stops has states of its own (57P03), a
/// pooler whose server is away says 08P01, and a name that is unknown may belong to a container that is not up yet.
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

impl From<deadpool_postgres::PoolError> for DbError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) if is_refusal(&error) => {
                Self::Refused(describe(&error))
            }
            deadpool_postgres::PoolError::Backend(error) => Self::Pool(describe(&error)),
            other => Self::Pool(other.to_string()),
        }
    }
}
