//! Faults of a configuration, each with its source.

use std::fmt;
use std::path::PathBuf;

use super::source::Source;
use super::visible;

/// Largest number of faults in a message. A file of another program may have thousands.
const FAULTS_SHOWN_MAX: usize = 100;

/// Exit code of a command line, or a value on it, that does not parse (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// Exit code of any other fault of the configuration (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// Kind of fault of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The text does not have the form of the setting's values.
    Unparsable,
    /// The text parses, but the value is not allowed.
    Refused,
}

/// Error of parsing one value. [`Fault::Value`] adds the setting and the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValueError {
    pub(super) kind: FaultKind,
    pub(super) detail: Option<String>,
}

impl ValueError {
    pub(super) const UNPARSABLE: Self = Self { kind: FaultKind::Unparsable, detail: None };

    pub(super) fn unparsable(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unparsable, detail: Some(detail.into()) }
    }

    pub(super) fn refused(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refused, detail: Some(detail.into()) }
    }
}

/// A fault. No field holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A setting has an invalid value.
    Value {
        /// Long flag of the setting, without dashes.
        setting: &'static str,
        /// Value, shortened, escaped and without secrets.
        shown: String,
        /// Source of the value.
        source: Source,
        /// Kind of the fault.
        kind: FaultKind,
        /// Exact reason, if it is known.
        detail: Option<String>,
        /// Description of the allowed values.
        allowed: &'static str,
    },
    /// A variable of the environment has the prefix of this program and names no setting.
    UnknownVariable {
        /// Name of the variable, shortened and escaped.
        variable: String,
        /// A similar variable.
        suggestion: Option<String>,
    },
    /// A key of the file names no setting.
    UnknownKey {
        /// The key, shortened, escaped and without secrets.
        key: String,
        /// Path of the file.
        path: PathBuf,
        /// A similar key.
        suggestion: Option<String>,
    },
    /// A file cannot be read or is not TOML.
    File {
        /// Purpose of the file.
        purpose: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Source of the path.
        source: Source,
        /// Text of the error.
        reason: String,
    },
}

impl Fault {
    /// Returns true if a value on the command line does not parse. The same fault in the environment or a file is no
    /// usage error.
    const fn is_usage_error(&self) -> bool {
        matches!(
            self,
            Self::Value {
                kind: FaultKind::Unparsable,
                source: Source::Flag { .. } | Source::Argument { .. },
                ..
            }
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { setting, shown, source, kind, detail, allowed } => {
                let verdict = match kind {
                    FaultKind::Unparsable => "does not parse",
                    FaultKind::Refused => "is refused",
                };
                write!(f, "{setting}: \"{shown}\" from {source} {verdict}")?;
                if let Some(detail) = detail {
                    write!(f, ": {detail}")?;
                }
                write!(f, " (allowed: {allowed})")
            }
            Self::UnknownVariable { variable, suggestion } => {
                write!(f, "unknown variable {variable} in the environment")?;
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean {suggestion}?"),
                    None => write!(f, " (`stellar-ticker serve --help` lists them): remove it"),
                }
            }
            Self::UnknownKey { key, path, suggestion } => {
                write!(f, "unknown key \"{key}\" in {}", visible::path(path))?;
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean \"{suggestion}\"?"),
                    None => write!(f, " (allowed: the long flags with _ for -)"),
                }
            }
            Self::File { purpose, path, source, reason } => {
                write!(f, "{purpose} {} named by {source}: {reason}", visible::path(path))
            }
        }
    }
}

/// Flag of the old program that sets a setting of another name.
#[derive(Debug, Clone)]
pub(crate) struct OldFlag {
    /// Name of the setting.
    pub(crate) setting: &'static str,
    /// Name of the flag.
    pub(crate) flag: &'static str,
    /// Value as it was given.
    pub(crate) text: String,
}

/// All faults of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    pub(super) const fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// Returns both results, or the faults of both.
    pub(crate) fn both<A, B>(a: Result<A, Self>, b: Result<B, Self>) -> Result<(A, B), Self> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(mut a), Err(mut b)) => {
                a.faults.append(&mut b.faults);
                Err(a)
            }
        }
    }

    /// Returns the faults: those of files first, then in the order of [`super::SETTINGS`].
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Names the flags that were given.
    pub(crate) fn naming(mut self, old_flags: &[OldFlag]) -> Self {
        for fault in &mut self.faults {
            if let Fault::Value { setting, source: Source::Flag { name }, .. } = fault
                && let Some(old) = old_flags.iter().find(|old| old.setting == *setting)
            {
                (*setting, *name) = (old.flag, old.flag);
            }
        }
        self
    }

    /// Returns 64 if a value on the command line does not parse, else 78.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.faults.iter().any(Fault::is_usage_error) { EXIT_USAGE } else { EXIT_CONFIG }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.faults.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in the configuration", self.faults.len())?;
        for fault in self.faults.iter().take(FAULTS_SHOWN_MAX) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len().saturating_sub(FAULTS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}
