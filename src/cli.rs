//! Commands and flags.
//!
//! [`parse`] turns the arguments and the environment into a validated [`Command`]. The flags come from the table of
//! settings in [`crate::config`]. Every command with a configuration accepts all of them, so that the same arguments
//! suit `serve`, `config check` and `migrate`. The help of a command lists those that matter to it.

mod definition;
mod inspection;
mod parts;
mod relevant;
mod validation;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::ArgMatches;
use clap_complete::Shell;

use crate::config::{
    self, AUDIT_SETTINGS, AuditOptions, Config, ConfigError, EXIT_USAGE, Environment, FlagValues,
    HORIZON_SIM_SETTINGS, HealthcheckOptions, HorizonSimOptions, Kind, LEDGER_SETTINGS, LogFormat, OldFlag,
    Profile, SETTINGS, SIMULATION_SETTINGS, Setting, Settings, SimulationOptions, Source,
};

pub use definition::definition;
pub use inspection::Inspection;
pub use validation::Validation;

/// A command with its parameters.
#[derive(Debug, Clone)]
pub enum Command {
    /// Run the whole daemon.
    Serve(Config),
    /// Run a simulated Horizon in this process, and the daemon on it.
    Demo {
        /// Configuration of the daemon. The caller sets `horizon_url` and `toml_gateway`.
        config: Config,
        /// Options of the simulated network.
        simulation: SimulationOptions,
    },
    /// Run the simulated Horizon alone.
    HorizonSim(HorizonSimOptions),
    /// Bring the schema up to date.
    Migrate(Config),
    /// Set all tables of the database aside, and begin with empty ones.
    StartOver(Config),
    /// Sweep all assets once.
    IngestAssets(Config),
    /// Read every order book once.
    IngestOrderbooks(Config),
    /// Fill the last `backfill_hours` of history.
    IngestTrades {
        /// Configuration.
        config: Config,
        /// True to continue with the stream afterwards.
        and_stream: bool,
    },
    /// Drop trades older than `retention_days`.
    CleanTrades {
        /// Configuration.
        config: Config,
        /// True to drop candles older than `candle_retention_days`, too.
        drops_candles: bool,
    },
    /// Write `markets.json` once.
    GenerateMarketData {
        /// Configuration.
        config: Config,
        /// Path of the file.
        out_file: PathBuf,
    },
    /// Write `assets.json` once.
    GenerateAssetData {
        /// Configuration.
        config: Config,
        /// Path of the file.
        out_file: PathBuf,
    },
    /// Recompute every published figure and compare it with the served one.
    Audit {
        /// Configuration.
        config: Config,
        /// Options of the audit.
        options: AuditOptions,
    },
    /// Check everything around the daemon.
    Doctor {
        /// Configuration, or its faults.
        config: Result<Box<Config>, String>,
        /// Notes about the files and addresses that it names, or their faults.
        surroundings: Result<Vec<String>, String>,
        /// True to print JSON.
        prints_json: bool,
    },
    /// Look into the running daemon.
    Inspect {
        /// Configuration, which says where the daemon listens.
        config: Config,
        /// Question to it.
        inspection: Inspection,
    },
    /// Check what a running server serves.
    Validate {
        /// Configuration, of which the command needs the certificate authorities.
        config: Config,
        /// Server and documents.
        validation: Validation,
    },
    /// Print the completions of a shell.
    Completions(Shell),
    /// Report that the configuration is valid. An invalid one makes no command.
    ConfigCheck {
        /// All settings.
        settings: Settings,
        /// Notes about conditions that may change before a start.
        notes: Vec<String>,
    },
    /// Print every setting and its source.
    ConfigShow(Settings),
    /// Check that the running daemon is alive.
    Healthcheck(HealthcheckOptions),
    /// Print the trades of a file of ledger metadata.
    LedgerTrades {
        /// Path of the file.
        file: PathBuf,
        /// Passphrase of the network that the ledgers belong to.
        passphrase: String,
    },
}

impl Command {
    /// Returns the output of a command that needs only the resolved settings, or none for other commands.
    #[must_use]
    pub fn answer(&self) -> Option<String> {
        match self {
            Self::ConfigCheck { settings, notes } => Some(settings.check_report(notes)),
            Self::ConfigShow(settings) => Some(settings.table()),
            Self::Completions(shell) => Some(definition::completions(*shell)),
            _ => None,
        }
    }

    /// Returns the format and the filter of the log, or none for a command that does not log.
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
            | Self::CleanTrades { config, .. }
            | Self::GenerateMarketData { config, .. }
            | Self::GenerateAssetData { config, .. }
            | Self::Audit { config, .. } => Some((config.log_format, &config.log)),
            Self::Healthcheck(options) => Some((options.log_format, &options.log)),
            Self::HorizonSim(options) => Some((options.log_format, &options.log)),
            // It prints what it finds. Log lines would say the same again.
            Self::Doctor { .. } => Some((LogFormat::Text, "off")),
            // Its output is data, so it logs only warnings and errors.
            Self::LedgerTrades { .. } | Self::Inspect { .. } | Self::Validate { .. } => {
                Some((LogFormat::Text, "warn"))
            }
            Self::ConfigCheck { .. } | Self::ConfigShow(_) | Self::Completions(_) => None,
        }
    }
}

