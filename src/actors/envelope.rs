//! What every data message travels in: a trace id, the time it was queued, and the message.

use std::{fmt, str::FromStr, time::Instant};

use actix::Message;

use super::supervision::queue::Ticket;

/// A data message on its way. Made by [`Port::call`](super::port::Port::call); the receiver calls
/// [`ChildStatus::begin`](super::supervision::status::ChildStatus::begin) on it first of all.
#[derive(Debug)]
pub struct Envelope<M> {
    /// Whose doing this message is; a message sent while handling it carries `trace.child()`.
    pub trace: TraceContext,
    /// When it was put into the mailbox (monotonic).
    pub queued_at: Instant,
    /// The message itself.
    pub body: M,
    /// Its place in the receiver's queue, given back when the envelope is dropped unread.
    ticket: Option<Ticket>,
}

impl<M> Envelope<M> {
    pub(super) fn ticketed(trace: TraceContext, queued_at: Instant, body: M, ticket: Ticket) -> Self {
        Self { trace, queued_at, body, ticket: Some(ticket) }
    }

    /// An envelope that takes no place in a queue: for calling a handler directly, as tests do.
    #[must_use]
    pub fn new(trace: TraceContext, queued_at: Instant, body: M) -> Self {
        Self { trace, queued_at, body, ticket: None }
    }

    /// Gives the place in the queue back: handling has begun.
    pub(super) fn leave_queue(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.leave();
        }
    }
}

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
}

/// A position in a trace, as of W3C Trace Context level 1.
///
/// Shown as `00-<trace id, 32 hex digits>-<span id, 16 hex digits>-01`: lower case, always "sampled". Neither id
/// is ever all zeros, which the standard forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
}

impl TraceContext {
    /// The start of a new trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id() }
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { trace_id: self.trace_id, span_id: new_span_id() }
    }

    /// The trace's id, 16 bytes; the same in all its steps.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// This step's id, 8 bytes.
    #[must_use]
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id.to_be_bytes()
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

/// The text was no `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: expected 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not all zeros")]
pub struct InvalidTraceParent;

impl FromStr for TraceContext {
    type Err = InvalidTraceParent;

    /// Reads a `traceparent` of version 00, whatever its flags.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(InvalidTraceParent);
        if part()? != "00" {
            return Err(InvalidTraceParent);
        }
        let trace_id = hex(part()?, 32)?;
        let span_id = u64::try_from(hex(part()?, 16)?).map_err(|_| InvalidTraceParent)?;
        hex(part()?, 2)?;
        if parts.next().is_some() || trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace_id, span_id })
    }
}

/// Reads exactly `digits` lower-case hex digits; at most 32.
fn hex(text: &str, digits: usize) -> Result<u128, InvalidTraceParent> {
    let is_lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_lower_hex) {
        return Err(InvalidTraceParent);
    }
    u128::from_str_radix(text, 16).map_err(|_| InvalidTraceParent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_shows_the_example_of_the_standard() {
        let trace: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
        assert_eq!(trace.span_id(), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(trace.trace_id().first(), Some(&0x4b));
    }

    #[test]
    fn a_child_stays_in_its_trace_and_has_a_span_of_its_own() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(root.trace_id(), child.trace_id());
        assert_ne!(root.span_id(), child.span_id());
        assert_ne!(TraceContext::root().trace_id(), root.trace_id());
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(wrong.parse::<TraceContext>(), Err(InvalidTraceParent), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(trace_id in 1_u128.., span_id in 1_u64..) {
            let trace = TraceContext { trace_id, span_id };
            prop_assert_eq!(trace.to_string().parse(), Ok(trace));
        }

        #[test]
        fn never_panics_on_any_text(text in ".{0,80}") {
            let _ = text.parse::<TraceContext>();
        }
    }
}
