//! The auditor: recomputes the published figures from the raw rows, slice by slice, and has repaired what differs
//! twice. It runs on every replica, since each publishes from its own memory.

mod candles;
mod lists;
mod pace;
mod price_turn;
mod slice;
mod symbols;
mod usd;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Context, Handler};
use metrics::{counter, gauge};
use tracing::{debug, info, warn};

use super::{
    envelope::Envelope,
    leadership::Leadership,
    messages::{AuditNow, RebuildMarkets, ReloadDirectory, RereadLedgers},
    port::Port,
    supervision::status::ChildStatus,
    trace::{context::TraceContext, subject::Subject},
    wiring::{DaemonActor, Wiring},
    worker::{Work, WorkContext, Worker},
};
use crate::{
    audit::{
        Comparison,
        windows::{SliceComparison, differing_ledgers},
    },
    clock::SharedClock,
    db::{Database, DbError},
    domain::{conversions::SaturatingFrom, symbol_choice::Choices, windows::MarketId},
    published::{ListingSource, Part, Publication, Published, SelfAudit},
    shutdown, steps,
};
use pace::{Pace, SliceEnd};
use price_turn::PriceTurn;

/// Interval at which the next publication is looked for.
const PUBLICATION_POLL: Duration = Duration::from_millis(100);
/// Time after which a difference is compared again even if nothing was committed meanwhile.
const QUIET: Duration = Duration::from_secs(5);
/// Time limit for rebuilding windows or reloading lists.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds by which a publication must be older than a rebuild to count as later: the clock went back, and everything
/// was reloaded since.
const BACK_SECONDS_MIN: i64 = 60;
/// Time limit for the backfiller to acknowledge a message.
const REREAD_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure of the database or a publication that could not be compared.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Differences that are logged each time. The rest is only counted.
const DIFFERENCES_LOGGED_MAX: usize = 10;
/// Ledgers that the backfiller has not confirmed, at most. It also reads others at random.
const LEDGERS_MAX: usize = 1_000;

/// Dependencies of the auditor.
#[derive(Clone)]
pub struct Audit {
    /// Database with the raw rows.
    pub database: Database,
    /// Publications, and vitals that receive the result.
    pub published: Arc<Published>,
    /// Aggregator, which rebuilds windows of markets.
    pub aggregator: Port<RebuildMarkets>,
    /// Aggregator, which reloads assets, markets and books.
    pub reloader: Port<ReloadDirectory>,
    /// Backfiller, which reads ledgers again from Horizon.
    pub rereader: Port<RereadLedgers>,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Shortest time between the starts of two passes over all markets.
    pub interval: Duration,
    /// Time between two publications.
    pub publish_interval: Duration,
    /// True if an operator asked for a pass without rests. Set by the handler, taken by the next pass. A restart
    /// keeps it: the operator waits for that pass.
    pub is_hurried: Rc<Cell<bool>>,
    /// Hour since 1970 whose candles the next pass compares first. A restart keeps it, so that all hours have
    /// their turn.
    pub next_candle_hour: Rc<Cell<i64>>,
    /// Turn of the price audit, which chooses the assets of the next one. A restart keeps it, so that all priced
    /// assets have their turn.
    price_turn: Rc<Cell<PriceTurn>>,
    /// Ledgers to read again that the backfiller has not confirmed, each with the step that found it first. They are
    /// sent again after each pass, also after a restart: once the windows are rebuilt from the rows, no comparison
    /// shows that a row is lost.
    pub unconfirmed: Rc<RefCell<BTreeMap<u32, TraceContext>>>,
    /// Choices of the assets that stand for codes, as the last pass left them. A restart keeps them, because a
    /// change is found by comparison with them alone.
    pub choices_seen: Rc<RefCell<Choices>>,
    /// Inputs of the view that prices in dollars are published from, and the assets that count as one dollar.
    pub listing: ListingSource,
    /// The lease, under which candles are derived again and choices are set back.
    pub leadership: Leadership,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type Auditor = Worker<Audit>;

impl DaemonActor for Auditor {
    const NAME: &'static str = "auditor";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_replica("audit").with_grace());

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let Wiring { services, receivers } = wiring;
        Worker::new(Audit {
            database: services.database.clone(),
            published: Arc::clone(&services.published),
            aggregator: receivers.rebuild_markets.port(Self::NAME),
            reloader: receivers.reload_directory.port(Self::NAME),
            rereader: receivers.reread_ledgers.port(Self::NAME),
            clock: Arc::clone(&services.clock),
            interval: services.config.audit_interval,
            publish_interval: services.config.publish_interval,
            is_hurried: Rc::default(),
            next_candle_hour: Rc::default(),
            price_turn: Rc::default(),
            unconfirmed: Rc::default(),
            choices_seen: Rc::default(),
            listing: services.listing_source(),
            leadership: services.leadership.clone(),
            status,
        })
    }
}

