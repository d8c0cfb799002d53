//! Source of a value: the default, the file, the environment or the command line.

use std::fmt;
use std::path::PathBuf;

use super::visible;

/// Source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// The configuration file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Key in the file.
        key: String,
    },
    /// A variable of the environment.
    Environment {
        /// Name of the variable.
        variable: String,
    },
    /// A file that a variable of the environment names.
    SecretFile {
        /// Name of the variable.
        variable: String,
    },
    /// The command line.
    Flag {
        /// Long flag without its dashes.
        name: &'static str,
    },
    /// An argument of the command line without a flag.
    Argument {
        /// Name in the help.
        name: &'static str,
    },
}

impl Source {
    /// Returns the precedence; the highest wins.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } | Self::SecretFile { .. } => 2,
            Self::Flag { .. } | Self::Argument { .. } => 3,
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
            Self::Argument { name } => write!(f, "argument {name}"),
        }
    }
}
