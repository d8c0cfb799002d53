//! A body that is handed out piece by piece: the server copies each piece into a connection's buffer, and a reader that
//! does not read must not cost a whole file.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

/// The size of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// A reader that takes longer for one body is cut off: as long as it reads, an old publication stays in memory.
const SENDING_MAX: Duration = Duration::from_secs(180);

/// What is left to be sent, and whatever must live until it is.
pub(super) struct Pieces<K = ()> {
    left: Bytes,
    begun: Instant,
    _kept: K,
}

impl<K> Pieces<K> {
    /// All of `bytes`; `kept` is dropped when they are sent or the reader has gone.
    pub(super) fn new(bytes: Bytes, kept: K) -> Self {
        Self { left: bytes, begun: Instant::now(), _kept: kept }
    }
}

impl<K: Unpin> MessageBody for Pieces<K> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.left.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if self.begun.elapsed() > SENDING_MAX {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let piece = self.left.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.left.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn all_pieces_together_are_the_whole_and_what_is_kept_lives_as_long() {
        let whole = Bytes::from(vec![7; 200_000]);
        let kept = Arc::new(());
        let mut body = Pieces::new(whole.clone(), Arc::clone(&kept));
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
