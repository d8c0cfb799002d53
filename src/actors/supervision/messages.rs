//! What the supervisor and its children say to each other. No data travels here, so nothing is in an envelope.

use std::{fmt, time::Duration};

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

/// "Are you well?" Waits in the mailbox like any message, so an answer shows that the mailbox is being read.
#[derive(Debug, Clone, Copy)]
pub struct Ping;

impl Message for Ping {
    type Result = Pulse;
}

/// The answer to [`Ping`]: the mailbox is being read. Made by
/// [`ChildStatus::pulse`](super::status::ChildStatus::pulse).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse(pub(super) ());

/// Lets a handler say `type Result = Pulse`.
impl<A: Actor, M: Message<Result = Self>> MessageResponse<A, M> for Pulse {
    fn handle(self, _ctx: &mut A::Context, answer: Option<OneshotSender<Self>>) {
        if let Some(answer) = answer {
            // The supervisor may have stopped waiting.
            let _ = answer.send(self);
        }
    }
}

/// "Finish what you have begun and begin nothing new"; answered when done. After the answer, or when the time is
/// over, the child is stopped. A child that has nothing to finish answers at once.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long the child has.
    pub within: Duration,
}

impl Message for Drain {
    type Result = ();
}

/// Why the supervisor ends an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// It missed its probes.
    Unresponsive,
    /// It answered, but got nothing done within its `stale_after`.
    Stalled,
}

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself (`ctx.stop()`).
    Stopped,
    /// It panicked; the panic's text.
    Panicked(String),
    /// The supervisor killed it.
    Killed(KillReason),
    /// It cannot be restarted; why. The tree escalates.
    Lost(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped by itself"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Killed(KillReason::Unresponsive) => f.write_str("killed: did not answer its probes"),
            Self::Killed(KillReason::Stalled) => f.write_str("killed: made no progress"),
            Self::Lost(text) => write!(f, "lost: {text}"),
        }
    }
}

/// Which child; its position in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildId(pub(crate) usize);

/// An incarnation has ended; its runner asks what to do.
#[derive(Debug)]
pub(crate) struct ChildExited {
    pub(crate) id: ChildId,
    pub(crate) generation: u64,
    pub(crate) exit: Exit,
}

impl Message for ChildExited {
    type Result = Verdict;
}

/// What the runner is to do after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Begin the next incarnation after the delay.
    Restart { after: Duration, generation: u64 },
    /// The child is over.
    Leave,
}

/// What the supervisor orders of its own accord. Read by the runner, so a hung child cannot miss it; only a
/// blocked thread can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// End this incarnation (and no later one); it will be restarted. An unresponsive child that has shown activity
    /// since the order was given (`activity` was the count then) is slow, not dead, and goes on.
    Kill { generation: u64, reason: KillReason, activity: u64 },
}
