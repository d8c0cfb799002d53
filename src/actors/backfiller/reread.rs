//! Held ledgers, read again from their source: random ones, and those that an audit named. Missing trades are stored
//! like any repair. Rows that contradict their source stay as they are, and go to quarantine, where the operator
//! decides.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actix::{Context, Handler};
use metrics::counter;
use tracing::{info, warn};

use super::{
    Backfill, Backfiller, HistoryError, Retry, SharedByLoops, TICK, WorkContext,
    comparison::{self, ComparedWith, Comparison, Differences, SourceTrade},
    descending_read::LEDGER_PAGES_MAX,
    end,
    page::{self, AskedPage, Place},
    reread_target::{self, RereadTarget},
};
use crate::{
    actors::{
        envelope::Envelope,
        intake::{Intake, IntakeDecision},
        messages::RereadLedgers,
        subjects,
        trace::{context::TraceContext, step::Step},
        trade_writer::WriteError,
    },
    db::{
        held::HeldRows,
        trades::{BatchKind, IncomingTrade, TradeBatch},
    },
    domain::{
        close_times::CloseTimes, conversions::SaturatingFrom, coverage::LedgerRange, cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::{HorizonClient, budget::Class},
    published::Reread,
    steps,
};

/// Interval between two reads if requests are limited. The request budget may make it longer.
const REREAD_INTERVAL: Duration = Duration::from_secs(10);
/// The same interval if requests are not limited.
const REREAD_INTERVAL_UNLIMITED: Duration = Duration::from_secs(1);
/// Most wrong rows that are remembered. Beyond that, a row may count more than once.
const KNOWN_WRONG_MAX: usize = 10_000;
/// Interval at which ledgers to read again are looked for.
const REREAD_POLL: Duration = Duration::from_millis(500);

impl Handler<Envelope<RereadLedgers>> for Backfiller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<RereadLedgers>, _: &mut Context<Self>) {
        let handling = self.work.status.begin(&envelope);
        self.work.to_reread.borrow_mut().add(envelope.body.ledgers, handling.trace());
    }
}

/// Rows that contradicted their source since the start of this incarnation.
#[derive(Debug, Default)]
struct KnownWrong(BTreeSet<PagingToken>);

/// The loop that reads held ledgers again, and its state.
pub(super) struct Rereading<'a> {
    pub(super) context: &'a WorkContext,
    pub(super) shared: &'a SharedByLoops,
    known_wrong: KnownWrong,
    /// Message that named a ledger to read; none if chance chooses it.
    cause: Option<TraceContext>,
    /// Step under way, which causes the requests. It ends before a batch is written, and with the reading.
    step: Option<Step>,
}

impl Rereading<'_> {
    /// Returns the context of the step under way. Begins the step if there is none.
    pub(super) fn trace(&mut self) -> TraceContext {
        let Self { context, cause, step, .. } = self;
        step.get_or_insert_with(|| context.step(steps::READ_AGAIN, cause.as_ref())).trace()
    }

    /// Returns a client whose requests the step causes.
    pub(super) fn client(&mut self, horizon: &HorizonClient) -> HorizonClient {
        horizon.of_class(Class::Audit).caused_by(&self.trace())
    }

    /// Goes on with a target that chance chose, since the named ledger is not held. The message that named it causes
    /// nothing that follows.
    fn leave_to_chance(&mut self) {
        if self.cause.take().is_some()
            && let Some(step) = self.step.take()
        {
            step.done();
        }
    }

    /// Ends the step, if one is under way.
    fn end(&mut self, result: &Result<RereadOutcome, HistoryError>) {
        if let Some(step) = self.step.take() {
            step.ended(result);
        }
    }
}

/// Result of reading again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RereadOutcome {
    /// Nothing is held.
    NothingHeld,
    /// The chosen ledger was compared.
    Compared,
    /// Some of it cannot be compared now.
    Unreadable,
}

