//! What is wrong with a configuration: every fault, each with where it came from.

use std::fmt;
use std::path::PathBuf;

use super::resolve::Source;
use super::visible;

/// Faults that are told; a file that is none of ours has no end of them.
const FAULTS_TOLD_MAX: usize = 100;

/// Exit code of a command line, or a value on it, that does not parse (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// Exit code of any other fault of the configuration (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// Kind of fault of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The text is not of the setting's form.
    Unparsable,
    /// The form is right, and the value is not allowed.
    Refused,
}

/// Why one text is no value of its setting; [`Fault::Value`] adds which and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: FaultKind,
    pub(super) detail: Option<String>,
}

impl Problem {
    pub(super) const UNPARSABLE: Self = Self { kind: FaultKind::Unparsable, detail: None };

    pub(super) fn unparsable(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unparsable, detail: Some(detail.into()) }
    }

    pub(super) fn refused(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refused, detail: Some(detail.into()) }
    }
}

/// One fault. No text in it holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A setting's value is not what it may be.
    Value {
        /// The setting's long flag, without dashes.
        setting: &'static str,
        /// The value as it may be shown.
        shown: String,
        /// Where the value came from.
        source: Source,
        /// Kind of fault.
        kind: FaultKind,
        /// Exact reason, if there is more to say than that it does not parse.
        detail: Option<String>,
        /// Values that the option may have.
        allowed: &'static str,
    },
    /// The environment has a variable with the prefix of this program that names no setting.
    UnknownVariable {
        /// The variable as it may be shown.
        variable: String,
        /// A variable with a similar name.
        suggestion: Option<String>,
    },
    /// The file has a key that is no setting.
    UnknownKey {
        /// The key as it may be shown.
        key: String,
        /// The file.
        path: PathBuf,
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// A file could not be read or is not TOML.
    File {
        /// What the file is for.
        purpose: &'static str,
        /// The file.
        path: PathBuf,
        /// Where its name came from.
        source: Source,
        /// What went wrong.
        reason: String,
    },
}

impl Fault {
    /// Returns true if a value on the command line does not parse. Faults in the environment or a file are of another kind.
    #[must_use]
    pub const fn is_of_usage(&self) -> bool {
        matches!(self, Self::Value { kind: FaultKind::Unparsable, source: Source::Flag { .. }, .. })
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

/// All faults of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    pub(super) const fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// Both results, or the faults of both.
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

    /// The faults: files first, then in the order of the settings table.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// 64 if a value on the command line does not parse, else 78.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.faults.iter().any(Fault::is_of_usage) { EXIT_USAGE } else { EXIT_CONFIG }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.faults.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in the configuration", self.faults.len())?;
        for fault in self.faults.iter().take(FAULTS_TOLD_MAX) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len().saturating_sub(FAULTS_TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}
