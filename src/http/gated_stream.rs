//! Socket of a client, which gives actix one request at a time: see [`request_gate`](super::request_gate).
//!
//! It also limits the heads of requests, which actix would keep up to 128 KiB.

use std::{
    fmt,
    io::{self, Error},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    connection::CloseReason,
    framing::HeadScan,
    request_gate::{BODY_BYTES_MAX, Phase, RequestGate},
};
use crate::domain::conversions::SaturatingFrom;

/// Bytes that are passed on before actix decodes them. Its read buffer then stays small, however long a body is.
const READ_BYTES: usize = 8 * 1024;
/// Bytes that are read ahead of the gate: enough to notice that a client leaves while it is answered. A client that
/// sends more is noticed when the answer cannot be sent.
const AHEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes that are read ahead at a time.
const AHEAD_BYTES: usize = 1024;
/// Largest head of a request: the longest path that actix accepts, and 4 KiB.
const HEAD_BYTES_MAX: usize = 68 * 1024;
/// Largest head without a place among the large ones.
const SMALL_HEAD_BYTES: usize = 8 * 1024;
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
        Self(Arc::new(Semaphore::new(LARGE_HEADS_MAX)))
    }
}

/// Socket of a client.
pub(super) struct GatedStream<Io> {
    io: Io,
    gate: Rc<RequestGate>,
    head: HeadScan,
    /// Bytes of the current head so far.
    head_bytes: usize,
    large_heads: LargeHeads,
    place: Option<OwnedSemaphorePermit>,
    /// Bytes received that the gate does not let pass yet.
    ahead: BytesMut,
    /// Bytes passed on since actix last decoded.
    passed: usize,
    /// True if the client has closed its side.
    has_ended: bool,
    /// True if an answer waits until the client reads.
    is_blocked: bool,
}

impl<Io> GatedStream<Io> {
    pub(super) fn new(io: Io, large_heads: LargeHeads) -> Self {
        Self {
            io,
            gate: Rc::default(),
            head: HeadScan::default(),
            head_bytes: 0,
            large_heads,
            place: None,
            ahead: BytesMut::new(),
            passed: 0,
            has_ended: false,
            is_blocked: false,
        }
    }

    pub(super) const fn socket(&self) -> &Io {
        &self.io
    }

    pub(super) const fn gate(&self) -> &Rc<RequestGate> {
        &self.gate
    }

    /// Returns true if bytes may pass.
    fn is_open(&self) -> bool {
        match self.gate.phase() {
            // The answers to requests without an end would fill the memory of a client that reads none.
            Phase::Head => !self.is_blocked,
            Phase::Length(_) | Phase::Chunks(_) | Phase::Rest => true,
            Phase::Asked | Phase::Answering | Phase::Refused => false,
        }
    }

    /// Returns how many of these bytes pass, and moves the gate behind them. The gate must be open.
    fn admit(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self.gate.phase() {
            Phase::Head => {
                let end = self.head.end(bytes);
                let count = end.unwrap_or(bytes.len());
                self.head_bytes = self.head_bytes.saturating_add(count);
                self.check_head()?;
                if end.is_some() {
                    self.head_bytes = 0;
                    self.gate.set_phase(Phase::Asked);
                }
                Ok(count)
            }
            Phase::Length(left) => {
                let count = bytes.len().min(usize::saturating_from(left));
                let left = left.saturating_sub(u64::saturating_from(count));
                self.gate.set_phase(if left == 0 { Phase::Answering } else { Phase::Length(left) });
                Ok(count)
            }
            Phase::Chunks(mut chunks) => {
                let end = chunks.end(bytes);
                self.gate.set_phase(match end {
                    Some(_) => Phase::Answering,
                    None if chunks.data() > u64::saturating_from(BODY_BYTES_MAX) => Phase::Refused,
                    None => Phase::Chunks(chunks),
                });
                Ok(end.unwrap_or(bytes.len()))
            }
            Phase::Rest | Phase::Asked | Phase::Answering | Phase::Refused => Ok(bytes.len()),
        }
    }

