//! The bytes of an answer while it is made: in pieces, compressed as they come, within the room of all answers.

use std::{
    io::{self, Write},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answers::CachedAnswer;
use crate::http::negotiation::Coding;

/// Bytes of an answer that are allocated at once. A single buffer would take twice its size whenever it grows.
const PIECE_BYTES: usize = 256 * 1024;
/// Text that is collected before it is compressed.
const TEXT_BYTES: usize = 32 * 1024;
/// Smaller answers are not worth compressing.
const COMPRESSED_FROM_BYTES: usize = 1_024;
/// The largest answer, as it is sent. Every market of the public network with all fields takes 20 MB, 4 by gzip.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// All answers that are being made, kept or sent, in KiB. The documented memory holds them beside everything else. Half is
/// for those that are sent ([`crate::http::sending`]), so that one of the largest can always be made.
pub(super) const ANSWERS_KIB_MAX: usize = 128 * 1024;
/// Step by which an answer that is longer than estimated reserves more room, in KiB.
const GROWTH_KIB: u32 = 1_024;
/// Bytes of a value with its name, on average: 27 in a list of markets with all fields.
const VALUE_BYTES: u64 = 32;
/// Factor by which gzip shrinks a list, at least: figures shrink to a fifth, names of issuers to a half.
const GZIP_RATIO: u64 = 2;

/// Why an answer was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    /// The client has gone or its deadline has passed.
    #[error("nobody waits for the answer")]
    Unwanted,
    /// All answers together would take too much memory.
    #[error("no memory is free for the answer")]
    NoRoom,
    /// It is longer than any answer may be.
    #[error("the answer is too long")]
    TooLong,
    /// The compressor failed.
    #[error("the compressor failed")]
    Failed,
}

impl Stop {
    /// Its name in `/metrics`.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unwanted => "unwanted",
            Self::NoRoom => "no_room",
            Self::TooLong => "too_long",
            Self::Failed => "failed",
        }
    }
}

/// Guard held by the request that waits for an answer. When it is dropped, the work for the answer ends.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<()>);

/// Tells a thread whether its work is still wanted.
#[derive(Clone, Debug)]
pub(super) struct Interest(Weak<()>);

impl Waiting {
    pub(super) fn interest(&self) -> Interest {
        Interest(Arc::downgrade(&self.0))
    }
}

impl Interest {
    pub(super) fn is_there(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Memory for answers, counted in KiB.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A part of the room.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS_KIB_MAX)))
    }
}

impl Room {
    /// Waits for room for an answer of that many values. None if the room was closed, which never happens.
    pub(super) async fn share(&self, values: u64, coding: Coding) -> Option<Share> {
        let plain = values.saturating_mul(VALUE_BYTES);
        let bytes = if coding == Coding::Gzip { plain / GZIP_RATIO } else { plain };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(PIECE_BYTES, ANSWER_BYTES_MAX);
        let permit = Arc::clone(&self.0).acquire_many_owned(kib(bytes)).await.ok()?;
        Some(Share { room: Arc::clone(&self.0), permit })
    }

    /// KiB that are free.
    #[cfg(test)]
    pub(super) fn free_kib(&self) -> usize {
        self.0.available_permits()
    }

    /// Takes so many KiB.
    #[cfg(test)]
    pub(super) fn take(&self, kib: usize) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(kib).unwrap()).unwrap()
    }
}

impl Share {
    /// Grows to hold so many bytes, without waiting: two answers that wait for each other would wait for ever.
    fn cover(&mut self, bytes: usize) -> Result<(), Stop> {
        if bytes > ANSWER_BYTES_MAX {
            return Err(Stop::TooLong);
        }
        while bytes.div_ceil(1_024) > self.permit.num_permits() {
            let more = Arc::clone(&self.room).try_acquire_many_owned(GROWTH_KIB);
            self.permit.merge(more.map_err(|_| Stop::NoRoom)?);
        }
        Ok(())
    }

