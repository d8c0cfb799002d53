//! Reading of one stretch of history from new to old, page by page, with a commit per batch. Each batch names the
//! ledgers that are complete, so that a stop at any moment loses at most the reading of one batch.

use std::{cell::Cell, rc::Rc};

use metrics::counter;

use super::{
    Backfill, SharedByLoops, end,
    history_error::{HistoryEndError, HistoryError},
    holes::{self, Pause},
    page::{self, AskedPage, Page, Place},
    plan::Stretch,
    read_state::{ReadState, above},
};
use crate::{
    actors::{
        intake::{Intake, IntakeDecision},
        network_check::History,
        subjects,
        trace::{context::TraceContext, step::Step},
        trade_writer::CommittedSummary,
        worker::WorkContext,
    },
    db::trades::{BatchKind, TradeBatch},
    domain::{close_times::CloseTimes, cursor::PagingToken, instant::UnixSeconds},
    horizon::{HorizonClient, wire::ReceivedTrade},
    steps,
};

/// Most pages of one ledger: 200,000 trades.
pub(super) const LEDGER_PAGES_MAX: u32 = 1_000;
/// Pages read ahead if the close times at the end of one cannot be judged. With 200 trades each they hold a few
/// ledgers, unless these are very large. After that many, the close times are accepted as they are.
const PAGES_AHEAD_MAX: u32 = 3;

/// Ledgers below the newest one from which on a held trade may be passed over that no page has, after many attempts.
const BEHIND_LEDGERS_MAX: u32 = 100;
/// Held trades above such a trade, one of which a page must have. Several in a row may be false.
const NEXT_HELD_MAX: u32 = 3;
/// Attempts for each of them. If all fail, history is tried again later.
const NEXT_HELD_ATTEMPTS: u32 = 4;

