//! The database of a command: the one that was given, or a private one.

use std::path::PathBuf;

use tokio::runtime::Handle;
use tracing::info;

use super::Failure;
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, PG_BIN_DIR},
    db::{Database, DatabaseSettings},
};
use private_postgres::{IfRunning, KeptPostgres, Options, PrivatePostgresError};

/// Connections of the daemon's pool.
const CONNECTIONS_MAX: usize = 16;

/// Where the database is, and the server if it is ours.
pub(super) struct Store {
    url: String,
    direct_url: String,
    ca_file: Option<PathBuf>,
    private: Option<KeptPostgres>,
}

impl Store {
    /// Finds the database's address; starts or joins the private server where none is given. May be dropped at any
    /// time, at a signal for example.
    pub(super) async fn open(config: &Config, if_running: IfRunning) -> Result<Self, Failure> {
        let ca_file = config.ca_file.clone();
        if let Some(url) = &config.database_url {
            let url = url.expose().to_owned();
            let direct_url = config
                .database_direct_url
                .as_ref()
                .map_or_else(|| url.clone(), |url| url.expose().to_owned());
            return Ok(Self { url, direct_url, ca_file, private: None });
        }
        let bin_dir = std::env::var_os(PG_BIN_DIR).map(PathBuf::from);
        let options = Options { bin_dir, if_running, ..Options::default() };
        let private = KeptPostgres::start(config.data_dir.clone(), options, config.startup_timeout)
            .await
            .map_err(unavailable)?;
        if let Some(note) = &private.note {
            info!("{note}");
        }
        info!(psql = private.psql_command, joined = private.is_joined, "private PostgreSQL");
        let url = private.connection_string.clone();
        Ok(Self { direct_url: url.clone(), url, ca_file, private: Some(private) })
    }

    /// The database, ready and up to date, holding this network and no other.
    pub(super) async fn database(&self, config: &Config) -> Result<Database, Failure> {
        self.migrated(config).await?;
        let database = self.connect(&self.url)?;
        database.wait_until_ready(config.startup_timeout).await?;
        database.claim_network(&config.network_passphrase).await?;
        Ok(database)
    }

    /// The database as it is: nothing is migrated and nothing is written.
    pub(super) async fn untouched(&self, config: &Config) -> Result<Database, Failure> {
        let database = self.connect(&self.url)?;
        database.wait_until_ready(config.startup_timeout).await?;
        Ok(database)
    }

    /// Brings the schema up to date, past a pooler.
    pub(super) async fn migrated(&self, config: &Config) -> Result<Vec<String>, Failure> {
        let direct = self.connect(&self.direct_url)?;
        direct.wait_until_ready(config.startup_timeout).await?;
        direct.check_server().await?;
        let migrated = direct.migrate().await?;
        if !migrated.is_empty() {
            info!(migrations = migrated.join(", "), "the schema is up to date now");
        }
        direct.close();
        Ok(migrated)
    }

    /// Moves everything that is held to a schema of its own, past a pooler, and gives its name.
    pub(super) async fn set_aside(&self, config: &Config) -> Result<String, Failure> {
        let direct = self.connect(&self.direct_url)?;
        direct.wait_until_ready(config.startup_timeout).await?;
        let schema = direct.set_aside(SystemClock.now()).await?;
        direct.close();
        Ok(schema)
    }

    fn connect(&self, url: &str) -> Result<Database, Failure> {
        let settings = DatabaseSettings {
            url: url.to_owned(),
            ca_file: self.ca_file.clone(),
            max_connections: CONNECTIONS_MAX,
        };
        Ok(Database::new(&settings, Handle::current())?)
    }

    /// Stops the private server, if it is ours.
    pub(super) fn close(self) {
        drop(self.private);
    }
}

fn unavailable(error: PrivatePostgresError) -> Failure {
    Failure::Unavailable(error.to_string())
}
