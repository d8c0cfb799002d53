//! Settings with their texts, before they are parsed into the typed configuration.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::{Fault, FaultKind};
use super::secret::{Secret, redact_credentials, shown_malformed_url};
use super::setting::{Fallback, Setting};
use super::source::Source;
use super::visible;

/// Values of the command line by the names of the long flags; `true` for a switch.
pub type FlagValues = BTreeMap<&'static str, String>;

/// Kind of command for which the settings are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A command on a real network.
    Real,
    /// The command `clean trades` on a real network. It fetches no history.
    Cleaner,
    /// The command `demo`; see [`super::InDemo`].
    Demo,
}

/// A setting with its text and source.
#[derive(Clone)]
pub struct Resolved {
    /// Row of the table.
    pub setting: &'static Setting,
    /// Text, if there is one. It may be a secret; use [`Resolved::shown`] for output.
    pub text: Option<String>,
    /// Source of the text.
    pub source: Source,
}

impl Resolved {
    /// Returns the value on one line and without secrets. Without a value, returns the description of the default in
    /// parentheses.
    #[must_use]
    pub fn shown(&self) -> String {
        match (&self.text, self.setting.fallback) {
            (Some(text), _) if self.setting.is_secret => Secret::new(text.as_str()).shown(),
            (Some(text), _) => visible::on_one_line(&redact_credentials(text)),
            (None, Fallback::Described(default) | Fallback::Value(default)) => format!("({default})"),
        }
    }

    pub(super) fn fault(&self, kind: FaultKind, detail: Option<String>) -> Fault {
        // If a secret does not parse, any part of it may be the password.
        let shown = match &self.text {
            Some(_) if self.setting.is_secret => "***".to_owned(),
            Some(text) if self.setting.value_name == "URL" && kind == FaultKind::Unparsable => {
                visible::shortened(visible::on_one_line(&shown_malformed_url(text)))
            }
            _ => visible::shortened(self.shown()),
        };
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

/// All settings, resolved, in the order of the table.
#[derive(Debug, Clone)]
pub struct Settings {
    entries: Vec<Resolved>,
}

impl Settings {
    pub(super) const fn new(entries: Vec<Resolved>) -> Self {
        Self { entries }
    }

    /// Returns all settings.
    #[must_use]
    pub fn entries(&self) -> &[Resolved] {
        &self.entries
    }

    /// Returns the setting with this long flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Resolved> {
        self.entries.iter().find(|entry| entry.setting.name == name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text.as_deref()
    }

    /// Replaces a value, and the source if one is given.
    pub(super) fn set(&mut self, name: &str, text: String, source: Option<Source>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.setting.name == name) {
            entry.text = Some(text);
            entry.source = source.unwrap_or_else(|| entry.source.clone());
        }
    }
}
