//! Body of a large document for a client that accepts no compression: it is decompressed while it is sent.

use std::{
    io::{self, Read as _},
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Buf as _, Bytes, buf::Reader};
use flate2::bufread::GzDecoder;

use super::{
    body::Delivery,
    sending::{PIECE_BYTES, Ticket},
};
use crate::domain::conversions::SaturatingFrom;

/// Plain bytes that are still to be sent. Only one piece of them is in memory.
pub(super) struct Inflated {
    decoder: GzDecoder<Reader<Bytes>>,
    left: usize,
    delivery: Delivery,
}

impl Inflated {
    /// Returns a body of the `len` plain bytes that `gzip` holds.
    pub(super) fn new(gzip: Bytes, len: usize, ticket: Option<Ticket>) -> Self {
        Self { decoder: GzDecoder::new(gzip.reader()), left: len, delivery: Delivery::new(ticket) }
    }

    fn piece(&mut self) -> io::Result<Bytes> {
        let mut piece = vec![0; self.left.min(PIECE_BYTES)];
        self.decoder.read_exact(&mut piece)?;
        self.left -= piece.len();
        self.delivery.count(piece.len())?;
        Ok(piece.into())
    }
}

impl MessageBody for Inflated {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::saturating_from(self.left))
    }

    /// Takes a fraction of a millisecond, so other requests of the thread hardly wait.
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        Poll::Ready((self.left > 0).then(|| self.piece()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(raw: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap().into()
    }

    fn pieces(mut body: Inflated) -> Result<Vec<Bytes>, io::Error> {
        let mut pieces = Vec::new();
        while let Poll::Ready(Some(piece)) =
            Pin::new(&mut body).poll_next(&mut Context::from_waker(std::task::Waker::noop()))
        {
            pieces.push(piece?);
        }
        Ok(pieces)
    }

    #[test]
    fn the_pieces_add_up_to_the_plain_bytes() {
        for len in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let raw: Vec<u8> = (0..=250).cycle().take(len).collect();
            let body = Inflated::new(gzip(&raw), len, None);
            assert_eq!(body.size(), BodySize::Sized(u64::try_from(len).unwrap()));
            let pieces = pieces(body).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
            assert_eq!(pieces.concat(), raw);
        }
    }

    #[test]
    fn a_body_whose_bytes_are_damaged_ends_with_an_error() {
        let whole = gzip(&[7; 1_000]);
        for cut in [0, 5, whole.len() / 2] {
            assert!(pieces(Inflated::new(whole.slice(..cut), 1_000, None)).is_err());
        }
    }
}
