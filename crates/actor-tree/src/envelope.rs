//! Envelope of a data message: its number, sender, trace context and time of queueing, and the message.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use actix::Message;

use super::supervision::queue::Ticket;

/// Number of the newest message of the process; 0 before the first.
static NEWEST: AtomicU64 = AtomicU64::new(0);

/// A data message in transit. [`Port::call`](super::port::Port::call) makes it. Its receiver first calls
/// [`ChildStatus::begin`](super::supervision::status::ChildStatus::begin) on it.
#[derive(Debug)]
pub struct Envelope<M> {
    /// Number of the message. It counts the messages of the process, from 1.
    pub number: u64,
    /// Name of the sender: an actor, or an edge of the process such as `admin`.
    pub from: &'static str,
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
    pub(super) fn new(
        from: &'static str,
        trace: TraceContext,
        queued_at: Instant,
        body: M,
        ticket: Ticket,
    ) -> Self {
        let number = NEWEST.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Self { number, from, trace, queued_at, body, ticket }
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
    /// Span that caused this one; none at the root.
    parent_id: Option<u64>,
}

impl TraceContext {
    /// Starts a new trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), parent_id: None }
    }

    /// Returns the next position in the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { trace_id: self.trace_id, span_id: new_span_id(), parent_id: Some(self.span_id) }
    }

    /// Returns the span that caused this one; none at the root.
    #[must_use]
    pub fn parent_id(&self) -> Option<u64> {
        self.parent_id
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
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::supervision::queue::Queue;

    #[test]
    fn each_message_has_a_number_of_its_own_and_later_ones_a_higher_one() {
        let queue = Arc::new(Queue::new(2));
        let send = |from| {
            let (ticket, _) = queue.enter().now_or_never().expect("there is room").expect("it is open");
            Envelope::new(from, TraceContext::root(), Instant::now(), (), ticket)
        };
        let (first, second) = (send("one"), send("other"));
        assert!(0 < first.number && first.number < second.number);
        assert_eq!((first.from, second.from), ("one", "other"));
    }

    #[test]
    fn is_displayed_like_the_example_of_the_standard() {
        let (trace_id, span_id) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        let trace = TraceContext { trace_id, span_id, parent_id: None };
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn a_child_stays_in_its_trace_and_has_its_own_span() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(root.trace_id, child.trace_id);
        assert_ne!(root.span_id, child.span_id);
        assert_eq!((root.parent_id(), child.parent_id()), (None, Some(root.span_id)));
        assert_ne!(TraceContext::root().trace_id, root.trace_id);
    }
}
