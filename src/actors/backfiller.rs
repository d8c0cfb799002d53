//! The backfiller: history, gaps and the tail of recent ledgers, read by pages from new to old. Only while this replica
//! leads.
//!
//! What is held whole is told by the coverage and by nothing else: what it lacks is read, the newest first. So a start,
//! a gap after an outage and a trade that the stream skipped are one and the same case.

mod descending_read;
mod doubtful_ledgers;
mod draw;
mod end;
mod eta;
mod lines;
mod once;
mod page;
mod plan;
mod progress;
mod reread;
mod stop;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use metrics::counter;
use tracing::warn;

use super::{
    network_check::{self, History, Unusable},
    outage,
    supervision::status::ChildStatus,
    trade_writer::{NotWritten, TradeWriter},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    db::trades::{BatchKind, LIVE_CURSOR},
    domain::{
        coverage::{self, LedgerRange},
        cursor::PagingToken,
        instant::{DAY, HOUR, UnixSeconds},
    },
    horizon::{HorizonClient, budget::Class, retry::Retry},
};

use descending_read::DescendingRead;
use doubtful_ledgers::DoubtfulLedgers;
use plan::{Stretch, stretches};
use progress::{Progress, Wanted};
use stop::Stop;

/// How often the tail of recent ledgers is read again where requests are counted. What a stream skipped is healed
/// within a minute, also where a request fails.
const TAIL_INTERVAL: Duration = Duration::from_secs(15);
/// The same where requests cost nothing.
const TAIL_INTERVAL_UNLIMITED: Duration = Duration::from_secs(1);
/// How often it is looked whether the tail was read.
const TAIL_POLL: Duration = Duration::from_millis(100);
/// Pages of the tail at most; what lies below is history.
const TAIL_PAGES_MAX: u32 = 10;
/// The tail may be so many ledgers ahead of the stream before the root is asked which of them is right.
const TAIL_LAG_MAX: u32 = 5;
/// Pages of a stretch until it is looked again what is missing: what came up meanwhile is newer.
const ROUND_PAGES: u32 = 100;
/// Stretches read at once where requests cost nothing.
const AT_ONCE: usize = 4;
/// How often it is looked for gaps when there were none.
const REST: Duration = Duration::from_secs(2);

/// What the backfiller works with.
#[derive(Clone)]
pub struct Backfill {
    /// Where history is.
    pub horizon: HorizonClient,
    /// Where it goes.
    pub writer: TradeWriter,
    /// Which network's trades these must be.
    pub network_passphrase: String,
    /// How far back history is wanted, in hours.
    pub hours: i64,
    /// Trades older than this are passed over.
    pub retention_days: i64,
    /// Whether requests are counted: then one at a time.
    pub is_limited: bool,
    /// Whether progress is told in the log; a terminal has a bar.
    pub tells_by_log: bool,
    /// Ledgers that an audit named, to be read again first.
    pub in_doubt: Rc<RefCell<DoubtfulLedgers>>,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type Backfiller = Worker<Backfill>;

impl Work for Backfill {
    async fn run(self, context: WorkContext) {
        let upstream = Upstream::default();
        tokio::join!(
            self.watch_tail(&context, &upstream),
            self.fill_forever(&context, &upstream),
            self.reread_forever(&context, &upstream)
        );
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

/// What is known of upstream by this incarnation.
#[derive(Default)]
struct Upstream {
    /// What Horizon last told of its history.
    history: Cell<Option<History>>,
    /// The tail was read: before that nobody knows what is missing.
    tail_is_read: Cell<bool>,
    /// The last empty page of history was not believed to be its end.
    end_is_doubted: Cell<bool>,
}

impl Backfill {
    async fn watch_tail(&self, context: &WorkContext, upstream: &Upstream) {
        let interval = if self.is_limited { TAIL_INTERVAL } else { TAIL_INTERVAL_UNLIMITED };
        let mut retry = Retry::default();
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                continue;
            }
            match self.read_tail(context, upstream).await {
                Ok(()) => {
                    self.status.succeeds("recent ledgers are read again by pages");
                    retry.succeeded();
                    context.pause(interval).await;
                }
                Err(stop) => self.wait_after(&stop, &mut retry, context, upstream).await,
            }
        }
    }

    /// Reads from the newest trade down to what is held whole, or as far as a tail goes.
    async fn read_tail(&self, context: &WorkContext, upstream: &Upstream) -> Result<(), Stop> {
        let horizon = self.horizon.of_class(Class::Live);
        let history = self.history(&horizon, upstream).await?;
        let held = self.held().await?;
        let newest = held.last();
        let stretch = Stretch {
            from: newest.map_or(history.elder.max(1), |newest| newest.to.saturating_add(1)),
            to: None,
            before: None,
            since: UnixSeconds(i64::MIN),
        };
        // That a ledger is whole needs a second witness than the page: the stream, or the root.
        let live = self.writer.database.cursor(LIVE_CURSOR).await?.map_or(0, PagingToken::ledger);
        let descent = DescendingRead {
            pages_max: if newest.is_some() { TAIL_PAGES_MAX } else { 1 },
            top_max: live.max(history.latest),
            kind: BatchKind::Repair,
            ..self.descent(&horizon, context, upstream)
        };
        let read = descent.read(stretch).await;
        let held = self.tell_coverage().await?;
        if matches!(read, Err(Stop::End(_))) && !held.is_empty() {
            upstream.tail_is_read.set(true); // anything below is a gap like any other
        }
        let read = read?;
        upstream.tail_is_read.set(true);
        self.writer.published.vitals.newest_by_pages.store(descent.newest_seen.get(), Ordering::Relaxed);
        if descent.top_max.saturating_add(TAIL_LAG_MAX) < descent.newest_seen.get() {
            upstream.history.set(None); // the stream is behind: the root is asked next time
        }
        counter!("ticker_tail_trades_total", "found" => "before").increment(read.repeats);
        counter!("ticker_tail_trades_total", "found" => "now").increment(read.new);
        Ok(())
    }

