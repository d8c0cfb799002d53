//! State of reading a stretch of history from new to old: which ledgers are whole, and what the next batch holds.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{page::Place, plan::Stretch};
use crate::{
    actors::trace::context::TraceContext,
    db::trades::{IncomingTrade, QuarantineEntry},
    domain::{
        close_times::{CONFIRMED_BY, CloseTimes},
        coverage::{ClosedLedger, LedgerRange},
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::client::LIMIT_MAX,
};

/// Trades in a batch. Each keeps its page in memory: 2 KB per trade.
const BATCH_TRADES: usize = 2_000;
/// Longest time between two batches.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// Fewest records of a page.
const LIMIT_MIN: u32 = 2;

/// State of reading a stretch.
pub(super) struct ReadState {
    /// Part that is not yet reported as complete; shrinks from the top with each batch.
    pub(super) stretch: Stretch,
    /// Ledger and close time of the highest trade that is not reported yet; none before the first trade.
    top: Option<ClosedLedger>,
    /// Position below which the next page begins.
    pub(super) place: Place,
    /// Records of the next page.
    pub(super) limit: u32,
    /// True if the ledger above the stretch is held. Otherwise the first page may lack the newest trades, and only the
    /// ledgers from its first trade down count as read.
    pub(super) is_below_held: bool,
    /// Close time of the lowest trade that was read.
    lowest_at: Option<UnixSeconds>,
    /// Lowest ledger from which on all are complete.
    whole_from: u32,
    /// True once the stretch was read to its end.
    pub(super) is_done: bool,
    /// Trades of the next batch.
    pub(super) trades: Vec<IncomingTrade>,
    /// Refused records of the next batch.
    pub(super) quarantine: Vec<QuarantineEntry>,
    /// Time of the last batch.
    pub(super) written_at: Instant,
    /// Span of the step that reads the next batch.
    pub(super) trace: TraceContext,
    /// True once a ledger was reported as complete.
    has_reported_complete: bool,
    /// Accepted close times of the last page.
    pub(super) times: CloseTimes,
    /// Ledgers older than wanted. A few of them confirm that the wanted time was reached.
    old: BTreeSet<u32>,
    /// Highest ledger with a skipped trade. None as soon as a trade of a lower ledger is kept: the time was wrong.
    skipped: Option<Skipped>,
}

/// Ledger with a trade that was skipped, because it is too old. It and all lower ledgers are not complete.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    ledger: u32,
    /// Close time of the lowest trade above it; none if no trade was read there.
    above_at: Option<UnixSeconds>,
    /// Earliest close time of trades that are not skipped.
    oldest_kept: UnixSeconds,
}

/// Position above all trades of a ledger.
pub(super) fn above(ledger: u32) -> PagingToken {
    PagingToken::before_ledger(ledger.saturating_add(1))
}

impl ReadState {
    pub(super) fn new(stretch: Stretch) -> Self {
        Self {
            top: None,
            place: stretch.to.map_or(Place::Top, |to| Place::Position(above(to))),
            limit: LIMIT_MAX,
            is_below_held: true,
            lowest_at: None,
            whole_from: stretch.to.map_or(u32::MAX, |to| to.saturating_add(1)),
            is_done: false,
            trades: Vec::new(),
            quarantine: Vec::new(),
            written_at: Instant::now(),
            trace: TraceContext::root(),
            has_reported_complete: false,
            times: CloseTimes::default(),
            old: BTreeSet::new(),
            skipped: None,
            stretch,
        }
    }

    /// Close time of the lowest trade that was read, or of the ledger above the stretch; none if neither is known.
    pub(super) fn time_above(&self) -> Option<UnixSeconds> {
        self.lowest_at.or(self.stretch.before)
    }

    /// Makes the next pages ten times smaller. Returns false if they are as small as can be: a page below a trade has
    /// that trade and one more.
    pub(super) const fn shrink_page(&mut self) -> bool {
        let can_shrink = self.limit > LIMIT_MIN;
        self.limit = if self.limit / 10 > LIMIT_MIN { self.limit / 10 } else { LIMIT_MIN };
        can_shrink
    }

