//! Filling of history from the lake. What the lake lacks is left to Horizon's pages.

use std::{cell::Cell, time::Instant};

use tracing::warn;

use super::{
    Backfill, HistoryError, SharedByLoops,
    lake_given_up::LakeFilling,
    lake_read::{LakeRead, LakeStretch},
    left_to_horizon::LeftToHorizon,
    progress::{Progress, WantedHistory},
};
use crate::{
    actors::{
        intake,
        lake_reader::LakeReader,
        worker::{TICK, WorkContext},
    },
    db::trades::BatchKind,
    domain::{
        coverage::{self, LedgerRange, Missing},
        instant::{DAY, HOUR, UnixSeconds},
    },
    lake::FIRST_LEDGER,
    outbound::retry::Retry,
    published::LakeUse,
};

/// Ledgers of a stretch until the missing ledgers are determined again, since newer ones may be missing by then.
const ROUND_LEDGERS: u32 = 2_000;

/// State of the rounds that fill history from the lake. The loop that fills owns it.
#[derive(Default)]
pub(super) struct LakeRound {
    /// Progress of filling.
    pub(super) progress: Progress,
    /// Knowledge of the lake from earlier rounds.
    filling: LakeFilling,
}

/// Missing ledgers by the source that they are read from, the newest first.
pub(super) struct MissingLedgers {
    /// Those that the lake is asked for.
    of_lake: Vec<Missing>,
    /// Those that Horizon's pages are read for.
    pub(super) of_horizon: Vec<Missing>,
    /// Limits of the wanted history.
    wanted: WantedHistory,
    /// True if nothing of the last 24 hours is missing. The callers report it to the budget.
    pub(super) is_day_complete: bool,
}

impl Backfill {
    /// Keeps the tail and fills history from the lake, and leaves to Horizon what the lake lacks.
    pub(super) async fn run_with_lake(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        tokio::join!(
            self.watch_lake_tail(reader, context, shared),
            self.fill_from_lake_forever(reader, context, shared),
            self.fill_left_forever(context, shared),
            self.reread_forever(context, shared)
        );
    }

    async fn fill_from_lake_forever(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        let (mut retry, mut round) = (Retry::default(), LakeRound::default());
        loop {
            if !self.may_fill(context, shared).await {
                continue;
            }
            match self.fill_from_lake(reader, context, shared, &mut round).await {
                Ok(is_whole) => {
                    self.filled(is_whole, &mut retry, context, shared).await;
                }
                Err(error) => {
                    shared.note_failed_fill();
                    self.wait_after(&error, &mut retry, context, shared).await;
                }
            }
        }
    }

    /// Reads missing ledgers from the lake, those of the last 24 hours first. Returns true if it has none that is
    /// missing.
    pub(super) async fn fill_from_lake(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
        LakeRound { progress, filling }: &mut LakeRound,
    ) -> Result<bool, HistoryError> {
        let held = self.held().await?;
        let MissingLedgers { of_lake, of_horizon, wanted, is_day_complete } =
            self.missing_with_lake(&held, shared, shared.oldest_of_horizon());
        self.horizon.limiter().set_day_complete(is_day_complete);
        let Some(gap) = of_lake.first() else {
            reader.reports.note_answer(LakeUse::History); // no reading would end an outage
            if self.read_unconfirmed_again(reader, shared, &mut filling.hash_turns).await? {
                return Ok(false);
            }
            if of_horizon.is_empty() {
                self.publish_done(&held);
                self.publish_unread(&held, shared.oldest_of_horizon(), wanted.all, None);
                *progress = Progress::default();
            }
            return Ok(true);
        };
        self.status.set_state("filling");
        progress.begin(&held, wanted, false);
        let stretch = LakeStretch {
            from: gap.from.max(gap.to.saturating_sub(ROUND_LEDGERS - 1)),
            to: gap.to,
            floor: gap.from,
            since: gap.since,
        };
        let read = LakeRead {
            deps: self,
            reader,
            context,
            shared,
            kind: BatchKind::Backfill,
            stored: progress.stored(),
            found: Cell::default(),
        };
        let outcome = {
            let mut reading = std::pin::pin!(read.read(stretch, &mut filling.confirmed));
            let stored = progress.stored().get();
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    outcome = &mut reading => break outcome,
                    _ = tick.tick() => {
                        shared.note_stored(progress.stored().get() > stored);
                        self.publish_progress(progress).await?;
                    }
                }
            }
        };
        self.publish_progress(progress).await?;
        let found = read.found.get();
        // Leaving ledgers to Horizon is progress too: a lake may have many bad objects.
        if self.leave_what_is_given_up(reader, shared, filling, stretch, &outcome, found).await {
            if let Err(error) = outcome {
                warn!(%error, from = stretch.from, to = stretch.to, "the lake does not give these ledgers");
            }
            return Ok(false);
        }
        outcome.map(|()| false)
    }

    /// Missing ledgers by source, if this is Horizon's oldest ledger. Those of the last 24 hours come first.
    pub(super) fn missing_with_lake(
        &self,
        held: &[LedgerRange],
        shared: &SharedByLoops,
        oldest_of_horizon: u32,
    ) -> MissingLedgers {
        let now = UnixSeconds::from(self.writer.clock.now());
        let all = now.minus(self.hours.saturating_mul(HOUR));
        let wanted = WantedHistory { floor: FIRST_LEDGER, day: now.minus(DAY).max(all), all };
        let oldest_kept = intake::oldest_kept(held.last().map(|last| last.to_time), now, self.retention_days);
        MissingLedgers::of(held, wanted, oldest_kept, &mut shared.left.borrow_mut(), oldest_of_horizon)
    }
}