/// Markets that are compared together.
#[derive(Clone, Copy, Debug)]
struct Slice<'a> {
    markets: &'a [MarketId],
    /// Longest time for reading their rows.
    limit: Duration,
}

/// True for a publication that may be compared next.
type IsNext<'a> = &'a dyn Fn(&Publication) -> bool;

/// Counts of a pass.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Compared markets.
    markets: u64,
    /// Markets that could not be compared, because their rows could not be read in time.
    unread: u64,
    /// True if lists, symbols, prices in dollars or candles could not be compared.
    is_partial: bool,
    /// Differences that were found twice.
    differences: u64,
    /// Markets that agreed after a repair.
    repaired: u64,
    /// Time spent on reading and comparing.
    spent: Duration,
}

impl Work for Audit {
    async fn run(self, context: WorkContext) {
        let mut pace = Pace::new(self.interval);
        loop {
            self.status.set_state("auditing");
            let begun = self.clock.monotonic();
            self.pass(&context, &mut pace).await;
            self.status.set_state("resting");
            if !self.is_hurried.get() {
                context.pause_until_woken(self.interval.saturating_sub(self.since(begun))).await;
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AuditNow>> for Auditor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AuditNow>, _: &mut Context<Self>) {
        let handling = self.work.status.begin(&envelope);
        self.work.is_hurried.set(true);
        self.context.wake(handling.trace());
    }
}

/// Steps of a pass, and their counts so far.
struct Steps<'a> {
    audit: &'a Audit,
    context: &'a WorkContext,
    /// True if an operator asked for a pass without rests.
    is_hurried: bool,
    tally: Tally,
}

impl pace::Steps for Steps<'_> {
    async fn lists(&mut self) -> Duration {
        if let Err(error) = self.audit.audit_lists(self.context, &mut self.tally).await {
            self.tally.is_partial = true;
            warn!(%error, "audit of assets and books failed, the next pass tries again");
        }
        if let Err(error) = self.audit.audit_symbols(&mut self.tally).await {
            self.tally.is_partial = true;
            warn!(%error, "audit of symbols failed, the next pass tries again");
        }
        // Before the slices: these rebuild wrong windows, and then no price shows the fault any more.
        if let Err(error) = self.audit.audit_prices(self.context, &mut self.tally).await {
            self.tally.is_partial = true;
            warn!(%error, "audit of prices in dollars failed, the next pass tries again");
        }
        self.tally.spent
    }

    async fn slice(&mut self, markets: Vec<MarketId>, limit: Duration) -> pace::Sliced {
        self.context.advance();
        let before = self.tally.spent;
        let slice = Slice { markets: &markets, limit };
        let audited = self.audit.audit(self.context, slice, &mut self.tally).await;
        let is_over_time = audited.as_ref().is_err_and(DbError::is_timeout);
        let is_read = audited.unwrap_or_else(|error| {
            let limit_s = limit.as_secs();
            warn!(%error, markets = markets.len(), limit_s, "audit of a slice failed, the next pass tries again");
            false
        });
        if !is_read {
            let unread = u64::saturating_from(markets.len());
            self.tally.unread = self.tally.unread.saturating_add(unread);
        }
        let status = &self.audit.status;
        if is_read {
            status.succeeds("published figures are recomputed");
        } else {
            status.fails(&"a slice of the markets could not be compared");
        }
        let end = match (is_read, is_over_time) {
            (true, _) => SliceEnd::Compared,
            (false, true) => SliceEnd::OverTime,
            (false, false) => SliceEnd::NotCompared,
        };
        pace::Sliced { took: self.tally.spent.saturating_sub(before), end }
    }

    async fn rest(&mut self, rest: Duration) {
        if !self.is_hurried && !self.audit.is_hurried.get() {
            self.context.pause_until_woken(rest).await;
        }
    }
}

