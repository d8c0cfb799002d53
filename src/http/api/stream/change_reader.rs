//! A reader of changed markets and new trades.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use metrics::counter;
use ticker_formats::listings::live::Lines;
use tokio::sync::watch;

use super::{
    backlog::Backlog,
    event_id::{EventId, ResumeError},
    events::{DRAIN_POLL, DROPPED, END, QUIET, hello, reset},
    filter::Filter,
    frame::StreamFrame,
    outgoing::{Outgoing, published, write_line},
};
use crate::{
    http::{api::views::Views, stream_slots::StreamSlot},
    published::{Published, recent::Change},
};

/// Time after which a reader is given up if it still receives the same events and could not continue after them. It
/// holds a whole backlog, or the lines of an old publication.
const EVENTS_TIME_MAX: Duration = Duration::from_secs(30);

/// Where a reader begins.
pub(super) enum Start {
    /// With the documents that it reads next.
    New,
    /// After the change of this number.
    After(u64),
    /// With what it missed, which follows the batch `seen`.
    Missed { backlog: Arc<Backlog>, seen: i64 },
    /// Like a new reader, since it cannot be resumed.
    Lost(ResumeError),
}

/// A reader of changed markets and new trades.
pub(super) struct ChangeReader {
    published: Arc<Published>,
    views: Arc<Views>,
    newest: watch::Receiver<u64>,
    filter: Filter,
    /// Number of the last change that it got, or gets now.
    place: u64,
    /// Publication of that change; none before the first.
    last: Option<EventId>,
    /// Events that it gets now.
    outgoing: Option<Outgoing>,
    /// Time when it began to get them.
    outgoing_since: Instant,
    /// Its greeting, its silence and its end.
    frame: StreamFrame,
}

impl ChangeReader {
    pub(super) fn new(
        published: Arc<Published>,
        views: Arc<Views>,
        filter: Filter,
        start: Start,
        slot: StreamSlot,
    ) -> Self {
        let newest = published.recent.watch();
        let (place, greeting, outgoing) = match start {
            Start::New => {
                let (place, id) = before_documents(&published, &views);
                (place, id.map(hello).unwrap_or_default(), None)
            }
            Start::Lost(why) => {
                let (place, id) = before_documents(&published, &views);
                (place, id.map(|id| reset(id, why)).unwrap_or_default(), None)
            }
            Start::After(place) => (place, String::new(), None),
            Start::Missed { backlog, seen } => {
                (backlog.place, String::new(), Some(Outgoing::backlog(backlog, seen)))
            }
        };
        Self {
            published,
            views,
            newest,
            filter,
            place,
            last: None,
            outgoing,
            outgoing_since: Instant::now(),
            frame: StreamFrame::new(&greeting, slot),
        }
    }

    /// Waits for the next events. Returns none at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.frame.take_greeting() {
            return Some(greeting);
        }
        if self.outgoing.is_some() {
            // Lets the server send the last chunk, so that it does not collect all of them.
            tokio::task::yield_now().await;
        }
        while !self.frame.is_over() {
            if let Some(events) = self.events() {
                self.frame.note_sent();
                return Some(events);
            }
            // A published change ends the wait at once. The sender lives as long as the process.
            let _ = tokio::time::timeout(DRAIN_POLL, self.newest.changed()).await;
        }
        None
    }

    /// Events that are due now; none if there is nothing to send.
    fn events(&mut self) -> Option<Bytes> {
        if self.published.vitals.is_draining() {
            return Some(self.frame.end(END));
        }
        if self.is_too_slow() {
            return Some(self.give_up());
        }
        loop {
            if let Some(outgoing) = &mut self.outgoing {
                if let Some(chunk) = outgoing.chunk(&self.filter) {
                    return Some(chunk);
                }
                self.outgoing = None;
            }
            let Some(next) = self.published.recent.next(self.place) else { return Some(self.dropped()) };
            let Some(change) = next else { return self.heartbeat() };
            if change.changes.is_whole {
                (self.place, self.last) = before_documents(&self.published, &self.views);
                return self.last.map(|id| reset(id, ResumeError::Whole).into());
            }
            self.place = change.number;
            self.last = Some(id(&change));
            self.outgoing = Some(self.outgoing_of(&change));
            self.outgoing_since = Instant::now();
        }
    }

    /// Returns true if it could not continue after the events that it gets now, because the next ones are gone.
    fn is_too_slow(&self) -> bool {
        self.outgoing.is_some()
            && self.outgoing_since.elapsed() > EVENTS_TIME_MAX
            && self.published.recent.next(self.place).is_none()
    }

    /// Ends the events that it gets now. A reader of a backlog begins again as a new one: it would come back with the
    /// same id, and get the same beginning each time.
    fn give_up(&mut self) -> Bytes {
        let Some(outgoing) = self.outgoing.take().filter(Outgoing::is_backlog) else { return self.dropped() };
        drop(outgoing);
        (self.place, self.last) = before_documents(&self.published, &self.views);
        self.last.map_or_else(|| self.dropped(), |id| reset(id, ResumeError::NotKept).into())
    }

    fn dropped(&mut self) -> Bytes {
        counter!("ticker_live_readers_dropped_total").increment(1);
        self.outgoing = None;
        self.frame.end(DROPPED)
    }

    /// Sign of life after a long silence.
    fn heartbeat(&self) -> Option<Bytes> {
        self.frame.is_quiet().then(|| {
            self.last.map_or_else(|| Bytes::from_static(QUIET.as_bytes()), |id| published(id).into())
        })
    }

    fn outgoing_of(&self, change: &Change) -> Outgoing {
        if self.filter.is_all() {
            return Outgoing::shared(shared_events(change, &self.published));
        }
        Outgoing::lines(lines(change, &self.published), id(change))
    }
}

