//! Envelope of a data message: trace context, time of queueing, and the message.

use std::{fmt, time::Instant};

use actix::Message;

use super::supervision::queue::Ticket;

/// A data message in transit. [`Port::call`](super::port::Port::call) makes it. Its receiver first calls
/// [`ChildStatus::begin`](super::supervision::status::ChildStatus::begin) on it.
#[derive(Debug)]
pub struct Envelope<M> {
    /// Position in the trace. Messages sent while handling this one carry a child of it.
    pub trace: TraceContext,
    /// Time at which it entered the mailbox (monotonic).
    pub queued_at: Instant,
    /// The message.
    pub body: M,
    /// Place in the receiver's queue, freed when handling begins or the envelope is dropped.
    ticket: Ticket,
}

impl<M> Envelope<M> {
    pub(super) fn new(trace: TraceContext, queued_at: Instant, body: M, ticket: Ticket) -> Self {
        Self { trace, queued_at, body, ticket }
    }

    /// Frees the place in the queue: handling has begun.
    pub(super) fn leave_queue(&self) {
        self.ticket.leave();
    }
}

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
}

/// Position in a trace, as defined by W3C Trace Context level 1.
///
/// Displayed as `00-<trace id, 32 hex digits>-<span id, 16 hex digits>-01`: lower case, always "sampled". Neither id is
/// ever zero, which the standard forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
}

impl TraceContext {
    /// Starts a new trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id() }
    }

    /// Returns the next position in the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { trace_id: self.trace_id, span_id: new_span_id() }
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_displayed_like_the_example_of_the_standard() {
        let (trace_id, span_id) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        let trace = TraceContext { trace_id, span_id };
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn a_child_stays_in_its_trace_and_has_its_own_span() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(root.trace_id, child.trace_id);
        assert_ne!(root.span_id, child.span_id);
        assert_ne!(TraceContext::root().trace_id, root.trace_id);
    }
}
