//! State of reading a stretch of ledgers from the lake.

use std::time::{Duration, Instant};

use crate::{
    actors::{
        lake_reader::Collected,
        trace::{context::TraceContext, step::Step},
        worker::WorkContext,
    },
    domain::coverage::LedgerRange,
    lake::{Link, VerifiedLedger},
    steps,
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
    /// Step that reads the next batch; none before the first request that it causes.
    step: Option<Step>,
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
            step: None,
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

    /// Returns the context for requests that the next batch needs. Begins its step if there is none.
    pub(super) fn trace(&mut self, context: &WorkContext) -> TraceContext {
        let begun = self.written_at;
        self.step.get_or_insert_with(|| context.step(steps::READ_LEDGERS, None).began_at(begun)).trace()
    }

    /// Returns the step that read the next batch, which began at `begun` if it made no request.
    pub(super) fn take_step(&mut self, context: &WorkContext, begun: Instant) -> Step {
        self.step.take().unwrap_or_else(|| context.step(steps::READ_LEDGERS, None).began_at(begun))
    }

    /// Ends the step of requests after the last batch, if there were any.
    pub(super) fn end<T, E>(&mut self, result: &Result<T, E>) {
        if let Some(step) = self.step.take() {
            step.ended(result);
        }
    }

    /// True if the next batch is to be written now.
    pub(super) fn is_due(&self) -> bool {
        self.collected.trades.len() >= BATCH_TRADES || self.written_at.elapsed() >= BATCH_TIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_for_a_batch_have_its_step_as_their_cause_and_those_for_the_next_one_another() {
        let (mut state, context) = (LakeReadState::new(None), WorkContext::default());
        let cause = state.trace(&context);
        assert_eq!(state.trace(&context), cause);
        assert_eq!(state.take_step(&context, Instant::now()).trace(), cause);
        assert_ne!(state.trace(&context), cause);
        state.end(&Ok::<(), ()>(()));
        assert!(state.step.is_none());
    }
}