/// Where a reader begins that reads the documents next: the number of a change and the id of its publication. Documents
/// of many markets may be older than the newest publication, and the reader gets all changes since.
fn before_documents(published: &Published, views: &Views) -> (u64, Option<EventId>) {
    let number = published.recent.newest();
    let Some(newest) = published.newest() else { return (number, None) };
    let (seq, as_of) = views.pinned_moment(&newest);
    match published.recent.resume_after(seq, as_of) {
        Some(place) => (place, Some(EventId { seq, as_of })),
        None => {
            // Too much changed since.
            views.pin(&newest);
            (number, Some(EventId::of(&newest)))
        }
    }
}

const fn id(change: &Change) -> EventId {
    EventId { seq: change.seq, as_of: change.as_of }
}

/// Events of a change for readers of everything, made by the first of them. Empty if nothing changed.
fn shared_events(change: &Change, of: &Published) -> Bytes {
    let make = || {
        let lines = lines(change, of);
        let mut text = String::new();
        lines.trades.iter().for_each(|line| write_line("trade", line, &mut text));
        lines.markets.iter().for_each(|line| write_line("market", line, &mut text));
        if !text.is_empty() {
            text.push_str(&published(id(change)));
        }
        text.into()
    };
    change.events.get_or_init(make).clone()
}

/// Lines of a change, rendered by the first reader that needs them, with the newest figures.
fn lines(change: &Change, published: &Published) -> Arc<Lines> {
    let render = || {
        let newest = published.newest();
        Arc::new(newest.map_or_else(Lines::default, |newest| Lines::of(&change.changes, &newest.snapshot)))
    };
    Arc::clone(change.lines.get_or_init(render))
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::{
        domain::{
            changes::Changes, directory::Directory, instant::UnixSeconds, market_snapshot::MarketSnapshot,
            windows::Windows,
        },
        http::stream_slots::StreamSlots,
        published::{FileMaker, ListingSource, Publication},
    };

    /// Publishes at these seconds. No market changes.
    fn publish(state: &Published, seconds: impl IntoIterator<Item = i64>) {
        for second in seconds {
            let mut windows = Windows::default();
            windows.advance(UnixSeconds(second));
            let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
            let whole = Publication::render(1, None, snapshot, None, &mut FileMaker::default()).unwrap();
            state.publish(Arc::new(Publication { changes: Changes::default(), ..whole }));
        }
    }

    /// A new reader of everything, after its greeting.
    async fn greeted(state: &Arc<Published>) -> ChangeReader {
        let views = Arc::new(Views::new(ListingSource::new("Test Network", [])));
        let slot = StreamSlots::default().take().unwrap();
        let mut reader = ChangeReader::new(Arc::clone(state), views, Filter::all(), Start::New, slot);
        let greeting = reader.next().await.unwrap();
        assert!(greeting.ends_with(hello(EventId { seq: 1, as_of: UnixSeconds(1) }).as_bytes()));
        reader
    }

    #[test]
    fn a_reader_whose_next_change_is_gone_is_dropped_and_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            actix_web::rt::System::new().block_on(async {
                let state = Arc::new(Published::default());
                publish(&state, [1]);
                let mut reader = greeted(&state).await;
                publish(&state, 2..=130);
                assert_eq!(reader.next().await.unwrap(), DROPPED);
                assert_eq!(reader.next().await, None);
            });
        });
        let text = recorder.handle().render();
        assert!(text.contains("ticker_live_readers_dropped_total 1\n"), "{text}");
    }

    #[tokio::test]
    async fn a_silent_reader_gets_the_last_publication_or_learns_that_there_was_none() {
        let state = Arc::new(Published::default());
        publish(&state, [1]);
        let mut reader = greeted(&state).await;
        reader.frame.age();
        assert_eq!(reader.next().await.unwrap(), QUIET);
        publish(&state, [2]);
        reader.frame.age();
        let newest = EventId { seq: 1, as_of: UnixSeconds(2) };
        assert_eq!(reader.next().await.unwrap(), published(newest));
    }
}
