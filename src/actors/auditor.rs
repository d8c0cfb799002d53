//! The auditor: recomputes what is published from the raw rows, slice by slice, and has repaired what differs twice. On
//! every replica, since each publishes from a memory of its own.

mod lists;
mod pace;
mod slice;

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Context, Handler};
use metrics::{counter, gauge};
use tracing::{debug, info, warn};

use super::{
    envelope::{Envelope, TraceContext},
    messages::{AuditNow, RebuildMarkets, ReloadDirectory, RereadLedgers},
    port::Port,
    supervision::status::ChildStatus,
    worker::{Work, WorkContext, Worker},
};
use crate::{
    audit::windows::{Found, differing_ledgers},
    clock::SharedClock,
    db::{Database, DbError},
    domain::windows::MarketId,
    published::{Publication, Published, SelfAudit},
};
use pace::Pace;

/// How often it is looked whether the next publication is there.
const PUBLICATION_POLL: Duration = Duration::from_millis(100);
/// Where nothing is committed meanwhile a difference is looked at again after this time.
const QUIET: Duration = Duration::from_secs(5);
/// How long a market's window may take to be rebuilt.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(60);
/// A publication that is older than a rebuilt window by this is later all the same: the clock has gone back.
const BACK_SECONDS_MIN: i64 = 60;
/// How long the re-reader may take to say that it heard.
const REREAD_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after the database failed, or a publication could not be compared.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Differences that are told in the log each time; more are only counted.
const DIFFERENCES_TOLD_MAX: usize = 10;
/// Ledgers that are named to the re-reader at a time; it reads others at random.
const LEDGERS_MAX: usize = 1_000;

/// What the auditor works with.
#[derive(Clone)]
pub struct Audit {
    /// Where the raw rows are.
    pub database: Database,
    /// What is published.
    pub published: Arc<Published>,
    /// Who rebuilds a market's window.
    pub aggregator: Port<RebuildMarkets>,
    /// Who reads assets, markets and books anew.
    pub reloader: Port<ReloadDirectory>,
    /// Who reads ledgers again from Horizon.
    pub rereader: Port<RereadLedgers>,
    /// What time it is.
    pub clock: SharedClock,
    /// A pass over all markets begins at most so often.
    pub interval: Duration,
    /// Somebody asked for a pass without rests.
    pub is_hurried: Rc<Cell<bool>>,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type Auditor = Worker<Audit>;

/// What a pass has come to so far.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    markets: u64,
    /// Markets whose rows could not be read, or not in time.
    unread: u64,
    differences: u64,
    repaired: u64,
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
                context.rest(self.interval.saturating_sub(self.since(begun))).await;
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
        let _handling = self.work.status.begin(&envelope);
        self.work.is_hurried.set(true);
        self.context.wake();
    }
}

impl Audit {
    /// All markets once. A slice that cannot be read is left to the next pass.
    async fn pass(&self, context: &WorkContext, pace: &mut Pace) {
        let is_hurried = self.is_hurried.take();
        let publication = self.publication_after(context, |_| true).await;
        let begun = self.clock.monotonic();
        let all = match self.database.market_ids().await {
            Ok(all) => all,
            Err(error) => {
                warn!(%error, "the audit cannot read the markets");
                context.pause(AFTER_FAILURE).await;
                return;
            }
        };
        let mut groups = pace::groups(&publication.snapshot, &all);
        drop(publication);
        pace.begin(&groups);
        let mut tally = Tally { spent: self.since(begun), ..Tally::default() };
        if let Err(error) = self.audit_lists(context, &mut tally).await {
            warn!(%error, "assets and books are left to the next pass of the audit");
        }
        self.rest(context, pace.rest_after(tally.spent), is_hurried).await;
        while !groups.is_empty() {
            context.advance();
            let markets = pace.cut(&mut groups);
            let before = tally.spent;
            let read = self.audit(context, &markets, &mut tally).await.unwrap_or_else(|error| {
                warn!(%error, markets = markets.len(), "a slice is left to the next pass of the audit");
                false
            });
            if !read {
                tally.unread = tally.unread.saturating_add(u64::try_from(markets.len()).unwrap_or(u64::MAX));
            }
            let rest = pace.took(tally.spent.saturating_sub(before));
            self.rest(context, rest, is_hurried).await;
        }
        self.tell(&tally, true);
    }

    async fn rest(&self, context: &WorkContext, rest: Duration, is_hurried: bool) {
        if !is_hurried && !self.is_hurried.get() {
            context.rest(rest).await;
        }
    }

