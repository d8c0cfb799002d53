//! Output of an answer: bytes in pieces, compressed on the way, within the memory of all answers.

use std::{
    io::{self, Write},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{domain::conversions::SaturatingFrom, http::negotiation::Coding};

/// Bytes that are allocated at once. A single buffer would need three times its size whenever it doubles.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of text that are collected before they are compressed.
const TEXT_BYTES: usize = 32 * 1024;
/// Size from which on answers are worth compressing.
const COMPRESSED_FROM_BYTES: usize = 1_024;
/// Largest answer, as it is sent. All markets of the public network with all fields take 20 MB, or 4 MB with gzip.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Memory of all answers that are being made, cached or sent, in KiB. The documented memory of the daemon includes it.
/// Half is for those that are being sent ([`crate::http::sending`]), so that one of the largest can always be made.
pub(super) const ANSWERS_KIB_MAX: usize = 128 * 1024;
/// Step by which an answer that is longer than estimated reserves more memory, in KiB.
const GROWTH_KIB: u32 = 1_024;
/// Estimated bytes of a value with its name. The average is 27 in a list of markets with all fields.
const VALUE_BYTES: u64 = 32;
/// Estimated factor by which gzip shrinks a list. Figures shrink to a fifth, names of issuers to a half.
const GZIP_RATIO: u64 = 2;

/// Reason for which an answer was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutputError {
    /// The client has gone or its deadline has passed.
    #[error("the request was dropped")]
    Cancelled,
    /// All answers together would exceed their memory.
    #[error("no memory is free for the answer")]
    NoMemory,
    /// The answer is longer than [`ANSWER_BYTES_MAX`].
    #[error("the answer is too long")]
    TooLong,
    /// The compressor failed.
    #[error("the compressor failed")]
    Failed,
}

impl OutputError {
    /// Returns the label in `/metrics`.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Cancelled => "unwanted",
            Self::NoMemory => "no_room",
            Self::TooLong => "too_long",
            Self::Failed => "failed",
        }
    }
}

/// A body that is ready to be sent.
#[derive(Debug)]
pub(super) struct CachedAnswer {
    /// Parts of the body, in order.
    pub(super) pieces: Vec<Bytes>,
    /// Coding of the body: the requested one, or identity for a body that is not worth compressing.
    pub(super) coding: Coding,
    /// False if the document is wrong, so that it was not executed and the answer has no `data`.
    pub(super) has_data: bool,
    /// Its share of the memory for answers.
    _room: Option<OwnedSemaphorePermit>,
}

impl CachedAnswer {
    /// Returns an answer that holds `room` for as long as it lives.
    pub(super) const fn new(pieces: Vec<Bytes>, coding: Coding, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { pieces, coding, has_data: true, _room: room }
    }

    /// Returns the bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// Guard held by the request that waits for an answer. Dropping it cancels the work for the answer.
#[derive(Debug, Default)]
pub(super) struct CancelGuard(Arc<()>);

/// Token by which a thread sees that its work was cancelled.
#[derive(Clone, Debug)]
pub(super) struct CancelToken(Weak<()>);

impl CancelGuard {
    pub(super) fn token(&self) -> CancelToken {
        CancelToken(Arc::downgrade(&self.0))
    }
}

impl CancelToken {
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Memory for answers, counted in KiB.
#[derive(Clone, Debug)]
pub(super) struct AnswerMemory(Arc<Semaphore>);

/// Memory that one answer has reserved.
#[derive(Debug)]
pub(super) struct MemoryShare {
    memory: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

impl Default for AnswerMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS_KIB_MAX)))
    }
}

impl AnswerMemory {
    /// Waits until the estimated memory of an answer with this number of values is free, and reserves it. None if the
    /// semaphore was closed, which never happens.
    pub(super) async fn share(&self, values: u64, coding: Coding) -> Option<MemoryShare> {
        let plain = values.saturating_mul(VALUE_BYTES);
        let bytes = if coding == Coding::Gzip { plain / GZIP_RATIO } else { plain };
        let bytes = usize::saturating_from(bytes).clamp(PIECE_BYTES, ANSWER_BYTES_MAX);
        let permit = Arc::clone(&self.0).acquire_many_owned(kib(bytes)).await.ok()?;
        Some(MemoryShare { memory: Arc::clone(&self.0), permit })
    }

    /// Returns the free memory in KiB.
    #[cfg(test)]
    pub(super) fn free_kib(&self) -> usize {
        self.0.available_permits()
    }

