//! Configuration: flag, environment, file, default.
//!
//! One table ([`SETTINGS`]) is the only list of settings: the flags of the command line, the environment
//! names, the keys of the file and the rows of `config show` all come from it. [`load`] resolves each
//! setting to a text and the place it came from, then makes the typed [`Config`] of them and tells all
//! faults at once. The process environment is passed in, so nothing here reads it.

mod audit;
mod duration;
mod environment;
mod fault;
mod file;
mod network;
mod parse;
mod resolve;
mod schedule;
mod secret;
mod setting;
mod show;
mod simulation;
mod suggestion;
mod surroundings;
mod table;
mod typed;
mod visible;

pub use audit::{AUDIT_SETTINGS, AuditOptions, ReportFormat, audit};
pub use duration::{format_duration, parse_duration};
pub use environment::{CHAOS, CHAOS_LEASE_MS, Environment, PG_BIN_DIR};
pub use fault::{ConfigError, EXIT_CONFIG, EXIT_USAGE, Fault, FaultKind};
pub use network::{DEMO_PASSPHRASE, PUBLIC_PASSPHRASE, TESTNET_PASSPHRASE};
pub use parse::{FileInterval, LogFormat};
pub use resolve::{FlagValues, Profile, Resolved, Settings, Source};
pub use schedule::CronSpec;
pub use secret::{Secret, redact_credentials};
pub use setting::{Fallback, Group, InDemo, Kind, Setting};
pub use simulation::{
    HORIZON_SIM_SETTINGS, HorizonSimOptions, SIMULATION_SETTINGS, SimulationOptions, horizon_sim, simulation,
};
pub use surroundings::check_surroundings;
pub use table::SETTINGS;
pub use typed::Config;

/// What somebody typed, line by line, without anything that steers a terminal.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    visible::on_lines(text)
}

/// Resolves every setting of [`SETTINGS`] and checks them.
///
/// `flags` holds what the command line gave, by the long flag's name.
///
/// # Errors
///
/// All faults together: values that do not parse, values that are refused, unknown variables and keys of the file, and
/// files that cannot be read.
pub fn load(
    flags: &FlagValues,
    environment: &Environment,
    profile: Profile,
) -> Result<(Settings, Config), ConfigError> {
    let mut faults = environment::unknown_variables(environment);
    let file = match file::chosen_path(flags, environment) {
        Some((path, source)) => file::FileValues::read(path, source, &mut faults),
        None => file::FileValues::default(),
    };
    let mut settings = resolve::resolve(SETTINGS, flags, environment, &file, profile, &mut faults);
    network::settle(&mut settings, profile, &mut faults);
    resolve::settle_directories(&mut settings, profile);
    resolve::settle_log(&mut settings, profile);
    let config = typed::build(&settings, &mut faults);
    match config {
        Some(config) if faults.is_empty() => Ok((settings, config)),
        _ => Err(ConfigError::new(faults)),
    }
}
