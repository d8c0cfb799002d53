//! Ports: the only way to send a data message.

use std::{fmt, sync::Arc, time::Duration};

use actix::{Message, Recipient};

use super::{
    envelope::{Envelope, TraceContext},
    supervision::status::ChildStatus,
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
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Creates a port of the sender `from` to the actor behind `recipient`, whose status is `receiver`. Usually called by
    /// [`Slot::port`](super::supervision::tree::Slot::port).
    #[must_use]
    pub fn new(from: &'static str, recipient: Recipient<Envelope<M>>, receiver: Arc<ChildStatus>) -> Self {
        Self { from, recipient, receiver }
    }

    /// Sends `body` and waits for the answer. `timeout` includes the wait for a slot.
    ///
    /// # Errors
    ///
    /// [`CallError`]: it is unknown whether the message was handled.
    pub async fn call(
        &self,
        trace: &TraceContext,
        body: M,
        timeout: Duration,
    ) -> Result<M::Result, CallError> {
        let actor = self.receiver.name();
        tokio::time::timeout(timeout, self.deliver(trace, body))
            .await
            .unwrap_or(Err(CallError::TimedOut { actor }))
    }

    async fn deliver(&self, trace: &TraceContext, body: M) -> Result<M::Result, CallError> {
        let actor = self.receiver.name();
        // Held to the end: if this call is dropped, the queue must stop counting the message as waited for.
        let Some((ticket, _caller)) = self.receiver.queue().enter().await else {
            return Err(CallError::Closed { actor });
        };
        let envelope = Envelope::new(self.from, *trace, self.receiver.monotonic(), body, ticket);
        self.recipient.send(envelope).await.map_err(|_| CallError::Closed { actor })
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
