//! Reading of one stretch of history from new to old, page by page, with a commit per batch. Each batch names the
//! ledgers that are complete, so that a stop at any moment loses at most the reading of one batch.

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};

use metrics::counter;

use super::{
    Backfill, Upstream, end,
    history_error::{HistoryEndError, HistoryError},
    page::{self, Page, Place},
    plan::Stretch,
};
use crate::{
    actors::{
        intake::{Intake, IntakeDecision},
        subjects,
        trace::{context::TraceContext, step::Step},
        trade_writer::CommittedSummary,
        worker::WorkContext,
    },
    db::trades::{BatchKind, IncomingTrade, QuarantineEntry, TradeBatch},
    domain::{
        close_times::{CONFIRMED_BY, CloseTimes},
        coverage::LedgerRange,
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::{HorizonClient, HorizonError},
    steps,
};

/// Trades in a batch. Each keeps the page alive that it came in: 2 KB per trade.
const BATCH_TRADES: usize = 2_000;
/// Longest time between two batches.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// Most pages of one ledger: 200,000 trades.
pub(super) const LEDGER_PAGES_MAX: u32 = 1_000;
/// Pages read ahead if the close times at the end of one cannot be judged. With 200 trades each they hold a few
/// ledgers, unless these are very large. After that many, the close times are accepted as they are.
const PAGES_AHEAD_MAX: u32 = 3;

/// Ledgers below the newest one from which on a page is believed without the trade above it, after many attempts.
const BEHIND_LEDGERS_MAX: u32 = 100;

/// Dependencies and limits of reading stretches.
pub(super) struct DescendingRead<'a> {
    pub(super) deps: &'a Backfill,
    /// Client with the budget class of this read.
    pub(super) horizon: &'a HorizonClient,
    pub(super) upstream: &'a Upstream,
    pub(super) context: &'a WorkContext,
    pub(super) kind: BatchKind,
    /// Highest ledger that may be reported as complete, whatever a page holds.
    pub(super) top_max: u32,
    /// Highest ledger of a trade that was read.
    pub(super) newest_seen: Cell<u32>,
    /// Most pages to read. The newest ledger is read to its end even beyond that.
    pub(super) pages_max: u32,
    /// Trades stored that were not there before. Shared with the progress.
    pub(super) stored: Rc<Cell<u64>>,
}

/// State of reading a stretch.
struct ReadState {
    /// Part that is not yet reported as complete; shrinks from the top with each batch.
    stretch: Stretch,
    /// Ledger and close time of the highest trade that is not reported yet; none before the first trade.
    top: Option<(u32, UnixSeconds)>,
    /// Place below which the next page begins.
    place: Place,
    /// True if the ledger above the stretch is held. Else nothing shows that the first page begins at the top, and only the
    /// ledgers from its first trade down count as read.
    is_below_held: bool,
    /// Close time of the lowest trade that was read.
    lowest_at: Option<UnixSeconds>,
    /// Ledger from which upwards all are complete.
    whole_from: u32,
    /// True once the stretch was read to its end.
    is_done: bool,
    /// Trades of the next batch.
    trades: Vec<IncomingTrade>,
    /// Refused records of the next batch.
    quarantine: Vec<QuarantineEntry>,
    /// Time of the last batch.
    written_at: Instant,
    /// Span of the step that reads the next batch.
    trace: TraceContext,
    /// True once a ledger was reported as complete.
    has_reported_complete: bool,
    /// Close times of the last page that are believed.
    times: CloseTimes,
    /// Ledgers older than wanted. A few of them confirm that the wanted time was reached.
    old: BTreeSet<u32>,
}

