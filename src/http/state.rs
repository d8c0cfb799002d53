//! State that the handlers of the public listener share.

use std::{sync::Arc, time::Duration};

use super::{
    api::{
        book_reader::BookReader, candle_reader::CandleReader, stream::backlog::BacklogReader, views::Views,
    },
    stream_slots::StreamSlots,
};
use crate::{clock::SharedClock, published::Published};

/// State of the public listener.
#[derive(Clone)]
pub struct PublicState {
    /// Newest publication and vitals.
    pub published: Arc<Published>,
    /// Clock for ages.
    pub clock: SharedClock,
    /// Age from which on data count as stale.
    pub stale_after: Duration,
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
