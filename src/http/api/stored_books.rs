//! Order books that were read from the database within the last second, so that many readers of a book cost one read.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        instant::UnixSeconds,
        orderbook::{Level, OrderBook},
        windows::MarketId,
    },
    http::answer_cache::{AnswerCache, Entry, Limits, MemorySize},
};

/// Longest time for which one read of a book serves requests. A newer stored book is shown that much later at most.
const USED_FOR: Duration = Duration::from_secs(1);
/// Limits on these books. A book of 400 levels has some 13 KB.
const LIMITS: Limits = Limits { answers: 1_024, bytes: 16 << 20 };

/// A book and the time of its reading at Horizon.
pub(super) type TimedBook = (OrderBook, UnixSeconds);

/// Book of a market as the database has it; none if it was never read.
pub(super) struct StoredBook(pub(super) Option<TimedBook>);

/// Books that were read during one stretch of [`USED_FOR`].
pub(super) struct StoredBooks(Mutex<Stretch>);

struct Stretch {
    begun: Instant,
    books: AnswerCache<MarketId, StoredBook>,
}

impl MemorySize for MarketId {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

impl MemorySize for StoredBook {
    fn bytes(&self) -> usize {
        let levels = self.0.as_ref().map_or(0, |(book, _)| book.bids.len().saturating_add(book.asks.len()));
        size_of::<Self>().saturating_add(levels.saturating_mul(size_of::<Level>()))
    }
}

impl StoredBooks {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Stretch::new(now)))
    }

    /// Returns the cache entry of a market's book at `now`. All requests within one stretch get the same entry.
    pub(super) fn entry(&self, market: MarketId, now: Instant) -> Entry<MarketId, StoredBook> {
        let mut stretch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(stretch.begun) >= USED_FOR {
            *stretch = Stretch::new(now);
        }
        stretch.books.entry(market)
    }
}

impl Stretch {
    fn new(begun: Instant) -> Self {
        Self { begun, books: AnswerCache::new(LIMITS) }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_book_is_read_once_a_second_for_all_its_readers() {
        let (begun, reads) = (Instant::now(), &AtomicUsize::new(0));
        let books = StoredBooks::new(begun);
        let get = |market: MarketId, after_ms: u64| {
            let entry = books.entry(market, begun + Duration::from_millis(after_ms));
            entry.get(async move {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(StoredBook(None))
            })
        };
        let _ = tokio::join!(get(1, 0), get(1, 0), get(2, 0), get(1, 999));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        let _ = get(1, 999).await;
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        let _ = tokio::join!(get(1, 1_000), get(1, 1_000));
        assert_eq!(reads.load(Ordering::Relaxed), 3, "a book that was stored meanwhile is found");
    }
}
