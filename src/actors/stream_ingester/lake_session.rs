//! New trades from the lake: one ledger, one batch, published at once.

use std::time::{Duration, Instant};

use metrics::counter;
use tracing::info;

use super::{SessionEnd, StreamIngest};
use crate::{
    actors::{
        lake_follower::{CATCH_UP_MAX, LakeFollower, LakeStep},
        lake_reader::{Collected, LakeReader},
        subjects,
        worker::{TICK, WorkContext},
    },
    db::trades::{BatchKind, CursorMove, LIVE_CURSOR, TradeBatch},
    domain::{coverage::LedgerRange, cursor::PagingToken, instant::UnixSeconds},
    lake::VerifiedLedger,
    published::LakeUse,
    steps,
};

/// Wait before the next look at an object that does not exist yet. A ledger closes every five to six seconds.
const POLL: Duration = Duration::from_millis(500);
/// Wait before RPC is asked again for its newest ledger. It often limits requests.
const RPC_POLL: Duration = Duration::from_secs(1);

/// State of following the lake that outlives a session. Each failure of the lake ends one.
#[derive(Debug)]
pub(super) struct Following {
    /// Follower of the last session; none before the first one ends.
    follower: Option<LakeFollower>,
    /// Time of the last ledger, or of the start.
    news_at: Instant,
    /// Time of the last search for the ledger to continue at.
    searched_at: Instant,
}

impl Default for Following {
    fn default() -> Self {
        let now = Instant::now();
        Self { follower: None, news_at: now, searched_at: now }
    }
}

impl Following {
    /// Takes the follower for the next session, which starts at this ledger.
    fn follower_at(&mut self, next: u32) -> LakeFollower {
        let mut follower = self.follower.take().unwrap_or_else(|| LakeFollower::at(next));
        follower.go_to(next);
        follower
    }
}

/// Session of reading new trades from the lake. A failure, the drain or the loss of the lease ends it.
pub(super) struct LakeSession<'a> {
    /// Dependencies of the stream ingester.
    deps: &'a StreamIngest,
    /// Reader of the lake.
    reader: &'a LakeReader,
    /// Frame of the actor: reports progress to the supervisor.
    context: &'a WorkContext,
    /// State that outlives the session.
    following: &'a mut Following,
    /// True if a ledger was stored.
    has_advanced: bool,
}

impl<'a> LakeSession<'a> {
    pub(super) const fn new(
        deps: &'a StreamIngest,
        reader: &'a LakeReader,
        context: &'a WorkContext,
        following: &'a mut Following,
    ) -> Self {
        Self { deps, reader, context, following, has_advanced: false }
    }

    /// True if a ledger was stored.
    pub(super) const fn has_advanced(&self) -> bool {
        self.has_advanced
    }

    /// Stores ledger after ledger as they appear.
    pub(super) async fn run(&mut self) -> SessionEnd {
        let mut follower = match self.session_start().await {
            Ok(next) => self.following.follower_at(next),
            Err(ended) => return ended,
        };
        self.deps.status.set_state("streaming");
        let ended = loop {
            if let Err(ended) = self.step(&mut follower).await {
                break ended;
            }
            if self.context.is_draining() {
                break SessionEnd::Draining;
            }
        };
        self.following.follower = Some(follower);
        ended
    }

    /// Ledger to start at: behind what is held, or the newest one if that is far away. The gap is then filled as
    /// history.
    async fn session_start(&self) -> Result<u32, SessionEnd> {
        self.deps.status.set_state("connecting");
        let held = self.deps.writer.database.coverage().await?;
        let newest = held.last().map(|newest| newest.to);
        let tip =
            self.watched(newest.map(|newest| newest.saturating_add(1)), self.reader.newest(newest)).await?;
        // An answer here ends no outage: the object that cannot be read comes next.
        let tip = tip.inspect_err(|error| self.reader.reports.note_failure(LakeUse::Recent, error))?;
        Ok(match newest {
            Some(newest) if tip.saturating_sub(newest) <= CATCH_UP_MAX => newest.saturating_add(1),
            Some(newest) => {
                info!(from = newest, to = tip, "lake is far ahead, the gap is filled as history");
                tip
            }
            None => tip,
        })
    }