impl DescendingRead<'_> {
    /// Reads a stretch. Returns the numbers of stored trades.
    pub(super) async fn read(&self, stretch: Stretch) -> Result<CommittedSummary, HistoryError> {
        let mut state = ReadState::new(stretch);
        if let Some(to) = stretch.to {
            (state.place, state.is_below_held) = self.place_above(to).await?;
        }
        let read = self.read_pages(&mut state).await;
        // Pages after the last batch, which held nothing to write.
        self.step(&mut state).done();
        read
    }

    /// Place above a stretch: the next held trade, which shows that the server is not behind. Also returns true if the ledger
    /// above the stretch is held.
    async fn place_above(&self, to: u32) -> Result<(Place, bool), HistoryError> {
        let database = &self.deps.writer.database;
        let held = self.deps.held().await?.into_iter().find(|held| to.checked_add(1) == Some(held.from));
        let Some(held) = held else { return Ok((Place::Position(above(to)), false)) };
        let trade = database.oldest_held_between(above(to), above(held.to)).await?;
        Ok((trade.map_or(Place::Position(above(to)), |(trade, _)| Place::Trade(trade)), true))
    }

    /// Reads the page below a place.
    async fn page_below(&self, place: Place, state: &ReadState) -> Result<Page, HistoryError> {
        let horizon = self.horizon.caused_by(&state.trace);
        if let Some(page) = page::read(&horizon, place).await? {
            return Ok(page);
        }
        // A held trade that Horizon does not have must not hold up history for ever.
        let latest = self.deps.history(self.horizon, self.upstream).await?.latest;
        let to = place.cursor().map_or(latest, PagingToken::ledger);
        let page = match place.cursor().filter(|_| latest.saturating_sub(to) > BEHIND_LEDGERS_MAX) {
            Some(cursor) => page::read(&horizon, Place::Position(cursor)).await?,
            None => None,
        };
        page.ok_or_else(|| HorizonError::Unreadable("no page reaches up to the trade above it".into()).into())
    }

    async fn read_pages(&self, state: &mut ReadState) -> Result<CommittedSummary, HistoryError> {
        let mut sum = CommittedSummary::default();
        let mut pages = 0;
        while pages < self.pages_max || (!state.has_complete_ledger() && pages < LEDGER_PAGES_MAX) {
            pages += 1;
            self.context.advance();
            match self.page_below(state.place, state).await {
                Ok(page) => {
                    let (page, intake) = self.weighed(page, state).await?;
                    let end = self.end_of(&page, state).await?;
                    self.collect(page, end.and_then(Result::ok), &intake, state);
                    if let Some(Err(doubt)) = end {
                        self.write(state, &mut sum).await?;
                        return Err(HistoryError::End(doubt));
                    }
                }
                Err(HistoryError::Horizon(error)) if error.is_before_history() => {
                    self.write(state, &mut sum).await?;
                    return Err(HistoryError::BeforeHistory);
                }
                Err(error) => {
                    // Earlier pages are valid, so they are stored.
                    self.write(state, &mut sum).await?;
                    return Err(error);
                }
            }
            if state.is_done || state.is_due() {
                self.write(state, &mut sum).await?;
            }
            if state.is_done {
                return Ok(sum);
            }
        }
        self.write(state, &mut sum).await?;
        Ok(sum)
    }

    /// Weighs the close times of a page against each other. Reads on if the lowest ones cannot be judged without those
    /// below. Returns the page, and the rules for its trades.
    async fn weighed(&self, mut page: Page, state: &mut ReadState) -> Result<(Page, Intake), HistoryError> {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let mut more = 0;
        loop {
            let history = self.deps.history(self.horizon, self.upstream).await?;
            let intake = Intake {
                source: "pages",
                ceiling: history.ceiling(),
                latest_time: history.time(),
                retention_days: self.deps.retention_days,
            };
            let times = page.times().filter(|(ledger, at)| intake.is_possible(*ledger, *at, now));
            let weighed = CloseTimes::check(&state.times, times);
            if weighed.undecided_from().is_none() || page.is_last || more == PAGES_AHEAD_MAX {
                state.times = weighed;
                return Ok((page, intake));
            }
            more += 1;
            self.context.advance();
            let place = page.next_place().unwrap_or(state.place);
            page.join(self.page_below(place, state).await?);
        }
    }

    /// Returns Horizon's oldest ledger if the page claims that nothing lies below it, or the reason to doubt that
    /// claim. Returns none if the page makes no such claim.
    async fn end_of(
        &self,
        page: &Page,
        state: &ReadState,
    ) -> Result<Option<Result<u32, HistoryEndError>>, HistoryError> {
        let reaches_below = page.lowest().is_some_and(|lowest| lowest.ledger() < state.stretch.from);
        if !page.is_last || reaches_below {
            return Ok(None); // ledgers below the stretch are held, or part of another stretch
        }
        let place = page.lowest().or(state.place.cursor());
        end::confirm(self.horizon, Some(&self.deps.writer.database), place).await.map(Some)
    }

    /// Collects the trades of a page. `ends_at` is Horizon's oldest ledger, if the page is the believed end of history.
    fn collect(&self, page: Page, ends_at: Option<u32>, intake: &Intake, state: &mut ReadState) {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let (lowest, next) = (page.lowest(), page.next_place());
        let from = state.stretch.from;
        for (token, received) in page.trades.into_iter().rev() {
            let (ledger, closed_at) = (token.ledger(), received.trade.closed_at);
            if state.stretch.to.is_some_and(|to| ledger > to) {
                continue; // held already
            }
            if ledger > intake.ceiling {
                // It must not pass for the newest ledger.
                if let IntakeDecision::Quarantine(entry) = intake.decide(received, now) {
                    state.quarantine.push(entry);
                }
                continue;
            }
            self.newest_seen.set(self.newest_seen.get().max(ledger));
            if let Some(closed_at) = state.times.nearest_plausible(ledger) {
                state.note_trade(ledger.min(self.top_max), closed_at);
            }
            if ledger < from {
                continue; // held already
            }
            if state.times.is_implausible(ledger, closed_at) {
                state.quarantine.push(intake.misfit(received));
                continue;
            }
            match intake.decide(received, now) {
                IntakeDecision::Store(trade) => state.trades.push(*trade),
                IntakeDecision::Quarantine(entry) => state.quarantine.push(entry),
                IntakeDecision::Skip => counter!("ticker_trades_passed_over_total").increment(1),
            }
        }
        for refused in page.refused {
            state.quarantine.push(intake.refuse(refused));
        }
        if lowest.is_some() || ends_at.is_some() {
            state.place = next.unwrap_or(state.place);
            state.note_page(lowest, ends_at);
        }
    }

    /// Step that read what the next batch holds. The requests since the last one name it as their cause.
    fn step(&self, state: &mut ReadState) -> Step {
        let trace = std::mem::replace(&mut state.trace, TraceContext::root());
        self.context.step(steps::READ_HISTORY, None).as_span(trace).began_at(state.written_at)
    }

    async fn write(&self, state: &mut ReadState, sum: &mut CommittedSummary) -> Result<(), HistoryError> {
        let covered = state.covered();
        if state.trades.is_empty() && state.quarantine.is_empty() && covered.is_none() {
            return Ok(());
        }
        let batch = TradeBatch {
            kind: self.kind,
            cursor: None,
            trades: std::mem::take(&mut state.trades),
            quarantine: std::mem::take(&mut state.quarantine),
            covered,
        };
        let mut read = self.step(state);
        read.set_subject(subjects::incoming(&batch));
        let cause = read.done();
        // A connection opened meanwhile may lead to another network: check again before storing.
        self.deps.history(self.horizon, self.upstream).await?;
        let written = self.deps.writer.write(&batch, &cause, self.context).await?;
        self.stored.set(self.stored.get().saturating_add(written.new));
        sum.new = sum.new.saturating_add(written.new);
        sum.repeats = sum.repeats.saturating_add(written.repeats);
        state.note_written(covered);
        Ok(())
    }
}

