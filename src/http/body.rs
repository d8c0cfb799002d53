//! A body that is passed to the server in pieces. The server copies each piece into the buffer of the connection, and a
//! client that does not read must not cost the memory of a whole file.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::sending::{PIECE_BYTES, Ticket};
use crate::domain::conversions::SaturatingFrom;

/// Time limit for sending one body. An old publication stays in memory as long as a client reads it.
const SENDING_MAX: Duration = Duration::from_secs(180);

/// Bytes that are still to be sent.
pub(super) struct Pieces<K = ()> {
    /// Buffer that is being sent. Most bodies have only this one.
    first: Bytes,
    /// Buffers that follow it.
    left: VecDeque<Bytes>,
    delivery: Delivery,
    /// Value that must live until the body is sent, such as a share of the memory.
    _kept: K,
}

impl<K> Pieces<K> {
    /// Returns a body of all `bytes`, in order. `kept` is dropped when they are sent or the client is gone.
    pub(super) fn new(bytes: impl IntoIterator<Item = Bytes>, ticket: Option<Ticket>, kept: K) -> Self {
        let mut bytes = bytes.into_iter();
        let first = bytes.next().unwrap_or_default();
        Self { first, left: bytes.collect(), delivery: Delivery::new(ticket), _kept: kept }
    }
}

/// A body on its way to a client: its time limit, and the account of its bytes.
pub(super) struct Delivery {
    begun: Instant,
    /// None in a test without a listener.
    ticket: Option<Ticket>,
}

impl Delivery {
    pub(super) fn new(ticket: Option<Ticket>) -> Self {
        Self { begun: Instant::now(), ticket }
    }

    /// Counts bytes that are passed to the server.
    ///
    /// # Errors
    ///
    /// The body took too long, or its client was cut off.
    pub(super) fn count(&self, bytes: usize) -> io::Result<()> {
        if self.begun.elapsed() > SENDING_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.ticket.as_ref().is_some_and(|ticket| !ticket.count(bytes)) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<K: Unpin> MessageBody for Pieces<K> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        let left: usize = self.left.iter().map(Bytes::len).sum();
        BodySize::Sized(u64::saturating_from(self.first.len() + left))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        while self.first.is_empty() {
            let Some(next) = self.left.pop_front() else { return Poll::Ready(None) };
            self.first = next;
        }
        // The last piece is moved, not split off, so that no reference to the buffer remains.
        let piece = if self.first.len() <= PIECE_BYTES {
            std::mem::take(&mut self.first)
        } else {
            self.first.split_to(PIECE_BYTES)
        };
        Poll::Ready(Some(self.delivery.count(piece.len()).map(|()| piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_pieces_add_up_to_the_body_and_the_kept_value_lives_as_long() {
        let whole = Bytes::from(vec![7; 200_000]);
        let kept = Arc::new(());
        let mut body = Pieces::new(
            [whole.slice(..70_000), Bytes::new(), whole.slice(70_000..)],
            None,
            Arc::clone(&kept),
        );
        assert_eq!(body.size(), BodySize::Sized(200_000));
        let mut sent = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) =
            Pin::new(&mut body).poll_next(&mut Context::from_waker(std::task::Waker::noop()))
        {
            assert!(piece.len() <= PIECE_BYTES);
            sent.extend_from_slice(&piece);
        }
        assert_eq!((sent, Arc::strong_count(&kept)), (whole.to_vec(), 2));
        drop(body);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
