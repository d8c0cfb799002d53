//! Order books for readers: the stored one while it is fresh, else one that is requested from Horizon. Limits and
//! deadlines keep other answers from waiting for it.

use std::{sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use ticker_formats::listings::orderbook::QuotedLevels;
use tokio::sync::Semaphore;

use super::{document, error::ApiError, moment_view::MomentView};
use crate::{
    clock::SharedClock,
    db::Database,
    domain::{instant::UnixSeconds, orderbook::OrderBook, windows::MarketId},
};

/// Books that are read from the database at the same time. A few connections of the pool, so that no other work waits
/// for them.
const AT_ONCE: usize = 2;
/// Readers that wait for Horizon at the same time. Others get the stored book at once.
const FETCHES_AT_ONCE: usize = 64;
/// Longest time that a reader waits for a stored book.
const DEADLINE: Duration = Duration::from_secs(3);
/// Age in seconds from which a stored book is read again for a reader.
const FRESH_S: i64 = 10;

/// A book and the time of its reading.
type TimedBook = (OrderBook, UnixSeconds);

/// Reads a market's book at Horizon within its own deadline. None if that is not possible now.
pub type FetchFresh = Arc<dyn Fn(MarketId) -> LocalBoxFuture<'static, Option<TimedBook>> + Send + Sync>;

/// Reader of the levels of books.
#[derive(Clone)]
pub struct BookReader {
    database: Database,
    fetch: FetchFresh,
    clock: SharedClock,
    turns: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
}

impl BookReader {
    /// Reader of this database, and of Horizon by `fetch`.
    #[must_use]
    pub fn new(database: Database, fetch: FetchFresh, clock: SharedClock) -> Self {
        Self {
            database,
            fetch,
            clock,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            fetches: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
        }
    }

    /// The best levels of the market of this name, at most `a_side` on each side.
    pub(super) async fn read(
        &self,
        view: &MomentView,
        name: &str,
        a_side: usize,
    ) -> Result<QuotedLevels, ApiError> {
        let market = document::market(view.listing(), name)?;
        let stored = self.stored(market.id()).await;
        let now = UnixSeconds::from(self.clock.now());
        let is_fresh = |(_, at): &TimedBook| now.0 - at.0 <= FRESH_S;
        let (book, fetched_at) = match stored {
            Ok(Some(stored)) if is_fresh(&stored) => stored,
            stored => match self.fetched(market.id()).await {
                Some(fetched) => fetched,
                None => stored?.ok_or(ApiError::BookNotRead)?,
            },
        };
        Ok(QuotedLevels::of(&market, &book, fetched_at).cut(a_side))
    }

    async fn stored(&self, market: MarketId) -> Result<Option<TimedBook>, ApiError> {
        let reading = async {
            let _turn = self.turns.acquire().await.map_err(|_| ApiError::Busy)?;
            self.database.book_levels(market).await.map_err(|_| ApiError::BookUnreadable)
        };
        tokio::time::timeout(DEADLINE, reading).await.map_err(|_| ApiError::Busy)?
    }

    async fn fetched(&self, market: MarketId) -> Option<TimedBook> {
        let _turn = self.fetches.try_acquire().ok()?;
        (self.fetch)(market).await
    }
}
