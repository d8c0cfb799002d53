//! Decoder of server-sent events from chunks that are cut anywhere. Pure.

use std::num::NonZeroUsize;

use bytes::Bytes;
use sse_core::{SseDecoder, SseEvent};

/// Largest event, in bytes. A trade takes about 1.5 KB.
const EVENT_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();

/// Event of a stream of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// `event: open`: the server accepted the connection.
    Open,
    /// Record with its id and JSON.
    Record {
        /// Event id, a paging token. Empty if the server sent none.
        id: String,
        /// JSON as received.
        data: Bytes,
    },
    /// `event: close`: a normal end. Reconnect at once.
    Close,
    /// `event: error`, with the server's text.
    Error(String),
    /// Event beyond the size limit. It is dropped, and the stream continues after it.
    TooLarge,
}

/// Decoder of events.
#[derive(Debug)]
pub struct EventDecoder {
    decoder: SseDecoder,
}

impl Default for EventDecoder {
    fn default() -> Self {
        Self { decoder: SseDecoder::with_limit(EVENT_BYTES_MAX) }
    }
}

impl EventDecoder {
    /// Next event that is complete in `chunk`. `None` once all its bytes are consumed.
    pub fn next(&mut self, chunk: &mut Bytes) -> Option<StreamEvent> {
        loop {
            let message = match self.decoder.next(chunk)? {
                Ok(SseEvent::Retry(_)) => continue, // ignored: our own waits are bounded, the server's may not be
                Ok(SseEvent::Message(message)) => message,
                Err(_) => return Some(StreamEvent::TooLarge),
            };
            return Some(match message.event.as_ref() {
                "open" => StreamEvent::Open,
                "close" => StreamEvent::Close,
                "error" => StreamEvent::Error(message.data),
                "message" => StreamEvent::Record {
                    id: message.last_event_id.as_deref().unwrap_or_default().to_owned(),
                    data: message.data.into(),
                },
                _ => continue, // unknown event type
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRANSCRIPT: &str = "retry: 1000\nevent: open\ndata: \"hello\"\n\nid: 17179873281-1\ndata: {\"a\":\"\u{e9}\u{1f600}\"}\n\n: comment\nevent: new\ndata: x\n\nid: 17179873281-2\ndata: {}\n\nretry: 10\nevent: close\ndata: \"byebye\"\n\n";

    fn decode(bytes: &[u8], cuts: &[usize]) -> Vec<StreamEvent> {
        let mut decoder = EventDecoder::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut events = Vec::new();
        for pair in cuts.windows(2) {
            let mut chunk = Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]);
            while let Some(event) = decoder.next(&mut chunk) {
                events.push(event);
            }
        }
        events
    }

    fn record(id: &str, data: &'static str) -> StreamEvent {
        StreamEvent::Record { id: id.into(), data: data.into() }
    }

    #[test]
    fn decodes_a_transcript() {
        assert_eq!(
            decode(TRANSCRIPT.as_bytes(), &[]),
            [
                StreamEvent::Open,
                record("17179873281-1", "{\"a\":\"\u{e9}\u{1f600}\"}"),
                record("17179873281-2", "{}"),
                StreamEvent::Close,
            ]
        );
    }

    #[test]
    fn accepts_all_line_endings_and_a_byte_order_mark() {
        for text in [
            TRANSCRIPT.replace('\n', "\r\n"),
            TRANSCRIPT.replace('\n', "\r"),
            format!("\u{feff}{TRANSCRIPT}"),
        ] {
            assert_eq!(decode(text.as_bytes(), &[]), decode(TRANSCRIPT.as_bytes(), &[]));
        }
    }

    #[test]
    fn reports_an_error_and_drops_an_incomplete_event() {
        let text = "id: 1-1\ndata: {}\n\nevent: error\ndata: Rate limit exceeded\n\nid: 1-2\ndata: {";
        assert_eq!(
            decode(text.as_bytes(), &[]),
            [record("1-1", "{}"), StreamEvent::Error("Rate limit exceeded".into())]
        );
    }

    #[test]
    fn reports_a_huge_event_and_continues() {
        let text =
            format!("id: 1-1\ndata: {}\n\nid: 1-2\ndata: {{}}\n\n", "x".repeat(EVENT_BYTES_MAX.get() + 1));
        assert_eq!(decode(text.as_bytes(), &[100_000]), [StreamEvent::TooLarge, record("1-2", "{}")]);
    }

    proptest! {
        #[test]
        fn cuts_anywhere_change_nothing(cuts in prop::collection::vec(any::<usize>(), 0..40)) {
            prop_assert_eq!(decode(TRANSCRIPT.as_bytes(), &cuts), decode(TRANSCRIPT.as_bytes(), &[]));
        }

        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes, &[7, 31]);
        }
    }
}
