//! The runner of one actor: runs its incarnations one after another on its arbiter, behind one mailbox.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
};

use actix::{Actor, Context, Recipient, Supervised, dev::ContextFut};
use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{debug, error, warn};

use super::{
    messages::{ChildExited, ChildId, Exit, KillReason, Order, Verdict},
    status::ChildStatus,
};

/// What a runner works with.
pub(super) struct ChildRunner {
    pub(super) id: ChildId,
    pub(super) status: Arc<ChildStatus>,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) supervisor: Recipient<ChildExited>,
}

/// How the wait for an incarnation's end came out.
enum Ended {
    Exited(Exit),
    Dismissed,
}

impl ChildRunner {
    /// Runs the actor for the life of the process. Its mailbox outlives every crash; its struct is reused, which
    /// `Supervised::restarting` must undo.
    pub(super) async fn run<A>(mut self, mut actor: ContextFut<A, Context<A>>)
    where
        A: Actor<Context = Context<A>> + Supervised + Unpin,
    {
        let mut generation = 0;
        self.status.note_thread();
        loop {
            self.status.note_begun(generation);
            let exit = match self.watch(&mut actor, generation).await {
                Ended::Exited(exit) => exit,
                Ended::Dismissed => break,
            };
            self.status.note_exit(generation, &exit);
            let Some(next) = self.ask(generation, exit).await else { break };
            generation = next;
            // A panic in `restarting`, or no address left (the tree keeps one for life): nothing can be restarted.
            let restarted = catch_unwind(AssertUnwindSafe(|| actor.restart()));
            if !matches!(restarted, Ok(true)) {
                let reason =
                    restarted.err().map_or_else(|| "its mailbox is gone".into(), |panic| text_of(&*panic));
                error!(actor = self.status.name(), reason, "an actor cannot be restarted");
                let _ = self
                    .supervisor
                    .send(ChildExited { id: self.id, generation, exit: Exit::Lost(reason) })
                    .await;
                break;
            }
        }
        self.status.note_stopped();
        // Its destructor may panic like any other code of it, and two panics at once would abort the process.
        if catch_unwind(AssertUnwindSafe(|| drop(actor))).is_err() {
            error!(actor = self.status.name(), "an actor panicked as it was dropped");
        }
    }

    /// Polls the incarnation until it ends by itself, panics, or is ended from above.
    async fn watch<A>(&mut self, actor: &mut ContextFut<A, Context<A>>, generation: u64) -> Ended
    where
        A: Actor<Context = Context<A>> + Unpin,
    {
        let status = Arc::clone(&self.status);
        let mut life = AssertUnwindSafe(actor).catch_unwind();
        // As an actor does that waits in its context for what never comes.
        let mut life =
            poll_fn(|cx| if status.test_hooks().is_hanging() { Poll::Pending } else { life.poll_unpin(cx) });
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Kill { generation: meant, reason, activity }) if meant == generation => {
                        // The order waited until a long handler let go of the thread: the child worked all along.
                        let is_overtaken = self.status.signs().activity != activity;
                        if reason == KillReason::Unresponsive && is_overtaken {
                            debug!(actor = self.status.name(), "a slow actor is at work again");
                            continue;
                        }
                        return Ended::Exited(Exit::Killed(reason));
                    }
                    Some(Order::Kill { .. }) => {} // for an earlier incarnation
                    None => return Ended::Dismissed, // the supervisor is gone
                },
                end = &mut life => return Ended::Exited(match end {
                    Ok(()) => Exit::Stopped,
                    Err(panic) => Exit::Panicked(text_of(&*panic)),
                }),
            }
        }
    }

    /// Asks the supervisor what to do, and waits as long as it says. The next generation, or none to leave.
    async fn ask(&mut self, generation: u64, exit: Exit) -> Option<u64> {
        let exited = ChildExited { id: self.id, generation, exit: exit.clone() };
        let verdict = self.supervisor.send(exited).await;
        let name = self.status.name();
        let Ok(Verdict::Restart { after, generation: next }) = verdict else {
            // In a drain actors end, by themselves once nobody holds their address; a panic is news even then.
            if matches!(exit, Exit::Stopped) {
                debug!(actor = name, generation, "an actor is gone");
            } else {
                warn!(actor = name, generation, %exit, "an actor ended");
            }
            return None;
        };
        warn!(actor = name, generation, %exit, "an actor ended");
        self.status.note_restart();
        let wait = tokio::time::sleep(after);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => if !matches!(order, Some(Order::Kill { .. })) { return None },
                () = &mut wait => return Some(next),
            }
        }
    }
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panics_text_is_told_whatever_its_type() {
        assert_eq!(text_of(&"static"), "static");
        assert_eq!(text_of(&String::from("made")), "made");
        assert_eq!(text_of(&7), "a panic without a text");
    }
}
