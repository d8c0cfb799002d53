//! Commands and flags.
//!
//! [`parse`] turns the arguments and the environment into one [`Command`] with everything it needs, checked.
//! The flags come from the settings table of [`crate::config`]; every command that has a configuration
//! takes all of them, so that one line of arguments suits `serve`, `config check` and `migrate` alike, and
//! its help lists those that matter to it.

mod definition;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::ArgMatches;
use clap_complete::Shell;

use crate::config::{
    self, AUDIT_SETTINGS, AuditOptions, Config, ConfigError, EXIT_USAGE, Environment, FlagValues,
    HORIZON_SIM_SETTINGS, HorizonSimOptions, Kind, LogFormat, Profile, SETTINGS, SIMULATION_SETTINGS,
    Setting, Settings, SimulationOptions,
};

pub use definition::definition;

/// What the program was asked to do.
#[derive(Debug, Clone)]
pub enum Command {
    /// The whole daemon.
    Serve(Config),
    /// A simulated Horizon in this process, and the daemon on it.
    Demo {
        /// The daemon's configuration; its `horizon_url` and `toml_gateway` are the caller's to set.
        config: Config,
        /// What is simulated.
        simulation: SimulationOptions,
    },
    /// The simulated Horizon alone.
    HorizonSim(HorizonSimOptions),
    /// Bring the schema up to date.
    Migrate(Config),
    /// Set everything that the database holds aside, and begin with an empty one.
    StartOver(Config),
    /// Sweep all assets once.
    IngestAssets(Config),
    /// Read every order book once.
    IngestOrderbooks(Config),
    /// Fill history, which goes `backfill_hours` back.
    IngestTrades {
        /// The configuration.
        config: Config,
        /// Go on with the stream afterwards.
        and_stream: bool,
    },
    /// Drop what is older than `retention_days`.
    CleanTrades(Config),
    /// Write `markets.json` once.
    GenerateMarketData {
        /// The configuration.
        config: Config,
        /// Where to write it.
        out_file: PathBuf,
    },
    /// Write `assets.json` once.
    GenerateAssetData {
        /// The configuration.
        config: Config,
        /// Where to write it.
        out_file: PathBuf,
    },
    /// Recompute every published figure and compare it with what is served.
    Audit {
        /// The configuration.
        config: Config,
        /// What is compared and how it is reported.
        options: AuditOptions,
    },
    /// Tell the completions of a shell.
    Completions(Shell),
    /// Tell that the configuration is valid: it is, or there would be no command.
    ConfigCheck {
        /// The settings.
        settings: Settings,
        /// Remarks on conditions that may change before a start.
        notes: Vec<String>,
    },
    /// Tell every setting and its source.
    ConfigShow(Settings),
    /// Ask the running daemon whether it lives.
    Healthcheck(Config),
}

impl Command {
    /// The whole answer, for stdout, of a command that needs nothing but the resolved settings.
    #[must_use]
    pub fn answer(&self) -> Option<String> {
        match self {
            Self::ConfigCheck { settings, notes } => Some(settings.check_report(notes)),
            Self::ConfigShow(settings) => Some(settings.table()),
            Self::Completions(shell) => Some(definition::completions(*shell)),
            _ => None,
        }
    }

    /// Form and filter of the log, of a command that logs.
    #[must_use]
    pub fn log(&self) -> Option<(LogFormat, &str)> {
        match self {
            Self::Serve(config)
            | Self::Demo { config, .. }
            | Self::Migrate(config)
            | Self::StartOver(config)
            | Self::IngestAssets(config)
            | Self::IngestOrderbooks(config)
            | Self::IngestTrades { config, .. }
            | Self::CleanTrades(config)
            | Self::GenerateMarketData { config, .. }
            | Self::GenerateAssetData { config, .. }
            | Self::Audit { config, .. }
            | Self::Healthcheck(config) => Some((config.log_format, &config.log)),
            Self::HorizonSim(options) => Some((options.log_format, &options.log)),
            Self::ConfigCheck { .. } | Self::ConfigShow(_) | Self::Completions(_) => None,
        }
    }
}

/// Why there is no command to run; help and version are among the reasons.
#[derive(thiserror::Error)]
pub enum CliError {
    /// Help, version, or arguments that are wrong in themselves.
    #[error("{}", told(.0))]
    Arguments(clap::Error),
    /// The configuration has faults.
    #[error("{0}")]
    Config(#[from] ConfigError),
}

impl CliError {
    /// 0 for help and version, 64 for wrong usage, else the configuration's.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(error) if error.use_stderr() => EXIT_USAGE,
            Self::Arguments(_) => 0,
            Self::Config(error) => error.exit_code(),
        }
    }

    /// Prints help and version to stdout and all else to stderr; if nobody reads it, so be it.
    pub fn print(&self) {
        let _ = match self {
            Self::Arguments(error) => {
                let told = told(error);
                // clap's own printing has colours, so it is left to that where nothing had to be hidden.
                if told == error.to_string() { error.print() } else { write!(std::io::stderr(), "{told}") }
            }
            Self::Config(error) => writeln!(std::io::stderr(), "error: {error}"),
        };
    }
}

