//! The connection pool, and the [`Database`] that the other files of this layer extend.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::runtime::Handle;
use tokio_postgres::config::ChannelBinding;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    connection_string::ConnectionString,
    domain::conversions::SaturatingFrom,
    outbound::Resolver,
    trouble::{FailureLogs, SharedFailureLog},
};

use super::{
    claim::Claim,
    connect::{SILENT_ADDRESSES_MAX, SharedRuntimeConnect},
    error::DbError,
    ids::KnownIds,
    known_days::KnownDays,
    quarantine_limit::QuarantineLimit,
    targets, tls,
    unfinished_search::UnfinishedSearch,
};

/// Longest wait for a connection from the pool, and for a pooled connection to answer.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for each host of the connection string, TLS and log-in included. `connect_timeout` in the string overrides it.
/// A host whose name has several addresses may use it up [`SILENT_ADDRESSES_MAX`] times.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that connecting may take beyond the sum of the limits of its hosts.
const CREATE_SLACK: Duration = Duration::from_secs(1);
/// A server across a network counts as gone if it acknowledges nothing for this long.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Time limit of a read of an actor.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Settings of the connection to the database.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// Connection string, as a URL or as keywords. `sslmode` and `sslrootcert` mean the same as in libpq.
    pub url: String,
    /// PEM file of additional root certificates.
    pub ca_file: Option<PathBuf>,
    /// Largest number of connections in the pool.
    pub max_connections: usize,
}

/// The database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Database {
    pub(super) pool: Pool,
    /// Cache of committed ids of assets and markets.
    pub(super) ids: Arc<KnownIds>,
    /// Cache of days whose partitions exist.
    pub(super) days: Arc<KnownDays>,
    /// Search for unused markets that the last pass of the cleaner did not finish.
    pub(super) unfinished_search: Arc<UnfinishedSearch>,
    /// Current outage of the database. Shared, so that it is logged once and not by every caller.
    failures: Arc<SharedFailureLog>,
    /// Failures that are no outage, by the work that failed. Shared for the same reason.
    refusals: Arc<FailureLogs>,
    /// True if the last outage was that the database takes no writes: it is a standby, or a setting says so.
    read_only: Arc<AtomicBool>,
    /// Limit on the bytes that go to quarantine.
    pub(super) quarantine_limit: Arc<QuarantineLimit>,
    /// Network and identity of the database at the start.
    pub(super) claim: Arc<Claim>,
}

/// Use of the connection pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Largest number of connections.
    pub connections_max: usize,
    /// Open connections.
    pub connections: usize,
    /// Connections that callers hold.
    pub in_use: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}