    /// Makes the next pages ten times larger again, since one could be read.
    pub(super) const fn grow_page(&mut self) {
        let larger = self.limit.saturating_mul(10);
        self.limit = if larger < LIMIT_MAX { larger } else { LIMIT_MAX };
    }

    /// Returns true if a trade was read.
    pub(super) const fn has_read(&self) -> bool {
        self.lowest_at.is_some()
    }

    /// Records a trade of this ledger, with its believed close time.
    pub(super) fn note_trade(&mut self, ledger: u32, closed_at: UnixSeconds) {
        self.top.get_or_insert((ledger, closed_at));
        self.lowest_at = Some(closed_at);
    }

    /// Records a stored trade of this ledger.
    pub(super) fn note_kept(&mut self, ledger: u32) {
        self.skipped = self.skipped.filter(|skipped| skipped.ledger <= ledger);
    }

    /// Records a skipped trade of this ledger: trades before `oldest_kept` are not stored.
    pub(super) fn note_skipped(&mut self, ledger: u32, oldest_kept: UnixSeconds) {
        let above_at = self.time_above();
        self.skipped.get_or_insert(Skipped { ledger, above_at, oldest_kept });
        self.old.insert(ledger);
    }

    /// Records that a page down to `lowest` was read. With `ends_at` it was the last: nothing lies below, down to that
    /// ledger.
    pub(super) fn note_page(&mut self, lowest: Option<PagingToken>, ends_at: Option<u32>) {
        let from = self.stretch.from;
        let (Some(lowest), None) = (lowest, ends_at) else {
            self.whole_from = from.max(ends_at.unwrap_or_default());
            self.is_done = true;
            return;
        };
        // The next page may hold more of the lowest ledger.
        self.whole_from = lowest.ledger().saturating_add(1).max(from);
        // One old ledger is not enough: if its close time were wrong, all older ledgers would never be read.
        self.old.extend(self.times.ledgers_before(self.stretch.since));
        self.is_done = lowest.ledger() < from || self.old.len() >= CONFIRMED_BY;
    }

    /// Returns true if any ledger is complete. Ledgers that are not must be read again from their beginning.
    pub(super) fn has_complete_ledger(&self) -> bool {
        self.has_reported_complete || self.covered().is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        self.trades.len() >= BATCH_TRADES || self.written_at.elapsed() >= BATCH_TIME
    }

    /// Ledgers that became complete since the last batch.
    pub(super) fn covered(&self) -> Option<LedgerRange> {
        let top = self.top.map(|(ledger, _)| ledger);
        let to = match self.stretch.to {
            Some(to) if self.is_below_held => to,
            Some(to) => top.map_or(to, |top| top.min(to)),
            None => top?,
        };
        let at = self.time_above()?;
        let to_time = self.top.map_or(at, |(_, at)| at);
        if let Some(skipped) = self.skipped.filter(|_| self.whole_from <= to) {
            return self.covered_above(skipped, to, to_time);
        }
        (self.whole_from <= to).then_some(LedgerRange {
            from: self.whole_from,
            to,
            from_time: at.min(to_time),
            to_time,
        })
    }

    /// Ledgers above a skipped one that became complete.
    fn covered_above(&self, skipped: Skipped, to: u32, to_time: UnixSeconds) -> Option<LedgerRange> {
        let from = self.whole_from.max(skipped.ledger.saturating_add(1));
        // All ledgers that closed from `oldest_kept` on are above the skipped one, once enough ledgers confirm its age.
        let from_time = if self.is_done { skipped.oldest_kept } else { skipped.above_at?.min(to_time) };
        let range = |from, to| LedgerRange { from, to, from_time, to_time: to_time.max(from_time) };
        let (is_tail, is_below_held) = (self.stretch.to.is_none(), self.is_below_held);
        match from <= to {
            true => Some(range(from, to)),
            // No ledger of the stretch is young enough. The range above now begins at `oldest_kept`, or the stretch
            // would be read again and again. Above the tail nothing is held, so its newest ledger is that range.
            false if self.is_done && is_tail => Some(range(to, to)),
            false => (self.is_done && is_below_held).then(|| range(from, from)),
        }
    }

