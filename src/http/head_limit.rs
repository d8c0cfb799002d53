//! Limits on the heads of requests, which actix would keep up to 128 KiB.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::framing::HeadScan;

/// Largest head of a request: the longest path that actix accepts, and 4 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 68 * 1024;
/// Largest head without a place among the large ones.
pub(super) const SMALL_HEAD_BYTES: usize = 8 * 1024;
/// Connections that have sent a larger head. actix may keep its buffer for as long as the connection, so such a
/// connection ends with the answer, and keeps its place until then. Together they take at most 64 MiB.
const LARGE_HEADS_MAX: usize = 500;

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Places for connections with large heads. All connections of a listener share them.
#[derive(Clone, Debug)]
pub(super) struct LargeHeads(Arc<Semaphore>);

impl Default for LargeHeads {
    fn default() -> Self {
        Self::with_places(LARGE_HEADS_MAX)
    }
}

impl LargeHeads {
    /// So many places.
    pub(super) fn with_places(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }
}

/// Limit on the heads of one connection.
#[derive(Debug)]
pub(super) struct HeadLimit {
    scan: HeadScan,
    /// Bytes of the current head so far.
    bytes: usize,
    large_heads: LargeHeads,
    place: Option<OwnedSemaphorePermit>,
}

impl HeadLimit {
    pub(super) fn new(large_heads: LargeHeads) -> Self {
        Self { scan: HeadScan::default(), bytes: 0, large_heads, place: None }
    }

    /// Reads bytes of a head. Returns how many there are up to its end, or none if it goes on.
    ///
    /// # Errors
    ///
    /// The head is too large, or it is large and has no place.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let end = self.scan.end(bytes);
        self.bytes = self.bytes.saturating_add(end.unwrap_or(bytes.len()));
        if self.bytes > HEAD_BYTES_MAX {
            return Err(HeadError::TooLarge);
        }
        if self.bytes > SMALL_HEAD_BYTES && self.place.is_none() {
            let place = Arc::clone(&self.large_heads.0).try_acquire_owned();
            self.place = Some(place.map_err(|_| HeadError::NoPlace)?);
        }
        if end.is_some() {
            self.bytes = 0;
        }
        Ok(end)
    }

    /// Returns true if the connection has sent a large head, of which actix keeps the buffer.
    pub(super) const fn has_large(&self) -> bool {
        self.place.is_some()
    }

    /// Returns true if a head has begun and not ended.
    pub(super) const fn is_in_head(&self) -> bool {
        self.bytes > 0
    }
}

/// Reason for refusing a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("the head of a request is too large")]
    TooLarge,
    #[error("too many connections have sent a large head")]
    NoPlace,
}

impl HeadError {
    /// Answer to the client. The connection ends after it.
    pub(super) const fn answer(self) -> &'static [u8] {
        match self {
            Self::TooLarge => TOO_LARGE,
            Self::NoPlace => NO_PLACE,
        }
    }
}
