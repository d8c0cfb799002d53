//! What can go wrong upstream.

use std::time::Duration;

/// Why a request or a stream ended without what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum HorizonError {
    /// No connection, or it broke.
    #[error("horizon cannot be reached: {0}")]
    Connect(String),
    /// Nothing came for too long.
    #[error("horizon was silent for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// 429.
    #[error("horizon limits the rate of requests")]
    RateLimited {
        /// How long it asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// Horizon's own problem document: a statement about what was asked for.
    #[error("horizon answered {status} ({kind}): {title}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The last part of the problem's `type`, e.g. `before_history`.
        kind: String,
        /// The problem's title.
        title: String,
    },
    /// Another status than 2xx or 429 without a problem document of Horizon: a proxy's page, say. It says nothing about
    /// data.
    #[error("the server answered {status} and no problem document of horizon (a proxy in front of it?)")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The stream ended with `event: error`.
    #[error("horizon ended the stream: {0}")]
    Stream(String),
    /// A body that is larger than any that Horizon sends.
    #[error("horizon's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// A body that is not what was asked for, e.g. a proxy's HTML page with status 200.
    #[error("horizon's answer cannot be read: {0}")]
    Unreadable(String),
    /// The base URL or the certificates cannot be used.
    #[error("horizon's address or certificates cannot be used: {0}")]
    Setup(String),
}

impl HorizonError {
    /// How long the server asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed later. Only what this side got wrong does not.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Problem { status, .. } => *status >= 500 || *status == 408,
            Self::Setup(_) => false,
            _ => true,
        }
    }

    /// A word for it, for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Silent(_) => "silent",
            Self::RateLimited { .. } => "rate_limited",
            Self::Problem { .. } => "problem",
            Self::Status { .. } => "status",
            Self::Stream(_) => "stream_error",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
            Self::Setup(_) => "setup",
        }
    }
}
