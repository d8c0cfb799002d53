//! State of the ticker as pages show it.

use std::sync::Arc;

use ticker_domain::{
    coverage::{ClosedLedger, LedgerRange},
    instant::UnixSeconds,
    ledger_source::LedgerSource,
};

/// State of the ticker at the moment of an answer. The HTTP server fills it in from the vitals.
#[derive(Clone, Debug, Default)]
pub struct TickerState {
    /// Time of the answer.
    pub now: UnixSeconds,
    /// Time of the figures: the end of their windows. `None` before the first publication.
    pub as_of: Option<UnixSeconds>,
    /// Version of the program.
    pub version: &'static str,
    /// Passphrase of the network.
    pub passphrase: Arc<str>,
    /// Identity of the database.
    pub database: Arc<str>,
    /// True from the first publication on.
    pub is_published: bool,
    /// Last complete ledger and its close time. Before the first one, those of the last trade.
    pub latest: Option<ClosedLedger>,
    /// Source of new trades.
    pub source: LedgerSource,
    /// Time of the last data from it.
    pub received_at: Option<UnixSeconds>,
    /// True if that is too long ago, or the newest publication is.
    pub is_stale: bool,
    /// Time of the newest publication, if that is too long ago.
    pub still_since: Option<UnixSeconds>,
    /// Fault of Horizon or of the lake, if there is one.
    pub fault: Option<String>,
    /// Complete ledgers, merged and in order.
    pub coverage: Arc<Vec<LedgerRange>>,
    /// Wanted history below all of them that cannot be read now.
    pub unread: Option<UnreadLedgers>,
    /// Progress of the backfill.
    pub backfill: Option<BackfillState>,
    /// Result of the self-audit.
    pub audit: Option<AuditState>,
    /// Request budget at Horizon.
    pub budget: Option<BudgetState>,
    /// State of the lake. `None` without one.
    pub lake: Option<LakeReport>,
    /// Time when the oldest order book was polled.
    pub oldest_book: Option<UnixSeconds>,
    /// Id of this replica.
    pub replica: Option<String>,
    /// True if this replica leads, false if another does.
    pub is_leader: Option<bool>,
}

/// Wanted history below all complete ledgers that cannot be read now.
#[derive(Clone, Copy, Debug)]
pub struct UnreadLedgers {
    /// First missing ledger. `None` if Horizon no longer has it.
    pub from: Option<u32>,
    /// Last missing ledger.
    pub to: u32,
    /// Time back to which ledgers are wanted.
    pub from_time: UnixSeconds,
    /// Close time of the first complete ledger.
    pub to_time: UnixSeconds,
}

/// Progress of the backfill.
#[derive(Clone, Copy, Debug)]
pub struct BackfillState {
    /// Stored share of the wanted time, 0 to 1.
    pub done_ratio: f64,
    /// Estimated seconds until it is complete.
    pub eta_s: Option<i64>,
    /// Trades stored by it.
    pub trades: u64,
    /// Trades stored per second.
    pub trades_per_second: u64,
}

/// Result of the self-audit.
#[derive(Clone, Copy, Debug)]
pub struct AuditState {
    /// End of the last whole pass.
    pub at: Option<UnixSeconds>,
    /// Markets that it compared.
    pub markets: u64,
    /// Markets that it could not compare.
    pub unread: u64,
    /// Figures that differed.
    pub differences: u64,
    /// Markets that were rebuilt and match now.
    pub repaired: u64,
}

/// Request budget at Horizon.
#[derive(Clone, Debug)]
pub struct BudgetState {
    /// Requests per hour that the operator allows. 0 means no limit.
    pub requests_per_hour: u32,
    /// Requests left according to Horizon.
    pub remaining: Option<u32>,
    /// Seconds until requests may be sent again after a refusal.
    pub blocked_s: i64,
    /// Requests so far by class.
    pub requests: Vec<(&'static str, u64)>,
}

/// Ledgers that were read from a lake since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeFigures {
    /// Newest ledger that was read, and its close time.
    pub newest: Option<ClosedLedger>,
    /// Number of ledgers that were read and believed.
    pub ledgers: u64,
    /// Number of ledgers that were refused.
    pub refused: u64,
    /// Breaks of the chain: ledgers that do not fit their neighbours, and runs of them that Horizon contradicts.
    pub chain_breaks: u64,
    /// Last refused ledger, and the reason.
    pub last_refused: Option<(u32, String)>,
}

/// State of a lake of ledger metadata, or of the RPC in its place.
#[derive(Clone, Debug, Default)]
pub struct LakeReport {
    /// URL without secrets.
    pub url: String,
    /// Ledgers that were read from it.
    pub figures: LakeFigures,
    /// Ledger whose hash was compared with Horizon's last, and true if the hashes agree.
    pub hash_check: Option<(u32, bool)>,
    /// Start of the outage that lasts, and its last error.
    pub outage: Option<(UnixSeconds, String)>,
}

impl UnreadLedgers {
    /// The missing ledgers, from this one on.
    pub(super) const fn range(self, from: u32) -> LedgerRange {
        LedgerRange { from, to: self.to, from_time: self.from_time, to_time: self.to_time }
    }
}