    /// Reserves this number of KiB.
    #[cfg(test)]
    pub(super) fn take(&self, kib: usize) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(kib).unwrap()).unwrap()
    }
}

impl MemoryShare {
    /// Grows to this number of bytes. Fails instead of waiting, because two answers could wait for each other for ever.
    fn cover(&mut self, bytes: usize) -> Result<(), OutputError> {
        if bytes > ANSWER_BYTES_MAX {
            return Err(OutputError::TooLong);
        }
        while bytes.div_ceil(1_024) > self.permit.num_permits() {
            let more = Arc::clone(&self.memory).try_acquire_many_owned(GROWTH_KIB);
            self.permit.merge(more.map_err(|_| OutputError::NoMemory)?);
        }
        Ok(())
    }

    /// Releases the memory beyond this number of bytes.
    fn shrink(mut self, bytes: usize) -> OwnedSemaphorePermit {
        let spare = self.permit.num_permits().saturating_sub(bytes.div_ceil(1_024));
        drop(self.permit.split(spare));
        self.permit
    }
}

fn kib(bytes: usize) -> u32 {
    u32::saturating_from(bytes.div_ceil(1_024))
}

/// An answer that is being written.
pub(super) struct AnswerOutput {
    /// Text that is not compressed yet. Callers append to it and then call [`Self::settle`].
    pub(super) text: String,
    /// False if the answer has no `data`.
    pub(super) has_data: bool,
    coding: Coding,
    sink: Sink,
    token: CancelToken,
}

enum Sink {
    Plain(Pieces),
    Gzip(Box<GzEncoder<Pieces>>),
}

impl AnswerOutput {
    /// Returns an empty output. Without a share of the memory, the answer must be a short one.
    pub(super) fn new(coding: Coding, share: Option<MemoryShare>, token: CancelToken) -> Self {
        let pieces = Pieces { done: Vec::new(), open: Vec::new(), bytes: 0, share, error: None };
        let sink = match coding {
            Coding::Gzip => Sink::Gzip(Box::new(GzEncoder::new(pieces, Compression::fast()))),
            _ => Sink::Plain(pieces),
        };
        Self { text: String::new(), has_data: true, coding, sink, token }
    }

    pub(super) const fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Compresses the collected text if it is long enough. Fails if the work was cancelled. Call it after each row.
    pub(super) fn settle(&mut self) -> Result<(), OutputError> {
        if self.token.is_cancelled() {
            return Err(OutputError::Cancelled);
        }
        if self.text.len() < TEXT_BYTES {
            return Ok(());
        }
        self.write_text()
    }

    fn write_text(&mut self) -> Result<(), OutputError> {
        let written = match &mut self.sink {
            Sink::Plain(pieces) => pieces.write_all(self.text.as_bytes()),
            Sink::Gzip(gzip) => gzip.write_all(self.text.as_bytes()),
        };
        self.text.clear();
        written.map_err(|_| self.sink.error())
    }

    /// Returns the whole answer.
    pub(super) fn finish(mut self) -> Result<CachedAnswer, OutputError> {
        if self.sink.is_empty() && self.text.len() < COMPRESSED_FROM_BYTES {
            let share = self.sink.into_share();
            let room = share.map(|share| share.shrink(self.text.len()));
            let answer = CachedAnswer::new(vec![self.text.into()], Coding::Identity, room);
            return Ok(CachedAnswer { has_data: self.has_data, ..answer });
        }
        self.write_text()?;

        let mut pieces = match self.sink {
            Sink::Plain(pieces) => pieces,
            Sink::Gzip(mut gzip) => {
                if gzip.try_finish().is_err() {
                    return Err(gzip.get_ref().error.unwrap_or(OutputError::Failed));
                }
                gzip.finish().map_err(|_| OutputError::Failed)?
            }
        };
        pieces.close();
        let room = pieces.share.map(|share| share.shrink(pieces.bytes));
        let answer = CachedAnswer::new(pieces.done, self.coding, room);
        Ok(CachedAnswer { has_data: self.has_data, ..answer })
    }
}

impl Sink {
    fn pieces(&self) -> &Pieces {
        match self {
            Self::Plain(pieces) => pieces,
            Self::Gzip(gzip) => gzip.get_ref(),
        }
    }

    fn error(&self) -> OutputError {
        self.pieces().error.unwrap_or(OutputError::Failed)
    }

    /// Returns true if no text was written yet.
    fn is_empty(&self) -> bool {
        match self {
            Self::Plain(pieces) => pieces.bytes == 0,
            Self::Gzip(gzip) => gzip.get_ref().bytes == 0,
        }
    }

