//! Ports: the only way to send a data message.

use std::{fmt, sync::Arc, time::Duration};

use actix::{Message, Recipient};

use super::{
    envelope::{Envelope, Transit},
    supervision::{queue::Caller, stats::short_type_name, status::ChildStatus},
    trace::{
        context::TraceContext,
        record::{Label, Outcome},
        recorder::Recorder,
        subject::{Subject, Traced},
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
    /// Creates a port of the sender `from` to the actor behind `recipient`, whose status is
    /// `receiver`. Usually called by
    /// [`Slot::port`](super::supervision::tree::Slot::port).
    #[must_use]
    pub fn new(from: &'static str, recipient: Recipient<Envelope<M>>, receiver: Arc<ChildStatus>) -> Self {
        Self { from, recipient, receiver }
    }

    /// Sends `body` and waits for the answer. `timeout` includes the wait for a slot. `cause` is the span of the
    /// message or step that causes this one; none at an edge of the process.
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
            // It may take longer than everything else here, and only records show it.
            subject: if recorder.is_on() { body.subject() } else { Subject::none() },
            queued: self.receiver.monotonic(),
        };
        let mut call = UnansweredCall { label: &label, to: actor, recorder, caller: None, is_over: false };
        let answer = tokio::time::timeout(timeout, self.deliver(label.clone(), body, &mut call.caller)).await;
        call.is_over = true;
        let (outcome, error) = match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => (Outcome::Refused, CallError::Closed { actor }),
            Err(_) => (Outcome::TimedOut, CallError::TimedOut { actor }),
        };
        // An actor that ended while it handled the message has recorded that itself.
        let is_recorded = outcome == Outcome::Refused && call.has_begun();
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

/// A call that waits for its answer. If it is dropped before that, its message is recorded as abandoned.
struct UnansweredCall<'a> {
    label: &'a Label,
    /// Name of the receiver.
    to: &'static str,
    recorder: &'a Recorder,
    /// Place of the message in the queue; none while the call waits for a slot.
    caller: Option<Caller>,
    /// True once the call has an answer or an error.
    is_over: bool,
}

impl UnansweredCall<'_> {
    /// Gives up waiting. Returns true if handling had begun, or the envelope was dropped. Either is recorded elsewhere.
    fn has_begun(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| !caller.give_up())
    }
}

impl Drop for UnansweredCall<'_> {
    fn drop(&mut self) {
        if !self.is_over && !self.has_begun() {
            self.recorder.lost(self.label, self.to, Outcome::Abandoned);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix::{Actor, Addr, Context, Handler};
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::SystemClock;

    struct Idle;

    impl Actor for Idle {
        type Context = Context<Self>;
    }

    struct Ask;

    impl Message for Ask {
        type Result = ();
    }

    impl Traced for Ask {
        fn subject(&self) -> Subject {
            Subject::none()
        }
    }

    impl Handler<Envelope<Ask>> for Idle {
        type Result = ();

        fn handle(&mut self, _: Envelope<Ask>, _: &mut Context<Self>) {}
    }

    /// A message that counts how often it is asked for its subject.
    struct Counted(Arc<AtomicUsize>);

    impl Message for Counted {
        type Result = ();
    }

    impl Traced for Counted {
        fn subject(&self) -> Subject {
            self.0.fetch_add(1, Ordering::Relaxed);
            Subject::none()
        }
    }

    impl Handler<Envelope<Counted>> for Idle {
        type Result = ();

        fn handle(&mut self, _: Envelope<Counted>, _: &mut Context<Self>) {}
    }

    #[test]
    fn a_message_is_asked_for_its_subject_only_if_that_is_recorded() {
        let clock = SystemClock::shared();
        for (recorder, expected) in [(Recorder::on(clock.clone()), 1), (Recorder::off(clock), 0)] {
            let status = ChildStatus::new("idle", 1, SystemClock::shared(), recorder);
            let (sender, _mailbox) = actix::dev::channel::channel::<Idle>(1);
            let port = Port::new("test", Addr::new(sender).recipient(), status);
            let asked = Arc::new(AtomicUsize::new(0));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let call = port.call(None, Counted(Arc::clone(&asked)), Duration::from_secs(60));
                assert!(call.now_or_never().is_none(), "it waits for the answer");
            });
            assert_eq!(asked.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn a_call_that_is_dropped_before_its_message_is_handled_is_recorded_once() {
        let recorder = Recorder::on(SystemClock::shared());
        let status = ChildStatus::new("idle", 1, SystemClock::shared(), Arc::clone(&recorder));
        let (sender, mailbox) = actix::dev::channel::channel::<Idle>(1);
        let port = Port::new("test", Addr::new(sender).recipient(), status);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut first = Box::pin(port.call(None, Ask, Duration::from_secs(60)));
            assert!(first.as_mut().now_or_never().is_none(), "it waits for the answer");
            let mut second = Box::pin(port.call(None, Ask, Duration::from_secs(60)));
            assert!(second.as_mut().now_or_never().is_none(), "it waits for a slot");
            drop(first);
            drop(second);
        });
        drop(mailbox);
        let outcomes: Vec<Outcome> = recorder.records().0.iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, [Outcome::Abandoned, Outcome::Abandoned]);
    }
}
