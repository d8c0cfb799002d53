//! Envelope of a data message: its number, sender, cause and time of sending, and the message.

use std::{sync::Arc, time::Instant};

use actix::Message;

use super::{
    supervision::{queue::Ticket, status::ChildStatus},
    trace::{
        context::TraceContext,
        record::{Kind, Links, Outcome, Record},
        subject::Subject,
    },
};

/// A data message in transit. [`Port::call`](super::port::Port::call) makes it. Its receiver first calls
/// [`ChildStatus::begin`](super::supervision::status::ChildStatus::begin) on it.
#[derive(Debug)]
pub struct Envelope<M> {
    /// The message.
    pub body: M,
    pub(crate) transit: Transit,
}

/// Everything of a message but its body. Recorded as abandoned if it is dropped before its handling begins.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) label: Label,
    pub(crate) receiver: Arc<ChildStatus>,
    /// Place in the receiver's queue, freed when handling begins or the envelope is dropped.
    pub(crate) ticket: Ticket,
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

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
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

impl Drop for Transit {
    fn drop(&mut self) {
        // A caller that gave up has recorded that itself.
        if self.ticket.leave() {
            let outcome = if self.receiver.is_stopped() { Outcome::Refused } else { Outcome::Abandoned };
            self.receiver.lost(&self.label, outcome);
        }
    }
}
