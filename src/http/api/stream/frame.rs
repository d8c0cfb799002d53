//! The part that all readers of the live stream have: their first text, their silence, their end and their slot.

use std::time::Instant;

use bytes::Bytes;

use super::events::{HEARTBEAT, RETRY};
use crate::http::stream_slots::StreamSlot;

/// Frame of the events of one reader.
pub(super) struct StreamFrame {
    /// First text, until it is sent.
    greeting: Option<String>,
    /// Time of the last event.
    sent_at: Instant,
    /// True once the last event was returned.
    is_over: bool,
    /// Held until the reader is gone.
    _slot: StreamSlot,
}

impl StreamFrame {
    /// Begins a stream whose first text is the advice for the next connection, and this greeting.
    pub(super) fn new(greeting: &str, slot: StreamSlot) -> Self {
        let greeting = Some(format!("{RETRY}{greeting}"));
        Self { greeting, sent_at: Instant::now(), is_over: false, _slot: slot }
    }

    /// Returns the first text once.
    pub(super) fn take_greeting(&mut self) -> Option<Bytes> {
        self.greeting.take().map(Bytes::from)
    }

    /// Notes that an event is sent now.
    pub(super) fn note_sent(&mut self) {
        self.sent_at = Instant::now();
    }

    /// Returns true if the reader needs a sign of life.
    pub(super) fn is_quiet(&self) -> bool {
        self.sent_at.elapsed() >= HEARTBEAT
    }

    /// Moves the time of the last event back by [`HEARTBEAT`].
    #[cfg(test)]
    pub(super) fn age(&mut self) {
        self.sent_at = self.sent_at.checked_sub(HEARTBEAT).unwrap();
    }

    /// Ends the stream with this event, and returns it.
    pub(super) const fn end(&mut self, event: &'static str) -> Bytes {
        self.is_over = true;
        Bytes::from_static(event.as_bytes())
    }

    /// Returns true once the stream was ended.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stream_slots::StreamSlots;

    fn frame() -> StreamFrame {
        StreamFrame::new("event: hello\n\n", StreamSlots::default().take().unwrap())
    }

    #[test]
    fn the_greeting_is_given_once_and_begins_with_the_advice_to_retry() {
        let mut frame = frame();
        assert_eq!(frame.take_greeting().unwrap(), "retry: 2000\n\nevent: hello\n\n");
        assert_eq!(frame.take_greeting(), None);
    }

    #[test]
    fn a_stream_is_quiet_ten_seconds_after_its_last_event_and_over_after_its_end() {
        let mut frame = frame();
        assert!(!frame.is_quiet());
        frame.age();
        assert!(frame.is_quiet());
        frame.note_sent();
        assert!(!frame.is_quiet() && !frame.is_over());
        assert_eq!(frame.end("event: end\n\n"), "event: end\n\n");
        assert!(frame.is_over());
    }
}