impl MissingLedgers {
    /// Splits the ledgers that `held` lacks by their source. While the lake must deliver ledgers of the last 24
    /// hours, older ones are not listed.
    fn of(
        held: &[LedgerRange],
        wanted: WantedHistory,
        oldest_kept: UnixSeconds,
        left: &mut LeftToHorizon,
        oldest_of_horizon: u32,
    ) -> Self {
        let WantedHistory { floor, day, all } = wanted;
        let of_day = coverage::missing(held, floor, day, day, oldest_kept);
        let (mut of_lake, mut of_horizon) = by_source(&of_day, left, oldest_of_horizon);
        // Ledgers of the day that only Horizon is asked for, or that nobody has, must not hold
        // up older ones of the lake.
        if of_lake.is_empty() {
            // Gaps between held ledgers are filled back to the oldest trade that is kept.
            let missing = coverage::missing(held, floor, all, oldest_kept, oldest_kept);
            (of_lake, of_horizon) = by_source(&missing, left, oldest_of_horizon);
        }
        let is_day_complete = !held.is_empty() && of_day.is_empty();
        Self { of_lake, of_horizon, wanted, is_day_complete }
    }
}

/// Splits missing ledgers into those that the lake is asked for, and those that Horizon's pages are read for. Nobody
/// has what the lake lacks and what is older than `oldest`, Horizon's oldest ledger.
fn by_source(missing: &[Missing], left: &mut LeftToHorizon, oldest: u32) -> (Vec<Missing>, Vec<Missing>) {
    let (of_lake, of_horizon) = left.split(missing, Instant::now());
    let kept = of_horizon.into_iter().filter(|gap| gap.to >= oldest);
    (of_lake, kept.map(|gap| Missing { from: gap.from.max(oldest), ..gap }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(100 * DAY);
    const NEWEST: u32 = 1_000_000;

    /// Held ledgers down to `from`, which closed some hours ago.
    fn held(from: u32, hours: i64) -> LedgerRange {
        LedgerRange { from, to: NEWEST, from_time: NOW.minus(hours * HOUR), to_time: NOW }
    }

    /// Missing ledgers of seven days.
    fn missing(held: &[LedgerRange], left: &mut LeftToHorizon) -> MissingLedgers {
        let wanted = WantedHistory { floor: FIRST_LEDGER, day: NOW.minus(DAY), all: NOW.minus(7 * DAY) };
        MissingLedgers::of(held, wanted, NOW.minus(90 * DAY), left, FIRST_LEDGER)
    }

    fn gaps(missing: &[Missing]) -> Vec<(u32, u32, UnixSeconds)> {
        missing.iter().map(|gap| (gap.from, gap.to, gap.since)).collect()
    }

    #[test]
    fn the_lake_is_asked_for_the_last_day_first_and_then_for_older_ledgers() {
        let (mut left, before_day, before_all) =
            (LeftToHorizon::default(), NOW.minus(DAY), NOW.minus(7 * DAY));
        let day = missing(&[held(NEWEST, 0)], &mut left);
        assert_eq!(gaps(&day.of_lake), [(FIRST_LEDGER, NEWEST - 1, before_day)]);
        assert!(!day.is_day_complete);
        let rest = missing(&[held(900_000, 25)], &mut left);
        assert_eq!(gaps(&rest.of_lake), [(FIRST_LEDGER, 899_999, before_all)]);
        assert!(rest.is_day_complete);
        let nothing = missing(&[held(500_000, 7 * 24)], &mut left);
        assert_eq!((gaps(&nothing.of_lake), nothing.is_day_complete), (Vec::new(), true));
    }

    #[test]
    fn a_gap_of_the_last_day_comes_before_older_ledgers() {
        let below = LedgerRange { to: 950_000, to_time: NOW.minus(12 * HOUR), ..held(900_000, 25) };
        let above = held(960_000, 10);
        let gap = (950_001, 959_999, NOW.minus(90 * DAY));
        assert_eq!(gaps(&missing(&[below, above], &mut LeftToHorizon::default()).of_lake), [gap]);
    }

    #[test]
    fn ledgers_of_the_last_day_that_are_left_to_horizon_do_not_hold_up_older_ones() {
        let mut left = LeftToHorizon::default();
        left.add(950_001, 959_999, Instant::now());
        let below = LedgerRange { to: 950_000, to_time: NOW.minus(12 * HOUR), ..held(900_000, 25) };
        let found = missing(&[below, held(960_000, 10)], &mut left);
        assert_eq!(gaps(&found.of_lake), [(FIRST_LEDGER, 899_999, NOW.minus(7 * DAY))]);
        assert_eq!(gaps(&found.of_horizon), [(950_001, 959_999, NOW.minus(90 * DAY))]);
        assert!(!found.is_day_complete);
    }
}
