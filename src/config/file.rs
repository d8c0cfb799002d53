//! The configuration file: TOML, flat, with the long flags as keys (`_` for `-`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Environment;
use super::fault::{Fault, FaultKind};
use super::resolve::{FlagValues, Resolved, Source};
use super::secret::redact_credentials;
use super::setting::{Kind, Setting};
use super::suggestion;
use super::table::SETTINGS;
use super::visible;

/// A configuration is a few dozen lines; what is longer is another file.
const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The file's values, or none when there is no file.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    path: PathBuf,
    table: Table,
}

/// The file that `--config` or `TICKER_CONFIG` names.
pub(super) fn chosen_path(flags: &FlagValues, environment: &Environment) -> Option<(PathBuf, Source)> {
    let setting = SETTINGS.iter().find(|setting| !setting.in_file)?;
    if let Some(path) = flags.get(setting.name) {
        return Some((PathBuf::from(path), Source::Flag { name: setting.name }));
    }
    setting.env.iter().find_map(|variable| {
        let path = environment.get(*variable).filter(|path| !path.is_empty())?;
        Some((PathBuf::from(path), Source::Environment { variable: (*variable).to_owned() }))
    })
}

impl FileValues {
    /// Reads the file and checks its keys; after a fault the other sources are still looked at.
    pub(super) fn read(path: PathBuf, source: Source, faults: &mut Vec<Fault>) -> Self {
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

    /// A setting's text, if the file has it in a type that suits.
    pub(super) fn get(&self, setting: &'static Setting, faults: &mut Vec<Fault>) -> Option<(String, Source)> {
        let key = setting.file_key();
        let value = self.table.get(&key).filter(|_| setting.in_file)?;
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

/// A string suits every setting, other types only the kind they belong to.
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

/// Says where TOML went wrong and why. The parser's `message` names what it expected and quotes nothing; its `Display`
/// quotes the line, which may hold a secret.
fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let reason = visible::shortened(visible::on_one_line(error.message()));
        match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                let is_twice = reason.starts_with("duplicate key");
                let told = if is_twice { "sets a key that is set already" } else { "is not TOML" };
                format!("line {line} {told}: {reason}")
            }
            None => format!("it is not TOML: {reason}"),
        }
    })
}

fn unknown_keys(table: &Table, path: &Path) -> Vec<Fault> {
    let known: Vec<String> = SETTINGS.iter().filter(|row| row.in_file).map(Setting::file_key).collect();
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
    // A flag's other names are no keys, or one file could hold two values for one setting.
    let is_alias = |row: &&Setting| row.aliases.iter().any(|alias| alias.replace('-', "_") == written);
    if let Some(row) = SETTINGS.iter().filter(|row| row.in_file).find(is_alias) {
        return Some(row.file_key());
    }
    suggestion::nearest(&written, known.iter().map(String::as_str))
}

/// Reads a UTF-8 file of at most `bytes_max` bytes; the error says why not, without its contents.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(bytes_max + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(read).is_ok_and(|read| read > bytes_max) {
        return Err(format!("it is longer than {bytes_max} bytes"));
    }
    Ok(text)
}