/// Position above all trades of a ledger.
fn above(ledger: u32) -> PagingToken {
    PagingToken::before_ledger(ledger.saturating_add(1))
}

impl ReadState {
    fn new(stretch: Stretch) -> Self {
        Self {
            top: None,
            place: stretch.to.map_or(Place::Top, |to| Place::Position(above(to))),
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
            stretch,
        }
    }

    /// Records a trade of this ledger, with its believed close time.
    fn note_trade(&mut self, ledger: u32, closed_at: UnixSeconds) {
        self.top.get_or_insert((ledger, closed_at));
        self.lowest_at = Some(closed_at);
    }

    /// Records that a page down to `lowest` was read. With `ends_at` it was the last: nothing lies below, down to that
    /// ledger.
    fn note_page(&mut self, lowest: Option<PagingToken>, ends_at: Option<u32>) {
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
    fn has_complete_ledger(&self) -> bool {
        self.has_reported_complete || self.covered().is_some()
    }

    fn is_due(&self) -> bool {
        self.trades.len() >= BATCH_TRADES || self.written_at.elapsed() >= BATCH_TIME
    }

    /// Ledgers that became complete since the last batch.
    fn covered(&self) -> Option<LedgerRange> {
        let top = self.top.map(|(ledger, _)| ledger);
        let to = match self.stretch.to {
            Some(to) if self.is_below_held => to,
            Some(to) => top.map_or(to, |top| top.min(to)),
            None => top?,
        };
        let at = self.lowest_at.or(self.stretch.before)?;
        let to_time = self.top.map_or(at, |(_, at)| at);
        (self.whole_from <= to).then_some(LedgerRange {
            from: self.whole_from,
            to,
            from_time: at.min(to_time),
            to_time,
        })
    }

    fn note_written(&mut self, covered: Option<LedgerRange>) {
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

    fn incoming() -> IncomingTrade {
        let received = page::tests::received(20, 0);
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