impl Backfill {
    /// Reads held ledgers again, in a loop.
    pub(super) async fn reread_forever(&self, context: &WorkContext, shared: &SharedByLoops) {
        let interval = if self.is_limited { REREAD_INTERVAL } else { REREAD_INTERVAL_UNLIMITED };
        let mut retry = Retry::default();
        let mut reading =
            Rereading { context, shared, known_wrong: KnownWrong::default(), cause: None, step: None };
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                self.to_reread.borrow_mut().clear(); // the leading replica has an auditor of its own
                continue;
            }
            if !shared.tail_is_read.get() {
                context.pause(REREAD_POLL).await;
                continue;
            }
            let read = self.reread(&mut reading).await;
            reading.end(&read);
            match read {
                Ok(RereadOutcome::Compared) => retry.reset(),
                Ok(RereadOutcome::NothingHeld) => context.pause(REREAD_POLL).await,
                Ok(RereadOutcome::Unreadable) => context.pause(interval).await,
                Err(error) => self.wait_after(&error, &mut retry, context, shared).await,
            }
            if self.to_reread.borrow().is_empty() {
                self.pause_unless_named(context, interval).await;
            }
        }
    }

    /// Waits for the interval, or until an audit names a ledger.
    async fn pause_unless_named(&self, context: &WorkContext, interval: Duration) {
        let mut left = interval;
        while !left.is_zero() && self.to_reread.borrow().is_empty() && !context.is_draining() {
            let step = left.min(REREAD_POLL);
            context.pause(step).await;
            left = left.saturating_sub(step);
        }
    }

    /// Reads a chosen ledger again and repairs what can be repaired.
    async fn reread(&self, reading: &mut Rereading<'_>) -> Result<RereadOutcome, HistoryError> {
        let named = self.to_reread.borrow_mut().next();
        reading.cause = named.and_then(|ledger| self.to_reread.borrow().named_by(ledger));
        let held = self.comparable(reading).await?;
        let oldest = self.writer.database.oldest_held_between(PagingToken::FIRST, PagingToken::LAST).await?;
        let with_trades = oldest.map_or(0, |(token, _)| token.ledger());
        let Some(target) = reread_target::choose(&held, named, with_trades, &mut rand::rng()) else {
            return Ok(RereadOutcome::NothingHeld);
        };
        if !target.is_named(named) {
            reading.leave_to_chance();
        }
        reading.trace();
        let compared = match target {
            // A lake proves its ledgers, and costs no request. If history does not come from it, it is also the other
            // source. What it lacks came from elsewhere.
            RereadTarget::Ledger(range, ledger) if self.reread_lake.is_some() => {
                self.compare_with_either(reading, range, ledger).await
            }
            RereadTarget::Bottom(range) if self.is_from_lake => {
                self.compare_with_either(reading, range, range.from).await
            }
            RereadTarget::Ledger(range, top) => self.compare(reading, range, top).await,
            RereadTarget::Bottom(range) => self.compare_below_trades(reading, range).await,
        };
        let outcome = match compared {
            // Horizon dropped these ledgers meanwhile. The root names its oldest one now.
            Err(HistoryError::Horizon(error)) if error.is_before_history() => {
                reading.shared.history.set(None);
                RereadOutcome::Unreadable
            }
            compared => compared?,
        };
        if let Some(ledger) = named.filter(|_| outcome == RereadOutcome::Compared) {
            self.to_reread.borrow_mut().remove(ledger);
        }
        Ok(outcome)
    }

    /// Held ledgers that can be compared: those that Horizon still has, unless history comes from the lake.
    async fn comparable(&self, reading: &mut Rereading<'_>) -> Result<Vec<LedgerRange>, HistoryError> {
        let held = self.held().await?;
        if self.is_from_lake || held.is_empty() {
            return Ok(held);
        }
        let elder = self.history(&reading.client(&self.horizon), reading.shared).await?.elder;
        Ok(reread_target::from_ledger(&held, elder))
    }

    /// Compares what lies below the oldest trade of a range. The range claims that no trade is there.
    async fn compare_below_trades(
        &self,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
    ) -> Result<RereadOutcome, HistoryError> {
        let (from, to) =
            (PagingToken::before_ledger(range.from), PagingToken::before_ledger(range.to.saturating_add(1)));
        let Some((above, _)) = self.writer.database.oldest_held_between(from, to).await? else {
            return self.compare(reading, range, range.to).await;
        };
        let comparison = self.compare_page(reading, range, above).await?;
        let is_unreadable = comparison.is_unreadable;
        self.settle(reading, range, comparison).await?;
        Ok(if is_unreadable { RereadOutcome::Unreadable } else { RereadOutcome::Compared })
    }

    /// Compares page by page from the end of ledger `top` downwards, until that ledger is completely compared. Other
    /// ledgers on its last page are compared too.
    pub(super) async fn compare(
        &self,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
        top: u32,
    ) -> Result<RereadOutcome, HistoryError> {
        let mut above = PagingToken::before_ledger(top.saturating_add(1));
        for _ in 0..LEDGER_PAGES_MAX {
            let mut comparison = self.compare_page(reading, range, above).await?;
            if !comparison.differences.surplus.is_empty() {
                // The absence of a trade is believed only if Horizon omits it twice.
                let again = self.compare_page(reading, range, above).await?.differences;
                comparison.differences.surplus.retain(|token, _| again.surplus.contains_key(token));
            }
            let (below, is_unreadable) = (comparison.below, comparison.is_unreadable);
            self.settle(reading, range, comparison).await?;
            if is_unreadable {
                return Ok(RereadOutcome::Unreadable);
            }
            if below <= PagingToken::before_ledger(top) {
                return Ok(RereadOutcome::Compared);
            }
            above = below;
        }
        Ok(RereadOutcome::Unreadable)
    }

    /// Compares the page below `above` with the rows between there and the page's lowest trade. A page omits no trade
    /// between two of its own.
    async fn compare_page(
        &self,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
        above: PagingToken,
    ) -> Result<Comparison, HistoryError> {
        let horizon = reading.client(&self.horizon);
        let history = self.history(&horizon, reading.shared).await?;
        reading.context.advance();
        // A server that is behind would seem to lack what is held.
        let end = PagingToken::before_ledger(range.to.saturating_add(1));
        let held = self.writer.database.oldest_held_between(above, end).await?;
        let place = held.map_or(Place::Position(above), |(trade, _)| Place::Trade(trade));
        let Some(page) = page::read(&horizon, place, AskedPage::default()).await? else {
            return Ok(Comparison::none(above));
        };
        reading.context.advance();
        let bottom = PagingToken::before_ledger(range.from);
        let lowest = page.lowest().unwrap_or(above);
        let end = if page.is_last && lowest > bottom {
            Some(end::confirm(&horizon, None, Some(lowest)).await?)
        } else {
            None
        };
        let below = match end {
            Some(Ok(elder)) => bottom.max(PagingToken::before_ledger(elder)),
            _ => bottom.max(lowest),
        };
        // If Horizon dropped these ledgers meanwhile, its oldest one lies above them. Then nothing is compared.
        let below = below.min(above);
        let intake = Intake {
            source: "audit",
            ceiling: history.ceiling(),
            latest_time: history.time(),
            newest_at: history.newest_at(),
            retention_days: self.retention_days,
        };
        let now = UnixSeconds::from(self.writer.clock.now());
        let possible = page.times().filter(|(ledger, at)| intake.is_possible(*ledger, *at, now));
        let times = CloseTimes::check(&CloseTimes::default(), possible);
        let is_doubtful = |ledger: u32, at: UnixSeconds| {
            times.is_implausible(ledger, at) || times.undecided_from().is_some_and(|from| ledger <= from)
        };
        let HeldRows { rows, from: below } = self.writer.database.held_between(below, above).await?;
        // A doubtful end of history says nothing about the rows held there. Neither does a server without any trade
        // below: it may be ingesting its history again.
        let is_bare = page.is_last && page.trades.is_empty() && !rows.is_empty();
        let is_doubted = is_bare || matches!(end, Some(Err(_)));
        let is_unreadable = is_doubted || !page.refused.is_empty();
        let doubled: BTreeSet<_> = page.doubles.iter().map(|double| double.trade.token).collect();
        let trades = page.trades.into_iter().filter(|(token, _)| *token >= below).map(|(token, received)| {
            // A doubtful close time is not believed, or this page alone cannot judge it. Nor can it choose between two
            // trades with one position.
            if doubled.contains(&token) || is_doubtful(token.ledger(), received.trade.closed_at) {
                return SourceTrade::Unjudged(token);
            }
            match intake.decide(received, now) {
                IntakeDecision::Store(incoming) => SourceTrade::Believed(incoming),
                IntakeDecision::Skip | IntakeDecision::Quarantine(_) => SourceTrade::Unjudged(token),
            }
        });
        Ok(Comparison {
            with: ComparedWith::Pages,
            below,
            ledgers: ledgers_between(below, above),
            is_unreadable,
            differences: Differences::of(
                rows,
                trades,
                comparison::kept_since(now, self.retention_days),
                !is_unreadable,
            ),
        })
    }

    /// Stores missing trades, quarantines contradictions and surplus rows, and publishes the counts.
    pub(super) async fn settle(
        &self,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
        comparison: Comparison,
    ) -> Result<(), HistoryError> {
        let Comparison { with, ledgers, differences, .. } = comparison;
        let counts = Reread {
            at: Some(self.writer.clock.now()),
            ledgers,
            missing: u64::saturating_from(differences.missing.len()),
            contradicting: reading
                .known_wrong
                .add(differences.contradicting.iter().map(|incoming| incoming.trade.token)),
            surplus: reading.known_wrong.add(differences.surplus.keys().copied()),
        };
        if !differences.is_empty() {
            warn!(
                missing = counts.missing,
                contradicting = differences.contradicting.len(),
                surplus = differences.surplus.len(),
                from = differences.places().min().map(|token| token.to_string()),
                to = differences.places().max().map(|token| token.to_string()),
                "held ledgers differ from their source"
            );
            let quarantine = differences.entries(with);
            let trades = differences.missing;
            let batch =
                TradeBatch { kind: BatchKind::Repair, cursor: None, trades, quarantine, covered: None };
            if with.needs_network_check() {
                self.history(&reading.client(&self.horizon), reading.shared).await?;
            }
            self.uncover_around(&batch.trades, range).await?;
            let cause = reading.trace();
            if let Some(mut read) = reading.step.take() {
                read.set_subject(subjects::incoming(&batch));
                read.done();
            }
            let written = self.writer.write(&batch, &cause, reading.context).await?;
            info!(healed = written.new, "missing trades stored");
        }
        self.publish_counts(counts);
        Ok(())
    }

    /// Marks the ledgers around missing trades as not held, from the next held trade below to the next one above: more
    /// trades may be missing there. They are then filled like any gap. This also repairs a wrongly believed end of
    /// history.
    async fn uncover_around(
        &self,
        missing: &[IncomingTrade],
        range: LedgerRange,
    ) -> Result<(), HistoryError> {
        let tokens = || missing.iter().map(|incoming| incoming.trade.token);
        let (Some(lowest), Some(highest)) = (tokens().min(), tokens().max()) else { return Ok(()) };
        let database = &self.writer.database;
        let (from, to) =
            (PagingToken::before_ledger(range.from), PagingToken::before_ledger(range.to.saturating_add(1)));
        let below = database.newest_held_between(from, lowest.max(from)).await?;
        let above = database.oldest_held_between(highest.min(to), to).await?;
        let hole = LedgerRange {
            from: below.map_or(range.from, |(token, _)| token.ledger()),
            to: above.map_or(range.to, |(token, _)| token.ledger()),
            from_time: below.map_or(range.from_time, |(_, at)| at),
            to_time: above.map_or(range.to_time, |(_, at)| at),
        };
        let epoch = self.writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
        database.uncover(epoch, hole).await?;
        warn!(from = hole.from, to = hole.to, "ledgers marked as not held, trades were missing there");
        Ok(())
    }

    /// Adds the counts of a comparison to the published ones and the metrics.
    fn publish_counts(&self, new: Reread) {
        counter!("ticker_reread_ledgers_total").increment(new.ledgers);
        for (found, count) in
            [("missing", new.missing), ("contradicting", new.contradicting), ("surplus", new.surplus)]
        {
            counter!("ticker_reread_trades_total", "found" => found).increment(count);
        }
        let published = &self.writer.published.vitals.reread;
        let before = published.load().as_deref().copied().unwrap_or_default();
        published.store(Some(Arc::new(Reread {
            at: new.at,
            ledgers: before.ledgers.saturating_add(new.ledgers),
            missing: before.missing.saturating_add(new.missing),
            contradicting: before.contradicting.saturating_add(new.contradicting),
            surplus: before.surplus.saturating_add(new.surplus),
        })));
    }
}