/// As clap tells it, but a usage error quotes what was typed, which may be a password in the wrong place or steer a
/// terminal.
fn told(error: &clap::Error) -> String {
    let plain = error.to_string();
    if error.use_stderr() { config::visible_lines(&config::redact_credentials(&plain)) } else { plain }
}

/// Like `Display`: clap's own `Debug` holds the arguments as they were typed.
impl fmt::Debug for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CliError({self})")
    }
}

/// Reads the arguments (the program's name first) and the environment.
///
/// # Errors
///
/// [`CliError`]: help or version was asked for, the arguments are wrong, or the configuration has faults.
pub fn parse(
    arguments: impl Iterator<Item = OsString>,
    environment: &Environment,
) -> Result<Command, CliError> {
    let matches = definition().try_get_matches_from(arguments).map_err(CliError::Arguments)?;
    let path = subcommand_path(&matches);
    let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
    let matches = path.last().map_or(&matches, |(_, matches)| *matches);
    let mut flags = flag_values(matches, SETTINGS);
    flags.extend(old_names(matches));
    let load = |profile| config::load(&flags, environment, profile).map_err(CliError::Config);
    match names.as_slice() {
        ["serve"] => load(Profile::Real).map(|(_, config)| Command::Serve(config)),
        ["demo"] => {
            let simulation = config::simulation(&flag_values(matches, SIMULATION_SETTINGS));
            let loaded = config::load(&flags, environment, Profile::Demo);
            let ((_, config), simulation) = ConfigError::both(loaded, simulation)?;
            Ok(Command::Demo { config, simulation })
        }
        ["horizon-sim"] => {
            let mut flags = flag_values(matches, HORIZON_SIM_SETTINGS);
            flags.append(&mut flag_values(matches, SIMULATION_SETTINGS));
            Ok(Command::HorizonSim(config::horizon_sim(&flags, environment)?))
        }
        ["migrate"] => load(Profile::Real).map(|(_, config)| Command::Migrate(config)),
        ["start-over"] => load(Profile::Real).map(|(_, config)| Command::StartOver(config)),
        ["ingest", "assets"] => load(Profile::Real).map(|(_, config)| Command::IngestAssets(config)),
        ["ingest", "orderbooks"] => load(Profile::Real).map(|(_, config)| Command::IngestOrderbooks(config)),
        ["ingest", "trades"] => {
            let and_stream = matches.get_flag(definition::STREAM);
            load(Profile::Real).map(|(_, config)| Command::IngestTrades { config, and_stream })
        }
        ["clean", "trades"] => load(Profile::Real).map(|(_, config)| Command::CleanTrades(config)),
        ["generate", file] => {
            let out_file = matches.get_one::<PathBuf>(definition::OUT_FILE).cloned().unwrap_or_default();
            let (_, config) = load(Profile::Real)?;
            Ok(match *file {
                "asset-data" => Command::GenerateAssetData { config, out_file },
                _ => Command::GenerateMarketData { config, out_file },
            })
        }
        ["audit"] => {
            let options = config::audit(&flag_values(matches, AUDIT_SETTINGS));
            let loaded = config::load(&flags, environment, Profile::Real);
            let ((_, config), options) = ConfigError::both(loaded, options)?;
            Ok(Command::Audit { config, options })
        }
        ["completions"] => {
            let shell = matches.get_one::<Shell>(definition::SHELL).copied();
            shell.map(Command::Completions).ok_or_else(no_such_command)
        }
        ["config", "check"] => {
            let (settings, config) = load(Profile::Real)?;
            let notes = config::check_surroundings(&settings, &config)?;
            Ok(Command::ConfigCheck { settings, notes })
        }
        ["config", "show"] => load(Profile::Real).map(|(settings, _)| Command::ConfigShow(settings)),
        ["healthcheck"] => load(Profile::Real).map(|(_, config)| Command::Healthcheck(config)),
        _ => Err(no_such_command()),
    }
}

/// What clap has refused before this can be seen.
fn no_such_command() -> CliError {
    CliError::Arguments(definition().error(clap::error::ErrorKind::InvalidSubcommand, "no such command"))
}

/// Settings under the names that the old program's commands had for them.
fn old_names(matches: &ArgMatches) -> FlagValues {
    let names = [(definition::NUM_HOURS, "backfill-hours"), (definition::KEEP_DAYS, "retention-days")];
    let value = |(old, name)| {
        let text = matches.try_get_one::<String>(old).ok().flatten()?;
        Some((name, text.clone()))
    };
    names.into_iter().filter_map(value).collect()
}

/// The commands from the outermost to the one that was meant.
fn subcommand_path(matches: &ArgMatches) -> Vec<(&str, &ArgMatches)> {
    std::iter::successors(matches.subcommand(), |(_, inner)| inner.subcommand()).collect()
}

/// The values of a table's flags that the command line gave; a command may lack some of the flags.
fn flag_values(matches: &ArgMatches, table: &'static [Setting]) -> FlagValues {
    let value = |setting: &'static Setting| match setting.kind {
        Kind::Switch => {
            let on = matches.try_get_one::<bool>(setting.name).ok().flatten().copied().unwrap_or_default();
            on.then(|| (setting.name, "true".to_owned()))
        }
        _ => {
            let text = matches.try_get_one::<String>(setting.name).ok().flatten()?;
            Some((setting.name, text.clone()))
        }
    };
    table.iter().filter_map(value).collect()
}