/// Reason for which there is no command to run, such as a request for help.
#[derive(thiserror::Error)]
pub enum CliError {
    /// Help, version, or invalid arguments.
    #[error("{}", message(.0))]
    Arguments(clap::Error),
    /// The configuration has faults.
    #[error("{0}")]
    Config(#[from] ConfigError),
}

impl CliError {
    /// Returns 0 for help and version, 64 for wrong usage, else the exit code of the configuration error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(error) if error.use_stderr() => EXIT_USAGE,
            Self::Arguments(_) => 0,
            Self::Config(error) => error.exit_code(),
        }
    }

    /// Prints help and version to stdout and errors to stderr.
    ///
    /// # Errors
    ///
    /// Fails if help or version cannot be written. A failure to write an error message is ignored: the exit code
    /// reports it.
    pub fn print(&self) -> std::io::Result<()> {
        match self {
            Self::Arguments(error) if !error.use_stderr() => return error.print(),
            Self::Arguments(error) => {
                let message = message(error);
                // If nothing was hidden, clap prints the message, because it uses colours.
                let _ = if message == error.to_string() {
                    error.print()
                } else {
                    write!(std::io::stderr(), "{message}")
                };
            }
            Self::Config(error) => {
                let _ = writeln!(std::io::stderr(), "error: {error}");
            }
        }
        Ok(())
    }
}

/// Returns clap's message. A usage error quotes arguments, which may contain a password or control characters, so those
/// are hidden.
fn message(error: &clap::Error) -> String {
    let plain = error.to_string();
    if error.use_stderr() { config::visible_lines(&config::redact_credentials(&plain)) } else { plain }
}

/// Same text as `Display`, because the `Debug` of clap contains the unchanged arguments.
impl fmt::Debug for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CliError({self})")
    }
}

/// Parses the arguments, of which the first is the program's name, and the environment.
///
/// # Errors
///
/// [`CliError`] for help and version, for invalid arguments, and for a configuration with faults.
pub fn parse(
    arguments: impl Iterator<Item = OsString>,
    environment: &Environment,
) -> Result<Command, CliError> {
    let matches = definition().try_get_matches_from(arguments).map_err(CliError::Arguments)?;
    let path = subcommand_path(&matches);
    let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
    let matches = path.last().map_or(&matches, |(_, matches)| *matches);
    let mut flags = flag_values(matches, SETTINGS);
    let old = old_names(matches);
    flags.extend(old.iter().map(|given| (given.setting, given.text.clone())));
    let faulty = |error: ConfigError| CliError::Config(error.naming(&old));
    let load = |profile| config::load(&flags, environment, profile).map_err(faulty);
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
        ["clean", "trades"] => load(Profile::Cleaner).map(clean),
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
        ["ledger", "trades"] => {
            let file = matches.get_one::<PathBuf>(definition::FILE).cloned().unwrap_or_default();
            let passphrase = config::ledger_network(&flag_values(matches, LEDGER_SETTINGS), environment)?;
            Ok(Command::LedgerTrades { file, passphrase })
        }
        ["actors" | "trace" | "explain"] => {
            let inspection = names.first().and_then(|name| inspection::parse(name, matches));
            let (_, config) = load(Profile::Real)?;
            inspection.map(|inspection| Command::Inspect { config, inspection }).ok_or_else(no_such_command)
        }
        ["doctor"] => Ok(doctor(load(Profile::Real), matches.get_flag(parts::JSON))),
        ["validate"] => validate(config::load(&flags, environment, Profile::Real), matches),
        ["healthcheck"] => Ok(Command::Healthcheck(config::healthcheck(&flags, environment)?)),
        _ => Err(no_such_command()),
    }
}

/// Returns the command `clean trades`. It drops candles only if their retention is given: the default need not be the
/// setting of the daemon, and dropped candles never come back.
fn clean((settings, config): (Settings, Config)) -> Command {
    let given = settings.get("candle-retention-days").filter(|entry| entry.source != Source::Default);
    Command::CleanTrades { config, drops_candles: given.is_some() }
}

/// Returns the command `doctor`, which reports a faulty configuration like any other finding.
fn doctor(loaded: Result<(Settings, Config), CliError>, prints_json: bool) -> Command {
    let (config, surroundings) = match loaded {
        Ok((settings, config)) => {
            let surroundings = config::check_surroundings(&settings, &config);
            (Ok(Box::new(config)), surroundings.map_err(|error| error.to_string()))
        }
        Err(error) => (Err(error.to_string()), Ok(Vec::new())),
    };
    Command::Doctor { config, surroundings, prints_json }
}

/// Returns the command `validate`, or the faults of the configuration and of the URL.
fn validate(
    loaded: Result<(Settings, Config), ConfigError>,
    matches: &ArgMatches,
) -> Result<Command, CliError> {
    let ((_, config), validation) = ConfigError::both(loaded, validation::parse(matches))?;
    Ok(Command::Validate { config, validation })
}

/// Returns an error that clap reports before this code is reached.
fn no_such_command() -> CliError {
    CliError::Arguments(definition().error(clap::error::ErrorKind::InvalidSubcommand, "no such command"))
}

/// Returns settings that were given under their names in the old program.
fn old_names(matches: &ArgMatches) -> Vec<OldFlag> {
    let names = [("backfill-hours", definition::NUM_HOURS), ("retention-days", definition::KEEP_DAYS)];
    let given = |(setting, flag)| {
        let text = matches.try_get_one::<String>(flag).ok().flatten()?.clone();
        Some(OldFlag { setting, flag, text })
    };
    names.into_iter().filter_map(given).collect()
}

/// Returns the nested commands, from the outermost to the innermost.
fn subcommand_path(matches: &ArgMatches) -> Vec<(&str, &ArgMatches)> {
    std::iter::successors(matches.subcommand(), |(_, inner)| inner.subcommand()).collect()
}

/// Returns the values of a table's flags on the command line. A command may lack some of the flags.
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