    /// Returns true once the request with a large head was answered.
    fn is_large_head_answered(&self) -> bool {
        self.place.is_some() && self.head_bytes == 0 && self.gate.phase() == Phase::Head
    }

    fn check_head(&mut self) -> Result<(), Refusal> {
        if self.head_bytes > HEAD_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if self.head_bytes > SMALL_HEAD_BYTES && self.place.is_none() {
            let place = Arc::clone(&self.large_heads.0).try_acquire_owned();
            self.place = Some(place.map_err(|_| Refusal::NoPlace)?);
        }
        Ok(())
    }
}

/// Reason for refusing a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the head of a request is too large")]
    TooLarge,
    #[error("too many connections have sent a large head")]
    NoPlace,
}

impl Refusal {
    const fn answer(self) -> &'static [u8] {
        match self {
            Self::TooLarge => TOO_LARGE,
            Self::NoPlace => NO_PLACE,
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> GatedStream<Io> {
    /// Passes bytes through the open gate.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = buffer.remaining().min(READ_BYTES);
        let admitted = if self.ahead.is_empty() {
            if self.has_ended {
                return Poll::Ready(Ok(()));
            }
            let mut received = ReadBuf::new(buffer.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut received))?;
            let admitted = self.admit(received.filled());
            if let Ok(count) = admitted {
                self.ahead.extend_from_slice(received.filled().get(count..).unwrap_or_default());
                buffer.advance(count);
            }
            admitted
        } else {
            // Taken out, because the gate is moved while they are read.
            let mut ahead = std::mem::take(&mut self.ahead);
            let admitted = self.admit(ahead.get(..most).unwrap_or(&ahead));
            if let Ok(count) = admitted {
                buffer.put_slice(ahead.get(..count).unwrap_or_default());
                ahead.advance(count);
                if !ahead.is_empty() {
                    self.ahead = ahead;
                }
            }
            admitted
        };
        match admitted {
            Ok(count) => {
                self.passed = self.passed.saturating_add(count);
                Poll::Ready(Ok(()))
            }
            Err(refusal) => Poll::Ready(Err(self.refuse(cx, refusal))),
        }
    }

    /// Refuses a head, as well as it can be done at once: nothing is being sent, so the socket has room for an answer.
    fn refuse(&mut self, cx: &mut Context<'_>, refusal: Refusal) -> Error {
        CloseReason::Head.count();
        let _sent = Pin::new(&mut self.io).poll_write(cx, refusal.answer());
        Error::other(refusal)
    }

    /// Waits at the closed gate, and notices if the client leaves.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_BYTES_MAX && !self.has_ended {
            let mut bytes = [0; AHEAD_BYTES];
            let mut received = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(cx, &mut received) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => self.has_ended = received.filled().is_empty(),
            }
            self.ahead.extend_from_slice(received.filled());
        }
        if self.ahead.is_empty() && self.has_ended {
            return Poll::Ready(Ok(()));
        }
        if !self.ahead.is_empty() || self.place.is_some() {
            self.gate.wait(cx.waker());
        }
        Poll::Pending
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for GatedStream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = if self.passed >= READ_BYTES {
            // actix reads until nothing is there, and only then decodes.
            cx.waker().wake_by_ref();
            Poll::Pending
        } else if self.is_large_head_answered() {
            Poll::Ready(Ok(())) // actix sends the rest of the answer, and closes the connection
        } else if self.is_open() {
            self.poll_pass(cx, buffer)
        } else {
            self.poll_ahead(cx)
        };
        if read.is_pending() {
            self.passed = 0;
        }
        read
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GatedStream<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        let was_blocked = std::mem::replace(&mut self.is_blocked, written.is_pending());
        if was_blocked && !self.is_blocked {
            self.gate.wake();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<Io> fmt::Debug for GatedStream<Io> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GatedStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
