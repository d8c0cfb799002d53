//! What requests are for, what Horizon tells of them, and what is told of the budget.

use std::time::Duration;

/// What a request is for, in the order in which budgets are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The stream, the tail of recent ledgers, and the root. Always goes first.
    Live,
    /// The assets of the busiest markets on an empty database: before everything but `Live`.
    FirstAssets,
    /// Gaps and backfill.
    History,
    /// Assets, swept or looked up singly.
    Assets,
    /// Order books.
    Books,
    /// Held ledgers, read again. Has no share of its own: a tenth of the pace, out of what is history's.
    Audit,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Live, Self::FirstAssets, Self::History, Self::Assets, Self::Books, Self::Audit];

    /// Its name in metrics and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::FirstAssets => "first_assets",
            Self::History => "history",
            Self::Assets => "assets",
            Self::Books => "books",
            Self::Audit => "audit",
        }
    }

    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|class| *class == self).unwrap_or(0)
    }
}

/// What a reply's headers tell of the caller's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// `X-RateLimit-Limit`
    pub limit: u32,
    /// `X-RateLimit-Remaining`: requests that may go at once.
    pub remaining: u32,
    /// `X-RateLimit-Reset`: seconds until all of the limit may go again.
    pub reset_s: u64,
}

/// How the budget stands.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetReport {
    /// What the operator allows; 0 is no limit.
    pub per_hour: u32,
    /// Requests that may go at once; without meaning where there is no limit.
    pub tokens: f64,
    /// What Horizon last said is left.
    pub told_remaining: Option<u32>,
    /// How long nothing may go, after Horizon refused a request.
    pub blocked_for: Duration,
    /// Requests so far by class, in the order of [`Class::ALL`].
    pub granted: [u64; 6],
}
