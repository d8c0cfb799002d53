//! One record: a message or a step, from its queueing to its end.

use std::time::Instant;

use super::{context::TraceContext, subject::Subject};

/// Most links of a record. More are only counted.
pub(crate) const LINKS_MAX: usize = 32;

/// A message that was handled or lost, or a step of work that ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// Number of the message; a step has one as well. They count up in one series for the process.
    pub number: u64,
    /// Trace, span and parent.
    pub trace: TraceContext,
    /// Other spans that caused it.
    pub links: Links,
    /// Sender; of a step, the actor that took it.
    pub from: &'static str,
    /// Receiver; of a step, the actor that took it.
    pub to: &'static str,
    /// Type of the message, or name of the step.
    pub kind: Kind,
    /// Numbers by which it is found.
    pub subject: Subject,
    /// Time at which the sender sent it, or began the step (monotonic).
    pub queued: Instant,
    /// Time at which handling began; none if it never did.
    pub began: Option<Instant>,
    /// Time of the end.
    pub ended: Instant,
    /// Result.
    pub outcome: Outcome,
}

/// A type of message, or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Message of this type.
    Message(&'static str),
    /// Step of this name.
    Step(&'static str),
}

/// End of a message or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was handled.
    Done,
    /// A step ended with an error, which was handled.
    Failed,
    /// The actor panicked meanwhile.
    Panicked,
    /// The sender stopped waiting. If the message is handled later, that is a second record of the same number.
    TimedOut,
    /// It was dropped before it was handled, or while it was: the actor was killed or restarted.
    Abandoned,
    /// The receiver has stopped for good.
    Refused,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Panicked, Self::TimedOut, Self::Abandoned, Self::Refused];

    /// Name in `/trace.json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
        }
    }
}

/// Causes of a message or step beyond its parent: spans of this or of other traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(
    /// Boxed, since most records have no links and many records are kept.
    Option<Box<Linked>>,
);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Linked {
    spans: Vec<TraceContext>,
    left_out: u64,
}

impl Links {
    /// Adds a cause. After `LINKS_MAX` causes it is only counted.
    pub fn add(&mut self, cause: TraceContext) {
        let linked = self.0.get_or_insert_default();
        if linked.spans.len() < LINKS_MAX {
            linked.spans.push(cause);
        } else {
            linked.left_out = linked.left_out.saturating_add(1);
        }
    }

    /// Counts causes that are left out elsewhere.
    fn count_left_out(&mut self, count: u64) {
        if count > 0 {
            let linked = self.0.get_or_insert_default();
            linked.left_out = linked.left_out.saturating_add(count);
        }
    }

    /// Linked spans.
    #[must_use]
    pub fn spans(&self) -> &[TraceContext] {
        self.0.as_ref().map_or(&[], |linked| &linked.spans)
    }

    /// Number of the causes that are left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.0.as_ref().map_or(0, |linked| linked.left_out)
    }

    /// Returns the bytes that they take outside of the record.
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |linked| {
            linked
                .spans
                .capacity()
                .saturating_mul(size_of::<TraceContext>())
                .saturating_add(size_of::<Linked>())
        })
    }
}

/// Causes of something that is due: the first one becomes its parent, the others links.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    first: Option<TraceContext>,
    others: Links,
}

impl Causes {
    /// Adds a cause.
    pub fn add(&mut self, cause: TraceContext) {
        match self.first {
            None => self.first = Some(cause),
            Some(_) => self.others.add(cause),
        }
    }

    /// Adds again what [`Self::take`] returned, for work that did not succeed.
    pub fn put_back(&mut self, first: Option<TraceContext>, others: &Links) {
        first.into_iter().chain(others.spans().iter().copied()).for_each(|cause| self.add(cause));
        self.others.count_left_out(others.left_out());
    }

    /// Returns the first cause and the others, and forgets them. Without a cause, a timer or an operator caused it.
    #[must_use]
    pub fn take(&mut self) -> (Option<TraceContext>, Links) {
        (self.first.take(), std::mem::take(&mut self.others))
    }
}

/// Identity of a message.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// Number of the message. It counts the messages of the process, from 1.
    pub(crate) number: u64,
    /// Name of the sender: an actor, or an edge of the process such as `admin`.
    pub(crate) from: &'static str,
    /// Type of the message.
    pub(crate) message: &'static str,
    /// Span of the message. Messages sent while handling it are children of it.
    pub(crate) trace: TraceContext,
    /// Numbers by which it is found.
    pub(crate) subject: Subject,
    /// Time of sending (monotonic). The wait for a slot in the mailbox comes after it.
    pub(crate) queued: Instant,
}

impl Label {
    /// Returns the record of the message's end.
    pub(crate) fn ended(
        self,
        to: &'static str,
        began: Option<Instant>,
        ended: Instant,
        outcome: Outcome,
    ) -> Record {
        Record {
            number: self.number,
            trace: self.trace,
            links: Links::default(),
            from: self.from,
            to,
            kind: Kind::Message(self.message),
            subject: self.subject,
            queued: self.queued,
            began,
            ended,
            outcome,
        }
    }
}

impl Record {
    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.links.heap_bytes()).saturating_add(self.subject.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_the_parent_and_at_most_32_others_are_links() {
        let all: Vec<TraceContext> = (0..40).map(|_| TraceContext::root()).collect();
        let mut causes = Causes::default();
        all.iter().for_each(|cause| causes.add(*cause));
        let (parent, links) = causes.take();
        assert_eq!(parent, Some(all[0]));
        assert_eq!(links.spans(), &all[1..33]);
        assert_eq!(links.left_out(), 7);
        assert_eq!(causes.take(), (None, Links::default()));
        // After a failure all of them are causes of the next attempt.
        causes.put_back(parent, &links);
        assert_eq!(causes.take(), (parent, links));
    }
}
