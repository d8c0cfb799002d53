//! Configuration from flags, the environment, a file and defaults, in this order of precedence.
//!
//! [`SETTINGS`] is the only list of settings: the flags, the names in the environment, the keys of the file and the
//! rows of `config show` come from it. [`load`] resolves each setting to a text and its source, builds the typed
//! [`Config`], and reports all faults at once. The environment is a parameter, so nothing here reads that of the
//! process.

mod audit_options;
mod duration;
mod environment;
mod fault;
mod file;
mod healthcheck_options;
mod ledger_options;
mod ledger_source;
mod network;
mod otlp;
mod parse;
mod resolve;
mod schedule;
mod secret;
mod setting;
mod settings;
mod show;
mod simulation;
mod source;
mod suggestion;
mod surroundings;
mod table;
mod typed;
mod validate_options;
mod visible;

pub use audit_options::{AUDIT_SETTINGS, AuditOptions, ReportFormat, audit};
pub use duration::{format_duration, parse_duration};
pub use environment::{
    CHAOS, CHAOS_ASSETS_MS, CHAOS_BLIND_MS, CHAOS_FIRST_PUBLICATION_MS, CHAOS_GRACE_MS, CHAOS_LAKE_HASH_MS,
    CHAOS_LAKE_LATE_MS, CHAOS_LEASE_MS, CHAOS_STALE_MS, Environment, PG_BIN_DIR,
};
pub(crate) use fault::OldFlag;
pub use fault::{ConfigError, EXIT_CONFIG, EXIT_USAGE, Fault, FaultKind};
pub use healthcheck_options::{HealthcheckOptions, healthcheck};
pub use ledger_options::{LEDGER_SETTINGS, ledger_network};
pub use ledger_source::{LakeVerify, LedgerSources};
pub use network::{DEMO_PASSPHRASE, PUBLIC_PASSPHRASE, TESTNET_PASSPHRASE};
pub use otlp::{OtlpExport, Sampler};
pub use parse::FileInterval;
pub use schedule::CronSpec;
pub use secret::{Secret, redact_credentials};
pub use setting::{Fallback, Group, InDemo, Kind, Setting};
pub use settings::{FlagValues, Profile, Resolved, Settings};
pub use simulation::{
    HORIZON_SIM_SETTINGS, HorizonSimOptions, SIMULATION_SETTINGS, SimulationOptions, horizon_sim, simulation,
};
pub use source::Source;
pub use surroundings::check_surroundings;
pub use table::SETTINGS;
pub use typed::Config;
pub use validate_options::validated_url;

pub use crate::telemetry::LogFormat;

/// Returns a text with its line breaks kept and all other hidden characters escaped.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    visible::on_lines(text)
}

/// Resolves every setting of [`SETTINGS`] and checks them.
///
/// `flags` holds the values of the command line, by the names of the long flags.
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
    let file = file::FileValues::chosen(flags, environment, &mut faults);
    let mut settings = resolve::resolve(SETTINGS, flags, environment, &file, profile, &mut faults);
    network::settle(&mut settings, profile, &mut faults);
    resolve::settle_directories(&mut settings, profile);
    resolve::settle_retention(&mut settings);
    let otlp = otlp::export(environment, &mut faults);
    let config = typed::build(&settings, profile, &mut faults).map(|config| Config { otlp, ..config });
    match config {
        Some(config) if faults.is_empty() => Ok((settings, config)),
        _ => Err(ConfigError::new(faults)),
    }
}
