//! The database of a command: the one that is configured, or a private server.

use std::{path::PathBuf, time::Duration};

use tokio::runtime::Handle;
use tracing::{info, warn};

use super::CommandError;
use crate::{
    actors::disk_error::is_of_place,
    clock::{Clock, SystemClock},
    config::{Config, PG_BIN_DIR},
    db::{Database, DatabaseSettings, SetAside, shown_database},
};
use private_postgres::{IfRunning, KeptPostgres, Options, PrivatePostgresError};

/// Connections of the pool.
const CONNECTIONS_MAX: usize = 16;

/// Time limit for setting the tables aside. Longer than the server's own limits of its statements together.
const SET_ASIDE_WITHIN: Duration = Duration::from_secs(300);

/// Addresses of the database, and the private server if this process runs or joined one.
pub(super) struct Store {
    /// Connection string for normal use; it may lead through a pooler.
    url: String,
    /// Connection string for migrations, past a pooler. Equal to `url` unless configured.
    direct_url: String,
    ca_file: Option<PathBuf>,
    private: Option<KeptPostgres>,
}

impl Store {
    /// Determines the connection strings. If none is configured, starts a private server or joins the running one.
    /// The future may be dropped at any time, for example by a signal.
    pub(super) async fn open(config: &Config, if_running: IfRunning) -> Result<Self, CommandError> {
        Self::find(config, if_running).await.map_err(unavailable)
    }

    /// Does the same, and returns the error of the private server as it is.
    pub(super) async fn find(config: &Config, if_running: IfRunning) -> Result<Self, PrivatePostgresError> {
        let ca_file = config.ca_file.clone();
        if let Some(url) = &config.database_url {
            let url = url.expose().to_owned();
            let direct_url = config
                .database_direct_url
                .as_ref()
                .map_or_else(|| url.clone(), |url| url.expose().to_owned());
            let store = Self { url, direct_url, ca_file, private: None };
            // The daemon also keeps its files there. Commands that join a server have no other use for the directory.
            if let Some(variable) = &config.overriding_variable
                && if_running != IfRunning::WaitUntilGone
            {
                warn!(
                    variable,
                    database = store.shown(),
                    "the database is that of the environment, not of --data-dir"
                );
            }
            return Ok(store);
        }
        let options = Options { bin_dir: bin_dir(), if_running, ..Options::default() };
        let private = KeptPostgres::start(config.data_dir.clone(), options, config.startup_timeout).await?;
        if let Some(note) = &private.note {
            info!("{note}");
        }
        info!(psql = private.psql_command, joined = private.is_joined, "private PostgreSQL");
        let url = private.connection_string.clone();
        Ok(Self { direct_url: url.clone(), url, ca_file, private: Some(private) })
    }

    /// Migrates the schema, waits until the database is ready and claims it for the configured network.
    ///
    /// Fails if the database holds another network, or if the role lacks rights.
    pub(super) async fn database(&self, config: &Config) -> Result<Database, CommandError> {
        let database = self.readable(config).await?;
        database.patiently(config.startup_timeout, Database::check_rights).await?;
        Ok(database)
    }

    /// Like [`Self::database`], for commands that only read: a role that may only read is enough, if nothing is to be
    /// migrated or claimed.
    pub(super) async fn readable(&self, config: &Config) -> Result<Database, CommandError> {
        self.migrated(config).await?;
        let database = self.connect(&self.url, CONNECTIONS_MAX)?;
        database.wait_until_ready(config.startup_timeout).await?;
        let passphrase = &config.network_passphrase;
        let claim = async |database: &Database| database.claim_network(passphrase).await;
        database.patiently(config.startup_timeout, claim).await?;
        Ok(database)
    }

    /// Returns the identity of the migrated database. Reads it over the direct connection: only the role of migrations
    /// is sure to see the table of migrations. If the role of `database` sees it too, `database` refuses later
    /// connections to other tables.
    pub(super) async fn identity(
        &self,
        config: &Config,
        database: &Database,
    ) -> Result<String, CommandError> {
        let direct = self.connect(&self.direct_url, CONNECTIONS_MAX)?;
        let identity = direct.patiently(config.startup_timeout, Database::identity).await?;
        direct.close();
        database.patiently(config.startup_timeout, Database::remember_identity).await?;
        Ok(identity)
    }

    /// Waits until the database is ready. Migrates nothing and writes nothing.
    pub(super) async fn untouched(&self, config: &Config) -> Result<Database, CommandError> {
        let database = self.connect(&self.url, CONNECTIONS_MAX)?;
        database.wait_until_ready(config.startup_timeout).await?;
        Ok(database)
    }

    /// Migrates the schema over the direct connection. Returns the names of the applied migrations.
    pub(super) async fn migrated(&self, config: &Config) -> Result<Vec<String>, CommandError> {
        let direct = self.connect(&self.direct_url, CONNECTIONS_MAX)?;
        direct.wait_until_ready(config.startup_timeout).await?;
        direct.patiently(config.startup_timeout, Database::check_server).await?;
        let migrated = direct.patiently_to_its_end(config.startup_timeout, Database::migrate).await?;
        if !migrated.is_empty() {
            info!(migrations = migrated.join(", "), "schema migrated");
        }
        direct.close();
        Ok(migrated)
    }

    /// Moves all tables to a schema of their own, over the direct connection.
    pub(super) async fn set_aside(&self, config: &Config) -> Result<SetAside, CommandError> {
        let direct = self.connect(&self.direct_url, CONNECTIONS_MAX)?;
        direct.wait_until_ready(config.startup_timeout).await?;
        let set_aside = direct.set_aside(SystemClock.now());
        let set_aside = direct.within(SET_ASIDE_WITHIN, set_aside).await?;
        direct.close();
        Ok(set_aside)
    }

    /// Opens another pool of this many connections, for readers who must not hold up other work. Like `database`, it
    /// refuses a connection that leads to another database than at the start.
    pub(super) fn pool_of(&self, connections: usize, database: &Database) -> Result<Database, CommandError> {
        let pool = self.connect(&self.url, connections)?;
        pool.expect_like(database);
        Ok(pool)
    }

    fn connect(&self, url: &str, max_connections: usize) -> Result<Database, CommandError> {
        let settings =
            DatabaseSettings { url: url.to_owned(), ca_file: self.ca_file.clone(), max_connections };
        Ok(Database::new(&settings, Handle::current())?)
    }

    /// Connection string for normal use. It may hold a password.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Connection string for migrations, past a pooler. It may hold a password.
    pub(super) fn direct_url(&self) -> &str {
        &self.direct_url
    }

    /// Hosts and name of the database, for the log.
    pub(super) fn shown(&self) -> String {
        shown_database(&self.url)
    }

    /// Stops the private server, if this process started one. Gives it the time that it needs to write everything.
    pub(super) fn close(self) {
        drop(self.private);
    }

    /// Does the same within `limit`. A server that needs longer replays its log at the next start.
    pub(super) fn close_within(self, limit: Duration) {
        if let Some(private) = self.private {
            private.stop_within(limit);
        }
    }
}

/// Directory of the programs of a private server, if it is given. An empty variable counts as unset.
pub(super) fn bin_dir() -> Option<PathBuf> {
    std::env::var_os(PG_BIN_DIR).filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn unavailable(error: PrivatePostgresError) -> CommandError {
    match error {
        PrivatePostgresError::DataDir { ref source, .. } if is_of_place(source) => {
            CommandError::Configuration(error.to_string())
        }
        _ => CommandError::Unavailable(error.to_string()),
    }
}
