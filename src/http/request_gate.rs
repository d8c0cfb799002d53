//! Gate of a connection: one request at a time.
//!
//! actix decodes all requests that it has received, even while an answer is being sent, and keeps some 7 KB for each
//! head. A client could send thousands of small requests behind one whose answer never ends. So a
//! [`GatedStream`](super::gated_stream::GatedStream) passes on one head, then the body of this request, and the next
//! head once the answer was sent. Until then further bytes wait in the kernel.
//!
//! The gate needs no parser of headers: the body is announced by the request that actix decoded.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

use super::framing::ChunkScan;

/// Largest body of a request.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Part of a request that a connection receives next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of a request.
    Head,
    /// The head was passed on, and actix has not begun the request yet.
    Asked,
    /// This many bytes of its body.
    Length(u64),
    /// Its chunked body.
    Chunks(ChunkScan),
    /// Nothing: the request is complete, and its answer was not sent yet.
    Answering,
    /// Nothing: the rest of its body is not wanted, and its answer was not sent yet.
    Refused,
    /// Anything: the answer was sent before the body was received. actix discards the rest, and then closes the
    /// connection.
    Rest,
}

/// Gate of one connection. The stream and the request in progress share it, on the thread of the connection.
#[derive(Debug)]
pub(super) struct RequestGate {
    phase: Cell<Phase>,
    /// Task of the connection, if bytes wait for the gate to open.
    waiting: RefCell<Option<Waker>>,
}

impl Default for RequestGate {
    fn default() -> Self {
        Self { phase: Cell::new(Phase::Head), waiting: RefCell::default() }
    }
}

impl RequestGate {
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Notes the task that waits for the gate to open.
    pub(super) fn wait(&self, waker: &Waker) {
        self.waiting.replace(Some(waker.clone()));
    }

    /// Wakes the task that waits, if there is one.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Begins a request, whose body is received in this phase.
    pub(super) fn begin(&self, phase: Phase) {
        self.phase.set(phase);
        if phase != Phase::Answering {
            self.wake();
        }
    }

    /// Ends the request in progress: its answer was passed to actix.
    pub(super) fn end(&self) {
        self.phase.set(if self.phase.get() == Phase::Answering { Phase::Head } else { Phase::Rest });
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn the_next_request_follows_an_answer_only_if_the_body_was_received() {
        for (phase, after) in [
            (Phase::Answering, Phase::Head),
            (Phase::Length(9), Phase::Rest),
            (Phase::Chunks(ChunkScan::new()), Phase::Rest),
            (Phase::Refused, Phase::Rest),
        ] {
            let gate = RequestGate::default();
            gate.begin(phase);
            assert_eq!(gate.phase(), phase);
            gate.end();
            assert_eq!(gate.phase(), after, "{phase:?}");
        }
    }

    #[tokio::test]
    async fn the_end_of_an_answer_wakes_the_connection() {
        let gate = RequestGate::default();
        gate.begin(Phase::Answering);
        let mut polls = 0;
        std::future::poll_fn(|context| {
            polls += 1;
            if gate.phase() == Phase::Head {
                return Poll::Ready(());
            }
            gate.wait(context.waker());
            gate.end();
            Poll::Pending
        })
        .await;
        assert_eq!(polls, 2);
    }
}