/// Returns the driver's settings. The connection string overrides the defaults that are set here.
fn driver_config(known: &ConnectionString) -> Result<tokio_postgres::Config, DbError> {
    // Safe to show: the parser's errors name options, never values such as a password.
    let mut config: tokio_postgres::Config =
        known.rest.parse().map_err(|error: tokio_postgres::Error| DbError::Settings(error.to_string()))?;
    if !known.sets("application_name") {
        config.application_name("stellar-ticker");
    }
    if !known.sets("keepalives_idle") {
        config.keepalives_idle(SILENCE_MAX);
    }
    if !known.sets("tcp_user_timeout") {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    Ok(config)
}

/// Text of the check of a connection without an answer.
const SILENT: &str = "no answer";

/// Returns a check of each new connection, which may lead to another database than at the start.
fn checked(claim: Arc<Claim>) -> Hook {
    Hook::async_fn(move |client, _| {
        let claim = Arc::clone(&claim);
        Box::pin(async move {
            let checked = tokio::time::timeout(POOL_TIMEOUT, claim.check(&**client)).await;
            match checked.unwrap_or(Err(DbError::Silent(POOL_TIMEOUT))) {
                Ok(()) => Ok(()),
                Err(DbError::Silent(_)) => Err(HookError::message(SILENT)),
                // The caller's own statement reports what is wrong with a database that answers.
                Err(DbError::Postgres(error)) if error.as_db_error().is_some() => Ok(()),
                Err(DbError::Postgres(error)) => Err(HookError::Backend(error)),
                // See `Database::client`.
                Err(DbError::OtherNetwork { held, .. }) => Err(HookError::message(held)),
                Err(_) => Err(HookError::message("")),
            }
        })
    })
}

/// Age from which idle connections are closed while the database is read-only: it may be writable for new ones.
const READ_ONLY_SESSION_MAX: Duration = Duration::from_secs(5);

impl Database {
    /// Creates the pool without connecting. Sockets and connection drivers will run on `runtime`.
    ///
    /// # Errors
    ///
    /// [`DbError::Settings`] if the connection string or a certificate file is invalid.
    pub fn new(settings: &DatabaseSettings, runtime: Handle) -> Result<Self, DbError> {
        let known = ConnectionString::parse(&settings.url)?;
        let config = driver_config(&known)?;
        let host_timeout = config.get_connect_timeout().copied().unwrap_or(HOST_TIMEOUT);
        let tries = u32::saturating_from(targets::count(&config)).saturating_mul(SILENT_ADDRESSES_MAX);
        let root = known.root.map(PathBuf::from);
        let binds_channel = config.get_channel_binding() == ChannelBinding::Require;
        let tls =
            tls::config(known.verifies_server, binds_channel, root.as_deref(), settings.ca_file.as_deref())?;
        let connect = SharedRuntimeConnect {
            runtime,
            tls: MakeRustlsConnect::new(tls),
            names: Resolver::system(),
            host_timeout,
            passed_over: Arc::default(),
        };
        let claim = Arc::<Claim>::default();
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(config, connect, manager_config))
            .max_size(settings.max_connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            // Each address of a host has its own limit. This one is a backstop, larger than their sum.
            .create_timeout(Some(host_timeout.saturating_mul(tries).saturating_add(CREATE_SLACK)))
            .recycle_timeout(Some(POOL_TIMEOUT))
            .post_create(checked(Arc::clone(&claim)))
            .build()
            .map_err(|error| DbError::Settings(error.to_string()))?;
        let (ids, days) = (Arc::default(), Arc::default());
        Ok(Self {
            pool,
            ids,
            days,
            unfinished_search: Arc::default(),
            failures: Arc::default(),
            refusals: Arc::default(),
            read_only: Arc::default(),
            quarantine_limit: Arc::default(),
            claim,
        })
    }

    /// Makes the checks of new connections those of another pool, whose start has checked the database.
    pub fn expect_like(&self, checked: &Self) {
        self.claim.copy(&checked.claim);
    }

    /// Returns a connection to the database of the start.
    pub(super) async fn client(&self) -> Result<Client, DbError> {
        self.pool.get().await.map_err(|error| match (error, self.claim.network()) {
            (PoolError::PostCreateHook(HookError::Message(text)), _) if text == SILENT => {
                DbError::Silent(POOL_TIMEOUT)
            }
            // Of the check of new connections: the network that it found, or nothing if the tables are others.
            (PoolError::PostCreateHook(HookError::Message(held)), Some(wanted)) if !held.is_empty() => {
                DbError::OtherNetwork { held: held.into_owned(), wanted: wanted.to_owned() }
            }
            (PoolError::PostCreateHook(HookError::Message(_)), _) => DbError::Replaced,
            (error, _) => error.into(),
        })
    }

    /// Runs a call with a time limit. A call that exceeds it means that the server hangs or the connection is dead.
    ///
    /// The connection may be in the middle of a statement, so dropping the call closes it. Idle connections probably
    /// share its trouble and are closed as well.
    ///
    /// # Errors
    ///
    /// [`DbError::Silent`] after `limit`, or the error of the call.
    pub async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let outcome = tokio::time::timeout(limit, call).await;
        outcome.unwrap_or_else(|_| {
            self.pool.retain(|_, _| false);
            Err(DbError::Silent(limit))
        })
    }

    /// Runs a read of an actor with a time limit that ends long before the supervisor takes the actor for stalled. A
    /// table that somebody locks would hold it up for as long as the lock.
    pub(super) async fn bounded<T>(
        &self,
        read: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        self.within(READ_WITHIN, read).await
    }

    /// Records a failed call. Returns true if it deserves a line in the log; an outage is logged once for all clones of
    /// this, and another failure once for the work that it names in `doing`.
    #[must_use]
    pub fn record_failure(&self, error: &DbError, doing: &'static str, now: std::time::Instant) -> bool {
        if error.is_outage() {
            self.read_only.store(error.is_read_only(), Ordering::Relaxed);
        }
        if error.is_read_only() {
            // A session keeps what `default_transaction_read_only` was when it began.
            self.pool.retain(|_, session| session.age() < READ_ONLY_SESSION_MAX);
        }
        if error.is_outage() {
            self.failures.record_failure(now)
        } else {
            self.refusals.record_failure(doing, error, now)
        }
    }

    /// Records that this work succeeded. Returns true if its failure was logged before and was no outage.
    #[must_use]
    pub fn record_success(&self, doing: &'static str) -> bool {
        self.refusals.record_success(doing)
    }

    /// Records a successful read. Returns true if an outage or a failure of this work was logged before it. While the
    /// database is read-only, a read ends no outage.
    #[must_use]
    pub fn record_read(&self, doing: &'static str) -> bool {
        let has_failed = self.record_success(doing);
        let ends_outage = !self.is_read_only() && self.failures.record_success();
        has_failed || ends_outage
    }

    /// Records a successful write. Returns true if a failure of this work was logged before it, or an outage that this
    /// write ends.
    #[must_use]
    pub fn record_write(&self, doing: &'static str, ends_outage: bool) -> bool {
        self.read_only.store(false, Ordering::Relaxed);
        let has_failed = self.record_success(doing);
        (ends_outage && self.failures.record_success()) || has_failed
    }

    /// True if the last write failed because the database takes none.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Returns the use of the pool.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            connections_max: status.max_size,
            connections: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }

    /// Closes the pool. Later calls fail.
    pub fn close(&self) {
        self.pool.close();
    }
}