    async fn fill_forever(&self, context: &WorkContext, upstream: &Upstream) {
        let (mut retry, mut progress) = (Retry::default(), Progress::default());
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                self.status.set_state("following");
                continue;
            }
            if !upstream.tail_is_read.get() {
                context.pause(TAIL_POLL).await;
                continue;
            }
            match self.fill(context, upstream, &mut progress).await {
                Ok(true) => {
                    self.status.set_state("whole");
                    context.pause(REST).await;
                }
                Ok(false) => retry.succeeded(),
                Err(stop) => self.wait_after(&stop, &mut retry, context, upstream).await,
            }
        }
    }

    /// Reads what is missing now, the last 24 hours first. Says whether nothing was.
    async fn fill(
        &self,
        context: &WorkContext,
        upstream: &Upstream,
        progress: &mut Progress,
    ) -> Result<bool, Stop> {
        let history = self.history(&self.horizon.of_class(Class::Live), upstream).await?;
        let held = self.held().await?;
        let now = UnixSeconds::from(self.writer.clock.now());
        let (day, all) = (now.minus(DAY), now.minus(self.hours.saturating_mul(HOUR)));
        let floor = history.elder.max(1);
        let day = day.max(all);
        let day_is_whole = !held.is_empty() && coverage::missing(&held, floor, day, day).is_empty();
        self.horizon.limiter().set_day_is_whole(day_is_whole);
        // Gaps are filled however old they are: what is too old to be kept is not held either.
        let (since, gaps_since) = if day_is_whole { (all, UnixSeconds(i64::MIN)) } else { (day, day) };
        let missing = coverage::missing(&held, floor, since, gaps_since);
        self.tell_unread(&held, floor, all, missing.last().filter(|_| upstream.end_is_doubted.get()));
        if missing.is_empty() {
            self.tell_done(&held);
            *progress = Progress::default();
            return Ok(true);
        }
        self.status.set_state("filling");
        let at_once = if self.is_limited { 1 } else { AT_ONCE };
        let horizon = self.horizon.of_class(Class::History).while_waiting(progress.waiting());
        progress.begin(&held, Wanted { floor, day, all }, self.is_limited);
        let descent =
            DescendingRead { stored: progress.stored(), ..self.descent(&horizon, context, upstream) };
        let mut reads = stream::iter(stretches(&missing, &held, at_once))
            .map(|stretch| descent.read(stretch))
            .buffer_unordered(at_once);
        let mut stopped = None;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                read = reads.next() => match read {
                    None => break,
                    Some(Ok(_)) => {}
                    Some(Err(stop)) => stopped = Some(stop),
                },
                _ = tick.tick() => self.tell_progress(progress).await?,
            }
        }
        drop(reads);
        self.tell_progress(progress).await?;
        upstream.end_is_doubted.set(matches!(stopped, Some(Stop::End(_))));
        if upstream.end_is_doubted.get() {
            // Readers see the gap now, and not only when it is tried again.
            let held = self.held().await?;
            let missing = coverage::missing(&held, floor, since, gaps_since);
            self.tell_unread(&held, floor, all, missing.last());
        }
        stopped.map_or(Ok(false), Err)
    }

    fn descent<'a>(
        &'a self,
        horizon: &'a HorizonClient,
        context: &'a WorkContext,
        upstream: &'a Upstream,
    ) -> DescendingRead<'a> {
        DescendingRead {
            deps: self,
            horizon,
            upstream,
            context,
            kind: BatchKind::Backfill,
            top_max: u32::MAX,
            pages_max: ROUND_PAGES,
            newest_seen: Cell::default(),
            stored: Rc::default(),
        }
    }

    /// Returns the range of history that Horizon has. Also confirms that everything received so far is of the right network.
    async fn history(&self, horizon: &HorizonClient, upstream: &Upstream) -> Result<History, Stop> {
        let history = network_check::confirmed(
            upstream.history.get(),
            horizon,
            &self.network_passphrase,
            &self.writer.database,
            &self.writer.published,
        )
        .await?;
        upstream.history.set(Some(history));
        Ok(history)
    }

    async fn held(&self) -> Result<Vec<LedgerRange>, Stop> {
        Ok(self.writer.database.coverage().await?)
    }

    /// After anything that went wrong Horizon is asked anew what it has.
    async fn wait_after(&self, stop: &Stop, retry: &mut Retry, context: &WorkContext, upstream: &Upstream) {
        upstream.history.set(None);
        let asked = match stop {
            Stop::Horizon(error) | Stop::Unusable(Unusable::Horizon(error)) => error.retry_after(),
            _ => None,
        };
        if matches!(stop, Stop::NotWritten(NotWritten::NotLeading)) {
            return;
        }
        let wait = retry.next_wait(asked);
        self.status.fails(stop);
        match stop {
            Stop::Horizon(error) | Stop::Unusable(Unusable::Horizon(error)) => {
                outage::horizon_failed(&self.horizon, error, "reading history", wait);
            }
            Stop::NotWritten(NotWritten::Database(error)) => {
                outage::database_failed(&self.writer.database, error, "storing history");
            }
            other => warn!(%other, wait_ms = wait.as_millis(), "history cannot be read now, retrying"),
        }
        context.pause(wait).await;
    }
}