    async fn step(&mut self, follower: &mut LakeFollower) -> Result<(), SessionEnd> {
        self.context.advance();
        let begun = Instant::now();
        let step = self.watched(Some(follower.next()), follower.step(self.reader)).await??;
        // A refused ledger is no news: a lake that gives only such ledgers must count as quiet.
        if matches!(step, LakeStep::Ledgers(_)) {
            self.following.news_at = Instant::now();
        }
        self.report(Some(follower.next()));
        match step {
            LakeStep::NotYet | LakeStep::Unread(_) | LakeStep::Hole { .. } => {
                if self.deps.writer.leadership.epoch().is_none() {
                    return Err(SessionEnd::NotLeading);
                }
                if self.is_quiet() && self.following.searched_at.elapsed() >= self.reader.timeouts.late {
                    self.following.searched_at = Instant::now();
                    let held =
                        self.deps.writer.database.coverage().await?.last().map_or(0, |newest| newest.to);
                    let next = Some(follower.next());
                    let searched = self.watched(next, follower.seek(self.reader, held)).await?;
                    searched.inspect_err(|error| self.reader.reports.note_failure(LakeUse::Recent, error))?;
                }
                self.context.pause(if self.reader.lake.is_rpc() { RPC_POLL } else { POLL }).await;
                Ok(())
            }
            LakeStep::Refused(refused) => {
                let entry = self.reader.reports.note_refused(&refused);
                let collected = Collected { quarantine: vec![entry], ..Collected::default() };
                self.write(collected, None, begun).await
            }
            LakeStep::Ahead(ahead) => Err(ahead.into()),
            LakeStep::InDoubt(in_doubt) => {
                self.reader.unconfirmed.uncover(&self.deps.writer, in_doubt).await?;
                follower.note_uncovered();
                Ok(())
            }
            LakeStep::Ledgers(ledgers) => {
                // One ledger, one batch: its trades are published before the next is looked at.
                for ledger in ledgers {
                    self.store(ledger, follower.is_confirmed(), begun).await?;
                    self.has_advanced = true;
                }
                if self.reader.lake.is_rpc() && !follower.is_next_announced() {
                    self.context.pause(RPC_POLL).await;
                }
                Ok(())
            }
        }
    }

    async fn store(
        &self,
        ledger: VerifiedLedger,
        is_confirmed: bool,
        begun: Instant,
    ) -> Result<(), SessionEnd> {
        let (sequence, at) = (ledger.sequence, ledger.closed_at);
        let covered = LedgerRange { from: sequence, to: sequence, from_time: at, to_time: at };
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let mut collected = Collected::default();
        collected.add(ledger, self.reader.reports.newest_at(), self.deps.retention_days, now);
        let unconfirmed = (!is_confirmed).then_some(covered);
        let writing = self.write(collected, Some(covered), begun);
        self.reader.unconfirmed.note_around(&self.deps.writer, unconfirmed, writing).await?;
        self.reader.reports.note_stored(covered, 1);
        Ok(())
    }

    /// Writes a batch. The cursor of the stream moves with it, so that a stream continues there.
    async fn write(
        &self,
        collected: Collected,
        covered: Option<LedgerRange>,
        begun: Instant,
    ) -> Result<(), SessionEnd> {
        let writer = &self.deps.writer;
        let expected = writer.database.cursor(LIVE_CURSOR).await?;
        let end = covered.map(|range| PagingToken::before_ledger(range.to.saturating_add(1)));
        let cursor = end.filter(|end| expected.is_none_or(|expected| expected < *end)).map(|to| CursorMove {
            name: LIVE_CURSOR.to_owned(),
            expected,
            to,
        });
        counter!("ticker_trades_passed_over_total").increment(collected.skipped);
        let batch = TradeBatch {
            kind: BatchKind::Live,
            cursor,
            trades: collected.trades,
            quarantine: collected.quarantine,
            covered,
        };
        let mut read = self.context.step(steps::READ_LEDGERS, None).began_at(begun);
        read.set_subject(subjects::incoming(&batch));
        writer.write(&batch, &read.done(), self.context).await?;
        Ok(())
    }

    /// True after a time without a new ledger. That is reported, and the place to go on at is searched for.
    fn is_quiet(&self) -> bool {
        self.following.news_at.elapsed() >= self.reader.timeouts.late
    }

    /// Waits for the lake. Meanwhile publishes whether it still gives ledgers, and ends if the drain begins.
    /// `next` is the ledger that is waited for.
    async fn watched<T>(&self, next: Option<u32>, reading: impl Future<Output = T>) -> Result<T, SessionEnd> {
        let mut reading = std::pin::pin!(reading);
        loop {
            match tokio::time::timeout(TICK, &mut reading).await {
                Ok(read) => return Ok(read),
                Err(_) if self.context.is_draining() => return Err(SessionEnd::Draining),
                Err(_) => {
                    self.context.advance();
                    if self.is_quiet() {
                        self.report(next);
                    }
                }
            }
        }
    }

    /// Publishes whether the lake still gives ledgers.
    fn report(&self, next: Option<u32>) {
        let writer = &self.deps.writer;
        let is_quiet = self.is_quiet();
        let (stream, now) = (&writer.published.vitals.stream, writer.clock.now());
        if is_quiet {
            let next = next.map(|next| format!(", {next} is the next")).unwrap_or_default();
            let late_s = self.reader.timeouts.late.as_secs();
            stream.fails(format!("the lake has given no ledger for {late_s} s{next}"), now);
        } else {
            stream.succeeds("reading from the lake", now);
        }
    }
}
