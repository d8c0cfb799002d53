//! The book fetcher: reads a market's order book at Horizon when a reader of the API asks for it, on every replica.
//! It may use a small part of the request budget, and a reader never waits for more than one request. It also watches
//! Horizon's network. If this replica leads, it stores the books that it read.

mod books;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler, ResponseActFuture, WrapFuture};
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, ready},
};
use metrics::counter;
use tracing::{debug, info};

use super::{
    book_reading,
    envelope::Envelope,
    leadership::Leadership,
    messages::{FetchBook, FetchedBook},
    network_check::NetworkCheck,
    network_watch, outage,
    poll_error::PollError,
    supervision::status::ChildStatus,
    trace::context::TraceContext,
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    clock::SharedClock,
    db::Database,
    domain::{instant::UnixSeconds, windows::MarketId},
    horizon::{HorizonClient, budget::Class},
    published::Part,
    shutdown, steps,
};
use books::Books;

/// Books that are read at the same time. Readers of others get the stored ones.
const AT_ONCE: usize = 4;
/// Time limit for a book, the wait for the budget included.
const DEADLINE: Duration = Duration::from_secs(2);
/// The storing, in log lines.
const STORING: &str = "storing order books that readers asked for";

/// Dependencies of the book fetcher.
#[derive(Clone)]
pub struct BookFetch {
    /// Source of order books.
    pub horizon: HorizonClient,
    /// Database with the assets of markets. It stores the books, if this replica leads.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Check of Horizon's network.
    pub network_check: NetworkCheck,
    /// Books that were read, and those that are being read. Shared, because a reading ends after the call of the
    /// handler that began it. `run` empties it, so a restart keeps nothing.
    books: Rc<RefCell<Books>>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type BookFetcher = Worker<BookFetch>;

impl DaemonActor for BookFetcher {
    const NAME: &'static str = "book_fetcher";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_replica("network"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let services = &wiring.services;
        Worker::new(BookFetch {
            horizon: services.horizon(&status),
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            clock: Arc::clone(&services.clock),
            network_check: services.network_check(),
            books: Rc::default(),
            status,
        })
    }
}

impl Work for BookFetch {
    /// Stores books and watches the network. Books are read in the handler.
    async fn run(self, context: WorkContext) {
        // A reading that panicked would panic for everybody who waits for it.
        self.books.take();
        self.status.set_state("waiting");
        tokio::join!(
            self.store_forever(&context),
            network_watch::watch(&self.horizon, &self.network_check, &self.status, &context),
        );
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<FetchBook>> for BookFetcher {
    type Result = ResponseActFuture<Self, Option<Arc<FetchedBook>>>;

    fn handle(&mut self, envelope: Envelope<FetchBook>, _: &mut Context<Self>) -> Self::Result {
        let handling = self.work.status.begin(&envelope);
        let fetched = self.work.fetch(envelope.body.market, handling.trace());
        let fetched = async move {
            let fetched = fetched.await;
            drop(handling); // the message is handled now
            fetched
        };
        Box::pin(fetched.into_actor(self))
    }
}

impl BookFetch {
    /// Returns a fresh book, or waits for the one that is being read, or begins to read it.
    fn fetch(
        &self,
        market: MarketId,
        cause: TraceContext,
    ) -> LocalBoxFuture<'static, Option<Arc<FetchedBook>>> {
        let now = UnixSeconds::from(self.clock.now());
        let mut books = self.books.borrow_mut();
        if let Some(kept) = books.kept(market, now) {
            return ready(Some(kept)).boxed_local();
        }
        if let Some(reading) = books.reading.get(&market) {
            return reading.clone().boxed_local();
        }
        if books.reading.len() >= AT_ONCE {
            count("busy");
            return ready(None).boxed_local();
        }
        let this = self.clone();
        let reading = async move {
            let read = tokio::time::timeout(DEADLINE, this.read(market, &cause)).await;
            this.finish(market, read)
        };
        let reading = reading.boxed_local().shared();
        books.reading.insert(market, reading.clone());
        reading.boxed_local()
    }

    async fn read(&self, market: MarketId, cause: &TraceContext) -> Result<Option<FetchedBook>, PollError> {
        let Some(market) = self.database.market_assets(&[market]).await?.pop() else { return Ok(None) };
        let book = book_reading::read(&self.horizon, Class::AskedBooks, &market, cause).await?;
        Ok(Some(FetchedBook { market, book, fetched_at: UnixSeconds::from(self.clock.now()) }))
    }

    /// Stores books in a loop apart from requests, so that neither a slow database nor a lost lease delays a reader.
    async fn store_forever(&self, context: &WorkContext) {
        while !context.is_draining() {
            self.store().await;
            context.pause(TICK).await;
        }
    }

    /// Stores the books that were read since the last call, and those of a call that failed. Has no time limit of its
    /// own: each transaction has limits.
    async fn store(&self) {
        let books = self.books.borrow_mut().take_unstored();
        // A follower stores nothing: its readers have their books, and the leader's poller stores books for all.
        let Some(epoch) = self.leadership.epoch().filter(|_| !books.is_empty()) else { return };
        let rows = books::rows(&books);
        // Readers wait for their books only, so no message causes this.
        let step = self.status.step(steps::TRANSACTION, None);
        let now = UnixSeconds::from(self.clock.now());
        let stored = self.database.record_books(epoch, &rows, now).await;
        step.ended(&stored);
        match stored {
            Ok(_) if self.database.record_success(STORING) => info!("readers' order books are stored again"),
            Ok(_) => {}
            Err(error) => {
                outage::database_failed(&self.database, &error, STORING);
                // After an outage these books are old.
                if !error.is_take_over() && !error.is_outage() {
                    self.books.borrow_mut().put_back(books);
                }
            }
        }
    }

    /// Keeps a book that was read. Returns it.
    fn finish(
        &self,
        market: MarketId,
        read: Result<Result<Option<FetchedBook>, PollError>, tokio::time::error::Elapsed>,
    ) -> Option<Arc<FetchedBook>> {
        let mut books = self.books.borrow_mut();
        books.reading.remove(&market);
        match read {
            Ok(Ok(fetched)) => {
                let fetched = Arc::new(fetched?);
                count("fetched");
                books.keep(market, Arc::clone(&fetched));
                Some(fetched)
            }
            Ok(Err(error)) => {
                count("failed");
                debug!(market, %error, "order book could not be read for a reader");
                None
            }
            Err(_) => {
                count("late");
                None
            }
        }
    }
}

fn count(result: &'static str) {
    counter!("ticker_asked_books_total", "result" => result).increment(1);
}