    pub(super) fn note_written(&mut self, covered: Option<LedgerRange>) {
        self.written_at = Instant::now();
        if let Some(covered) = covered {
            (self.has_reported_complete, self.is_below_held) = (true, true);
            let below = covered.from.saturating_sub(1);
            self.stretch.to = Some(below);
            self.top = Some((below, covered.from_time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(from: u32, to: Option<u32>) -> ReadState {
        ReadState::new(Stretch { from, to, before: Some(UnixSeconds(900)), since: UnixSeconds(100) })
    }

    fn place(ledger: u32) -> Option<PagingToken> {
        PagingToken::new((i64::from(ledger) << 32) + 1, 0)
    }

    fn held(state: &ReadState) -> Option<(u32, u32, i64, i64)> {
        state.covered().map(|range| (range.from, range.to, range.from_time.0, range.to_time.0))
    }

    #[test]
    fn the_lowest_ledger_of_a_page_is_complete_only_with_the_next_page() {
        let mut state = state(10, Some(50));
        state.note_trade(48, UnixSeconds(480));
        state.note_trade(40, UnixSeconds(400));
        state.note_page(place(40), None);
        assert_eq!((held(&state), state.is_done), (Some((41, 50, 400, 480)), false));
        let covered = state.covered();
        state.note_written(covered);
        state.note_trade(40, UnixSeconds(400));
        state.note_page(place(40), None);
        assert_eq!(held(&state), None, "the whole page was one ledger");
        assert!(state.has_complete_ledger(), "those above it are complete");
        state.note_trade(9, UnixSeconds(90));
        state.note_page(place(9), None);
        assert_eq!((held(&state), state.is_done), (Some((10, 40, 90, 400)), true));
    }

    #[test]
    fn a_part_of_a_gap_that_no_held_ledger_lies_above_counts_from_its_first_trade_down() {
        let mut state = state(10, Some(50));
        state.is_below_held = false;
        state.note_trade(45, UnixSeconds(450)); // the server may be behind
        state.note_trade(40, UnixSeconds(400));
        state.note_page(place(40), None);
        assert_eq!(held(&state), Some((41, 45, 400, 450)));
        let covered = state.covered();
        state.note_written(covered);
        state.note_trade(35, UnixSeconds(350));
        state.note_page(place(35), None);
        assert_eq!(held(&state), Some((36, 40, 350, 400)), "below what was just read");
    }

    #[test]
    fn a_tail_begins_at_its_newest_trade_or_at_the_highest_confirmed_ledger() {
        let mut state = state(10, None);
        state.note_trade(28, UnixSeconds(300)); // the page began at 30
        state.note_trade(20, UnixSeconds(200));
        state.note_page(place(20), None);
        assert_eq!(held(&state), Some((21, 28, 200, 300)));
    }

    #[test]
    fn ledgers_with_skipped_trades_are_not_complete() {
        let state = |to: Option<u32>, kept: &[(u32, i64)], skipped: &[(u32, i64)]| {
            let mut state = state(10, to);
            for (ledger, at) in kept {
                state.note_kept(*ledger);
                state.note_trade(*ledger, UnixSeconds(*at));
            }
            for (ledger, at) in skipped {
                state.note_skipped(*ledger, UnixSeconds(100));
                state.note_trade(*ledger, UnixSeconds(*at));
            }
            state.note_page(skipped.last().and_then(|(ledger, _)| place(*ledger)), None);
            state
        };
        let mut one = state(Some(50), &[(40, 400), (31, 101)], &[(30, 99)]);
        assert_eq!(
            (held(&one), one.is_done),
            (Some((31, 50, 101, 400)), false),
            "the only old ledger may be wrong"
        );
        one.note_written(one.covered());
        for ledger in [29, 28] {
            one.note_skipped(ledger, UnixSeconds(100));
            one.note_trade(ledger, UnixSeconds(98));
        }
        one.note_page(place(28), None);
        assert_eq!(
            (held(&one), one.is_done),
            (Some((31, 31, 100, 101)), true),
            "the ledger above begins earlier"
        );
        let mut wrong = state(Some(50), &[(40, 400)], &[(30, 99)]);
        wrong.note_kept(29);
        wrong.note_trade(29, UnixSeconds(290));
        wrong.note_page(place(29), None);
        assert_eq!((held(&wrong), wrong.is_done), (Some((30, 50, 290, 400)), false));
        let old = [(50, 99), (49, 98), (9, 90)];
        assert_eq!(held(&state(Some(50), &[], &old)), Some((51, 51, 100, 100)), "nothing is young enough");
        assert_eq!(held(&state(None, &[], &old)), Some((50, 50, 100, 100)), "nor of the whole network");
        let mut alone = state(Some(50), &[], &old);
        alone.is_below_held = false;
        assert_eq!(held(&alone), None);
        let joined = state(Some(50), &[(40, 400)], &[(30, 99), (9, 90)]);
        assert_eq!(
            (held(&joined), joined.is_done),
            (Some((31, 50, 100, 400)), true),
            "it stays apart from what is below"
        );
    }

    fn incoming() -> IncomingTrade {
        let received = super::super::page::tests::received(20, 0);
        IncomingTrade { trade: received.trade, raw: received.raw }
    }

    /// A page with one trade in each of these ledgers.
    fn page(state: &mut ReadState, ledgers: &[(u32, i64)]) {
        state.times =
            CloseTimes::check(&state.times, ledgers.iter().map(|(ledger, at)| (*ledger, UnixSeconds(*at))));
        for (ledger, _) in ledgers {
            let believed = state.times.nearest_plausible(*ledger).unwrap();
            state.note_trade(*ledger, believed);
        }
        state.note_page(ledgers.last().and_then(|(ledger, _)| place(*ledger)), None);
    }

    #[test]
    fn old_enough_ledgers_end_a_stretch_and_so_does_the_end_of_history() {
        let mut old = state(10, Some(50));
        page(&mut old, &[(32, 101), (31, 99), (30, 98)]);
        assert_eq!((held(&old), old.is_done), (Some((31, 50, 98, 101)), false), "two ledgers may be wrong");
        page(&mut old, &[(29, 98)]);
        assert!(old.is_done);
        let mut last = state(10, Some(50));
        last.note_page(None, Some(25));
        assert_eq!(
            (held(&last), last.is_done),
            (Some((25, 50, 900, 900)), true),
            "not below the oldest ledger"
        );
        let mut empty = state(10, Some(50));
        empty.note_page(place(60), Some(5));
        assert_eq!(held(&empty), Some((10, 50, 900, 900)));
        let mut one = state(50, Some(50));
        one.note_trade(49, UnixSeconds(490));
        one.note_page(place(49), None);
        assert_eq!((held(&one), one.is_done), (Some((50, 50, 490, 490)), true));
    }

    #[test]
    fn nothing_is_complete_before_the_first_page_and_the_lowest_ledger_is_read_to_its_end() {
        let mut state = state(10, Some(50));
        assert_eq!((held(&state), state.has_complete_ledger()), (None, false));
        assert_eq!(state.place, Place::Position(above(50)));
        state.note_page(place(10), None);
        assert!(!state.is_done, "ledger 10 may have more trades");
    }

    #[test]
    fn pages_shrink_to_a_trade_and_the_one_below_it() {
        let mut state = state(10, Some(50));
        let limits: Vec<_> = std::iter::from_fn(|| state.shrink_page().then_some(state.limit)).collect();
        assert_eq!(limits, [20, 2]);
    }

    #[test]
    fn a_range_never_begins_later_than_it_ends() {
        let mut state = state(10, Some(50));
        state.note_trade(48, UnixSeconds(480));
        state.note_trade(40, UnixSeconds(490)); // within the slack of clocks
        state.note_page(place(40), None);
        assert_eq!(held(&state), Some((41, 50, 480, 480)));
    }

    #[test]
    fn a_batch_is_due_when_it_is_large_or_old() {
        let mut state = state(10, Some(50));
        let never = Instant::now().checked_add(Duration::from_secs(3_600)).unwrap();
        state.written_at = never;
        state.trades = vec![incoming(); BATCH_TRADES - 1];
        assert!(!state.is_due());
        state.trades.push(incoming());
        assert!(state.is_due());
        state.trades.clear();
        state.written_at = Instant::now().checked_sub(BATCH_TIME).unwrap();
        assert!(state.is_due());
        state.written_at = never;
        state.note_written(None);
        assert!(state.written_at < never, "the age counts from the last write");
    }
}
