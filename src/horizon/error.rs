//! Errors of Horizon requests and streams.

use std::time::Duration;

use crate::domain::plain_text::excerpt;

/// Most characters of a reason in a message. Parsers repeat values of the server, which may be megabytes long. The
/// message goes into the log, `/readyz` and the status.
const REASON_CHARS_MAX: usize = 300;

/// Reason why a request or a stream failed.
#[derive(Debug, thiserror::Error)]
pub enum HorizonError {
    /// Connection that could not be opened, or that broke.
    #[error("Horizon cannot be reached: {}", excerpt(.0, REASON_CHARS_MAX))]
    Connect(String),
    /// No bytes for too long.
    #[error("Horizon was silent for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// Rate limit of the server (429).
    #[error("Horizon limits the rate of requests")]
    RateLimited {
        /// Wait that `Retry-After` asks for, if present and valid.
        retry_after: Option<Duration>,
    },
    /// Problem document of Horizon itself. It is a statement about the requested data.
    #[error("Horizon answered {status} ({kind}): {title}")]
    Problem {
        /// HTTP status.
        status: u16,
        /// Last segment of the problem's `type`, e.g. `before_history`.
        kind: String,
        /// Title of the problem, fit for a log line.
        title: String,
        /// Wait that `Retry-After` asks for, if present and valid.
        retry_after: Option<Duration>,
    },
    /// Other status than 2xx or 429 without a problem document of Horizon, e.g. a proxy's error page. It says nothing
    /// about data.
    #[error(
        "the server answered {status} without a problem document of Horizon (is a proxy in front of it?)"
    )]
    Status {
        /// HTTP status.
        status: u16,
        /// Wait that `Retry-After` asks for, if present and valid.
        retry_after: Option<Duration>,
    },
    /// Redirect. It is not followed, since it might lead to another network.
    #[error("Horizon's address redirects to {location} ({status}): set --horizon-url to that")]
    Redirect {
        /// HTTP status.
        status: u16,
        /// Address without secrets, fit for a log line.
        location: String,
    },
    /// Stream that ended with `event: error`.
    #[error("Horizon ended the stream: {0}")]
    Stream(String),
    /// Body larger than any that Horizon sends. Holds the limit in bytes.
    #[error("Horizon's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Body that is not of the expected form, e.g. a proxy's HTML page with status 200.
    #[error("Horizon's answer is not valid: {}", excerpt(.0, REASON_CHARS_MAX))]
    Unreadable(String),
    /// Empty `/assets`, although assets are known.
    #[error("Horizon lists no asset, although assets are known: all of them stay as they are")]
    NoAssets,
    /// List of all assets without an end.
    #[error(
        "Horizon's list of all assets does not end: its tokens go in a circle, or it has far too many pages"
    )]
    EndlessAssets,
    /// Unusable base URL or certificates.
    #[error("Horizon's URL or certificates are not usable: {0}")]
    Setup(String),
}

/// Longest wait that a failing server may ask for.
const FAILING_WAIT_MAX: Duration = Duration::from_secs(60);

impl HorizonError {
    /// Wait that the server asks for: of one that fails at most a minute, since one answer of a proxy must not stop
    /// ingestion for long. The budget applies the waits of a rate limit by itself.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            Self::Problem { retry_after, .. } | Self::Status { retry_after, .. } => {
                retry_after.map(|asked| asked.min(FAILING_WAIT_MAX))
            }
            _ => None,
        }
    }

    /// Returns true if the same request may succeed later. False for errors of this side.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Problem { status, .. } => *status >= 500 || *status == 408,
            Self::Setup(_) => false,
            _ => true,
        }
    }

    /// Returns true if the failure may concern one answer, so that another or a smaller one may succeed.
    #[must_use]
    pub const fn is_of_an_answer(&self) -> bool {
        matches!(
            self,
            Self::Problem { status: 500.., .. }
                | Self::Status { status: 500.., .. }
                | Self::Silent(_)
                | Self::TooLarge(_)
                | Self::Unreadable(_)
        )
    }

    /// Returns true if the page would lie below Horizon's oldest ledger.
    #[must_use]
    pub const fn is_before_history(&self) -> bool {
        matches!(self, Self::Problem { status: 410, .. })
    }

    /// Short name for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Silent(_) => "silent",
            Self::RateLimited { .. } => "rate_limited",
            Self::Problem { .. } => "problem",
            Self::Status { .. } | Self::Redirect { .. } => "status",
            Self::Stream(_) => "stream_error",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) | Self::NoAssets | Self::EndlessAssets => "unreadable",
            Self::Setup(_) => "setup",
        }
    }
}
