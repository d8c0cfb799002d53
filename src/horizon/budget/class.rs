//! Request classes, Horizon's reported allowance, and the state of the budget.

use std::time::Duration;

/// Purpose of a request. The order is that of budget reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Stream, recent ledgers and the root. Always goes first.
    Live,
    /// Assets of the busiest markets on an empty database. Goes before everything but `Live`.
    FirstAssets,
    /// Gaps and backfill.
    History,
    /// Assets, in sweeps and single look-ups.
    Assets,
    /// Order books.
    Books,
    /// Rereading of stored ledgers. It has no share of its own: it takes up to a tenth of the rate from history's
    /// share.
    Audit,
    /// Order books that readers of the API ask for. They have no share of their own: they take up to a
    /// tenth of the rate from the share of books.
    AskedBooks,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 7] = [
        Self::Live,
        Self::FirstAssets,
        Self::History,
        Self::Assets,
        Self::Books,
        Self::Audit,
        Self::AskedBooks,
    ];

    /// Name in metrics and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::FirstAssets => "first_assets",
            Self::History => "history",
            Self::Assets => "assets",
            Self::Books => "books",
            Self::Audit => "audit",
            Self::AskedBooks => "asked_books",
        }
    }

    /// Returns true if nobody checks the network before these answers are stored or shown. Trades and hashes of
    /// ledgers have such a check of their own.
    pub(crate) const fn needs_network_check(self) -> bool {
        match self {
            Self::FirstAssets | Self::Assets | Self::Books | Self::AskedBooks => true,
            Self::Live | Self::History | Self::Audit => false,
        }
    }

    /// Index in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|class| *class == self).unwrap_or(0)
    }
}

/// Allowance that the headers of a reply report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// `X-RateLimit-Limit`: requests per window, or the burst of Horizon's own limiter plus
    /// one (101). The headers do not tell which.
    pub limit: u32,
    /// `X-RateLimit-Remaining`: requests that may be sent now.
    pub remaining: u32,
    /// `X-RateLimit-Reset`: seconds until the full limit is available again.
    pub reset_s: u64,
}

/// Limit of Horizon's own limiter in its headers: its burst of 100, and one more.
const BURST_LIMIT: u32 = 101;

/// Limit on requests that the headers of a reply state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLimit {
    /// Requests in each hour.
    PerHour(u32),
    /// A number that may be the burst of Horizon's own limiter. It says nothing about an hour.
    Burst(u32),
}

impl Allowance {
    /// Limit that this allowance is a part of.
    #[must_use]
    pub const fn request_limit(&self) -> RequestLimit {
        if self.limit <= BURST_LIMIT {
            RequestLimit::Burst(self.limit)
        } else {
            RequestLimit::PerHour(self.limit)
        }
    }
}

/// State of the budget, for the status and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetReport {
    /// Requests per hour that the operator allows. 0 means no limit.
    pub per_hour: u32,
    /// Requests that may be sent now. Meaningless without a limit.
    pub tokens: f64,
    /// Requests left according to Horizon's last reply.
    pub reported_remaining: Option<u32>,
    /// Remaining pause after a refusal. Zero without one.
    pub blocked_for: Duration,
    /// Requests so far by class, in the order of [`Class::ALL`].
    pub granted: [u64; 7],
}
