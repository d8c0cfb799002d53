//! Error of fetching a file.

use super::{guard::UrlError, parse::InvalidTomlError};
use crate::outbound::tls::TlsError;

/// Reason why a file could not be fetched. Contains no text from the host.
#[derive(Debug, thiserror::Error)]
pub enum TomlError {
    /// URL that violates the guard's rules.
    #[error("URL refused: {0}")]
    Refused(#[from] UrlError),
    /// Name that is never public, or a path that the gateway does not serve.
    #[error("URL refused: the name is never public, or the gateway does not serve it")]
    NotServed,
    /// Failed connection or TLS handshake, or a name without public addresses.
    #[error("the host is unreachable: {0}")]
    Connect(String),
    /// No complete answer before the deadline.
    #[error("no complete answer before the deadline")]
    TimedOut,
    /// Answer with another status than 2xx.
    #[error("the host answered {0}")]
    Status(u16),
    /// Redirect to a refused URL, or more than three redirects.
    #[error("redirect not followed: its target is refused, or there are more than 3")]
    Redirect,
    /// File larger than 100 KiB.
    #[error("the file is larger than 100 KiB")]
    TooLarge,
    /// Unknown or broken compression.
    #[error("the answer has an unknown or broken content encoding")]
    Encoding,
    /// Content that is not TOML.
    #[error(transparent)]
    InvalidToml(#[from] InvalidTomlError),
    /// Unusable certificates in `--ca-file`.
    #[error(transparent)]
    Setup(#[from] TlsError),
}

impl TomlError {
    /// Short name for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NotServed => "refused",
            Self::Connect(_) => "connect",
            Self::TimedOut => "timed_out",
            Self::Status(_) => "status",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::InvalidToml(_) => "no_toml",
            Self::Setup(_) => "setup",
        }
    }
}
