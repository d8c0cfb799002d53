//! Runner of one actor. It runs the incarnations one after another on the actor's arbiter, behind one mailbox.

use std::{
    any::Any,
    collections::BTreeMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use actix::{Actor, Context, Recipient, Supervised, dev::ContextFut};
use futures_util::FutureExt;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};
use tracing::{debug, error, warn};

use super::{
    messages::{ChildExited, ChildId, Exit, ExitReply, KillReason, Order},
    status::ChildStatus,
};
use crate::trace::crash::CrashFiles;

/// Longest wait for a crash file.
const CRASH_FILE_WAIT: Duration = Duration::from_secs(1);

/// A runner, before it starts.
pub(super) struct ChildRunner {
    pub(super) id: ChildId,
    pub(super) status: Arc<ChildStatus>,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) supervisor: Recipient<ChildExited>,
    /// Writer of crash files; none if the program keeps none.
    pub(super) crashes: Option<Arc<CrashFiles>>,
}

/// Result of watching an incarnation.
enum IncarnationEnd {
    /// The incarnation ended.
    Exited(Exit),
    /// The supervisor is gone: the process ends.
    Dismissed,
}

impl ChildRunner {
    /// Runs the actor for the life of the process. The mailbox survives every crash. The actor's struct is reused, so
    /// `Supervised::restarting` must reset its state.
    pub(super) async fn run<A>(mut self, mut actor: ContextFut<A, Context<A>>)
    where
        A: Actor<Context = Context<A>> + Supervised + Unpin,
    {
        let mut generation = 0;
        self.status.note_thread();
        loop {
            self.status.note_begun(generation);
            let exit = match self.watch(&mut actor, generation).await {
                IncarnationEnd::Exited(exit) => exit,
                IncarnationEnd::Dismissed => break,
            };
            self.status.note_exit(generation, &exit);
            // Before the delay of the restart: the futures of the dead incarnation are dropped here, and may
            // hold connections. The next incarnation starts when it is polled. Fails if `restarting` panics,
            // or if no address is left, as in a drain.
            let restarted = catch_unwind(AssertUnwindSafe(|| actor.restart()));
            self.write_crash_file(generation, &exit).await;
            let Some(next) = self.ask(generation, exit).await else { break };
            generation = next;
            if !matches!(restarted, Ok(true)) {
                let reason =
                    restarted.err().map_or_else(|| "its mailbox is gone".into(), |panic| text_of(&*panic));
                error!(actor = self.status.name(), reason, "actor cannot be restarted");
                let _ = self
                    .supervisor
                    .send(ChildExited { id: self.id, generation, exit: Exit::Lost(reason) })
                    .await;
                break;
            }
        }
        self.status.note_stopped();
        // The destructor may panic too. Two panics at once would abort the process.
        if catch_unwind(AssertUnwindSafe(|| drop(actor))).is_err() {
            error!(actor = self.status.name(), "actor panicked while it was dropped");
        }
    }

    /// Polls the incarnation until it stops, panics, or the supervisor kills it.
    async fn watch<A>(&mut self, actor: &mut ContextFut<A, Context<A>>, generation: u64) -> IncarnationEnd
    where
        A: Actor<Context = Context<A>> + Unpin,
    {
        let status = Arc::clone(&self.status);
        let mut incarnation = AssertUnwindSafe(actor).catch_unwind();
        // The test hook `hang-` behaves like an actor that waits for ever.
        let mut incarnation = poll_fn(|cx| {
            if status.test_hooks().is_hanging() { Poll::Pending } else { incarnation.poll_unpin(cx) }
        });
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Kill { generation: meant, reason, activity }) if meant == generation => {
                        // The order may have waited while a long handler held the thread. Then the child has worked.
                        let is_overtaken = self.status.counters().activity != activity;
                        if reason == KillReason::Unresponsive && is_overtaken {
                            debug!(actor = self.status.name(), "kill order ignored, the actor has responded");
                            continue;
                        }
                        return IncarnationEnd::Exited(Exit::Killed(reason));
                    }
                    Some(Order::Kill { .. }) => {} // meant for an earlier incarnation
                    None => return IncarnationEnd::Dismissed, // the supervisor is gone
                },
                end = &mut incarnation => return IncarnationEnd::Exited(match end {
                    Ok(()) => Exit::Stopped,
                    Err(panic) => Exit::Panicked(text_of(&*panic)),
                }),
            }
        }
    }

    /// Writes the last records of this actor, if it panicked or was killed. Waits for the disk only for a moment.
    async fn write_crash_file(&self, generation: u64, exit: &Exit) {
        let Some(crashes) = self.crashes.clone().filter(|_| !matches!(exit, Exit::Stopped)) else { return };
        let (status, reason) = (Arc::clone(&self.status), exit.to_string());
        let (written, is_written) = oneshot::channel();
        let write = move || {
            let handling = BTreeMap::from([(status.name(), status.handling())]);
            match crashes.write(Some(status.name()), &reason, &handling) {
                Ok(path) => {
                    warn!(actor = status.name(), file = %path.display(), "crash file written");
                    status.note_crash_file(generation, path.display().to_string());
                }
                Err(error) => warn!(actor = status.name(), %error, "crash file could not be written"),
            }
            let _ = written.send(()); // the runner may have stopped waiting
        };
        // A thread of its own: a disk that hangs must not keep the actor from its restart.
        match std::thread::Builder::new().name("crash-file".into()).spawn(write) {
            Ok(_) => drop(tokio::time::timeout(CRASH_FILE_WAIT, is_written).await),
            Err(error) => warn!(actor = self.status.name(), %error, "no thread for the crash file"),
        }
    }

    /// Reports an exit to the supervisor and waits out the delay that it orders. Returns the next generation, or none
    /// if the child must not be restarted.
    async fn ask(&mut self, generation: u64, exit: Exit) -> Option<u64> {
        let exited = ChildExited { id: self.id, generation, exit: exit.clone() };
        let reply = self.supervisor.send(exited).await;
        let name = self.status.name();
        let Ok(ExitReply::Restart { after, generation: next }) = reply else {
            // During a drain, actors stop once nobody holds their address. A panic is worth a warning even then.
            if matches!(exit, Exit::Stopped) {
                debug!(actor = name, generation, "actor stopped");
            } else {
                warn!(actor = name, generation, %exit, "actor ended");
            }
            return None;
        };
        warn!(actor = name, generation, %exit, "actor ended");
        self.status.note_restart();
        let wait = tokio::time::sleep(after);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                // There is nothing to kill during the delay. A closed channel means that the supervisor is gone.
                order = self.orders.recv() => if !matches!(order, Some(Order::Kill { .. })) { return None },
                () = &mut wait => return Some(next),
            }
        }
    }
}

/// Returns the text of a panic's payload.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_panic_is_read_from_both_types_of_payload() {
        assert_eq!(text_of(&"static"), "static");
        assert_eq!(text_of(&String::from("made")), "made");
        assert_eq!(text_of(&7), "a panic without a text");
    }
}
