//! Options of the command `audit`. Only flags set them, since they mean nothing to a daemon.

use super::environment::Environment;
use super::fault::{ConfigError, ValueError};
use super::file::FileValues;
use super::parse;
use super::resolve::resolve;
use super::setting::{Fallback, Group, Kind, Setting};
use super::settings::{FlagValues, Profile};
use super::typed::SettingReader;

const AUDIT: Setting = Setting { group: Group::Audit, is_in_file: false, ..Setting::PLAIN };

/// Flags that only `audit` has.
pub static AUDIT_SETTINGS: &[Setting] = &[
    Setting {
        name: "url",
        fallback: Fallback::Described("the listener of --bind"),
        value_name: "URL",
        help: "Base URL of the running ticker whose answers are compared",
        allowed: "an http or https base URL without user, query or fragment",
        ..AUDIT
    },
    Setting {
        name: "repair",
        fallback: Fallback::Described("off"),
        help: "Make the running ticker audit and repair itself, then compare again",
        allowed: "true or false",
        kind: Kind::Switch,
        ..AUDIT
    },
    Setting {
        name: "admin-url",
        fallback: Fallback::Described("the listener of --admin-bind"),
        value_name: "URL",
        help: "Base URL of the running ticker's admin listener, for --repair",
        allowed: "an http or https base URL without user, query or fragment",
        ..AUDIT
    },
    Setting {
        name: "format",
        fallback: Fallback::Value("text"),
        value_name: "FORMAT",
        help: "Format of the report on standard output: text or json",
        allowed: "text or json",
        ..AUDIT
    },
];

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// Text for people.
    Text,
    /// One JSON object, in ASCII.
    Json,
}

/// Options of `audit` beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOptions {
    /// Base URL of the ticker, without a trailing slash; `None` for the address of the public listener.
    pub url: Option<String>,
    /// True if the ticker should repair differences.
    pub repair: bool,
    /// Base URL of its admin listener, without a trailing slash; `None` for the address of that listener.
    pub admin_url: Option<String>,
    /// Format of the report.
    pub format: ReportFormat,
}

/// Reads the options of `audit`.
///
/// # Errors
///
/// All faults of these flags together.
pub fn audit(flags: &FlagValues) -> Result<AuditOptions, ConfigError> {
    let mut faults = Vec::new();
    let file = FileValues::default();
    let settings = resolve(AUDIT_SETTINGS, flags, &Environment::new(), &file, Profile::Real, &mut faults);
    let mut reader = SettingReader::new(&settings, &mut faults);
    let url = reader.read_optional("url", parse::http_base);
    let repair = reader.read_optional("repair", parse::switch);
    let admin_url = reader.read_optional("admin-url", parse::http_base);
    let format = reader.read("format", report_format);
    match (url, repair, admin_url, format) {
        (Some(url), Some(repair), Some(admin_url), Some(format)) => {
            Ok(AuditOptions { url, repair: repair.unwrap_or(false), admin_url, format })
        }
        _ => Err(ConfigError::new(faults)),
    }
}

fn report_format(text: &str) -> Result<ReportFormat, ValueError> {
    match text {
        "text" => Ok(ReportFormat::Text),
        "json" => Ok(ReportFormat::Json),
        _ => Err(ValueError::UNPARSABLE),
    }
}
