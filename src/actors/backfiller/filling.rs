//! Filling of history by Horizon's pages: a loop that reads what the coverage lacks, the newest first.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{
    Backfill, SharedByLoops,
    descending_read::DescendingRead,
    history_error::HistoryError,
    plan::{self, Stretch},
    progress::{Progress, WantedHistory},
};
use crate::{
    actors::{
        intake,
        worker::{TICK, WorkContext},
    },
    domain::{
        coverage::{self, LedgerRange, Missing},
        instant::{DAY, HOUR, UnixSeconds},
    },
    horizon::budget::Class,
    outbound::retry::Retry,
};

/// Interval at which filling checks whether the tail was read.
const TAIL_POLL: Duration = Duration::from_millis(100);
/// Stretches that are read concurrently if requests are not limited.
const AT_ONCE: usize = 4;
/// Interval at which gaps are looked for while nothing is missing.
pub(super) const REST: Duration = Duration::from_secs(2);
/// Parts below a gap that may fail in a row. With more, Horizon is at fault and not a place in its history.
const FAILED_PARTS_MAX: u32 = 3;
/// Failures in a row at a gap after which Horizon is asked for it only now and then.
const LASTING_AFTER: u32 = 12;
/// Wait between two attempts then.
const LASTING_WAIT: Duration = Duration::from_secs(300);
/// Failures in a row at the top of the same gap from which on what lies below is read as well.
const STUCK_AFTER: u32 = 2;

/// Outcome of the last attempt at the newest gap. The loop that fills owns it.
#[derive(Debug, Default)]
pub(super) struct NewestGap {
    /// Gap that could not be read; none if the last attempt made progress.
    stuck: Option<StuckGap>,
    /// True if the last end of history was not believed, or history has a hole.
    end_is_doubted: bool,
}

/// Gap whose newest ledgers could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StuckGap {
    /// Its last ledger.
    to: u32,
    /// Failures in a row.
    failures: u32,
}

/// Missing ledgers that Horizon's pages are read for.
struct MissingPages {
    /// The gaps, the newest first.
    missing: Vec<Missing>,
    /// True if the last 24 hours are held as far as they can be read. The loop that fills reports it to the budget.
    is_day_complete: bool,
}

/// Stretches to read now.
struct ReadPlan {
    stretches: Vec<Stretch>,
    /// Stretches that are read concurrently.
    at_once: usize,
    /// True if the newest gap cannot be read.
    is_around_a_failure: bool,
}

impl NewestGap {
    /// Returns true if the newest ledgers of this gap could not be read several times in a row.
    fn is_stuck_at(&self, gap: &Missing) -> bool {
        self.stuck.is_some_and(|stuck| stuck.to == gap.to && stuck.failures >= STUCK_AFTER)
    }

    /// Returns true if a gap has failed for so long that it may stay.
    fn is_lasting(&self) -> bool {
        self.stuck.is_some_and(|stuck| stuck.failures >= LASTING_AFTER)
    }

    /// Records how an attempt ended at the gap that was the newest one at its beginning.
    fn note(&mut self, gap: &Missing, failure: Option<&HistoryError>) {
        let is_of_a_place = failure.is_some_and(HistoryError::is_of_a_place);
        let before = self.stuck.filter(|stuck| stuck.to == gap.to).map_or(0, |stuck| stuck.failures);
        let stuck = StuckGap { to: gap.to, failures: before.saturating_add(1) };
        self.stuck = is_of_a_place.then_some(stuck);
        self.end_is_doubted = failure.is_some_and(HistoryError::is_doubt);
    }
}

impl Backfill {
    /// Returns true if this replica leads and the newest ledgers are read. Otherwise waits a little.
    pub(super) async fn may_fill(&self, context: &WorkContext, shared: &SharedByLoops) -> bool {
        context.advance();
        if self.writer.leadership.epoch_within(TICK).await.is_none() {
            self.status.set_state("following");
            shared.failed_fills.set(0); // another replica fills
            return false;
        }
        if !shared.tail_is_read.get() {
            context.pause(TAIL_POLL).await;
            return false;
        }
        true
    }

