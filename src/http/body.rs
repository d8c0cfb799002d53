//! A body that is handed out piece by piece: the server copies each piece into a connection's buffer, and a reader that
//! does not read must not cost a whole file.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

/// The size of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// What is left to be sent, and whatever must live until it is.
pub(super) struct Pieces<K = ()> {
    left: Bytes,
    _kept: K,
}

impl<K> Pieces<K> {
    /// All of `bytes`; `kept` is dropped when they are sent or the reader has gone.
    pub(super) const fn new(bytes: Bytes, kept: K) -> Self {
        Self { left: bytes, _kept: kept }
    }
}

impl<K: Unpin> MessageBody for Pieces<K> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.left.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
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
