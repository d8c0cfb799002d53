//! The pool.

use std::{path::PathBuf, sync::Arc, time::Duration};

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::{runtime::Handle, time::Instant};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::info;

use crate::{connection_string::ConnectionString, outbound::Names, trouble::SharedFailureLog};

use super::{
    connect::SharedRuntimeConnect, error::DbError, ids::KnownIds, partitions::KnownDays,
    quarantine_limit::QuarantineLimit, targets, tls,
};

/// Longest wait for a connection from the pool, and for a pooled connection to answer.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for each host of the connection string, TLS and log-in included, unless that sets `connect_timeout`.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that making a connection may take beyond the limits of its hosts.
const CREATE_SLACK: Duration = Duration::from_secs(1);
/// A server across a network that confirms nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often a database that is not there yet is asked again.
const READY_POLL: Duration = Duration::from_millis(200);

/// How to reach the database.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// A connection string of either form; `sslmode` and `sslrootcert` as libpq has them.
    pub url: String,
    /// Further certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Connections at most.
    pub max_connections: usize,
}

/// The database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Database {
    pub(super) pool: Pool,
    /// Ids of assets and markets that are committed.
    pub(super) ids: Arc<KnownIds>,
    /// Days whose partitions are there.
    pub(super) days: Arc<KnownDays>,
    /// Outage of the database, shared by all callers.
    failures: Arc<SharedFailureLog>,
    /// Bounds what goes to quarantine.
    pub(super) quarantine_limit: Arc<QuarantineLimit>,
}

/// The driver's settings; what the connection string says counts before what is usual here.
fn driver_config(known: &ConnectionString) -> Result<tokio_postgres::Config, DbError> {
    // The parser's own error names options, never values.
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

impl Database {
    /// A pool; nothing is connected yet. Sockets and drivers live on `runtime`.
    ///
    /// # Errors
    ///
    /// [`DbError::Settings`] where the connection string or a certificate file cannot be used.
    pub fn new(settings: &DatabaseSettings, runtime: Handle) -> Result<Self, DbError> {
        let known = ConnectionString::parse(&settings.url)?;
        let config = driver_config(&known)?;
        let host_timeout = config.get_connect_timeout().copied().unwrap_or(HOST_TIMEOUT);
        let hosts = u32::try_from(targets::count(&config)).unwrap_or(u32::MAX);
        let root = known.root.map(PathBuf::from);
        let tls = tls::config(known.verifies, root.as_deref(), settings.ca_file.as_deref())?;
        let connect = SharedRuntimeConnect {
            runtime,
            tls: MakeRustlsConnect::new(tls),
            names: Names::system(),
            host_timeout,
            passed_over: Arc::default(),
        };
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(config, connect, manager_config))
            .max_size(settings.max_connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_TIMEOUT))
            // Each host has its own limit. This one is only for what goes wrong between them.
            .create_timeout(Some(host_timeout.saturating_mul(hosts).saturating_add(CREATE_SLACK)))
            .recycle_timeout(Some(POOL_TIMEOUT))
            .build()
            .map_err(|error| DbError::Settings(error.to_string()))?;
        let (ids, days) = (Arc::default(), Arc::default());
        Ok(Self { pool, ids, days, failures: Arc::default(), quarantine_limit: Arc::default() })
    }

    /// Waits until the database answers.
    ///
    /// # Errors
    ///
    /// The last failure, if it does not answer within `patience` or never will.
    pub async fn wait_until_ready(&self, patience: Duration) -> Result<(), DbError> {
        let until = Instant::now() + patience;
        let mut told = false;
        loop {
            let Err(error) = self.ping().await else { return Ok(()) };
            if error.is_final_at_start() || Instant::now() >= until {
                return Err(error);
            }
            if !std::mem::replace(&mut told, true) {
                info!(%error, "waiting for the database");
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    async fn ping(&self) -> Result<(), DbError> {
        self.client().await?.simple_query("").await?;
        Ok(())
    }

    pub(super) async fn client(&self) -> Result<Client, DbError> {
        Ok(self.pool.get().await?)
    }

    /// Gives up a call that takes longer than `limit`: the server has stopped, or the connection leads nowhere. It may be
    /// in the middle of anything, so it is closed, and so is every other that nobody uses.
    ///
    /// # Errors
    ///
    /// [`DbError::Silent`], or the error of the call.
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

    /// A call failed: whether that is worth a line in the log. An outage is one for all clones of this.
    #[must_use]
    pub fn record_failure(&self, error: &DbError, now: std::time::Instant) -> bool {
        !error.is_outage() || self.failures.record_failure(now)
    }

    /// Records a successful call. Returns true if an outage was logged before it.
    #[must_use]
    pub fn record_success(&self) -> bool {
        self.failures.record_success()
    }

    /// Closes the pool; calls fail from now on.
    pub fn close(&self) {
        self.pool.close();
    }
}