    pub(super) async fn fill_forever(&self, context: &WorkContext, shared: &SharedByLoops) {
        let (mut retry, mut progress) = (Retry::default(), Progress::default());
        let mut newest_gap = NewestGap::default();
        loop {
            if !self.may_fill(context, shared).await {
                continue;
            }
            match self.fill(context, shared, &mut progress, &mut newest_gap).await {
                Ok(is_whole) => {
                    self.filled(is_whole, &mut retry, context, shared).await;
                }
                Err(error) => {
                    if shared.failed_fills.get() == 0 {
                        retry.reset(); // some of it was stored
                    }
                    shared.note_failed_fill();
                    self.wait_after(&error, &mut retry, context, shared).await;
                    if newest_gap.is_lasting() && shared.failed_fills.get() > 0 {
                        context.pause(LASTING_WAIT).await;
                    }
                }
            }
        }
    }

    /// After a successful attempt to fill, rests if nothing was missing.
    pub(super) async fn filled(
        &self,
        is_whole: bool,
        retry: &mut Retry,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        shared.failed_fills.set(0);
        if is_whole {
            self.status.set_state("whole");
            context.pause(REST).await;
        } else {
            retry.reset();
        }
    }

    /// Reads missing ledgers, those of the last 24 hours first. Returns true if none was missing.
    pub(super) async fn fill(
        &self,
        context: &WorkContext,
        shared: &SharedByLoops,
        progress: &mut Progress,
        newest_gap: &mut NewestGap,
    ) -> Result<bool, HistoryError> {
        let history = self.history(&self.horizon.of_class(Class::Live), shared).await?;
        // The coverage may be empty then, and looks whole until the newest ledgers are read again.
        if self.confirms_nothing() && !self.uncover_unconfirmed(history.elder).await?.is_empty() {
            return Ok(false);
        }
        let held = self.held().await?;
        let now = UnixSeconds::from(self.writer.clock.now());
        let (day, all) = (now.minus(DAY), now.minus(self.hours.saturating_mul(HOUR)));
        let wanted = WantedHistory { floor: history.elder.max(1), day: day.max(all), all };
        let oldest_kept = intake::oldest_kept(history.newest_at(), now, self.retention_days);
        let MissingPages { missing, is_day_complete } = missing_pages(&held, wanted, oldest_kept, newest_gap);
        self.horizon.limiter().set_day_complete(is_day_complete);
        self.publish_unread(&held, wanted.floor, all, missing.last().filter(|_| newest_gap.end_is_doubted));
        let Some(newest) = missing.first() else {
            if self.uncover_unconfirmed_below_chain(&history).await? {
                return Ok(false);
            }
            self.publish_done(&held);
            *progress = Progress::default();
            return Ok(true);
        };
        self.status.set_state("filling");
        progress.begin(&held, wanted, self.is_limited);
        let plan = self.plan(&missing, &held, newest_gap.is_stuck_at(newest));
        let failure = self.read_stretches(plan, context, shared, progress).await?;
        newest_gap.note(newest, failure.as_ref());
        if newest_gap.end_is_doubted {
            // Publish the gap now, not only at the next attempt.
            let held = self.held().await?;
            let MissingPages { missing, .. } = missing_pages(&held, wanted, oldest_kept, newest_gap);
            self.publish_unread(&held, wanted.floor, all, missing.last());
        }
        failure.map_or(Ok(false), Err)
    }

    /// Chooses what to read now.
    fn plan(&self, missing: &[Missing], held: &[LedgerRange], is_around_a_failure: bool) -> ReadPlan {
        let at_once = if self.is_limited { 1 } else { AT_ONCE };
        let stretches = if is_around_a_failure {
            plan::around_failures(missing, held)
        } else {
            plan::stretches(missing, held, at_once)
        };
        ReadPlan { stretches, at_once, is_around_a_failure }
    }

