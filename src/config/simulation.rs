//! Options of the simulated network. Only flags set them, since they mean nothing to a daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::{Environment, unknown_variables};
use super::fault::{ConfigError, Fault, ValueError};
use super::file::FileValues;
use super::parse;
use super::resolve::resolve;
use super::setting::{Fallback, Group, Kind, Setting};
use super::settings::{FlagValues, Profile, Settings};
use super::table::{LOG, LOG_FORMAT};
use super::typed::SettingReader;
use crate::telemetry::LogFormat;

const TRADES_PER_SECOND_MAX: u32 = 100_000;
const HISTORY_HOURS_MAX: u32 = 24 * 366;
const LEDGER_SECONDS_MIN: f64 = 0.01;
const LEDGER_SECONDS_MAX: f64 = 3_600.0;

const SIMULATION: Setting = Setting { group: Group::Simulation, is_in_file: false, ..Setting::PLAIN };

/// Flags that `demo` and `horizon-sim` share.
pub static SIMULATION_SETTINGS: &[Setting] = &[
    Setting {
        name: "trades-per-second",
        fallback: Fallback::Value("20"),
        value_name: "N",
        help: "Simulated trades per second; 0 for none",
        allowed: "a whole number from 0 to 100000",
        kind: Kind::Count,
        ..SIMULATION
    },
    Setting {
        name: "history-hours",
        fallback: Fallback::Value("2"),
        value_name: "HOURS",
        help: "Hours of history of the simulated network at start",
        allowed: "a whole number of hours from 0 to 8784",
        kind: Kind::Count,
        ..SIMULATION
    },
    Setting {
        name: "seed",
        fallback: Fallback::Value("1"),
        value_name: "N",
        help: "Seed of everything random in the simulation",
        allowed: "a whole number below 2^64",
        kind: Kind::Count,
        ..SIMULATION
    },
    Setting {
        name: "ledger-seconds",
        fallback: Fallback::Value("5.8"),
        value_name: "SECONDS",
        help: "Time between simulated ledgers",
        allowed: "a number of seconds from 0.01 to 3600",
        ..SIMULATION
    },
    Setting {
        name: "faults",
        fallback: Fallback::Described("off"),
        help: "Inject random faults; the seed decides which",
        allowed: "true or false",
        kind: Kind::Switch,
        ..SIMULATION
    },
];

/// Flags that only `horizon-sim` has. The variables and the file of the daemon do not set them, because both programs
/// would then use the same port.
pub static HORIZON_SIM_SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        fallback: Fallback::Value("127.0.0.1:8001"),
        value_name: "HOST:PORT",
        help: "Address of the simulated Horizon",
        allowed: "HOST:PORT with an IP address or localhost, such as 127.0.0.1:8001",
        ..SIMULATION
    },
    Setting {
        name: "network",
        fallback: Fallback::Value("public"),
        value_name: "NETWORK",
        help: "Network that the simulated Horizon claims to serve",
        allowed: "public, testnet or a network's passphrase",
        ..SIMULATION
    },
    Setting {
        name: "lake-dir",
        fallback: Fallback::Described("none"),
        value_name: "DIR",
        help: "Also write the ledgers as a data lake (SEP-54) to this directory, as they close",
        allowed: "a path",
        ..SIMULATION
    },
    Setting { is_in_file: false, ..LOG_FORMAT },
    Setting { is_in_file: false, help: "Filter of the log", ..LOG },
];

/// Options of the simulated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulationOptions {
    /// Trades per second; 0 for none.
    pub trades_per_second: u32,
    /// Hours of history at start.
    pub history_hours: u32,
    /// Seed of everything random.
    pub seed: u64,
    /// Time between ledgers.
    pub ledger_interval: Duration,
    /// True if faults are injected.
    pub faults: bool,
}

/// Options of `horizon-sim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HorizonSimOptions {
    /// Address of the listener.
    pub bind: SocketAddr,
    /// Passphrase of the network that it claims to serve.
    pub network_passphrase: String,
    /// Directory that the ledgers are written to as a lake.
    pub lake_dir: Option<PathBuf>,
    /// Options of the simulated network.
    pub simulation: SimulationOptions,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Filter of the log, which is valid.
    pub log: String,
}

/// Reads the options that `demo` and `horizon-sim` share.
///
/// # Errors
///
/// All faults of these flags together.
pub fn simulation(flags: &FlagValues) -> Result<SimulationOptions, ConfigError> {
    let mut faults = Vec::new();
    let options = read_simulation(flags, &mut faults);
    options.ok_or(ConfigError::new(faults))
}

/// Reads the options of `horizon-sim`.
///
/// # Errors
///
/// All faults of its flags together.
pub fn horizon_sim(flags: &FlagValues, environment: &Environment) -> Result<HorizonSimOptions, ConfigError> {
    let mut faults = unknown_variables(environment);
    let file = FileValues::default();
    let settings = resolve(HORIZON_SIM_SETTINGS, flags, environment, &file, Profile::Real, &mut faults);
    let simulation = read_simulation(flags, &mut faults);
    let options = read_horizon_sim(&settings, simulation, &mut faults);
    options.filter(|_| faults.is_empty()).ok_or(ConfigError::new(faults))
}

fn read_horizon_sim(
    settings: &Settings,
    simulation: Option<SimulationOptions>,
    faults: &mut Vec<Fault>,
) -> Option<HorizonSimOptions> {
    let mut reader = SettingReader::new(settings, faults);
    let bind = reader.read("bind", parse::address);
    let network_passphrase = reader.read("network", parse::network_passphrase);
    let lake_dir = reader.read_optional("lake-dir", parse::path);
    let log_format = reader.read("log-format", parse::log_format);
    let log = reader.read("log", parse::log_filter);
    Some(HorizonSimOptions {
        bind: bind?,
        network_passphrase: network_passphrase?,
        lake_dir: lake_dir?,
        simulation: simulation?,
        log_format: log_format?,
        log: log?,
    })
}

fn read_simulation(flags: &FlagValues, faults: &mut Vec<Fault>) -> Option<SimulationOptions> {
    let file = FileValues::default();
    let settings = resolve(SIMULATION_SETTINGS, flags, &Environment::new(), &file, Profile::Real, faults);
    let mut reader = SettingReader::new(&settings, faults);
    let trades_per_second = reader.read("trades-per-second", parse::count(0..=TRADES_PER_SECOND_MAX));
    let history_hours = reader.read("history-hours", parse::count(0..=HISTORY_HOURS_MAX));
    let seed = reader.read("seed", parse::count(0..=u64::MAX));
    let ledger_interval = reader.read("ledger-seconds", seconds);
    Some(SimulationOptions {
        trades_per_second: trades_per_second?,
        history_hours: history_hours?,
        seed: seed?,
        ledger_interval: ledger_interval?,
        faults: settings.text("faults") == Some("true"),
    })
}

fn seconds(text: &str) -> Result<Duration, ValueError> {
    let seconds: f64 = text.trim().parse().map_err(|_| ValueError::UNPARSABLE)?;
    if !(LEDGER_SECONDS_MIN..=LEDGER_SECONDS_MAX).contains(&seconds) {
        return Err(ValueError::refused("it is out of range"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| ValueError::UNPARSABLE)
}
