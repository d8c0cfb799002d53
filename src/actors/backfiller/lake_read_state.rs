//! State of reading a stretch of ledgers from the lake.

use std::time::{Duration, Instant};

use crate::{
    actors::{lake_reader::Collected, trace::context::TraceContext},
    domain::coverage::LedgerRange,
    lake::{Link, VerifiedLedger},
};

/// Trades in a batch, about 1 KB each.
const BATCH_TRADES: usize = 5_000;
/// Longest time between two batches.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// State of reading a stretch.
pub(super) struct LakeReadState {
    /// Lowest ledger that was believed, which must name the next one below. None after a refused or missing ledger.
    pub(super) above: Option<Link>,
    /// Ledgers of the next batch, without a gap; none if it is empty.
    pub(super) pending: Option<LedgerRange>,
    /// True if Horizon has a hash of the chain that is read, or can have none because the chain is too old.
    pub(super) is_confirmed: bool,
    /// True if the next batch has unconfirmed ledgers.
    pub(super) holds_unconfirmed: bool,
    /// Content of the next batch.
    pub(super) collected: Collected,
    /// Time at which the last batch was written, or the stretch begun.
    pub(super) written_at: Instant,
    /// Span of the step that reads the next batch.
    pub(super) trace: TraceContext,
    /// Number of missing objects in a row.
    pub(super) missing: u32,
    /// Time of the last request for the manifest that was answered: then the lake was there.
    pub(super) present_at: Option<Instant>,
    /// Number of ledgers in a row that have another hash than at Horizon.
    pub(super) differing: u32,
    /// True once a ledger is older than wanted.
    pub(super) is_done: bool,
}

impl LakeReadState {
    /// Begins below a ledger that a hash of Horizon leads down to, if there is one.
    pub(super) fn new(confirmed: Option<Link>) -> Self {
        Self {
            above: confirmed,
            pending: None,
            is_confirmed: confirmed.is_some(),
            holds_unconfirmed: false,
            collected: Collected::default(),
            written_at: Instant::now(),
            trace: TraceContext::root(),
            missing: 0,
            present_at: None,
            differing: 0,
            is_done: false,
        }
    }

    /// Adds a ledger at the lower end of the next batch.
    pub(super) fn note(&mut self, ledger: &VerifiedLedger) {
        self.above = Some(Link::of(ledger));
        self.holds_unconfirmed |= !self.is_confirmed;
        let (sequence, at) = (ledger.sequence, ledger.closed_at);
        let range = self.pending.get_or_insert(LedgerRange {
            from: sequence,
            to: sequence,
            from_time: at,
            to_time: at,
        });
        range.from = sequence;
        range.from_time = at.min(range.to_time);
    }

    /// True if the next batch is to be written now.
    pub(super) fn is_due(&self) -> bool {
        self.collected.trades.len() >= BATCH_TRADES || self.written_at.elapsed() >= BATCH_TIME
    }
}
