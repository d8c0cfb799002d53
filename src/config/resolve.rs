//! Resolution of each setting to one text from four sources: flag, environment, file, default, in that order.

use std::path::{Path, PathBuf};

use super::Environment;
use super::fault::{Fault, FaultKind};
use super::file::{FileValues, read_bounded};
use super::setting::{Fallback, InDemo, Setting, secret_file_variable};
use super::settings::{FlagValues, Profile, Resolved, Settings};
use super::source::Source;
use super::typed::RETENTION_DAYS_MAX;

/// Largest file with a secret. A longer one is no password.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Resolves a table. If a higher source sets a value, faults of lower sources are not reported.
pub(super) fn resolve(
    table: impl IntoIterator<Item = &'static Setting>,
    flags: &FlagValues,
    environment: &Environment,
    file: &FileValues,
    profile: Profile,
    faults: &mut Vec<Fault>,
) -> Settings {
    let mut one = |setting: &'static Setting| {
        let in_demo = if profile == Profile::Demo { setting.in_demo } else { InDemo::AnySource };
        let from_flag = || {
            let text = flags.get(setting.name).filter(|_| in_demo != InDemo::Fixed)?;
            Some((text.clone(), Source::Flag { name: setting.name }))
        };
        // In a demo the environment and the file may name a real database, so for some settings they do not count.
        let given = match from_flag() {
            Some(given) => Some(given),
            None if in_demo != InDemo::AnySource => None,
            None => match from_environment(setting, environment, faults) {
                Some(given) => Some(given),
                None => file.get(setting, faults),
            },
        };
        let fallback = setting.demo_fallback.filter(|_| profile == Profile::Demo).unwrap_or(setting.fallback);
        match (given, fallback) {
            (Some((text, source)), _) => Resolved { setting, text: Some(text), source },
            (None, Fallback::Value(text)) => {
                Resolved { setting, text: Some(text.to_owned()), source: Source::Default }
            }
            (None, Fallback::Described(_)) => Resolved { setting, text: None, source: Source::Default },
        }
    };
    Settings::new(table.into_iter().map(&mut one).collect())
}

/// Character that stands for bytes that are not UTF-8 in a value of the environment.
const NOT_UTF8: char = char::REPLACEMENT_CHARACTER;

/// Returns the first of a setting's variables that is set. An empty variable counts as unset.
fn from_environment(
    setting: &'static Setting,
    environment: &Environment,
    faults: &mut Vec<Fault>,
) -> Option<(String, Source)> {
    let set = |variable: &str| environment.get(variable).filter(|value| !value.is_empty()).cloned();
    let direct = setting.env.iter().find_map(|variable| Some((set(variable)?, (*variable).to_owned())));
    let by_file = setting.env.iter().filter(|_| setting.is_secret).find_map(|name| {
        let variable = secret_file_variable(name);
        Some((PathBuf::from(set(&variable)?), variable))
    });
    // If a secret is given both directly and by a file, none of them wins: a stale one would be hard to find.
    match (direct, by_file) {
        (Some((text, variable)), None) => {
            let source = Source::Environment { variable };
            if text.contains(NOT_UTF8) {
                let resolved = Resolved { setting, text: Some(text), source };
                faults.push(resolved.fault(FaultKind::Unparsable, Some("it is not UTF-8".to_owned())));
                return None;
            }
            Some((text, source))
        }
        (Some((text, variable)), Some((_, other))) => {
            let resolved = Resolved { setting, text: Some(text), source: Source::Environment { variable } };
            let detail = format!("{other} is set too: unset one of them");
            faults.push(resolved.fault(FaultKind::Refused, Some(detail)));
            None
        }
        (None, Some((path, variable))) => read_secret(&path, variable, faults),
        (None, None) => None,
    }
}

fn read_secret(path: &Path, variable: String, faults: &mut Vec<Fault>) -> Option<(String, Source)> {
    let contents = read_bounded(path, SECRET_FILE_BYTES_MAX).and_then(|contents| {
        let line = contents.strip_suffix('\n').unwrap_or(&contents);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() { Err("it is empty".to_owned()) } else { Ok(line.to_owned()) }
    });
    match contents {
        Ok(text) => Some((text, Source::SecretFile { variable })),
        Err(reason) => {
            let source = Source::Environment { variable };
            faults.push(Fault::File { purpose: "secret file", path: path.to_owned(), source, reason });
            None
        }
    }
}

/// Sets the directories that derive from others. A demo uses a subdirectory of the data directory, so that it never
/// touches the files or the private PostgreSQL of a real network.
pub(super) fn settle_directories(settings: &mut Settings, profile: Profile) {
    let Some(data_dir) = settings.text("data-dir").filter(|text| !text.is_empty()).map(PathBuf::from) else {
        return;
    };
    let data_dir = if profile == Profile::Demo { data_dir.join("demo") } else { data_dir };
    settings.set("data-dir", data_dir.to_string_lossy().into_owned(), None);
    if settings.text("output-dir").is_none() {
        settings.set("output-dir", data_dir.join("www").to_string_lossy().into_owned(), None);
    }
}

/// Raises the default retention of candles to that of trades. Candles outlive their trades.
pub(super) fn settle_retention(settings: &mut Settings) {
    const CANDLES: &str = "candle-retention-days";
    let days = |name| settings.text(name)?.trim().parse::<u32>().ok();
    let (Some(trades), Some(candles)) = (days("retention-days"), days(CANDLES)) else { return };
    let is_default = settings.get(CANDLES).is_some_and(|entry| entry.source == Source::Default);
    if is_default && trades > candles && trades <= RETENTION_DAYS_MAX {
        settings.set(CANDLES, trades.to_string(), None);
    }
}
