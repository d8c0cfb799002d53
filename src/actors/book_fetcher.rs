//! The book fetcher: reads a market's order book at Horizon when a reader of the API asks for it, on every replica. A
//! small part of the budget is its limit, and a reader never waits for more than one request. Between readers it
//! watches Horizon's network.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{Context, Handler, ResponseActFuture, WrapFuture};
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared, ready},
};
use metrics::counter;
use tracing::debug;

use super::{
    book_reading,
    envelope::Envelope,
    leadership::Leadership,
    messages::{FetchBook, FetchedBook},
    network_check::NetworkCheck,
    network_watch,
    poll_error::PollError,
    supervision::status::ChildStatus,
    trace::context::TraceContext,
    wiring::{DaemonActor, Wiring},
    worker::{Work, WorkContext, Worker, transaction},
};
use crate::{
    clock::SharedClock,
    db::Database,
    domain::{instant::UnixSeconds, orderbook::PolledBook, windows::MarketId},
    horizon::{HorizonClient, budget::Class},
    published::Part,
    shutdown,
};

/// Age in seconds up to which a fetched book is given again.
const FRESH_S: i64 = 10;
/// Books that are read at the same time. Readers of others get the stored ones.
const AT_ONCE: usize = 4;
/// Fetched books that are kept. A book has at most 400 levels, some 20 KB.
const KEPT_MAX: usize = 256;
/// Time limit for a book, the wait for the budget included.
const DEADLINE: Duration = Duration::from_secs(2);

/// A book that is being read, for all who wait for it.
type Reading = Shared<LocalBoxFuture<'static, Option<Arc<FetchedBook>>>>;

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
    /// Watches the network. Books are read in the handler.
    async fn run(self, context: WorkContext) {
        // A reading that panicked would panic for everybody who waits for it.
        self.books.take();
        self.status.set_state("waiting");
        network_watch::watch(&self.horizon, &self.network_check, &self.status, &context).await;
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
        let Some(assets) = self.database.market_assets(&[market]).await?.pop() else { return Ok(None) };
        let book = book_reading::read(&self.horizon, Class::AskedBooks, &assets, cause).await?;
        let fetched = FetchedBook { book, fetched_at: UnixSeconds::from(self.clock.now()) };
        // A follower's readers get it all the same; the leader reads it for all in its own time.
        if let Some(epoch) = self.leadership.epoch() {
            let polled = PolledBook::of(&fetched.book, fetched.fetched_at);
            let books = [(market, polled, fetched.book.clone())];
            transaction(&self.status, cause, self.database.record_books(epoch, &books)).await?;
        }
        Ok(Some(fetched))
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

/// Books for readers.
#[derive(Default)]
struct Books {
    /// Books that were read, in the order of their reading.
    kept: VecDeque<(MarketId, Arc<FetchedBook>)>,
    /// Books that are being read, at most [`AT_ONCE`].
    reading: HashMap<MarketId, Reading>,
}

impl Books {
    /// Returns the book of a market if it is fresh. Forgets those that are not.
    fn kept(&mut self, market: MarketId, now: UnixSeconds) -> Option<Arc<FetchedBook>> {
        let is_fresh = |book: &FetchedBook| (0..=FRESH_S).contains(&(now.0 - book.fetched_at.0));
        self.kept.retain(|(_, book)| is_fresh(book));
        self.kept.iter().find(|(kept, _)| *kept == market).map(|(_, book)| Arc::clone(book))
    }

    fn keep(&mut self, market: MarketId, book: Arc<FetchedBook>) {
        self.kept.push_back((market, book));
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }
}

fn count(result: &'static str) {
    counter!("ticker_asked_books_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::orderbook::OrderBook;

    #[test]
    fn a_book_is_given_again_for_ten_seconds() {
        let mut books = Books::default();
        let book = Arc::new(FetchedBook { book: OrderBook::default(), fetched_at: UnixSeconds(100) });
        books.keep(7, Arc::clone(&book));
        assert_eq!(books.kept(7, UnixSeconds(110)), Some(book));
        assert_eq!(books.kept(8, UnixSeconds(110)), None);
        assert_eq!(books.kept(7, UnixSeconds(111)), None);
        assert!(books.kept.is_empty(), "it is forgotten");
    }

    #[test]
    fn at_most_256_books_are_kept() {
        let mut books = Books::default();
        for market in 0..300 {
            books.keep(
                market,
                Arc::new(FetchedBook { book: OrderBook::default(), fetched_at: UnixSeconds(100) }),
            );
        }
        assert_eq!(books.kept.len(), KEPT_MAX);
        assert!(books.kept(299, UnixSeconds(100)).is_some() && books.kept(0, UnixSeconds(100)).is_none());
    }
}
