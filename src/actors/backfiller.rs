//! The backfiller: reads history, gaps and the tail of recent ledgers by Horizon's pages or from a lake. It works while
//! this replica leads. ARCHITECTURE.md has its loops and a map of its files.
//!
//! The coverage alone says which ledgers are complete. The backfiller reads what it lacks, the newest first. So a first
//! start, a gap after an outage and a trade that the stream skipped are one and the same case.

mod comparison;
mod descending_read;
mod end;
mod eta;
mod fill_left;
mod fill_once;
mod filling;
mod hash_turns;
mod history_error;
mod holes;
mod lake_ahead;
mod lake_fill;
mod lake_given_up;
mod lake_lateness;
mod lake_read;
mod lake_read_state;
mod lake_reread;
mod lake_tail;
mod ledgers_to_reread;
mod left_to_horizon;
mod log_schedule;
mod page;
mod plan;
mod progress;
mod quiet_tail;
mod read_state;
mod reread;
mod reread_target;
mod unconfirmed;

use std::{
    cell::{Cell, RefCell},
    io::IsTerminal as _,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::warn;

use super::{
    lake_reader::LakeReader,
    network_check::{History, NetworkCheck, NetworkError},
    newest_page::NewestPage,
    outage,
    services::Services,
    supervision::status::ChildStatus,
    trade_writer::{Listeners, TradeWriter, WriteError},
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    db::{
        DbError,
        trades::{BatchKind, LIVE_CURSOR},
    },
    domain::{coverage::LedgerRange, cursor::PagingToken, instant::UnixSeconds, ledger_source::LedgerSource},
    horizon::{HorizonClient, budget::Class},
    lake::FIRST_LEDGER,
    outbound::retry::Retry,
    published::Part,
    shutdown,
};

use descending_read::DescendingRead;
use history_error::HistoryError;
use ledgers_to_reread::LedgersToReread;
use left_to_horizon::{LeftToHorizon, Turns};
use plan::Stretch;

/// Interval at which the tail is read again if requests are limited. What the stream skipped is healed within a minute,
/// even if one request fails.
const TAIL_INTERVAL: Duration = Duration::from_secs(15);
/// The same interval if requests are not limited.
const TAIL_INTERVAL_UNLIMITED: Duration = Duration::from_secs(1);
/// Most pages of the tail. Ledgers below are filled as history.
const TAIL_PAGES_MAX: u32 = 10;
/// Ledgers by which the tail may be ahead of the stream before the root is asked which of them is right.
const TAIL_LAG_MAX: u32 = 5;
/// Pages of a stretch until the missing ledgers are determined again, since newer ones may be missing by then.
const ROUND_PAGES: u32 = 100;
/// Failed attempts to fill in a row from which on a read tail does not hide them. A single failure is normal.
const FAILED_FILLS_SHOWN: u32 = 2;

/// Dependencies of the backfiller.
#[derive(Clone)]
pub struct Backfill {
    /// Source of history.
    pub horizon: HorizonClient,
    /// The lake; none if history comes from Horizon and there is no lake.
    pub lake: Option<LakeReader>,
    /// The lake that held ledgers are read again from; none without one.
    pub reread_lake: Option<LakeReader>,
    /// True if history comes from the lake.
    pub is_from_lake: bool,
    /// True if the stream ingester stores each ledger of the lake. Then the tail needs no reading.
    pub is_live_from_lake: bool,
    /// Writer that commits it.
    pub writer: TradeWriter,
    /// Newest ledger of the tail, which the stream's session compares with its own.
    pub newest_page: NewestPage,
    /// Check of Horizon's network.
    pub network_check: NetworkCheck,
    /// Length of the wanted history, in hours.
    pub hours: i64,
    /// Age in days beyond which trades are skipped.
    pub retention_days: i64,
    /// True if requests are limited. Then one stretch is read at a time.
    pub is_limited: bool,
    /// True if progress is logged. A terminal shows a bar instead.
    pub logs_progress: bool,
    /// Ledgers that an audit named, to be read again first. The handler adds them. A restart keeps them:
    /// their message is gone.
    pub to_reread: Rc<RefCell<LedgersToReread>>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type Backfiller = Worker<Backfill>;

impl DaemonActor for Backfiller {
    const NAME: &'static str = "backfiller";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("history"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let listeners = Listeners::of(&wiring.receivers, Self::NAME);
        Worker::new(Backfill::new(&wiring.services, Some(listeners), status))
    }
}

impl Backfill {
    /// Creates the work. A command that runs alone has no listeners.
    #[must_use]
    pub fn new(services: &Services, listeners: Option<Listeners>, status: Arc<ChildStatus>) -> Self {
        let reread_lake = services.reread_lake(&status);
        Self {
            horizon: services.horizon(&status),
            reread_lake,
            // Later than the other reader, so that the status shows its address.
            lake: services.history_lake(&status),
            is_from_lake: services.config.sources.history != LedgerSource::Horizon,
            is_live_from_lake: services.config.sources.live != LedgerSource::Horizon,
            writer: services.writer(listeners),
            newest_page: services.newest_page.clone(),
            network_check: services.network_check(),
            hours: i64::from(services.config.backfill_hours),
            retention_days: services.retention_days(),
            is_limited: services.config.horizon_requests_per_hour > 0,
            to_reread: Rc::default(),
            logs_progress: !std::io::stderr().is_terminal(),
            status,
        }
    }
}

impl Work for Backfill {
    async fn run(self, context: WorkContext) {
        let shared = SharedByLoops::default();
        if let Some(reader) = self.lake.as_ref().filter(|_| self.is_from_lake) {
            self.run_with_lake(reader, &context, &shared).await;
            return;
        }
        tokio::join!(
            self.watch_tail(&context, &shared),
            self.fill_forever(&context, &shared),
            self.reread_forever(&context, &shared)
        );
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

/// State that the loops of one incarnation share. What only one of them needs is a local of that loop.
#[derive(Default)]
struct SharedByLoops {
    /// Last check of the network; none if it must be repeated. Every loop that asks Horizon sets and reads it, and
    /// clears it after a failure.
    history: Cell<Option<History>>,
    /// True once the tail was read. Before that it is unknown what is missing. The loops of the tail set it, and those
    /// that fill or read again wait for it.
    tail_is_read: Cell<bool>,
    /// Attempts to fill that failed since a missing ledger was last read. The loop that fills counts them. The loop of
    /// the tail reads them, and then does not report success.
    failed_fills: Cell<u32>,
    /// Time of the last look for ledgers without a trade; none before it. The loop of the tail sets and reads it.
    quiet_asked_at: Cell<Option<Instant>>,
    /// Ledgers that the lake lacks, or that are refused. Loops that read the lake add them. Those that fill split the
    /// missing ledgers by them.
    left: RefCell<LeftToHorizon>,
    /// Places of them that Horizon failed to give. The loop that reads them from Horizon sets and reads it.
    turns: RefCell<Turns>,
}

impl SharedByLoops {
    /// Oldest ledger of Horizon, or the first one of the network if it has not been asked.
    fn oldest_of_horizon(&self) -> u32 {
        self.history.get().map_or(FIRST_LEDGER, |history| history.elder.max(FIRST_LEDGER))
    }

    /// Ends a series of failed attempts if one of them has stored something: it may go on for minutes.
    fn note_stored(&self, has_stored: bool) {
        if has_stored {
            self.failed_fills.set(0);
        }
    }

    fn note_failed_fill(&self) {
        self.failed_fills.set(self.failed_fills.get().saturating_add(1));
    }
}

impl Backfill {
    /// Interval at which Horizon is asked for its newest page.
    const fn tail_interval(&self) -> Duration {
        if self.is_limited { TAIL_INTERVAL } else { TAIL_INTERVAL_UNLIMITED }
    }

    async fn watch_tail(&self, context: &WorkContext, shared: &SharedByLoops) {
        let interval = self.tail_interval();
        let mut retry = Retry::default();
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                continue;
            }
            let read = match self.read_tail(context, shared).await {
                Ok(()) => self.cover_quiet_ledgers(context, shared).await,
                failed => failed,
            };
            match read {
                Ok(()) => {
                    self.report_tail(shared, "recent ledgers are read again by pages");
                    retry.reset();
                    context.pause(interval).await;
                }
                Err(error) => self.wait_after(&error, &mut retry, context, shared).await,
            }
        }
    }

    /// Reports that recent ledgers are read, unless filling fails: the check `history` must show that.
    fn report_tail(&self, shared: &SharedByLoops, detail: &str) {
        if shared.failed_fills.get() < FAILED_FILLS_SHOWN {
            self.status.succeeds(detail);
        }
    }

    /// Reads from the newest trade down to what is held, or as far as the tail goes.
    async fn read_tail(&self, context: &WorkContext, shared: &SharedByLoops) -> Result<(), HistoryError> {
        let horizon = self.horizon.of_class(Class::Live);
        let history = self.history(&horizon, shared).await?;
        let held = self.held().await?;
        let newest = held.last();
        let stretch = Stretch {
            from: newest.map_or(history.elder.max(1), |newest| newest.to.saturating_add(1)),
            to: None,
            before: None,
            since: UnixSeconds(i64::MIN),
        };
        // A page alone does not prove that its newest ledger is complete. The stream or the root must have seen it too.
        let live = self.writer.database.cursor(LIVE_CURSOR).await?.map_or(0, PagingToken::ledger);
        let descending_read = DescendingRead {
            pages_max: if newest.is_some() { TAIL_PAGES_MAX } else { 1 },
            top_max: history.complete_up_to(live),
            kind: BatchKind::Repair,
            ..self.descending_read(&horizon, context, shared)
        };
        let read = descending_read.read(stretch).await;
        let held = self.publish_coverage().await?;
        if read.as_ref().is_err_and(HistoryError::is_doubt) && !held.is_empty() {
            shared.tail_is_read.set(true); // everything below is a gap like any other
        }
        let read = read?;
        shared.tail_is_read.set(true);
        let newest_seen = descending_read.newest_seen.get();
        self.newest_page.note(newest_seen);
        if descending_read.top_max.saturating_add(TAIL_LAG_MAX) < newest_seen {
            shared.history.set(None); // the stream is behind: ask the root next time
        }
        counter!("ticker_tail_trades_total", "found" => "before").increment(read.repeats);
        counter!("ticker_tail_trades_total", "found" => "now").increment(read.new);
        Ok(())
    }

    fn descending_read<'a>(
        &'a self,
        horizon: &'a HorizonClient,
        context: &'a WorkContext,
        shared: &'a SharedByLoops,
    ) -> DescendingRead<'a> {
        DescendingRead {
            deps: self,
            horizon,
            shared,
            context,
            kind: BatchKind::Backfill,
            top_max: u32::MAX,
            is_around_a_failure: false,
            pages_max: ROUND_PAGES,
            newest_seen: Cell::default(),
            stored: Rc::default(),
        }
    }

    /// Returns Horizon's history. Also confirms that everything received so far is of the right network.
    async fn history(
        &self,
        horizon: &HorizonClient,
        shared: &SharedByLoops,
    ) -> Result<History, HistoryError> {
        let history = self.network_check.confirmed(shared.history.get(), horizon).await?;
        shared.history.set(Some(history));
        Ok(history)
    }

    async fn held(&self) -> Result<Vec<LedgerRange>, HistoryError> {
        Ok(self.writer.database.coverage().await?)
    }

    /// Records a failure and waits before the next attempt. The network is then checked again.
    async fn wait_after(
        &self,
        error: &HistoryError,
        retry: &mut Retry,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) {
        shared.history.set(None);
        let asked = match error {
            HistoryError::Horizon(error) | HistoryError::Network(NetworkError::Horizon(error)) => {
                error.retry_after()
            }
            HistoryError::Lake(error) => error.retry_after(),
            _ => None,
        };
        // Losing the lease is no failure. The loops wait for it by themselves.
        if matches!(error, HistoryError::Write(WriteError::NotLeading)) {
            return;
        }
        let wait = retry.next_wait(asked);
        // Nor is a take-over that this replica does not know of yet.
        if !matches!(error, HistoryError::Write(WriteError::Database(DbError::LeaseLost))) {
            self.status.fails(error);
        }
        match error {
            HistoryError::Horizon(error) | HistoryError::Network(NetworkError::Horizon(error)) => {
                outage::horizon_failed(&self.horizon, error, "reading history", wait);
            }
            HistoryError::Write(WriteError::Database(error)) => {
                outage::database_failed(&self.writer.database, error, "storing history");
            }
            other => warn!(error = %other, wait_ms = wait.as_millis(), "history could not be read, retrying"),
        }
        context.pause(wait).await;
    }
}
