//! Books for readers: those that are being read, and those that were.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use futures_util::future::{LocalBoxFuture, Shared};

use crate::{
    actors::messages::FetchedBook,
    db::market_assets::BookOfMarket,
    domain::{
        instant::UnixSeconds,
        orderbook::{PolledBook, is_fresh_book},
        windows::MarketId,
    },
};

/// Fetched books that are kept, and books that wait to be stored. A book has at most 400 levels, some 20 KB.
const KEPT_MAX: usize = 256;

/// A book that is being read, for all who wait for it.
pub(super) type Reading = Shared<LocalBoxFuture<'static, Option<Arc<FetchedBook>>>>;

/// Books that were read and not stored yet, the newest one of each market.
pub(super) type Unstored = HashMap<MarketId, Arc<FetchedBook>>;

/// Books for readers.
#[derive(Default)]
pub(super) struct Books {
    /// Books that were read, in the order of their reading.
    kept: VecDeque<(MarketId, Arc<FetchedBook>)>,
    /// Books that are being read.
    pub(super) reading: HashMap<MarketId, Reading>,
    /// Books that wait to be stored.
    unstored: Unstored,
}

impl Books {
    /// Returns the book of a market if it is fresh. Forgets those that are not.
    pub(super) fn kept(&mut self, market: MarketId, now: UnixSeconds) -> Option<Arc<FetchedBook>> {
        self.kept.retain(|(_, book)| is_fresh_book(book.fetched_at, now));
        self.kept.iter().find(|(kept, _)| *kept == market).map(|(_, book)| Arc::clone(book))
    }

    /// Keeps a book that was read, and lets it be stored.
    pub(super) fn keep(&mut self, market: MarketId, book: Arc<FetchedBook>) {
        if self.unstored.len() < KEPT_MAX || self.unstored.contains_key(&market) {
            self.unstored.insert(market, Arc::clone(&book));
        }
        self.kept.push_back((market, book));
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// Takes the books that wait to be stored.
    pub(super) fn take_unstored(&mut self) -> Unstored {
        mem::take(&mut self.unstored)
    }

    /// Lets books that could not be stored wait again, unless a newer one of the market waits.
    pub(super) fn put_back(&mut self, books: Unstored) {
        for (market, book) in books {
            if self.unstored.len() < KEPT_MAX {
                self.unstored.entry(market).or_insert(book);
            }
        }
    }
}

/// Returns these books with their figures, as the database stores them.
pub(super) fn rows(books: &Unstored) -> Vec<BookOfMarket> {
    let row = |fetched: &Arc<FetchedBook>| {
        (fetched.market, PolledBook::of(&fetched.book, fetched.fetched_at), fetched.book.clone())
    };
    books.values().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::market_assets::MarketAssets,
        domain::{asset::Asset, orderbook::OrderBook},
    };

    /// A book of the market 7. The pair does not matter here.
    fn book(fetched_at: i64) -> Arc<FetchedBook> {
        let market = MarketAssets { market: 7, base: Asset::Native, counter: Asset::Native };
        let fetched_at = UnixSeconds(fetched_at);
        Arc::new(FetchedBook { market, book: OrderBook::default(), fetched_at })
    }

    #[test]
    fn a_book_is_given_again_for_ten_seconds() {
        let (mut books, book) = (Books::default(), book(100));
        books.keep(7, Arc::clone(&book));
        assert_eq!(books.kept(7, UnixSeconds(110)), Some(book));
        assert_eq!(books.kept(8, UnixSeconds(110)), None);
        assert_eq!(books.kept(7, UnixSeconds(111)), None);
        assert!(books.kept.is_empty(), "it is forgotten");
    }

    #[test]
    fn at_most_256_books_are_kept_and_wait_to_be_stored() {
        let mut books = Books::default();
        for market in 0..300 {
            books.keep(market, book(100));
        }
        assert_eq!(books.kept.len(), KEPT_MAX);
        assert!(books.kept(299, UnixSeconds(100)).is_some() && books.kept(0, UnixSeconds(100)).is_none());
        let full = books.take_unstored();
        assert_eq!(full.len(), KEPT_MAX);
        books.keep(299, book(100));
        books.put_back(full);
        assert_eq!(books.take_unstored().len(), KEPT_MAX);
    }

    #[test]
    fn a_newer_reading_of_a_market_that_waits_replaces_the_older_one_although_256_wait() {
        let mut books = Books::default();
        for market in 0..256 {
            books.keep(market, book(100));
        }
        books.keep(7, book(111));
        let waiting = books.take_unstored();
        assert_eq!((waiting.len(), waiting.get(&7)), (KEPT_MAX, Some(&book(111))));
    }

    #[test]
    fn books_that_could_not_be_stored_wait_again_unless_a_newer_one_waits() {
        let mut books = Books::default();
        books.keep(7, book(100));
        books.keep(8, book(100));
        let failed = books.take_unstored();
        books.keep(7, book(111));
        books.put_back(failed);
        assert_eq!(books.take_unstored(), Unstored::from([(7, book(111)), (8, book(100))]));
    }

    #[test]
    fn a_book_is_stored_once_and_of_two_readings_the_later_one_is() {
        let mut books = Books::default();
        books.keep(7, book(100));
        books.keep(7, book(111));
        let stored = rows(&books.take_unstored());
        let stored: Vec<_> =
            stored.iter().map(|(market, polled, _)| (market.market, polled.fetched_at)).collect();
        assert_eq!(stored, [(7, UnixSeconds(111))]);
        assert!(books.take_unstored().is_empty());
    }
}
