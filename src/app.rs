//! The composition root. One file per command, each builds what its command needs.

mod audit;
mod daemon;
mod demo;
mod doctor;
mod ingest;
mod inspect;
mod ledger;
mod limits;
mod one_shot;
mod output;
mod progress_bar;
mod signals;
mod source_check;
mod store;
mod test_hooks;
mod validate;

pub use signals::Signals;

use std::process::ExitCode;

use crate::{
    actors::unfit::UnfitError,
    cli::Command,
    config::{EXIT_CONFIG, EXIT_USAGE},
    db::DbError,
};

/// Exit code: PostgreSQL, a port or another resource is not available.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code: a check found a difference, or the health check failed.
const EXIT_FOUND: u8 = 1;
/// Exit code: an internal failure.
const EXIT_SOFTWARE: u8 = 70;

/// Error of a command, by exit code. The text says what failed and what to do.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// PostgreSQL, a port or another resource is not available.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration does not fit its surroundings: another network, an unusable file.
    #[error("{0}")]
    Configuration(String),
    /// A check found a difference, or the health check failed.
    #[error("{0}")]
    Found(String),
    /// A value of a flag does not parse.
    #[error("{0}")]
    Usage(String),
    /// An internal failure.
    #[error("{0}")]
    Software(String),
}

impl CommandError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Configuration(_) => EXIT_CONFIG,
            Self::Found(_) => EXIT_FOUND,
            Self::Usage(_) => EXIT_USAGE,
            Self::Software(_) => EXIT_SOFTWARE,
        }
    }
}

impl From<DbError> for CommandError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Settings(_)
            | DbError::OtherNetwork { .. }
            | DbError::SchemaNotOurs { .. }
            | DbError::SchemaTaken { .. }
            | DbError::Unsuitable(_)
            | DbError::NothingToSetAside
            | DbError::MayNotSetAside
            | DbError::SchemaTooNew { .. } => Self::Configuration(error.to_string()),
            DbError::Pool { .. }
            | DbError::Silent(_)
            | DbError::Refused(_)
            | DbError::Postgres(_)
            | DbError::MigrationInterrupted(_)
            | DbError::LeaseHeld => Self::Unavailable(error.to_string()),
            other => Self::Software(other.to_string()),
        }
    }
}

impl From<UnfitError> for CommandError {
    fn from(unfit: UnfitError) -> Self {
        match unfit {
            UnfitError::OtherNetwork(_) => Self::Configuration(unfit.to_string()),
            UnfitError::NoTables | UnfitError::Replaced => Self::Software(unfit.to_string()),
        }
    }
}

/// Runs a command to its end and returns the exit code. `signals` are the handlers of [`Signals::early`].
#[must_use]
pub fn run(command: Command, signals: Option<Signals>) -> ExitCode {
    let ended = match command {
        Command::Serve(config) => {
            limits::check(config.nginx.is_some()).and_then(|()| daemon::serve(config, signals))
        }
        Command::Demo { config, simulation } => {
            limits::check(config.nginx.is_some()).and_then(|()| demo::demo(config, &simulation, signals))
        }
        Command::HorizonSim(options) => demo::horizon_sim(&options, signals),
        Command::Migrate(config) => one_shot::migrate(&config),
        Command::StartOver(config) => one_shot::start_over(&config),
        Command::GenerateMarketData { config, out_file } => {
            one_shot::generate_market_data(&config, &out_file)
        }
        Command::GenerateAssetData { config, out_file } => one_shot::generate_asset_data(&config, &out_file),
        Command::IngestAssets(config) => ingest::assets(&config),
        Command::IngestOrderbooks(config) => ingest::orderbooks(&config),
        Command::IngestTrades { config, and_stream } => ingest::trades(&config, and_stream),
        Command::CleanTrades { config, drops_candles } => ingest::clean(&config, drops_candles),
        Command::Inspect { config, inspection } => inspect::inspect(&config, inspection),
        Command::Healthcheck(options) => one_shot::healthcheck(&options),
        Command::Validate { config, validation } => validate::validate(&config, &validation),
        Command::LedgerTrades { file, passphrase } => ledger::trades(&file, &passphrase),
        Command::Doctor { config, surroundings, prints_json } => {
            doctor::doctor(config.as_deref(), &surroundings, prints_json)
        }
        Command::Audit { config, options } => audit::audit(&config, &options),
        // main handles these commands itself: they need nothing but the settings.
        Command::ConfigCheck { .. } | Command::ConfigShow(_) | Command::Completions(_) => {
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
