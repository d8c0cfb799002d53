//! Options of the command `healthcheck`, which runs beside a healthy daemon every few seconds.
//!
//! It resolves only the settings that it needs, and ignores faults in all others. A typing error in a shared file
//! would otherwise make every running daemon look dead, and its platform would end it.

use std::net::SocketAddr;

use super::environment::Environment;
use super::fault::{ConfigError, Fault};
use super::file::FileValues;
use super::parse;
use super::resolve::resolve;
use super::settings::{FlagValues, Profile, Settings};
use super::source::Source;
use super::table::SETTINGS;
use super::typed::SettingReader;
use crate::telemetry::LogFormat;

/// Address of the public listener.
const BIND: &str = "bind";
/// Filter of the log if the given one is faulty.
const FALLBACK_FILTER: &str = "info";

/// Options of `healthcheck`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthcheckOptions {
    /// Address of the daemon's public listener.
    pub bind: SocketAddr,
    /// Reason why the configuration file was not read, if `bind` is the default and the file might have had another.
    pub unread_file: Option<String>,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Filter of the log, which is valid.
    pub log: String,
}

/// Reads the options of `healthcheck`. If the file cannot be read, the environment and the defaults count.
///
/// # Errors
///
/// A fault of `--bind`.
pub fn healthcheck(flags: &FlagValues, environment: &Environment) -> Result<HealthcheckOptions, ConfigError> {
    let mut of_file = Vec::new();
    let file = FileValues::chosen(flags, environment, &mut of_file);
    let resolved = |names: &[&str], faults: &mut Vec<Fault>| {
        let table = SETTINGS.iter().filter(|setting| names.contains(&setting.name));
        resolve(table, flags, environment, &file, Profile::Real, faults)
    };
    let mut faults = Vec::new();
    let settings = resolved(&[BIND], &mut faults);
    let bind = SettingReader::new(&settings, &mut faults).read(BIND, parse::address);
    let bind = bind.filter(|_| faults.is_empty()).ok_or_else(|| ConfigError::new(faults))?;
    let mut ignored = Vec::new();
    let of_log = resolved(&["log-format", "log"], &mut ignored);
    let mut reader = SettingReader::new(&of_log, &mut ignored);
    Ok(HealthcheckOptions {
        bind,
        unread_file: of_file
            .iter()
            .find(|fault| is_unread(fault) && is_default(&settings))
            .map(ToString::to_string),
        log_format: reader.read("log-format", parse::log_format).unwrap_or(LogFormat::Auto),
        log: reader.read("log", parse::log_filter).unwrap_or_else(|| FALLBACK_FILTER.to_owned()),
    })
}

fn is_default(settings: &Settings) -> bool {
    settings.get(BIND).is_some_and(|entry| entry.source == Source::Default)
}

const fn is_unread(fault: &Fault) -> bool {
    matches!(fault, Fault::File { .. })
}
