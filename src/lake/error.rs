//! Reasons why a lake cannot be read.

use std::time::Duration;

use ledger_metadata::ManifestError;

use crate::domain::plain_text::{excerpt, shown};

/// Largest object, in bytes. A batch of 64 large ledgers has about 15 MB.
pub(super) const OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest wait that a server may ask for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(30);
/// Most characters of a stranger's text in an error.
const SHOWN_MAX: usize = 200;
/// Longest silence before and during an answer.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Reason why a lake, or an object of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LakeError {
    /// Connection that could not be opened, or that broke.
    #[error("the lake cannot be reached: {0}")]
    Connect(String),
    /// No bytes for too long, or a whole answer that took too long.
    #[error("the lake was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// Answers that took too long, although bytes came.
    #[error("the lake gave no object within {} s", .0.as_secs())]
    Slow(Duration),
    /// Status that says nothing about an object.
    #[error("the lake answered {status}{}", hint(*status))]
    Status {
        /// HTTP status.
        status: u16,
        /// Wait that `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// Error that Stellar RPC reports, or an answer of it that is not valid (code 0).
    #[error("RPC answered with error {code}: {message}")]
    Rpc {
        /// Code of JSON-RPC.
        code: i64,
        /// Message, fit for a log line.
        message: String,
    },
    /// Object larger than any real one. Holds the limit in bytes.
    #[error("an object of the lake has more than {0} bytes")]
    TooLarge(usize),
    /// Failure of the file system.
    #[error("the lake's directory cannot be read: {0}")]
    Directory(String),
    /// No manifest.
    #[error(
        "the lake has no manifest .config.json: it is not a SEP-54 lake, or not at this place. Lakes from before SEP-54 \
         (Galexie before 23, objects that end in .xdr.zstd) cannot be read"
    )]
    NoManifest,
    /// Manifest that cannot be used.
    #[error("{}", shortened(&.0.to_string()))]
    Manifest(#[from] ManifestError),
    /// Manifest of another network.
    #[error("the lake holds the network \"{}\", not \"{expected}\"", shortened(found))]
    OtherNetwork {
        /// Passphrase in the manifest.
        found: String,
        /// Passphrase of the configured network.
        expected: String,
    },
    /// No ledger to begin with, and no listing.
    #[error(
        "the lake's newest ledger is unknown: it has no listing, no ledger is held, and Horizon cannot be reached"
    )]
    NoStart,
    /// No object at or below the ledger to begin with.
    #[error("the lake has no ledger at or below {hint}")]
    Empty {
        /// Ledger that the search began with.
        hint: u32,
    },
    /// Unusable URL or certificates.
    #[error("the lake's URL or certificates are not usable: {0}")]
    Setup(String),
}

impl LakeError {
    /// True if the same request may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Silent(_) | Self::Slow(_) | Self::Directory(_) | Self::Rpc { .. } => {
                true
            }
            Self::Status { status, .. } => *status >= 500 || matches!(*status, 408 | 429),
            _ => false,
        }
    }

    /// True if the lake is not one that this program can read, as configured. It will not pass by itself.
    #[must_use]
    pub const fn is_of_configuration(&self) -> bool {
        matches!(self, Self::NoManifest | Self::Manifest(_) | Self::OtherNetwork { .. } | Self::Setup(_))
    }

    /// Wait that the server asks for, within bounds: the network closes a ledger every few seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(|wait| wait.min(ASKED_WAIT_MAX)),
            _ => None,
        }
    }

    /// True if only the object that was asked for may be at fault.
    #[must_use]
    pub const fn may_be_of_object(&self) -> bool {
        match self {
            Self::Directory(_) | Self::TooLarge(_) | Self::Rpc { .. } => true,
            Self::Status { status, .. } => !matches!(*status, 429 | 503),
            _ => false,
        }
    }
}

/// Text of a stranger, fit for a log line.
pub(super) fn shortened(text: &str) -> String {
    shown(&excerpt(text, SHOWN_MAX)).into_owned()
}

const fn hint(status: u16) -> &'static str {
    match status {
        301..=308 => ": a redirect, use the URL that it leads to",
        403 => ": access denied",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_cut_and_an_absurd_wait_is_not_believed() {
        let long = || "\u{202e}network".repeat(1_000_000);
        for error in [
            LakeError::OtherNetwork { found: long(), expected: "Here".into() },
            ManifestError::Form(long()).into(),
            ManifestError::Version(long()).into(),
            ManifestError::Compression(long()).into(),
        ] {
            let text = error.to_string();
            assert!(
                text.len() < 2_000 && text.contains("\\u{202e}network") && text.contains('…'),
                "{}",
                text.len()
            );
        }
        let asked = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            LakeError::Status { status: 503, retry_after }.retry_after().unwrap()
        };
        assert_eq!((asked(7), asked(1_000_000)), (Duration::from_secs(7), ASKED_WAIT_MAX));
    }
}