impl KnownWrong {
    /// Counts the rows that are found wrong for the first time since the start: they stay, and
    /// are found again and again.
    fn add(&mut self, tokens: impl Iterator<Item = PagingToken>) -> u64 {
        let is_new = |token: &PagingToken| {
            let is_new = !self.0.contains(token);
            if is_new && self.0.len() < KNOWN_WRONG_MAX {
                self.0.insert(*token);
            }
            is_new
        };
        u64::saturating_from(tokens.filter(is_new).count())
    }
}

/// Counts the ledgers that are completely compared by a comparison from `below` to `above`, if everything above was
/// compared before.
fn ledgers_between(below: PagingToken, above: PagingToken) -> u64 {
    let whole_from = |place: PagingToken| {
        place.ledger().saturating_add((place != PagingToken::before_ledger(place.ledger())).into())
    };
    u64::from(whole_from(above).saturating_sub(whole_from(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_row_counts_once_however_often_it_is_found() {
        let (mut known, token) = (KnownWrong::default(), |order| PagingToken { toid: 7, order });
        assert_eq!(known.add([token(1), token(2)].into_iter()), 2);
        assert_eq!(known.add([token(2), token(3)].into_iter()), 1);
        assert_eq!(known.add([token(1), token(3)].into_iter()), 0);
    }

    #[test]
    fn a_ledger_counts_with_the_page_that_completes_it() {
        let before = PagingToken::before_ledger;
        let within = |ledger: u32| PagingToken { order: 1, ..before(ledger) };
        assert_eq!(ledgers_between(before(10), before(12)), 2);
        assert_eq!(ledgers_between(within(10), before(12)), 1, "ledger 10 has more below");
        assert_eq!(ledgers_between(before(10), within(12)), 3, "the upper part of 12 was compared before");
        assert_eq!(ledgers_between(within(10), within(10)), 0);
    }
}
