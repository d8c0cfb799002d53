//! State that the handlers of the public listener share.

use std::{sync::Arc, time::Duration};

use super::{
    api::{
        book_reader::BookReader, candle_reader::CandleReader, stream::backlog::BacklogReader, views::Views,
    },
    stream_slots::StreamSlots,
};
use crate::{clock::SharedClock, published::Published};

#[cfg(test)]
use {
    crate::{
        clock::SystemClock,
        db::{Database, DatabaseSettings},
        published::ListingSource,
    },
    futures_util::FutureExt as _,
};

/// State of the public listener.
#[derive(Clone)]
pub struct PublicState {
    /// Newest publication and vitals.
    pub published: Arc<Published>,
    /// Clock for ages.
    pub clock: SharedClock,
    /// Age from which on data count as stale.
    pub stale_after: Duration,
    /// Longest time between two publications, unless something is wrong.
    pub publish_interval: Duration,
    /// Views that the documents of the API are made of.
    pub views: Arc<Views>,
    /// Slots for readers of the live stream.
    pub stream_slots: StreamSlots,
    /// Reader of the levels of order books.
    pub books: BookReader,
    /// Reader of stored candles.
    pub candles: CandleReader,
    /// Reader of what readers of the live stream missed.
    pub backlogs: BacklogReader,
    /// Returns true while the supervisor runs.
    pub is_alive: Arc<dyn Fn() -> bool + Send + Sync>,
}

#[cfg(test)]
impl PublicState {
    /// State for tests of answers that ask neither the database nor Horizon. Both are unreachable.
    pub(super) fn unreachable(published: Published) -> Self {
        let url = "postgres://nobody@127.0.0.1:1/x".to_owned();
        let settings = DatabaseSettings { url, ca_file: None, max_connections: 1 };
        let database = Database::new(&settings, tokio::runtime::Handle::current()).unwrap();
        let clock = SystemClock::shared();
        let no_book = Arc::new(|_| std::future::ready(None).boxed_local());
        Self {
            published: Arc::new(published),
            clock: Arc::clone(&clock),
            stale_after: Duration::from_secs(600),
            publish_interval: Duration::from_secs(1),
            views: Arc::new(Views::new(ListingSource::new("Test Network", []))),
            stream_slots: StreamSlots::default(),
            books: BookReader::new(database.clone(), no_book, clock),
            candles: CandleReader::new(database.clone(), 365),
            backlogs: BacklogReader::new(database),
            is_alive: Arc::new(|| true),
        }
    }
}
