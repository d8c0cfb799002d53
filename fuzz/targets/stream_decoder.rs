//! The stream's bytes, cut anywhere: the events are those of the whole. The first byte says how long the pieces are.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stellar_ticker::horizon::sse::{EventDecoder, StreamEvent};

fn decode(bytes: &[u8], piece: usize) -> Vec<StreamEvent> {
    let mut decoder = EventDecoder::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(event) = decoder.next(&mut piece) {
            events.push(event);
        }
        assert!(piece.is_empty(), "all of a piece is taken in");
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    assert_eq!(decode(bytes, usize::from(*first) + 1), decode(bytes, bytes.len().max(1)));
});
