//! Socket of a client, which gives actix one request at a time: see [`request_gate`](super::request_gate).

use std::{
    fmt,
    io::{self, Error},
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::CloseReason,
    head_limit::{HeadError, HeadLimit, LargeHeads},
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

/// Socket of a client.
pub(super) struct GatedStream<Io> {
    io: Io,
    gate: Rc<RequestGate>,
    head: HeadLimit,
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
            head: HeadLimit::new(large_heads),
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

    /// Returns true once the request with a large head was answered.
    fn is_large_head_answered(&self) -> bool {
        self.head.has_large() && !self.head.is_in_head() && self.gate.phase() == Phase::Head
    }

    /// Returns how many of these bytes pass, and moves the gate behind them. The gate must be open.
    fn admit(&mut self, bytes: &[u8]) -> Result<usize, HeadError> {
        match self.gate.phase() {
            Phase::Head => {
                let end = self.head.admit(bytes)?;
                if end.is_some() {
                    self.gate.set_phase(Phase::Asked);
                }
                Ok(end.unwrap_or(bytes.len()))
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
}

impl<Io: AsyncRead + AsyncWrite + Unpin> GatedStream<Io> {
    /// Receives up to `most` bytes into `ahead`, or notes that the client has closed its side.
    fn poll_receive(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<()>> {
        let mut bytes = [MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut received = ReadBuf::uninit(bytes.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut received))?;
        self.has_ended = received.filled().is_empty();
        self.ahead.extend_from_slice(received.filled());
        Poll::Ready(Ok(()))
    }

    /// Passes bytes through the open gate.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && !self.has_ended {
            ready!(self.poll_receive(cx, READ_BYTES))?;
        }
        // Taken out, because the gate is moved while they are read.
        let mut ahead = std::mem::take(&mut self.ahead);
        let most = buffer.remaining().min(READ_BYTES);
        match self.admit(ahead.get(..most).unwrap_or(&ahead)) {
            Ok(count) => {
                buffer.put_slice(ahead.get(..count).unwrap_or_default());
                ahead.advance(count);
                // An empty one would take memory for as long as the connection.
                if !ahead.is_empty() {
                    self.ahead = ahead;
                }
                self.passed = self.passed.saturating_add(count);
                Poll::Ready(Ok(()))
            }
            Err(refusal) => Poll::Ready(Err(self.refuse(cx, refusal))),
        }
    }

    /// Refuses a head, as well as it can be done at once: nothing is being sent, so the socket has room for an answer.
    fn refuse(&mut self, cx: &mut Context<'_>, refusal: HeadError) -> Error {
        CloseReason::Head.count();
        let _sent = Pin::new(&mut self.io).poll_write(cx, refusal.answer());
        Error::other(refusal)
    }

    /// Waits at the closed gate, and notices if the client leaves.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_BYTES_MAX && !self.has_ended {
            match self.poll_receive(cx, AHEAD_BYTES) {
                Poll::Pending => break,
                Poll::Ready(received) => received?,
            }
        }
        if self.ahead.is_empty() && self.has_ended {
            return Poll::Ready(Ok(()));
        }
        if !self.ahead.is_empty() || self.head.has_large() {
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