    /// Releases the room beyond that many bytes.
    fn shrink(mut self, bytes: usize) -> OwnedSemaphorePermit {
        let spare = self.permit.num_permits().saturating_sub(bytes.div_ceil(1_024));
        drop(self.permit.split(spare));
        self.permit
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

/// An answer that is being written.
pub(super) struct Output {
    /// The end of it, not compressed yet. Written to directly; see [`Self::settle`].
    pub(super) text: String,
    coding: Coding,
    sink: Sink,
    interest: Interest,
}

enum Sink {
    Plain(Pieces),
    Gzip(Box<GzEncoder<Pieces>>),
}

impl Output {
    /// Without a share of the room the answer must be a short one.
    pub(super) fn new(coding: Coding, share: Option<Share>, interest: Interest) -> Self {
        let pieces = Pieces { done: Vec::new(), open: Vec::new(), bytes: 0, share, stop: None };
        let sink = match coding {
            Coding::Gzip => Sink::Gzip(Box::new(GzEncoder::new(pieces, Compression::fast()))),
            _ => Sink::Plain(pieces),
        };
        Self { text: String::new(), coding, sink, interest }
    }

    pub(super) const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Called between two rows: passes on what has been collected, and ends unwanted work.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        if !self.interest.is_there() {
            return Err(Stop::Unwanted);
        }
        if self.text.len() < TEXT_BYTES {
            return Ok(());
        }
        self.write_text()
    }

    fn write_text(&mut self) -> Result<(), Stop> {
        let written = match &mut self.sink {
            Sink::Plain(pieces) => pieces.write_all(self.text.as_bytes()),
            Sink::Gzip(gzip) => gzip.write_all(self.text.as_bytes()),
        };
        self.text.clear();
        written.map_err(|_| self.sink.stop())
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Result<CachedAnswer, Stop> {
        if self.sink.is_empty() && self.text.len() < COMPRESSED_FROM_BYTES {
            let share = self.sink.into_share();
            let room = share.map(|share| share.shrink(self.text.len()));
            return Ok(CachedAnswer::new(vec![self.text.into()], Coding::Identity, room));
        }
        self.write_text()?;
        let stop = Stop::Failed;
        let mut pieces = match self.sink {
            Sink::Plain(pieces) => pieces,
            Sink::Gzip(mut gzip) => {
                if gzip.try_finish().is_err() {
                    return Err(gzip.get_ref().stop.unwrap_or(stop));
                }
                gzip.finish().map_err(|_| stop)?
            }
        };
        pieces.close();
        let room = pieces.share.map(|share| share.shrink(pieces.bytes));
        Ok(CachedAnswer::new(pieces.done, self.coding, room))
    }
}

impl Sink {
    fn pieces(&self) -> &Pieces {
        match self {
            Self::Plain(pieces) => pieces,
            Self::Gzip(gzip) => gzip.get_ref(),
        }
    }

    fn stop(&self) -> Stop {
        self.pieces().stop.unwrap_or(Stop::Failed)
    }

    /// Returns true if nothing was passed on yet. A compressor may have written its header.
    fn is_empty(&self) -> bool {
        match self {
            Self::Plain(pieces) => pieces.bytes == 0,
            Self::Gzip(gzip) => gzip.get_ref().bytes == 0,
        }
    }

    fn into_share(self) -> Option<Share> {
        match self {
            Self::Plain(pieces) => pieces.share,
            Self::Gzip(gzip) => gzip.finish().ok()?.share,
        }
    }
}

struct Pieces {
    done: Vec<Bytes>,
    open: Vec<u8>,
    /// Bytes of all of them.
    bytes: usize,
    share: Option<Share>,
    /// Why no more is taken.
    stop: Option<Stop>,
}

impl Pieces {
    fn close(&mut self) {
        if !self.open.is_empty() {
            let mut piece = std::mem::take(&mut self.open);
            piece.shrink_to_fit(); // the last one; others are full
            self.done.push(piece.into());
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(Err(stop)) = self.share.as_mut().map(|share| share.cover(self.bytes + bytes.len())) {
            self.stop = Some(stop);
            return Err(io::Error::other(stop));
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

    async fn output(room: &Room, values: u64, coding: Coding, waiting: &Waiting) -> Output {
        Output::new(coding, room.share(values, coding).await, waiting.interest())
    }

    fn fill(output: &mut Output, bytes: usize) -> Result<(), Stop> {
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
    async fn an_answer_is_its_pieces_in_their_order_however_it_is_coded() {
        let (room, waiting) = (Room::default(), Waiting::default());
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
    async fn an_answer_that_nobody_waits_for_ends_at_its_next_row() {
        let (room, waiting) = (Room::default(), Waiting::default());
        let mut output = output(&room, 1, Coding::Gzip, &waiting).await;
        assert_eq!(fill(&mut output, 1), Ok(()));
        drop(waiting);
        assert_eq!(fill(&mut output, usize::MAX), Err(Stop::Unwanted));
    }

    #[tokio::test]
    async fn an_answer_grows_while_there_is_room_and_to_its_limit() {
        let (room, waiting) = (Room::default(), Waiting::default());
        let mut first = output(&room, 1, Coding::Identity, &waiting).await;
        assert_eq!(fill(&mut first, usize::MAX), Err(Stop::TooLong));
        assert!(room.free_kib() <= ANSWERS_KIB_MAX - ANSWER_BYTES_MAX / 1_024);
        let others = room.take(room.free_kib() - PIECE_BYTES / 1_024);
        let mut second = output(&room, 1, Coding::Identity, &waiting).await;
        assert_eq!(fill(&mut second, usize::MAX), Err(Stop::NoRoom));
        drop((first, second, others));
        assert_eq!(room.free_kib(), ANSWERS_KIB_MAX);
    }
}
