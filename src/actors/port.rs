//! The only way to send a data message.

use std::{fmt, sync::Arc, time::Duration};

use actix::{Message, Recipient};

use super::{
    envelope::{Envelope, TraceContext},
    supervision::status::ChildStatus,
};

/// One kind of message to one actor, with the receiver's queue limit enforced.
///
/// actix's own capacity binds no one: `do_send` ignores it, and each clone of an address has a slot of its own.
/// So a port takes one of the receiver's `capacity` slots first and waits for it if there is none. The slot
/// travels in the envelope and is given back when handling begins or the envelope is dropped.
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<Envelope<M>>,
    receiver: Arc<ChildStatus>,
}

/// Why a call has no answer. In both cases nobody knows whether the message was or will be handled, so every
/// data message must be harmless when repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer came in time: the receiver is busy, backing off, stopped for now, or hung.
    #[error("no answer from {actor} in time")]
    TimedOut {
        /// The receiver's name.
        actor: &'static str,
    },
    /// The receiver failed or was killed while handling it, or has stopped for good.
    #[error("{actor} ended before it answered")]
    Closed {
        /// The receiver's name.
        actor: &'static str,
    },
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A port to the actor behind `recipient`, whose status is `receiver`. Usually made by
    /// [`Slot::port`](super::supervision::tree::Slot::port).
    #[must_use]
    pub fn new(recipient: Recipient<Envelope<M>>, receiver: Arc<ChildStatus>) -> Self {
        Self { recipient, receiver }
    }

    /// Sends `body` and waits for the answer, in all at most `timeout` (waiting for room included).
    ///
    /// # Errors
    ///
    /// See [`CallError`]; the meaning is always "handled or not: unknown".
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
        // Held to the end: if this call is given up, the queue must no longer count it as waited for.
        let Some((ticket, _caller)) = self.receiver.queue().enter().await else {
            return Err(CallError::Closed { actor });
        };
        let envelope = Envelope::new(*trace, self.receiver.monotonic(), body, ticket);
        self.recipient.send(envelope).await.map_err(|_| CallError::Closed { actor })
    }
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone(), receiver: Arc::clone(&self.receiver) }
    }
}

impl<M> fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("to", &self.receiver.name()).finish_non_exhaustive()
    }
}
