//! Envelope of a data message: its number, sender, cause and time of sending, and the message.

use std::sync::Arc;

use actix::Message;

use super::{
    supervision::queue::Ticket,
    trace::{
        record::{Label, Outcome},
        recorder::Recorder,
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
    /// Name of the receiver.
    pub(crate) to: &'static str,
    pub(crate) recorder: Arc<Recorder>,
    /// Place in the receiver's queue, freed when handling begins or the envelope is dropped.
    pub(crate) ticket: Ticket,
}

impl<M: Message> Message for Envelope<M> {
    type Result = M::Result;
}

impl Drop for Transit {
    fn drop(&mut self) {
        // A caller that gave up has recorded that itself.
        if self.ticket.leave() {
            self.recorder.lost(&self.label, self.to, Outcome::Abandoned);
        }
    }
}
