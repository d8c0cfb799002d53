//! Newest ledgers with history from a lake: read from the lake, and by pages while it falls short.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{Backfill, HistoryError, SharedByLoops, lake_lateness::Lateness};
use crate::{
    actors::{
        lake_follower::{CATCH_UP_MAX, LakeFollower, LakeStep},
        lake_reader::{Collected, LakeReader},
        subjects,
        worker::{TICK, WorkContext},
    },
    db::trades::{BatchKind, TradeBatch},
    domain::{coverage::LedgerRange, instant::UnixSeconds},
    lake::{LakeError, VerifiedLedger},
    outbound::retry::Retry,
    published::LakeUse,
    steps,
};

/// Interval at which the lake is asked for its newest ledger.
const LAKE_TAIL_INTERVAL: Duration = Duration::from_secs(2);

/// Follower that reads the newest ledgers; none before the first reading, and while another replica leads.
#[derive(Debug, Default)]
pub(super) struct LakeTail(RefCell<Option<LakeFollower>>);

impl Backfill {
    /// Keeps the newest ledgers, those of the lake as long as it gives them.
    pub(super) async fn watch_lake_tail(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        let (mut lake_retry, mut pages_retry) = (Retry::default(), Retry::default());
        let (mut tail, mut fell_short, mut lateness) = (LakeTail::default(), false, Lateness::default());
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                // Another replica reads the lake now.
                reader.reports.forget();
                (tail, fell_short, lateness) = (LakeTail::default(), false, Lateness::default());
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
            let falls_short = self.falls_short(reader, shared, &mut lateness).await;
            if falls_short != fell_short && self.is_live_from_lake {
                log_source(falls_short);
            }
            fell_short = falls_short;
            let is_out = self.is_lake_out_for(LakeUse::Recent, reader.timeouts.given_up);
            if !is_out {
                // A lake that stays late or contradicted has answered too.
                shared.left.borrow_mut().end_outage();
            }
            if !falls_short {
                if is_read {
                    self.report_tail(shared, "recent ledgers are read from the lake");
                }
                context.pause(LAKE_TAIL_INTERVAL).await;
                continue;
            }
            // A bad or late lake costs requests, but no trades.
            let read = match self.read_tail(context, shared).await {
                Ok(()) => self.cover_quiet_ledgers(context, shared).await,
                failed => failed,
            };
            let read = match read {
                // A batch of a contradicted lake may have been stored after the ledgers before it were in doubt.
                Ok(()) if is_out || reader.reports.is_contradicted() => {
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
                LakeStep::NotYet | LakeStep::Unread(_) => return Ok(()),
                LakeStep::Hole { from, to } => {
                    shared.left.borrow_mut().add_missing(from, to, Instant::now());
                    continue;
                }
                LakeStep::Ahead(ahead) => return Err(ahead.into()),
                LakeStep::InDoubt(in_doubt) => {
                    reader.unconfirmed.uncover(&self.writer, in_doubt).await?;
                    follower.note_uncovered();
                    continue;
                }
                LakeStep::Refused(refused) => {
                    shared.left.borrow_mut().add(refused.from, refused.to, Instant::now());
                    collected.quarantine.push(reader.reports.note_refused(&refused));
                    None
                }
                LakeStep::Ledgers(ledgers) => {
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
}

/// Logs where the newest ledgers come from.
fn log_source(falls_short: bool) {
    if falls_short {
        warn!("the lake gives no new ledgers, reading them from Horizon");
    } else {
        info!("the lake gives new ledgers again");
    }
}

fn range_of(ledgers: &[VerifiedLedger]) -> Option<LedgerRange> {
    let (first, last) = (ledgers.first()?, ledgers.last()?);
    Some(LedgerRange {
        from: first.sequence,
        to: last.sequence,
        from_time: first.closed_at.min(last.closed_at),
        to_time: last.closed_at,
    })
}