/// Dependencies and limits of reading stretches.
pub(super) struct DescendingRead<'a> {
    pub(super) deps: &'a Backfill,
    /// Client with the budget class of this read.
    pub(super) horizon: &'a HorizonClient,
    pub(super) shared: &'a SharedByLoops,
    pub(super) context: &'a WorkContext,
    pub(super) kind: BatchKind,
    /// Highest ledger that may be reported as complete, whatever a page holds.
    pub(super) top_max: u32,
    /// Highest ledger of a trade that was read.
    pub(super) newest_seen: Cell<u32>,
    /// True if a page of the gap fails again and again. Then smaller pages are tried: only one record may be bad.
    pub(super) is_around_a_failure: bool,
    /// Most pages to read. The newest ledger is read to its end even beyond that.
    pub(super) pages_max: u32,
    /// Trades stored that were not there before. Shared with the progress.
    pub(super) stored: Rc<Cell<u64>>,
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

    /// Place above a stretch: the next held trade, which shows that the server is not behind. Also returns true
    /// if the ledger above the stretch is held.
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
        let asked = AskedPage { limit: state.limit, ..AskedPage::default() };
        if let Some(page) = page::read(&horizon, place, asked).await? {
            return Ok(page);
        }
        // A held trade that Horizon does not have must not hold up history for ever.
        let latest = self.deps.history(&horizon, self.shared).await?.known();
        let to = place.cursor().map_or(latest, PagingToken::ledger);
        let page = match place.cursor().filter(|_| latest.saturating_sub(to) > BEHIND_LEDGERS_MAX) {
            Some(missing) => self.page_past(&horizon, missing).await?,
            None => None,
        };
        page.ok_or(HistoryError::Unreached)
    }

    /// Reads the page below a held trade that Horizon seems to lack. A page that holds one of the next held trades
    /// above shows that the server is not behind, and what lies below. The root cannot show that: another server may
    /// have given it.
    async fn page_past(
        &self,
        horizon: &HorizonClient,
        missing: PagingToken,
    ) -> Result<Option<Page>, HistoryError> {
        let mut above = missing;
        for _ in 0..NEXT_HELD_MAX {
            let next = self.deps.writer.database.oldest_held_between(above.next(), PagingToken::LAST).await?;
            let Some((next, _)) = next else { return Ok(None) };
            let asked = AskedPage { attempts: NEXT_HELD_ATTEMPTS, ..AskedPage::default() };
            let page = page::read(horizon, Place::Trade(next), asked).await?;
            if let Some(mut page) = page.filter(|page| page.reaches_below(missing)) {
                page.keep_below(missing);
                return Ok(Some(page));
            }
            above = next;
        }
        Ok(None)
    }

    async fn read_pages(&self, state: &mut ReadState) -> Result<CommittedSummary, HistoryError> {
        let mut sum = CommittedSummary::default();
        let mut pages = 0;
        while pages < self.pages_max || (!state.has_complete_ledger() && pages < LEDGER_PAGES_MAX) {
            pages += 1;
            self.context.advance();
            let ended = match self.read_page(state).await {
                Err(HistoryError::Horizon(error)) if error.is_before_history() => {
                    Err(HistoryError::BeforeHistory)
                }
                ended => ended,
            };
            // Whatever ended the reading, earlier pages are valid.
            if ended.is_err() || state.is_done || state.is_due() {
                self.write(state, &mut sum).await?;
            }
            ended?;
            if state.is_done {
                return Ok(sum);
            }
        }
        self.write(state, &mut sum).await?;
        Ok(sum)
    }

    /// Reads the next page and collects it. After an error, what was valid of it is collected.
    async fn read_page(&self, state: &mut ReadState) -> Result<(), HistoryError> {
        let page = loop {
            match self.page_below(state.place, state).await {
                Err(error) if self.is_around_a_failure && error.is_of_a_page() && state.shrink_page() => {}
                read => break read?,
            }
        };
        state.grow_page();
        let (mut page, intake) = self.weighed(page, state).await?;
        if let Some(hole) = self.hole_in(&page, state).await? {
            page.keep_from(hole.above);
            if !page.trades.is_empty() {
                self.collect(page, None, &intake, state);
            }
            return Err(HistoryError::Hole(hole.middle));
        }
        let end = self.end_of(&page, state).await?;
        self.collect(page, end.and_then(Result::ok), &intake, state);
        match end {
            Some(Err(doubt)) => Err(HistoryError::End(doubt)),
            _ => Ok(()),
        }
    }

    /// Returns the newest pause on a page, or directly above it, in which Horizon lacks a ledger.
    async fn hole_in(&self, page: &Page, state: &ReadState) -> Result<Option<Pause>, HistoryError> {
        let is_known = state.is_below_held || state.has_read();
        let above = state.place.cursor().zip(state.time_above()).filter(|_| is_known);
        let on_page = page.trades.keys().rev();
        let trades = on_page.filter_map(|token| {
            state.times.nearest_plausible(token.ledger()).map(|closed_at| (*token, closed_at))
        });
        let trades: Vec<_> = above.into_iter().chain(trades).collect();
        let stretch = &state.stretch;
        let pauses = holes::pauses(&trades, stretch.from, stretch.to.unwrap_or(u32::MAX));
        let horizon = self.horizon.caused_by(&state.trace);
        holes::first_hole(&horizon, &pauses).await
    }

    /// Weighs the close times of a page against each other. Reads on if the lowest ones cannot be judged without those
    /// below. Returns the page, and the rules for its trades.
    async fn weighed(&self, mut page: Page, state: &mut ReadState) -> Result<(Page, Intake), HistoryError> {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let mut more = 0;
        loop {
            let history = self.history_of(&page, state).await?;
            let intake = Intake {
                source: "pages",
                // Held ledgers above the stretch show that its ledgers exist.
                ceiling: history.ceiling().max(state.stretch.to.unwrap_or(0)),
                latest_time: history.time(),
                newest_at: history.newest_at(),
                retention_days: self.deps.retention_days,
            };
            let late = page.times().find(|(_, at)| intake.is_ahead_of_a_slow_clock(*at, now));
            if let Some((_, closed_at)) = late {
                return Err(HistoryError::SlowClock(closed_at.to_rfc3339()));
            }
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

    /// Returns Horizon's history, which is looked at again if a record of the page is above all ledgers that can exist.
    /// If most of the page is, its server is far ahead of the root's.
    async fn history_of(&self, page: &Page, state: &ReadState) -> Result<History, HistoryError> {
        let horizon = self.horizon.caused_by(&state.trace);
        let history = self.deps.history(&horizon, self.shared).await?;
        let ledgers = || page.trades.keys().rev().map(|token| token.ledger());
        let refused = page.refused.iter().filter_map(|refused| refused.token).map(PagingToken::ledger);
        let top = ledgers().next().into_iter().chain(refused).max();
        let Some(top) = top.filter(|top| *top > history.ceiling()) else { return Ok(history) };
        let mut history = self.deps.network_check.reaching(history, top, &horizon).await?;
        history.raise(ledgers());
        self.shared.history.set(Some(history));
        Ok(history)
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
        let horizon = self.horizon.caused_by(&state.trace);
        end::confirm(&horizon, Some(&self.deps.writer.database), place).await.map(Some)
    }

    /// Collects the trades of a page. `ends_at` is Horizon's oldest ledger, if the page is the believed end of history.
    fn collect(&self, page: Page, ends_at: Option<u32>, intake: &Intake, state: &mut ReadState) {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let (lowest, next) = (page.lowest(), page.next_place());
        let from = state.stretch.from;
        for (token, received) in page.trades.into_iter().rev() {
            let ledger = token.ledger();
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
            // Ledgers below the stretch are held already.
            if ledger >= from && !Self::take(received, intake, now, state) {
                continue; // what is refused proves no ledger
            }
            self.newest_seen.set(self.newest_seen.get().max(ledger));
            if let Some(closed_at) = state.times.nearest_plausible(ledger) {
                state.note_trade(ledger.min(self.top_max), closed_at);
            }
        }
        // The database puts a trade into quarantine whose position another one of its batch or of a row has.
        for double in page.doubles {
            let ledger = double.trade.token.ledger();
            if ledger >= from && state.stretch.to.is_none_or(|to| ledger <= to) {
                Self::take(double, intake, now, state);
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

    /// Adds a trade to the next batch, or skips it. Returns false if it goes to quarantine.
    fn take(received: ReceivedTrade, intake: &Intake, now: UnixSeconds, state: &mut ReadState) -> bool {
        if state.times.is_implausible(received.trade.token.ledger(), received.trade.closed_at) {
            state.quarantine.push(intake.misfit(received));
            return false;
        }
        let ledger = received.trade.token.ledger();
        match intake.decide(received, now) {
            IntakeDecision::Store(trade) => {
                state.note_kept(ledger);
                state.trades.push(*trade);
            }
            IntakeDecision::Quarantine(entry) => {
                state.quarantine.push(entry);
                return false;
            }
            IntakeDecision::Skip => {
                counter!("ticker_trades_passed_over_total").increment(1);
                state.note_skipped(ledger, intake.oldest_kept(now));
            }
        }
        true
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
        self.deps.history(&self.horizon.caused_by(&cause), self.shared).await?;
        let written = self.deps.writer.write(&batch, &cause, self.context).await?;
        self.stored.set(self.stored.get().saturating_add(written.new));
        sum.new = sum.new.saturating_add(written.new);
        sum.repeats = sum.repeats.saturating_add(written.repeats);
        state.note_written(covered);
        Ok(())
    }
}
