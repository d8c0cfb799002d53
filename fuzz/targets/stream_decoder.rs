//! The events of a stream do not depend on where its bytes are cut. The first byte is the length of the pieces.
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
        assert!(piece.is_empty(), "the decoder consumes the whole piece");
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    assert_eq!(decode(bytes, usize::from(*first) + 1), decode(bytes, bytes.len().max(1)));
});