impl Audit {
    /// Audits all markets once. A slice that cannot be read is left to the next pass.
    async fn pass(&self, context: &WorkContext, pace: &mut Pace) {
        let is_hurried = self.is_hurried.take();
        let publication = self.publication_after(context, |_| true).await;
        let begun = self.clock.monotonic();
        let all = match self.database.market_ids().await {
            Ok(all) => all,
            Err(error) => {
                self.status.fails(&format_args!("the list of markets could not be read: {error}"));
                warn!(%error, "audit could not read the list of markets");
                context.pause(AFTER_FAILURE).await;
                return;
            }
        };
        self.status.idles("published figures are recomputed");
        let groups = pace::groups(&publication.snapshot, &all);
        drop(publication);
        let tally = Tally { spent: self.since(begun), ..Tally::default() };
        let mut steps = Steps { audit: self, context, is_hurried, tally };
        pace.run(groups, &mut steps).await;
        let mut tally = steps.tally;
        self.audit_candles(context, is_hurried, &mut tally).await;
        self.publish_tally(&tally, true);
        self.request_reread().await;
    }

    /// Audits one slice. Logs and repairs what differs twice. Returns false if the slice could not be compared.
    async fn audit(
        &self,
        context: &WorkContext,
        slice: Slice<'_>,
        tally: &mut Tally,
    ) -> Result<bool, DbError> {
        let mut step = context.pass(steps::AUDIT);
        step.set_subject(
            Subject::none().with_members("markets", slice.markets.iter().map(|id| i64::from(*id))),
        );
        let audited = self.audit_slice(context, &step.trace(), slice, tally).await;
        step.ended(&audited);
        audited
    }

    async fn audit_slice(
        &self,
        context: &WorkContext,
        trace: &TraceContext,
        slice: Slice<'_>,
        tally: &mut Tally,
    ) -> Result<bool, DbError> {
        let Some((first, found)) = self.compare_markets(context, slice, tally, |_| true).await? else {
            return Ok(false);
        };
        let number = u64::saturating_from(slice.markets.len());
        tally.markets = tally.markets.saturating_add(number);
        counter!("ticker_audit_markets_total").increment(number);
        if found.comparison.difference_count == 0 {
            return Ok(true);
        }
        debug!(
            differences = found.comparison.difference_count,
            seq = first.seq,
            "slice differs, comparing again"
        );
        // If only the file differs, no single market is to blame: compare and rebuild the whole slice.
        let suspects: Vec<MarketId> = if found.markets.is_empty() {
            slice.markets.to_vec()
        } else {
            found.markets.iter().copied().collect()
        };
        let suspects = Slice { markets: &suspects, ..slice };
        let again = self.found_twice(
            &first,
            tally,
            async |tally, is_next| self.compare_markets(context, suspects, tally, is_next).await,
            |slice| &slice.comparison,
        );
        let Some(again) = again.await? else { return Ok(false) };
        if again.comparison.difference_count == 0 {
            return Ok(true);
        }
        for difference in again.comparison.differences.iter().take(DIFFERENCES_LOGGED_MAX) {
            warn!(
                entry = %difference.entry.escape_debug(), field = %difference.field,
                published = %difference.served.escape_debug(), expected = %difference.expected.escape_debug(),
                "published figure differs from the rows"
            );
        }
        let repaired = self.repair(context, trace, &first, suspects, &again, tally).await?;
        tally.repaired = tally.repaired.saturating_add(repaired);
        self.publish_tally(tally, false);
        Ok(true)
    }

