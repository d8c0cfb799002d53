//! From four sources to one text a setting: flag, environment, file, default, in that order.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Environment;
use super::fault::{Fault, FaultKind};
use super::file::{FileValues, read_bounded};
use super::secret::{Secret, redact_credentials};
use super::setting::{Fallback, InDemo, Setting, secret_file_variable};
use super::visible;

/// A password file longer than this is not a password.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// What the command line gave: the long flag's name and its value (`true` for a switch).
pub type FlagValues = BTreeMap<&'static str, String>;

/// For whom the settings are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every command on a real network.
    Real,
    /// `demo`: see [`InDemo`].
    Demo,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: String,
    },
    /// A variable of the environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The contents of a file named by a variable of the environment.
    SecretFile {
        /// The variable.
        variable: String,
    },
    /// The command line.
    Flag {
        /// The long flag without its dashes.
        name: &'static str,
    },
}

impl Source {
    /// The higher wins.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } | Self::SecretFile { .. } => 2,
            Self::Flag { .. } => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, key } => write!(f, "file {}, key {key}", visible::path(path)),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::SecretFile { variable } => write!(f, "file named by {variable}"),
            Self::Flag { name } => write!(f, "flag --{name}"),
        }
    }
}

/// One setting with its text and source.
#[derive(Clone)]
pub struct Resolved {
    /// The row of the table.
    pub setting: &'static Setting,
    /// The text, if there is one; it may be a secret, [`Resolved::shown`] is not.
    pub text: Option<String>,
    /// Where the text came from.
    pub source: Source,
}

impl Resolved {
    /// The value as anyone may see it, on one line; without a value, what holds then, in brackets.
    #[must_use]
    pub fn shown(&self) -> String {
        match (&self.text, self.setting.fallback) {
            (Some(text), _) if self.setting.secret => Secret::new(text.as_str()).shown(),
            (Some(text), _) => visible::on_one_line(&redact_credentials(text)),
            (None, Fallback::Told(told) | Fallback::Value(told)) => format!("({told})"),
        }
    }

    pub(super) fn fault(&self, kind: FaultKind, detail: Option<String>) -> Fault {
        // A secret that did not parse has no parts that are known to be harmless.
        let shown = if self.setting.secret { "***".to_owned() } else { visible::shortened(self.shown()) };
        let source = self.source.clone();
        Fault::Value {
            setting: self.setting.name,
            shown,
            source,
            kind,
            detail,
            allowed: self.setting.allowed,
        }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} from {}", self.setting.name, self.shown(), self.source)
    }
}

/// Every setting, resolved, in the order of the table.
#[derive(Debug, Clone)]
pub struct Settings {
    entries: Vec<Resolved>,
}

impl Settings {
    /// All of them.
    #[must_use]
    pub fn entries(&self) -> &[Resolved] {
        &self.entries
    }

    /// The one with this long flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Resolved> {
        self.entries.iter().find(|entry| entry.setting.name == name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text.as_deref()
    }

    /// Replaces a value; the source stays unless another is given.
    pub(super) fn set(&mut self, name: &str, text: String, source: Option<Source>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.setting.name == name) {
            entry.text = Some(text);
            entry.source = source.unwrap_or_else(|| entry.source.clone());
        }
    }
}

/// Warnings, and what the composition root says: the database, the listeners, the first publication, the drain.
const DEMO_LOG: &str = "warn,stellar_ticker::app=info";

/// Resolves a table; what a higher source sets hides whatever is wrong with it in a lower one.
pub(super) fn resolve(
    table: &'static [Setting],
    flags: &FlagValues,
    environment: &Environment,
    file: &FileValues,
    profile: Profile,
    faults: &mut Vec<Fault>,
) -> Settings {
    let mut one = |setting: &'static Setting| {
        let in_demo = if profile == Profile::Demo { setting.in_demo } else { InDemo::Heeded };
        let from_flag = || {
            let text = flags.get(setting.name).filter(|_| in_demo != InDemo::Fixed)?;
            Some((text.clone(), Source::Flag { name: setting.name }))
        };
        let given = match from_flag() {
            Some(given) => Some(given),
            None if in_demo != InDemo::Heeded => None,
            None => match from_environment(setting, environment, faults) {
                Some(given) => Some(given),
                None => file.get(setting, faults),
            },
        };
        match (given, setting.fallback) {
            (Some((text, source)), _) => Resolved { setting, text: Some(text), source },
            (None, Fallback::Value(text)) => {
                Resolved { setting, text: Some(text.to_owned()), source: Source::Default }
            }
            (None, Fallback::Told(_)) => Resolved { setting, text: None, source: Source::Default },
        }
    };
    Settings { entries: table.iter().map(&mut one).collect() }
}

/// What stands for bytes that are no text, in a value of the environment.
const NO_TEXT: char = char::REPLACEMENT_CHARACTER;

/// The first of a setting's variables that is set; an empty one counts as unset.
fn from_environment(
    setting: &'static Setting,
    environment: &Environment,
    faults: &mut Vec<Fault>,
) -> Option<(String, Source)> {
    let set = |variable: &str| environment.get(variable).filter(|value| !value.is_empty()).cloned();
    let direct = setting.env.iter().find_map(|variable| Some((set(variable)?, (*variable).to_owned())));
    let by_file = setting.env.iter().filter(|_| setting.secret).find_map(|name| {
        let variable = secret_file_variable(name);
        Some((PathBuf::from(set(&variable)?), variable))
    });
    match (direct, by_file) {
        (Some((text, variable)), None) => {
            let source = Source::Environment { variable };
            if text.contains(NO_TEXT) {
                let resolved = Resolved { setting, text: Some(text), source };
                faults.push(resolved.fault(FaultKind::Unparsable, Some("it is not UTF-8".to_owned())));
                return None;
            }
            Some((text, source))
        }
        (Some((text, variable)), Some((_, other))) => {
            let resolved = Resolved { setting, text: Some(text), source: Source::Environment { variable } };
            let detail = format!("{other} is set too, and only one of them can count");
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

/// Makes a demo, which people read, log its main steps only. `--log` asks for more.
pub(super) fn settle_log(settings: &mut Settings, profile: Profile) {
    let is_default = settings.get("log").is_some_and(|log| matches!(log.source, Source::Default));
    if profile == Profile::Demo && is_default {
        settings.set("log", DEMO_LOG.to_owned(), None);
    }
}

/// Fills in the directories that follow from others. A demo lives below the data directory of its own, so
/// that it never meets the files or the private PostgreSQL of a real network.
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
