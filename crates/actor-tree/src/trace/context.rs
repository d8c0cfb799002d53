//! Position in a trace, as defined by W3C Trace Context level 1.

use std::fmt;

/// A span and the trace that it belongs to.
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
    /// Starts a new trace. Only the edges of the process do: a batch of a stream, a tick of a timer, a request.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), parent_id: None }
    }

    /// Returns a new span in the same trace, caused by this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { trace_id: self.trace_id, span_id: new_span_id(), parent_id: Some(self.span_id) }
    }

    /// Returns a child of `cause`, or the root of a new trace if there is no cause.
    #[must_use]
    pub fn caused_by(cause: Option<&Self>) -> Self {
        cause.map_or_else(Self::root, Self::child)
    }

    /// Returns the id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the span.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.span_id
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
    use super::*;

    #[test]
    fn is_displayed_like_the_example_of_the_standard() {
        let (trace_id, span_id) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        let trace = TraceContext { trace_id, span_id, parent_id: None };
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn a_child_stays_in_its_trace_and_has_its_own_span() {
        let root = TraceContext::root();
        let child = TraceContext::caused_by(Some(&root));
        assert_eq!(root.trace_id, child.trace_id);
        assert_ne!(root.span_id, child.span_id);
        assert_eq!((root.parent_id(), child.parent_id()), (None, Some(root.span_id)));
        assert_ne!(TraceContext::caused_by(None).trace_id, root.trace_id);
    }
}
