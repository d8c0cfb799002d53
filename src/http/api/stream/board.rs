//! `/api/v1/stream?board=1`: changed rows of the board.
//!
//! A reader of the board makes the next event when one is due, and all readers send the same bytes.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    event_id::{EventId, ResumeError},
    events::{DRAIN_POLL, END, QUIET, hello, reset},
    frame::StreamFrame,
};
use crate::{
    blocking,
    domain::instant::UnixSeconds,
    http::{
        api::{error::ApiError, views::Views},
        board_feed::NotKeptError,
        stream_slots::StreamSlot,
    },
    published::Published,
};

/// A reader of the board.
pub(super) struct BoardReader {
    published: Arc<Published>,
    views: Arc<Views>,
    publications: watch::Receiver<u64>,
    events: watch::Receiver<u64>,
    /// Number of the last event that it got.
    place: u64,
    /// True until it has looked once whether an event is due.
    is_new: bool,
    /// Its greeting, its silence and its end.
    frame: StreamFrame,
}

impl BoardReader {
    /// `figures`: time of the figures that `/api/v1/board/figures` has now. `last_seen`: id of
    /// the last event of a reader that comes back.
    pub(super) fn new(
        published: Arc<Published>,
        views: Arc<Views>,
        figures: UnixSeconds,
        last_seen: Option<&str>,
        slot: StreamSlot,
    ) -> Self {
        let feed = views.board_feed();
        let (publications, events) = (published.recent.watch(), feed.watch());
        let seen = last_seen.map(|id| feed.number_of(id));
        let place = seen.flatten().unwrap_or_else(|| feed.place(figures));
        let newest = published.newest().map(|newest| EventId::of(&newest));
        let greeting = match (seen, newest) {
            (Some(None), Some(newest)) => reset(newest, ResumeError::NotKept),
            (None, Some(newest)) => hello(newest),
            _ => String::new(),
        };
        Self {
            published,
            views,
            publications,
            events,
            place,
            is_new: true,
            frame: StreamFrame::new(&greeting, slot),
        }
    }

    /// Waits for the next event. Returns none at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.frame.take_greeting() {
            return Some(greeting);
        }
        while !self.frame.is_over() {
            if let Some(event) = self.event() {
                self.frame.note_sent();
                return Some(event);
            }
            // Too many documents are being made: the next round tries again.
            let _ = self.make().await;
            if self.events.has_changed().unwrap_or_default() {
                self.events.mark_unchanged();
                continue;
            }
            // Both senders live as long as the process.
            tokio::select! {
                _ = self.events.changed() => {}
                _ = self.publications.changed() => {}
                () = tokio::time::sleep(DRAIN_POLL) => {}
            }
        }
        None
    }

    /// Event that is due now; none if there is nothing to send.
    fn event(&mut self) -> Option<Bytes> {
        if self.published.vitals.is_draining() {
            return Some(self.frame.end(END));
        }
        let feed = self.views.board_feed();
        match feed.next(self.place) {
            Ok(Some(event)) => {
                self.place = event.number;
                Some(event.bytes)
            }
            Err(NotKeptError) => {
                self.place = feed.newest();
                let newest = self.published.newest()?;
                Some(reset(EventId::of(&newest), ResumeError::NotKept).into())
            }
            Ok(None) => self.frame.is_quiet().then(|| Bytes::from_static(QUIET.as_bytes())),
        }
    }

    /// Makes the next event if it is due and nobody else does.
    async fn make(&mut self) -> Result<(), ApiError> {
        let Some(newest) = self.published.newest() else { return Ok(()) };
        let feed = Arc::clone(self.views.board_feed());
        let Some(_turn) = feed.turn((newest.seq, newest.as_of)) else { return Ok(()) };
        let is_new = std::mem::replace(&mut self.is_new, false);
        let base = match feed.needs_base(is_new) {
            true => Some(self.views.pinned(&newest).await?),
            false => None,
        };
        let began = Instant::now();
        let view = self.views.live(&newest).await?;
        let making = Arc::clone(&feed);
        let made = blocking::run(move || {
            if let Some(base) = base {
                making.begin(base.moment());
            }
            making.add(view.moment(), began);
        });
        made.await.map_err(|_| ApiError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::{api::stream::events::RETRY, stream_slots::StreamSlots},
        published::ListingSource,
    };

    #[tokio::test]
    async fn a_reader_of_the_board_gets_a_sign_of_life_after_ten_seconds_of_silence() {
        let views = Arc::new(Views::new(ListingSource::new("Test Network", [])));
        let slot = StreamSlots::default().take().unwrap();
        let mut reader = BoardReader::new(Arc::default(), views, UnixSeconds(1), None, slot);
        assert_eq!(reader.next().await.unwrap(), RETRY, "no publication, so no hello");
        reader.frame.age();
        assert_eq!(reader.next().await.unwrap(), QUIET);
    }
}
