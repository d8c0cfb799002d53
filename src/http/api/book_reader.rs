//! Order books for readers: the stored one while it is fresh, else one that is requested from Horizon. Limits,
//! deadlines and connections of its own keep other answers from waiting for it.

use std::{sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use ticker_formats::listings::orderbook::QuotedLevels;
use tokio::sync::Semaphore;

use super::{
    document,
    error::ApiError,
    moment_view::MomentView,
    stored_books::{StoredBook, StoredBooks, TimedBook},
};
use crate::{
    clock::SharedClock,
    db::Database,
    domain::{instant::UnixSeconds, orderbook::is_fresh_book, windows::MarketId},
};

/// Connections of the reader's own pool, and books that are read from the database at the same time.
pub const CONNECTIONS: usize = 2;
/// Readers that wait for Horizon at the same time. Others get the stored book at once.
const FETCHES_AT_ONCE: usize = 64;
/// Longest time that a reader waits for a stored book.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reads a market's book at Horizon within its own deadline. None if that is not possible now.
pub type FetchFresh = Arc<dyn Fn(MarketId) -> LocalBoxFuture<'static, Option<TimedBook>> + Send + Sync>;

/// Reader of the levels of books.
#[derive(Clone)]
pub struct BookReader {
    database: Database,
    fetch: FetchFresh,
    clock: SharedClock,
    /// Books that were read from the database just now.
    stored: Arc<StoredBooks>,
    turns: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
}

impl BookReader {
    /// Reader of this database, and of Horizon by `fetch`. The database should have [`CONNECTIONS`] of its own.
    #[must_use]
    pub fn new(database: Database, fetch: FetchFresh, clock: SharedClock) -> Self {
        let stored = Arc::new(StoredBooks::new(clock.monotonic()));
        Self {
            database,
            fetch,
            clock,
            stored,
            turns: Arc::new(Semaphore::new(CONNECTIONS)),
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
        let levels =
            |(book, fetched_at): &TimedBook| QuotedLevels::of(&market, book, *fetched_at).cut(a_side);
        let stored = self.stored(market.id()).await;
        let now = UnixSeconds::from(self.clock.now());
        let found = stored.as_ref().ok().and_then(|stored| stored.0.as_ref());
        if let Some(fresh) = found.filter(|(_, at)| is_fresh_book(*at, now)) {
            return Ok(levels(fresh));
        }
        if let Some(fetched) = self.fetched(market.id()).await {
            return Ok(levels(&fetched));
        }
        stored?.0.as_ref().map(levels).ok_or(ApiError::BookNotRead)
    }

    /// The stored book. One reading serves everybody who asks for it at the same time or soon after.
    async fn stored(&self, market: MarketId) -> Result<Arc<StoredBook>, ApiError> {
        let entry = self.stored.entry(market, self.clock.monotonic());
        let reading = entry.get(self.read_stored(market));
        tokio::time::timeout(DEADLINE, reading).await.map_err(|_| ApiError::Busy)?
    }

    async fn read_stored(&self, market: MarketId) -> Result<StoredBook, ApiError> {
        let _turn = self.turns.acquire().await.map_err(|_| ApiError::Busy)?;
        let stored = self.database.book_levels(market).await.map_err(|_| ApiError::BookUnreadable)?;
        Ok(StoredBook(stored))
    }

    async fn fetched(&self, market: MarketId) -> Option<TimedBook> {
        let _turn = self.fetches.try_acquire().ok()?;
        (self.fetch)(market).await
    }
}