    fn into_share(self) -> Option<MemoryShare> {
        match self {
            Self::Plain(pieces) => pieces.share,
            Self::Gzip(gzip) => gzip.finish().ok()?.share,
        }
    }
}

/// Written bytes, in pieces of [`PIECE_BYTES`].
struct Pieces {
    done: Vec<Bytes>,
    /// Piece that is not full yet.
    open: Vec<u8>,
    /// Number of bytes in all pieces.
    bytes: usize,
    share: Option<MemoryShare>,
    /// Error of the last write. [`io::Error`] cannot carry it through the compressor.
    error: Option<OutputError>,
}

impl Pieces {
    fn close(&mut self) {
        if !self.open.is_empty() {
            let mut piece = std::mem::take(&mut self.open);
            piece.shrink_to_fit(); // Only the last piece is not full.
            self.done.push(piece.into());
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(Err(error)) = self.share.as_mut().map(|share| share.cover(self.bytes + bytes.len())) {
            self.error = Some(error);
            return Err(io::Error::other(error));
        }
        if self.open.capacity() == 0 {
            self.open.reserve_exact(PIECE_BYTES);
        }
        let fitting = bytes.len().min(PIECE_BYTES - self.open.len());
        self.open.extend_from_slice(bytes.get(..fitting).unwrap_or_default());
        self.bytes += fitting;
        if self.open.len() >= PIECE_BYTES {
            self.close();
        }
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    async fn output(room: &AnswerMemory, values: u64, coding: Coding, waiting: &CancelGuard) -> AnswerOutput {
        AnswerOutput::new(coding, room.share(values, coding).await, waiting.token())
    }

    fn fill(output: &mut AnswerOutput, bytes: usize) -> Result<(), OutputError> {
        let text = "0123456789abcdef".repeat(4_096);
        let mut written = 0;
        while written < bytes {
            output.text.push_str(&text);
            written += text.len();
            output.settle()?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_pieces_add_up_to_the_answer_in_every_coding() {
        let (room, waiting) = (AnswerMemory::default(), CancelGuard::default());
        for bytes in [0, 100, 1_000_000] {
            let text = format!("{bytes}: ").repeat(bytes / 4);
            for coding in [Coding::Identity, Coding::Gzip] {
                let mut output = output(&room, 1, coding, &waiting).await;
                for part in text.as_bytes().chunks(1_000) {
                    output.text.push_str(std::str::from_utf8(part).unwrap());
                    output.settle().unwrap();
                }
                let answer = output.finish().unwrap();
                let is_zipped = answer.coding == Coding::Gzip;
                assert_eq!(is_zipped, coding == Coding::Gzip && bytes > 1_024);
                let (whole, mut plain) = (answer.pieces.concat(), String::new());
                if is_zipped {
                    flate2::read::GzDecoder::new(&whole[..]).read_to_string(&mut plain).unwrap();
                } else {
                    plain = String::from_utf8(whole).unwrap();
                }
                assert!(plain == text, "{bytes} {coding:?}");
                assert!(answer.pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
            }
        }
        assert_eq!(room.free_kib(), ANSWERS_KIB_MAX);
    }

    #[tokio::test]
    async fn a_cancelled_answer_ends_at_its_next_row() {
        let (room, waiting) = (AnswerMemory::default(), CancelGuard::default());
        let mut output = output(&room, 1, Coding::Gzip, &waiting).await;
        assert_eq!(fill(&mut output, 1), Ok(()));
        drop(waiting);
        assert_eq!(fill(&mut output, usize::MAX), Err(OutputError::Cancelled));
    }

    #[tokio::test]
    async fn an_answer_grows_while_memory_is_free_and_up_to_its_limit() {
        let (room, waiting) = (AnswerMemory::default(), CancelGuard::default());
        let mut first = output(&room, 1, Coding::Identity, &waiting).await;
        assert_eq!(fill(&mut first, usize::MAX), Err(OutputError::TooLong));
        assert!(room.free_kib() <= ANSWERS_KIB_MAX - ANSWER_BYTES_MAX / 1_024);
        let others = room.take(room.free_kib() - PIECE_BYTES / 1_024);
        let mut second = output(&room, 1, Coding::Identity, &waiting).await;
        assert_eq!(fill(&mut second, usize::MAX), Err(OutputError::NoMemory));
        drop((first, second, others));
        assert_eq!(room.free_kib(), ANSWERS_KIB_MAX);
    }
}
