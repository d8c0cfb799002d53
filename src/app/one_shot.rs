//! Commands that do one thing and end: migrations, single files, the health check.

use std::{path::Path, time::Duration};

use tokio::runtime::Runtime;
use tracing::info;

use super::{CommandError, limits, output, store::Store};
use crate::{
    actors::aggregator::MarketState,
    clock::{Clock, SystemClock},
    config::{Config, HealthcheckOptions},
    db::{Database, SetAside, shown_database},
    domain::instant::UnixSeconds,
    http::probe,
};
use private_postgres::IfRunning;
use ticker_formats::legacy::{assets_json, markets_json};

/// Time limit for the running daemon's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Name of standard output in `--out-file`. A file of this name is written as `./-`.
const STDOUT: &str = "-";

/// Migrates the schema.
pub(super) fn migrate(config: &Config) -> Result<u8, CommandError> {
    with_store(config, async |store| {
        let migrated = store.migrated(config).await?;
        info!(applied = migrated.len(), "migrated");
        Ok(())
    })
}

/// Moves all tables to a schema of their own and creates new ones.
pub(super) fn start_over(config: &Config) -> Result<u8, CommandError> {
    with_store(config, async |store| {
        let SetAside { schema, network } = store.set_aside(config).await?;
        store.migrated(config).await?;
        info!(
            database = shown_database(store.direct_url()),
            network = network.as_deref().unwrap_or("none"),
            kept_in = schema,
            delete_with = Database::drop_of_set_aside(&schema),
            "started over: the next daemon begins with an empty database"
        );
        Ok(())
    })
}

/// Writes `markets.json` once.
pub(super) fn generate_market_data(config: &Config, out_file: &Path) -> Result<u8, CommandError> {
    with_store(config, async |store| {
        let database = store.readable(config).await?;
        let now = UnixSeconds::from(SystemClock.now());
        let mut markets = MarketState::load(&database, now).await?;
        let snapshot = markets.snapshot_at(now);
        write(out_file, &markets_json::render(snapshot.as_of(), &snapshot.pairs()))?;
        info!(file = %out_file.display(), seq = markets.seq(), "written");
        Ok(())
    })
}

/// Writes `assets.json` once.
pub(super) fn generate_asset_data(config: &Config, out_file: &Path) -> Result<u8, CommandError> {
    with_store(config, async |store| {
        let database = store.readable(config).await?;
        let assets = database.asset_listing().await?;
        write(out_file, &assets_json::render(UnixSeconds::from(SystemClock.now()), &assets))?;
        info!(file = %out_file.display(), assets = assets.len(), "written");
        Ok(())
    })
}

fn write(file: &Path, json: &str) -> Result<(), CommandError> {
    if file == Path::new(STDOUT) {
        return output::print(json).map(|_| ());
    }
    output::write(file, json.as_bytes()).map_err(|error| output::unwritable("--out-file", file, &error))
}

/// Checks `/livez` of the running daemon.
pub(super) fn healthcheck(options: &HealthcheckOptions) -> Result<u8, CommandError> {
    let found = probe::livez(options.bind, PROBE_TIMEOUT).map_err(|error| match &options.unread_file {
        Some(reason) => format!("{error} (the default of --bind: {reason})"),
        None => error.to_string(),
    });
    found.map(|()| 0).map_err(CommandError::Found)
}

fn with_store(
    config: &Config,
    work: impl AsyncFnOnce(&Store) -> Result<(), CommandError>,
) -> Result<u8, CommandError> {
    let runtime = runtime()?;
    let store = runtime.block_on(Store::open(config, IfRunning::Join))?;
    let done = runtime.block_on(work(&store));
    store.close();
    done.map(|()| 0)
}

/// Returns a runtime without threads of its own: it would panic if the system gave it none.
fn runtime() -> Result<Runtime, CommandError> {
    limits::check_thread()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::Software(error.to_string()))
}
