//! The configuration file: TOML, flat, with the long flags as keys (`_` for `-`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Environment;
use super::fault::{Fault, FaultKind};
use super::secret::redact_credentials;
use super::setting::{Kind, Setting};
use super::settings::{FlagValues, Resolved};
use super::source::Source;
use super::suggestion;
use super::table::SETTINGS;
use super::visible;
use crate::domain::conversions::SaturatingFrom;

/// Largest configuration file. A configuration has a few dozen lines, so a longer file is something else.
const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Values of the file; empty without a file.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    path: PathBuf,
    table: Table,
}

/// Returns the file that `--config` or `TICKER_CONFIG` names, with the source of its name.
fn chosen_path(flags: &FlagValues, environment: &Environment) -> Option<(PathBuf, Source)> {
    let setting = SETTINGS.iter().find(|setting| !setting.is_in_file)?;
    if let Some(path) = flags.get(setting.name) {
        return Some((PathBuf::from(path), Source::Flag { name: setting.name }));
    }
    setting.env.iter().find_map(|variable| {
        let path = environment.get(*variable).filter(|path| !path.is_empty())?;
        Some((PathBuf::from(path), Source::Environment { variable: (*variable).to_owned() }))
    })
}

impl FileValues {
    /// Reads the file that `--config` or `TICKER_CONFIG` names, if there is one.
    pub(super) fn chosen(flags: &FlagValues, environment: &Environment, faults: &mut Vec<Fault>) -> Self {
        match chosen_path(flags, environment) {
            Some((path, source)) => Self::read(path, source, faults),
            None => Self::default(),
        }
    }

    /// Reads the file and checks its keys. After a fault it has no values, so that the other sources are still checked.
    fn read(path: PathBuf, source: Source, faults: &mut Vec<Fault>) -> Self {
        let text = if path.as_os_str().is_empty() {
            Err("the path is empty".to_owned())
        } else {
            read_bounded(&path, CONFIG_FILE_BYTES_MAX)
        };
        let table = text.and_then(|text| parse(&text));
        match table {
            Ok(table) => {
                faults.extend(unknown_keys(&table, &path));
                Self { path, table }
            }
            Err(reason) => {
                faults.push(Fault::File { purpose: "configuration file", path, source, reason });
                Self::default()
            }
        }
    }

    /// Returns the text of a setting, if the file has it with a suitable type.
    pub(super) fn get(&self, setting: &'static Setting, faults: &mut Vec<Fault>) -> Option<(String, Source)> {
        let key = setting.file_key();
        let value = self.table.get(&key).filter(|_| setting.is_in_file)?;
        let source = Source::File { path: self.path.clone(), key };
        match text_of(value, setting.kind) {
            Some(text) => Some((text, source)),
            None => {
                let detail = format!("a TOML {} is not of its type", value.type_str());
                let scalar = !value.is_table() && !value.is_array();
                let text = if scalar { value.to_string() } else { "…".to_owned() };
                let resolved = Resolved { setting, text: Some(text), source };
                faults.push(resolved.fault(FaultKind::Unparsable, Some(detail)));
                None
            }
        }
    }
}

/// Returns a value as text. A string suits every setting, other types only settings of their kind.
fn text_of(value: &Value, kind: Kind) -> Option<String> {
    match (value, kind) {
        (Value::String(text), _) => Some(text.clone()),
        (Value::Integer(number), Kind::Count) => Some(number.to_string()),
        (Value::Boolean(on), Kind::Switch) => Some(on.to_string()),
        (Value::Array(items), Kind::List) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

/// Parses TOML. The error names the line and the parser's `message`. The `Display` of the parser's error is not used,
/// because it quotes the line, which may contain a secret.
fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let reason = visible::shortened(visible::on_one_line(error.message()));
        match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                let is_twice = reason.starts_with("duplicate key");
                let fault = if is_twice { "sets a key that is set already" } else { "is not TOML" };
                format!("line {line} {fault}: {reason}")
            }
            None => format!("it is not TOML: {reason}"),
        }
    })
}

fn unknown_keys(table: &Table, path: &Path) -> Vec<Fault> {
    let known: Vec<String> = SETTINGS.iter().filter(|row| row.is_in_file).map(Setting::file_key).collect();
    let unknown = table.keys().filter(|key| !known.contains(key));
    unknown
        .map(|key| Fault::UnknownKey {
            key: visible::shortened(visible::on_one_line(&redact_credentials(key))),
            path: path.to_owned(),
            suggestion: nearest(key, &known),
        })
        .collect()
}

fn nearest(key: &str, known: &[String]) -> Option<String> {
    let written = key.replace('-', "_").to_lowercase();
    // Aliases of flags are no keys, because one file could then hold two values for one setting.
    let is_alias = |row: &&Setting| row.aliases.iter().any(|alias| alias.replace('-', "_") == written);
    if let Some(row) = SETTINGS.iter().filter(|row| row.is_in_file).find(is_alias) {
        return Some(row.file_key());
    }
    suggestion::nearest(&written, known.iter().map(String::as_str))
}

/// Reads a UTF-8 file of at most `bytes_max` bytes. The error never quotes the contents.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(bytes_max + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::saturating_from(read) > bytes_max {
        return Err(format!("it is longer than {bytes_max} bytes"));
    }
    Ok(text)
}