    /// Reads stretches, and publishes the progress meanwhile. An error ends one stretch; returns the first one. Around
    /// a failure, an error that is not of one place ends all, and so do some failures in a row that stored nothing.
    async fn read_stretches(
        &self,
        ReadPlan { stretches, at_once, is_around_a_failure }: ReadPlan,
        context: &WorkContext,
        shared: &SharedByLoops,
        progress: &mut Progress,
    ) -> Result<Option<HistoryError>, HistoryError> {
        let waiting = progress.wait_callback(context.heartbeat());
        let horizon = self.horizon.of_class(Class::History).while_waiting(waiting);
        let descending_read = DescendingRead {
            stored: progress.stored(),
            is_around_a_failure,
            ..self.descending_read(&horizon, context, shared)
        };
        let mut reads =
            stream::iter(stretches).map(|stretch| descending_read.read(stretch)).buffer_unordered(at_once);
        let (mut failure, stored) = (None, progress.stored().get());
        let (mut in_a_row, mut stored_before) = (0_u32, stored);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                read = reads.next() => match read {
                    None => break,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let now_stored = progress.stored().get();
                        in_a_row = if now_stored > stored_before { 1 } else { in_a_row.saturating_add(1) };
                        stored_before = now_stored;
                        let is_over = !error.is_of_a_place() || in_a_row >= FAILED_PARTS_MAX;
                        failure.get_or_insert(error);
                        if is_around_a_failure && is_over {
                            break;
                        }
                    }
                },
                _ = tick.tick() => {
                    shared.note_stored(progress.stored().get() > stored);
                    self.publish_progress(progress).await?;
                }
            }
        }
        drop(reads);
        shared.note_stored(progress.stored().get() > stored);
        self.publish_progress(progress).await?;
        Ok(failure)
    }
}

/// Returns the missing ledgers of the last 24 hours. Older ones count only once those are held, or the newest gap
/// cannot be read.
fn missing_pages(
    held: &[LedgerRange],
    wanted: WantedHistory,
    oldest_kept: UnixSeconds,
    newest_gap: &NewestGap,
) -> MissingPages {
    let WantedHistory { floor, day, all } = wanted;
    let of_day = coverage::missing(held, floor, day, day, oldest_kept);
    let is_day_complete =
        !held.is_empty() && of_day.first().is_none_or(|newest| newest_gap.is_stuck_at(newest));
    // Gaps between held ledgers are filled back to the oldest trade that is kept.
    let missing =
        if is_day_complete { coverage::missing(held, floor, all, oldest_kept, oldest_kept) } else { of_day };
    MissingPages { missing, is_day_complete }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::horizon::HorizonError;

    fn gap(to: u32) -> Missing {
        Missing { from: 1, to, before: UnixSeconds(0), since: UnixSeconds(0) }
    }

    #[test]
    fn a_gap_is_stuck_after_two_failures_at_its_top_and_no_longer_once_it_is_read() {
        let mut newest_gap = NewestGap::default();
        let failed = |status| HistoryError::Horizon(HorizonError::Status { status, retry_after: None });
        let mut after = |to, error: Option<HistoryError>| {
            newest_gap.note(&gap(to), error.as_ref());
            (newest_gap.is_stuck_at(&gap(90)), newest_gap.is_stuck_at(&gap(80)))
        };
        assert_eq!(after(90, Some(failed(504))), (false, false));
        assert_eq!(after(80, Some(failed(504))), (false, false), "the first attempt made progress");
        assert_eq!(after(80, Some(HistoryError::Hole(7))), (false, true));
        assert_eq!(after(80, Some(HistoryError::BeforeHistory)), (false, false), "not of this place");
        assert_eq!(after(80, Some(failed(500))), (false, false));
        assert_eq!(after(80, Some(failed(500))), (false, true));
        assert_eq!(after(80, None), (false, false));
    }
}