    /// One slice: what differs twice is told and repaired. Says whether it could be compared.
    async fn audit(
        &self,
        context: &WorkContext,
        markets: &[MarketId],
        tally: &mut Tally,
    ) -> Result<bool, DbError> {
        let Some((first, found)) = self.compared(context, markets, tally, |_| true).await? else {
            return Ok(false);
        };
        let number = u64::try_from(markets.len()).unwrap_or(u64::MAX);
        tally.markets = tally.markets.saturating_add(number);
        counter!("ticker_audit_markets_total").increment(number);
        if found.comparison.difference_count == 0 {
            return Ok(true);
        }
        debug!(differences = found.comparison.difference_count, seq = first.seq, "to be looked at again");
        // Where the file alone differs, all markets of the slice are looked at, and rebuilt.
        let suspects: Vec<MarketId> =
            if found.markets.is_empty() { markets.to_vec() } else { found.markets.iter().copied().collect() };
        let since = self.clock.monotonic();
        let is_next = |newest: &Publication| {
            newest.seq > first.seq || newest.as_of != first.as_of && self.since(since) >= QUIET
        };
        let Some((_, again)) = self.compared(context, &suspects, tally, is_next).await? else {
            return Ok(false);
        };
        if again.comparison.difference_count == 0 {
            return Ok(true);
        }
        tally.differences = tally.differences.saturating_add(again.comparison.difference_count);
        counter!("ticker_audit_differences_total").increment(again.comparison.difference_count);
        self.tell(tally, false);
        for told in again.comparison.differences.iter().take(DIFFERENCES_TOLD_MAX) {
            warn!(
                entry = %told.entry.escape_debug(), field = %told.field, published = %told.served.escape_debug(),
                expected = %told.expected.escape_debug(), "a published figure is not what the rows come to"
            );
        }
        let repaired = self.repair(context, &first, &suspects, &again, tally).await?;
        tally.repaired = tally.repaired.saturating_add(repaired);
        self.tell(tally, false);
        Ok(true)
    }

    /// Has the windows rebuilt and looks again. Gives how many markets agree now that did not.
    async fn repair(
        &self,
        context: &WorkContext,
        before: &Publication,
        suspects: &[MarketId],
        found: &Found,
        tally: &mut Tally,
    ) -> Result<u64, DbError> {
        let message = RebuildMarkets { markets: suspects.into() };
        let rebuilt = self.aggregator.call(&TraceContext::root(), message, REBUILD_TIMEOUT).await;
        let Ok(Some(rebuilt)) = rebuilt else {
            warn!(markets = suspects.len(), "windows could not be rebuilt; the next pass tries again");
            return Ok(0);
        };
        let is_rebuilt = |newest: &Publication| rebuilt.is_in(newest.seq, newest.as_of, BACK_SECONDS_MIN);
        let after = self.compared(context, suspects, tally, is_rebuilt).await?;
        let Some((publication, after)) = after else { return Ok(0) };
        let differing: BTreeSet<MarketId> = found.markets.clone();
        let ledgers = differing_ledgers(&before.snapshot, &publication.snapshot, &differing);
        self.have_reread(ledgers.into_iter().take(LEDGERS_MAX).collect()).await;
        let repaired = u64::try_from(differing.difference(&after.markets).count()).unwrap_or(0);
        counter!("ticker_audit_repaired_markets_total").increment(repaired);
        if after.comparison.difference_count > 0 {
            let differences = after.comparison.difference_count;
            warn!(
                differences,
                "rebuilt windows differ from the rows again: the next pass comes back to them"
            );
        }
        info!(repaired, still_differing = after.markets.len(), seq = publication.seq, "windows were rebuilt");
        Ok(repaired)
    }

    /// The rows were not what the windows were made of: which of them is right Horizon tells.
    async fn have_reread(&self, ledgers: Vec<u32>) {
        if ledgers.is_empty() {
            return;
        }
        let told = self.rereader.call(&TraceContext::root(), RereadLedgers { ledgers }, REREAD_TIMEOUT).await;
        if let Err(error) = told {
            debug!(%error, "ledgers in doubt were not heard of: they may be read by chance");
        }
    }

    fn tell(&self, tally: &Tally, is_whole: bool) {
        let audit = &self.published.vitals.audit;
        let last = audit.load().as_deref().copied().unwrap_or_default();
        let told = if is_whole {
            gauge!("ticker_audit_pass_spent_seconds").set(tally.spent.as_secs_f64());
            SelfAudit {
                // A pass that could not read everything says nothing of all.
                at: if tally.unread == 0 { Some(self.clock.now()) } else { last.at },
                markets: tally.markets,
                unread: tally.unread,
                differences: tally.differences,
                repaired: tally.repaired,
            }
        } else {
            SelfAudit { differences: tally.differences, repaired: tally.repaired, ..last }
        };
        audit.store(Some(Arc::new(told)));
    }

    fn since(&self, begun: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(begun)
    }

    /// The first publication that will do.
    async fn publication_after(
        &self,
        context: &WorkContext,
        will_do: impl Fn(&Publication) -> bool,
    ) -> Arc<Publication> {
        loop {
            if let Some(newest) = self.published.newest().filter(|newest| will_do(newest)) {
                return newest;
            }
            context.pause(PUBLICATION_POLL).await;
            if context.is_draining() {
                std::future::pending::<()>().await; // dropped when the context ends
            }
        }
    }
}
