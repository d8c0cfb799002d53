//! The order-book poller: reads the books of all markets with trades in the last 7 days, by schedule and within its
//! share of the request budget, while this replica leads.

mod parts;
mod pass;
mod queue;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tracing::{debug, info};

use super::{
    book_reading,
    leadership::Leadership,
    outage,
    poll_error::PollError,
    ranking::Ranking,
    services::{self, Services},
    supervision::status::ChildStatus,
    test_hooks,
    timetable::{Schedule, Timetable},
    trace::context::TraceContext,
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker, transaction},
};
use crate::{
    clock::SharedClock,
    db::{Database, market_assets::MarketAssets},
    domain::{
        instant::UnixSeconds,
        orderbook::{OrderBook, PolledBook},
        windows::MarketId,
    },
    horizon::{HorizonClient, HorizonError, budget::Class},
    outbound::retry::Retry,
    published::Part,
    shutdown, steps,
};

use parts::next_part;
use pass::Pass;

/// Books per round. After each round the next ones are chosen again.
const ROUND: usize = 32;
/// Concurrent requests. The budget limits their rate.
const AT_ONCE: usize = 4;
/// Interval at which new markets are looked for between passes.
const REST: Duration = Duration::from_secs(5);
/// Time for which books are collected that are stored together. Each time of storing takes a batch number, and many
/// batches make the readers of batches slow.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// Dependencies of the order-book poller.
#[derive(Clone)]
pub struct OrderbookPoll {
    /// Source of order books.
    pub horizon: HorizonClient,
    /// Database that stores their figures.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Ranking of the markets.
    pub ranking: Ranking,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Schedule of the passes over all markets.
    pub schedule: Schedule,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type OrderbookPoller = Worker<OrderbookPoll>;

impl DaemonActor for OrderbookPoller {
    const NAME: &'static str = "orderbook_poller";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("books"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let ranking = Ranking::of(&wiring.receivers, Self::NAME);
        Worker::new(OrderbookPoll::new(&wiring.services, ranking, status))
    }
}

impl OrderbookPoll {
    /// Creates the work.
    #[must_use]
    pub fn new(services: &Services, ranking: Ranking, status: Arc<ChildStatus>) -> Self {
        Self {
            horizon: services.horizon(&status),
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            ranking,
            clock: Arc::clone(&services.clock),
            schedule: services::schedule(&services.config.orderbooks_schedule),
            status,
        }
    }
}

