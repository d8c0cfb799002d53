//! Filling of history from the lake. What the lake lacks is left to Horizon's pages.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    Backfill, HistoryError, SharedByLoops,
    lake_given_up::LakeFilling,
    lake_lateness::Lateness,
    lake_read::{LakeRead, LakeStretch},
    left_to_horizon::LeftToHorizon,
    progress::{Progress, WantedHistory},
};
use crate::{
    actors::{
        intake,
        lake_follower::{CATCH_UP_MAX, LakeFollower, Step},
        lake_reader::{Collected, LakeReader},
        subjects,
        worker::{TICK, WorkContext},
    },
    db::trades::{BatchKind, TradeBatch},
    domain::{
        coverage::{self, LedgerRange, Missing},
        instant::{DAY, HOUR, UnixSeconds},
    },
    lake::{FIRST_LEDGER, LakeError},
    outbound::retry::Retry,
    published::LakeUse,
    steps,
};

/// Ledgers of a stretch until the missing ledgers are determined again, since newer ones may be missing by then.
const ROUND_LEDGERS: u32 = 2_000;
/// Interval at which the lake is asked for its newest ledger.
const LAKE_TAIL_INTERVAL: Duration = Duration::from_secs(2);

/// Follower that reads the newest ledgers; none before the first reading, and while another replica leads.
#[derive(Debug, Default)]
pub(super) struct LakeTail(RefCell<Option<LakeFollower>>);

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

    async fn watch_lake_tail(&self, reader: &LakeReader, context: &WorkContext, shared: &SharedByLoops) {
        let (mut lake_retry, mut pages_retry) = (Retry::default(), Retry::default());
        let (tail, mut fell_short, mut lateness) = (LakeTail::default(), false, Lateness::default());
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                *tail.0.borrow_mut() = None;
                // Another replica reads the lake now: nothing here would end these.
                for reading in [LakeUse::Recent, LakeUse::History] {
                    reader.reports.note_answer(reading);
                }
                lateness.reset(reader);
                continue;
            }
            let read = if self.is_live_from_lake {
                // The stream ingester stores each ledger as complete.
                self.publish_coverage().await.map(|held| shared.tail_is_read.set(!held.is_empty()))
            } else {
                self.read_lake_tail(reader, context, shared, &tail).await
            };
            let is_read = read.is_ok();
            match read {
                Ok(()) => lake_retry.reset(),
                Err(error) => self.wait_after(&error, &mut lake_retry, context, shared).await,
            }
            let falls_short = self.falls_short(reader, shared, &mut lateness);
            if falls_short != fell_short && self.is_live_from_lake {
                log_source(falls_short);
            }
            fell_short = falls_short;
            if !falls_short {
                if is_read {
                    self.report_tail(shared, "recent ledgers are read from the lake");
                }
                shared.left.borrow_mut().end_outage();
                context.pause(LAKE_TAIL_INTERVAL).await;
                continue;
            }
            // A bad or late lake costs requests, but no trades.
            let read = match self.read_tail(context, shared).await {
                // A batch of a contradicted lake may have been stored after the ledgers before it were in doubt.
                Ok(())
                    if reader.reports.is_contradicted()
                        || self.is_lake_out_for(LakeUse::Recent, reader.timeouts.given_up) =>
                {
                    self.read_unconfirmed_from_horizon(reader, shared).await
                }
                read => read,
            };
            match read {
                Ok(()) => {
                    if is_read {
                        self.report_tail(shared, "recent ledgers are read by pages instead of from the lake");
                    }
                    pages_retry.reset();
                    context.pause(self.tail_interval()).await;
                }
                Err(error) => self.wait_after(&error, &mut pages_retry, context, shared).await,
            }
        }
    }

    /// Reads the ledgers of the lake that are newer than what is held.
    pub(super) async fn read_lake_tail(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
        tail: &LakeTail,
    ) -> Result<(), HistoryError> {
        let held = self.held().await?;
        let newest = held.last().map(|newest| newest.to);
        // The lake named a wrong newest ledger if the position is far above what is held.
        let is_near = |next: u32, newest: u32| newest < next && next - newest <= CATCH_UP_MAX;
        let position = tail.0.borrow().as_ref().map(LakeFollower::next);
        let next = match position.filter(|next| newest.is_none_or(|newest| is_near(*next, newest))) {
            Some(next) => next,
            None => {
                let begun = self.tail_start(reader, newest).await;
                begun.inspect_err(|error| reader.reports.note_failure(LakeUse::Recent, error))?
            }
        };
        let mut follower = tail.0.take().unwrap_or_else(|| LakeFollower::at(next));
        follower.go_to(next);
        let read = self.follow(reader, context, shared, &mut follower).await;
        *tail.0.borrow_mut() = Some(follower);
        read?;
        let held = self.publish_coverage().await?;
        shared.tail_is_read.set(!held.is_empty());
        Ok(())
    }

    /// Ledger that the tail starts at: behind what is held, or the newest one of the lake if that is far away. Then the
    /// gap is filled as history.
    async fn tail_start(&self, reader: &LakeReader, held: Option<u32>) -> Result<u32, LakeError> {
        if let Some(held) = held
            && !reader.lake.has_ledger(held.saturating_add(CATCH_UP_MAX)).await?
        {
            return Ok(held.saturating_add(1));
        }
        reader.newest(held).await
    }

    /// Stores the ledgers of the lake up to its newest one.
    async fn follow(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
        follower: &mut LakeFollower,
    ) -> Result<(), HistoryError> {
        loop {
            context.advance();
            let begun = Instant::now();
            let step = follower.step(reader).await?;
            let mut collected = Collected::default();
            let covered = match step {
                Step::NotYet | Step::Unread(_) => return Ok(()),
                Step::Hole { from, to } => {
                    shared.left.borrow_mut().add_missing(from, to, Instant::now());
                    continue;
                }
                Step::Ahead(ahead) => return Err(ahead.into()),
                Step::InDoubt(in_doubt) => {
                    reader.unconfirmed.uncover(&self.writer, in_doubt).await?;
                    follower.note_uncovered();
                    continue;
                }
                Step::Refused { from, to, reason, is_chain_break } => {
                    shared.left.borrow_mut().add(from, to, Instant::now());
                    collected.quarantine.push(reader.reports.note_refused(from, to, &reason, is_chain_break));
                    None
                }
                Step::Ledgers(ledgers) => {
                    let covered = range_of(&ledgers);
                    let now = UnixSeconds::from(self.writer.clock.now());
                    for ledger in ledgers {
                        collected.add(ledger, reader.reports.newest_at(), self.retention_days, now);
                    }
                    covered
                }
            };
            let unconfirmed = covered.filter(|_| !follower.is_confirmed());
            let batch = TradeBatch {
                kind: BatchKind::Repair,
                cursor: None,
                trades: collected.trades,
                quarantine: collected.quarantine,
                covered,
            };
            let mut read = context.step(steps::READ_LEDGERS, None).began_at(begun);
            read.set_subject(subjects::incoming(&batch));
            let read = read.done();
            let writing = self.writer.write(&batch, &read, context);
            reader.unconfirmed.note_around(&self.writer, unconfirmed, writing).await?;
            if let Some(covered) = covered {
                reader.reports.note_stored(covered, u64::from(covered.to - covered.from) + 1);
            }
        }
    }

    async fn fill_from_lake_forever(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        let (mut retry, mut progress) = (Retry::default(), Progress::default());
        let mut filling = LakeFilling::default();
        loop {
            if !self.may_fill(context, shared).await {
                continue;
            }
            match self.fill_from_lake(reader, context, shared, (&mut progress, &mut filling)).await {
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
        (progress, filling): (&mut Progress, &mut LakeFilling),
    ) -> Result<bool, HistoryError> {
        let held = self.held().await?;
        let (of_lake, of_horizon, wanted) = self.missing_by_source(&held, shared);
        let Some(gap) = of_lake.first() else {
            reader.reports.note_answer(LakeUse::History); // no reading would end an outage
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
            has_found: Cell::new(false),
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
        let has_found = read.has_found.get();
        // Leaving ledgers to Horizon is progress too: a lake may have many bad objects.
        if self.leave_what_is_given_up(reader, (shared, filling), stretch, &outcome, has_found).await {
            if let Err(error) = outcome {
                warn!(%error, from = stretch.from, to = stretch.to, "the lake does not give these ledgers");
            }
            return Ok(false);
        }
        outcome.map(|()| false)
    }

    /// Missing ledgers that the lake is asked for, and those that Horizon's pages are read
    /// for. Those of the last 24 hours come first.
    pub(super) fn missing_by_source(
        &self,
        held: &[LedgerRange],
        shared: &SharedByLoops,
    ) -> (Vec<Missing>, Vec<Missing>, WantedHistory) {
        self.missing_above(shared.oldest_of_horizon(), held, shared)
    }

    /// The same if `oldest` is Horizon's oldest ledger.
    pub(super) fn missing_above(
        &self,
        oldest: u32,
        held: &[LedgerRange],
        shared: &SharedByLoops,
    ) -> (Vec<Missing>, Vec<Missing>, WantedHistory) {
        let now = UnixSeconds::from(self.writer.clock.now());
        let all = now.minus(self.hours.saturating_mul(HOUR));
        let day = now.minus(DAY).max(all);
        let oldest_kept = intake::oldest_kept(held.last().map(|last| last.to_time), now, self.retention_days);
        let of_day = coverage::missing(held, FIRST_LEDGER, day, day, oldest_kept);
        self.horizon.limiter().set_day_complete(!held.is_empty() && of_day.is_empty());
        let mut left = shared.left.borrow_mut();
        let (mut of_lake, mut of_horizon) = by_source(&of_day, &mut left, oldest);
        // Ledgers of the day that only Horizon is asked for, or that nobody has, must not hold
        // up older ones of the lake.
        if of_lake.is_empty() {
            // Gaps between held ledgers are filled back to the oldest trade that is kept.
            let missing = coverage::missing(held, FIRST_LEDGER, all, oldest_kept, oldest_kept);
            (of_lake, of_horizon) = by_source(&missing, &mut left, oldest);
        }
        (of_lake, of_horizon, WantedHistory { floor: FIRST_LEDGER, day, all })
    }
}

/// Splits missing ledgers into those that the lake is asked for, and those that Horizon's pages are read for. Nobody
/// has what the lake lacks and what is older than `oldest`, Horizon's oldest ledger.
fn by_source(missing: &[Missing], left: &mut LeftToHorizon, oldest: u32) -> (Vec<Missing>, Vec<Missing>) {
    let (of_lake, of_horizon) = left.split(missing, Instant::now());
    let kept = of_horizon.into_iter().filter(|gap| gap.to >= oldest);
    (of_lake, kept.map(|gap| Missing { from: gap.from.max(oldest), ..gap }).collect())
}

/// Logs where the newest ledgers come from.
fn log_source(falls_short: bool) {
    if falls_short {
        warn!("the lake gives no new ledgers, reading them from Horizon");
    } else {
        info!("the lake gives new ledgers again");
    }
}

fn range_of(ledgers: &[crate::lake::VerifiedLedger]) -> Option<LedgerRange> {
    let (first, last) = (ledgers.first()?, ledgers.last()?);
    Some(LedgerRange {
        from: first.sequence,
        to: last.sequence,
        from_time: first.closed_at.min(last.closed_at),
        to_time: last.closed_at,
    })
}
