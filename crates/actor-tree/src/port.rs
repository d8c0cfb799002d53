//! Ports: the only way to send a data message.

use std::{fmt, sync::Arc, time::Duration};

use actix::{Message, Recipient};

use super::{
    envelope::{Envelope, Transit},
    supervision::{queue::Caller, stats::short_type_name, status::ChildStatus},
    trace::{
        context::TraceContext,
        record::{Label, Outcome},
        subject::Traced,
    },
};

/// Way of one type of message from one sender to one actor. Enforces the limit of the receiver's queue.
///
/// actix's own capacity is no limit: `do_send` ignores it, and each clone of an address has a slot of its own. So a
/// port first takes one of the receiver's `capacity` slots and waits if there is none. The slot travels in the
/// envelope. It is freed when handling begins or the envelope is dropped.
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    from: &'static str,
    recipient: Recipient<Envelope<M>>,
    receiver: Arc<ChildStatus>,
}

/// Error of a call without an answer. The message may or may not be handled, now or later, so every data message must
/// be harmless when repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer in time: the receiver is busy, restarting, or hung.
    #[error("no answer from {actor} in time")]
    TimedOut {
        /// Name of the receiver.
        actor: &'static str,
    },
    /// The receiver panicked, stopped or was killed while it handled the message, or has stopped for good.
    #[error("{actor} ended before it answered")]
    Closed {
        /// Name of the receiver.
        actor: &'static str,
    },
}

impl<M> Port<M>
where
    M: Message + Traced + Send + 'static,
    M::Result: Send,
{
    /// Creates a port of the sender `from` to the actor behind `recipient`, whose status is `receiver`. Usually called by
    /// [`Slot::port`](super::supervision::tree::Slot::port).
    #[must_use]
    pub fn new(from: &'static str, recipient: Recipient<Envelope<M>>, receiver: Arc<ChildStatus>) -> Self {
        Self { from, recipient, receiver }
    }

    /// Sends `body` and waits for the answer. `timeout` includes the wait for a slot. `cause` is the span of the message
    /// or step that causes this one; none at an edge of the process.
    ///
    /// # Errors
    ///
    /// [`CallError`]: it is unknown whether the message was handled.
    pub async fn call(
        &self,
        cause: Option<&TraceContext>,
        body: M,
        timeout: Duration,
    ) -> Result<M::Result, CallError> {
        let (actor, recorder) = (self.receiver.name(), self.receiver.recorder());
        let label = Label {
            number: recorder.next_number(),
            from: self.from,
            message: short_type_name::<M>(),
            trace: TraceContext::caused_by(cause),
            subject: body.subject(),
            queued: self.receiver.monotonic(),
        };
        let mut caller = None;
        let answer = tokio::time::timeout(timeout, self.deliver(label.clone(), body, &mut caller)).await;
        let (outcome, error) = match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => (Outcome::Refused, CallError::Closed { actor }),
            Err(_) => (Outcome::TimedOut, CallError::TimedOut { actor }),
        };
        // An actor that ended while it handled the message has recorded that itself.
        let is_recorded = outcome == Outcome::Refused && caller.is_some_and(|caller| !caller.give_up());
        if !is_recorded {
            recorder.lost(&label, actor, outcome);
        }
        Err(error)
    }

    /// Waits for a slot and the answer. Returns none if the actor ended. `caller` is held to the end: if this call is
    /// dropped, the queue must stop counting the message as waited for.
    async fn deliver(&self, label: Label, body: M, caller: &mut Option<Caller>) -> Option<M::Result> {
        if self.receiver.is_gone() {
            return None;
        }
        let (ticket, held) = self.receiver.queue().enter(label.number, label.queued).await?;
        *caller = Some(held);
        let (to, recorder) = (self.receiver.name(), Arc::clone(self.receiver.recorder()));
        let transit = Transit { label, to, recorder, ticket };
        self.recipient.send(Envelope { body, transit }).await.ok()
    }
}

/// An actor as the receiver of one type of message. It makes the senders' ports. May be sent to any thread.
pub struct Receiver<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<Envelope<M>>,
    actor: Arc<ChildStatus>,
}

impl<M> Receiver<M>
where
    M: Message + Traced + Send + 'static,
    M::Result: Send,
{
    pub(crate) fn new(recipient: Recipient<Envelope<M>>, actor: Arc<ChildStatus>) -> Self {
        Self { recipient, actor }
    }

    /// Returns a port for the sender of the name `from`. It stays valid for the life of the process.
    #[must_use]
    pub fn port(&self, from: &'static str) -> Port<M> {
        self.actor.announce::<M>(from);
        Port::new(from, self.recipient.clone(), Arc::clone(&self.actor))
    }
}

impl<M> Clone for Receiver<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone(), actor: Arc::clone(&self.actor) }
    }
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { from: self.from, recipient: self.recipient.clone(), receiver: Arc::clone(&self.receiver) }
    }
}

impl<M> fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("from", &self.from)
            .field("to", &self.receiver.name())
            .finish_non_exhaustive()
    }
}