impl Work for OrderbookPoll {
    async fn run(self, context: WorkContext) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let (mut pass, mut retry) = (Pass::default(), Retry::default());
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            if timetable.take_due(self.clock.now()) {
                pass.set_due();
            }
            let step = context.pass(steps::READ_BOOKS);
            match self.round(epoch, &mut pass, &step.trace(), &context).await {
                Ok(Round::RankingUnknown) => {
                    step.done();
                    context.pause(TICK).await;
                }
                Ok(Round::Read) => {
                    step.done();
                    self.status.succeeds("order books are read");
                    retry.reset();
                }
                Ok(Round::AllRead) => {
                    step.done();
                    if pass.has_read() {
                        self.status.succeeds("order books are read");
                    } else {
                        self.status.idles("no order book is due");
                    }
                    self.status.set_state("idle");
                    context.pause(REST).await;
                }
                Err(error) => {
                    step.failed();
                    let wait = retry.next_wait(error.retry_after());
                    if !error.is_take_over() {
                        self.status.fails(&error);
                    }
                    outage::poll_failed(&self.horizon, &self.database, &error, "reading order books", wait);
                    context.pause(wait).await;
                }
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

/// Result of a round.
enum Round {
    /// The ranking is not available now.
    RankingUnknown,
    /// Some books were read or tried.
    Read,
    /// No book is due any more.
    AllRead,
}

impl OrderbookPoll {
    /// Reads every book once.
    ///
    /// # Errors
    ///
    /// Text that says what happened: the lease was lost, the database failed, or Horizon failed too often in a row.
    pub async fn poll_once(&self, context: &WorkContext) -> Result<(), String> {
        const FAILURES_MAX: u32 = 10;
        let mut pass = Pass::since(UnixSeconds::from(self.clock.now()));
        let (mut retry, mut failures) = (Retry::default(), 0);
        loop {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            let step = context.pass(steps::READ_BOOKS);
            match self.round(epoch, &mut pass, &step.trace(), context).await {
                Ok(Round::Read) => (retry, failures) = (Retry::default(), 0),
                Ok(Round::AllRead | Round::RankingUnknown) => return Ok(()),
                Err(PollError::Horizon(error)) if failures < FAILURES_MAX => {
                    failures += 1;
                    let wait = retry.next_wait(error.retry_after());
                    outage::horizon_failed(&self.horizon, &error, "reading order books", wait);
                    context.pause(wait).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn round(
        &self,
        epoch: i64,
        pass: &mut Pass,
        cause: &TraceContext,
        context: &WorkContext,
    ) -> Result<Round, PollError> {
        if context.takes_hook(test_hooks::FLOOD) {
            test_hooks::flood(&self.ranking, cause).await;
        }
        let is_fresh = pass.needs_survey(Instant::now());
        if is_fresh && !self.survey(pass, cause).await? {
            return Ok(Round::RankingUnknown);
        }
        let now = UnixSeconds::from(self.clock.now());
        let mut wanted = pass.next(now, ROUND);
        if wanted.is_empty() && !is_fresh {
            // The end of a pass must not depend on an old survey.
            if !self.survey(pass, cause).await? {
                return Ok(Round::RankingUnknown);
            }
            wanted = pass.next(now, ROUND);
        }
        let has_ended = pass.is_under_way() && wanted.is_empty();
        if has_ended || pass.is_due() {
            // At each due time, and not only at the end of a pass: with many markets and few requests none ends.
            let alive: Vec<MarketId> = pass.ranked().iter().map(|market| market.market).collect();
            let removed =
                transaction(&self.status, cause, self.database.keep_books_of(epoch, &alive)).await?;
            if has_ended {
                let unreadable = alive.iter().filter(|market| pass.has_given_up(**market)).count();
                info!(books = alive.len(), removed, unreadable, "order books read");
                pass.end();
            } else if removed > 0 {
                info!(removed, "order books of markets without trades removed");
            }
        }
        if pass.is_due() {
            // An unfinished pass starts again: its oldest books then take turns with the busiest ones.
            pass.begin(now);
            wanted = pass.next(now, ROUND);
        }
        if wanted.is_empty() {
            return Ok(Round::AllRead);
        }
        self.status.set_state("reading");
        self.read_round(epoch, &wanted, pass, cause, context).await
    }

    /// Surveys all markets. Returns false if the ranking is not available now.
    async fn survey(&self, pass: &mut Pass, cause: &TraceContext) -> Result<bool, PollError> {
        let Some(ranked) = self.ranking.ask(cause).await else { return Ok(false) };
        let times = self.database.book_times().await?;
        let read_at = times.into_iter().map(|(market, at)| (market, UnixSeconds::from(at))).collect();
        pass.set_survey(ranked, read_at, Instant::now());
        Ok(true)
    }

    /// Reads these books and stores them.
    async fn read_round(
        &self,
        epoch: i64,
        wanted: &[MarketId],
        pass: &mut Pass,
        cause: &TraceContext,
        context: &WorkContext,
    ) -> Result<Round, PollError> {
        let markets = self.database.market_assets(wanted).await?;
        let (mut failed, mut any_read, mut unreadable) = (None, false, Vec::new());
        let mut reads =
            stream::iter(markets).map(|market| self.read(market, cause)).buffer_unordered(AT_ONCE);
        loop {
            let part = next_part(&mut reads, STORED_WITHIN).await;
            if part.is_empty() {
                break;
            }
            context.advance();
            let mut books = Vec::new();
            for (market, read) in part {
                match read {
                    Ok((polled, book)) => books.push((market, polled, book)),
                    Err(error) => {
                        if is_its_own(&error) {
                            unreadable.push(market.market);
                            debug!(market = market.market, %error, "order book could not be read");
                        }
                        failed = Some(error);
                    }
                }
            }
            if !books.is_empty() {
                let now = UnixSeconds::from(self.clock.now());
                let storing = self.database.record_books(epoch, &books, now);
                let recorded = transaction(&self.status, cause, storing).await?;
                for (market, polled, _) in &books {
                    if !recorded.refused.contains(&market.market) {
                        pass.note_success(market.market, polled.fetched_at);
                    }
                }
                unreadable.extend(recorded.refused); // a refused one would be refused again
                any_read = true;
                debug!(books = books.len(), "order books stored");
            }
        }
        // If none of a full round can be read, Horizon is to blame and not these books.
        if any_read || wanted.len() < ROUND {
            unreadable.into_iter().for_each(|market| pass.note_failure(market));
        }
        // Some books failed. If others were read, Horizon works, and the failed ones stay due for some attempts.
        failed.filter(|_| !any_read).map_or(Ok(Round::Read), |error| Err(error.into()))
    }

    async fn read(
        &self,
        market: MarketAssets,
        cause: &TraceContext,
    ) -> (MarketAssets, Result<(PolledBook, OrderBook), HorizonError>) {
        let book = book_reading::read(&self.horizon, Class::Books, &market, cause).await;
        let fetched_at = UnixSeconds::from(self.clock.now());
        (market, book.map(|book| (PolledBook::of(&book, fetched_at), book)))
    }
}

/// Returns true if the failure concerns this book, so that another one may still be readable.
const fn is_its_own(error: &HorizonError) -> bool {
    match error {
        HorizonError::Unreadable(_) | HorizonError::TooLarge(_) => true,
        HorizonError::Problem { status, .. } => matches!(*status, 400..500),
        _ => false,
    }
}