    /// Compares again what differed in the publication `first`, with a later one, and counts what differs in both.
    /// Returns the second comparison, or none if there was none in time.
    async fn found_twice<C>(
        &self,
        first: &Publication,
        tally: &mut Tally,
        compare: impl AsyncFnOnce(&mut Tally, IsNext<'_>) -> Result<Option<(Arc<Publication>, C)>, DbError>,
        comparison: fn(&C) -> &Comparison,
    ) -> Result<Option<C>, DbError> {
        let since = self.clock.monotonic();
        // A later batch, or after a quiet time at least a later second, shows whether the difference persists.
        let is_next = |newest: &Publication| {
            newest.seq > first.seq || newest.as_of != first.as_of && self.since(since) >= QUIET
        };
        let Some((_, again)) = compare(tally, &is_next).await? else { return Ok(None) };
        self.count_differences(tally, comparison(&again).difference_count);
        Ok(Some(again))
    }

    /// Counts differences, and publishes them at once.
    fn count_differences(&self, tally: &mut Tally, number: u64) {
        if number > 0 {
            tally.differences = tally.differences.saturating_add(number);
            counter!("ticker_audit_differences_total").increment(number);
            self.publish_tally(tally, false);
        }
    }

    /// Has the windows rebuilt and compares again. Returns the number of markets that agree now and did not before.
    async fn repair(
        &self,
        context: &WorkContext,
        cause: &TraceContext,
        before: &Publication,
        suspects: Slice<'_>,
        found: &SliceComparison,
        tally: &mut Tally,
    ) -> Result<u64, DbError> {
        let message = RebuildMarkets { markets: suspects.markets.into() };
        let rebuilt = self.aggregator.call(Some(cause), message, REBUILD_TIMEOUT).await;
        let Ok(Some(rebuilt)) = rebuilt else {
            warn!(
                markets = suspects.markets.len(),
                "windows could not be rebuilt, the next pass tries again"
            );
            return Ok(0);
        };
        let is_rebuilt = |newest: &Publication| rebuilt.is_in(newest.seq, newest.as_of, BACK_SECONDS_MIN);
        let after = self.compare_markets(context, suspects, tally, is_rebuilt).await?;
        let Some((publication, after)) = after else { return Ok(0) };
        let differing: BTreeSet<MarketId> = found.markets.clone();
        let ledgers = differing_ledgers(&before.snapshot, &publication.snapshot, &differing);
        for ledger in ledgers {
            self.unconfirmed.borrow_mut().entry(ledger).or_insert(*cause);
        }
        self.request_reread().await;
        let repaired = u64::saturating_from(differing.difference(&after.markets).count());
        counter!("ticker_audit_repaired_markets_total").increment(repaired);
        if after.comparison.difference_count > 0 {
            let differences = after.comparison.difference_count;
            warn!(
                differences,
                "rebuilt windows differ from the rows again, the next pass compares them again"
            );
        }
        info!(repaired, still_differing = after.markets.len(), seq = publication.seq, "windows rebuilt");
        Ok(repaired)
    }

    /// Asks the backfiller to read ledgers again. Rows and windows differed, and only their source can tell which is
    /// right. The step that found the newest ledger is the cause.
    async fn request_reread(&self) {
        let unconfirmed = self.unconfirmed.borrow().clone();
        let newest: BTreeMap<u32, TraceContext> = unconfirmed.into_iter().rev().take(LEDGERS_MAX).collect();
        let Some((_, cause)) = newest.last_key_value() else { return };
        let message = RereadLedgers { ledgers: newest.keys().copied().collect() };
        let sent = self.rereader.call(Some(cause), message, REREAD_TIMEOUT).await;
        *self.unconfirmed.borrow_mut() = match sent {
            Ok(()) => BTreeMap::new(),
            Err(error) => {
                debug!(%error, ledgers = newest.len(), "backfiller did not confirm doubtful ledgers, they are sent again");
                newest
            }
        };
    }

    /// Publishes the counts in the vitals. `is_complete`: the pass is over. Before that, only its findings are
    /// published.
    fn publish_tally(&self, tally: &Tally, is_complete: bool) {
        let audit = &self.published.vitals.audit;
        let last = audit.load().as_deref().copied().unwrap_or_default();
        let new = if is_complete {
            gauge!("ticker_audit_pass_spent_seconds").set(tally.spent.as_secs_f64());
            SelfAudit {
                // A pass that could not read everything is no evidence about everything.
                at: if tally.unread == 0 && !tally.is_partial { Some(self.clock.now()) } else { last.at },
                markets: tally.markets,
                unread: tally.unread,
                differences: tally.differences,
                repaired: tally.repaired,
            }
        } else {
            SelfAudit { differences: tally.differences, repaired: tally.repaired, ..last }
        };
        audit.store(Some(Arc::new(new)));
    }

    fn since(&self, begun: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(begun)
    }

    /// Waits for the first publication that `is_acceptable`.
    async fn publication_after(
        &self,
        context: &WorkContext,
        is_acceptable: impl Fn(&Publication) -> bool,
    ) -> Arc<Publication> {
        loop {
            if let Some(newest) = self.published.newest().filter(|newest| is_acceptable(newest)) {
                return newest;
            }
            context.pause(PUBLICATION_POLL).await;
            if context.is_draining() {
                std::future::pending::<()>().await; // the worker drops this future
            }
        }
    }
}
