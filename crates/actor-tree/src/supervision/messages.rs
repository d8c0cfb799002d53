//! Messages between the supervisor and its children. They carry no data, so they travel without an envelope.

use std::{fmt, time::Duration};

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

/// Probe of a child. It waits in the mailbox like any message, so an answer shows that the mailbox is being read.
#[derive(Debug, Clone, Copy)]
pub struct Ping;

impl Message for Ping {
    type Result = Pulse;
}

/// Answer to [`Ping`]. Made by [`ChildStatus::pulse`](super::status::ChildStatus::pulse).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse(pub(super) ());

/// Allows `type Result = Pulse` in a handler.
impl<A: Actor, M: Message<Result = Self>> MessageResponse<A, M> for Pulse {
    fn handle(self, _ctx: &mut A::Context, answer: Option<OneshotSender<Self>>) {
        if let Some(answer) = answer {
            // The supervisor may have stopped waiting.
            let _ = answer.send(self);
        }
    }
}

/// Asks a child to finish what it has begun and to begin nothing new. The child answers when it is done, at once if it
/// has nothing to finish. After the answer or the time limit it is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Time limit of the drain.
    pub within: Duration,
}

impl Message for Drain {
    type Result = ();
}

/// Reason for which the supervisor ends an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// It missed its probes.
    Unresponsive,
    /// It answered its probes but made no progress within its `stale_after`.
    Stalled,
}

/// End of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself (`ctx.stop()`).
    Stopped,
    /// It panicked, with this text.
    Panicked(String),
    /// The supervisor killed it.
    Killed(KillReason),
    /// It cannot be restarted, for this reason. The tree escalates.
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

/// Index of a child in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildId(pub(crate) usize);

/// Report of a runner that an incarnation has ended. The supervisor answers with what to do next.
#[derive(Debug)]
pub(crate) struct ChildExited {
    pub(crate) id: ChildId,
    pub(crate) generation: u64,
    pub(crate) exit: Exit,
}

impl Message for ChildExited {
    type Result = ExitReply;
}

/// Answer to [`ChildExited`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReply {
    /// Start the next incarnation, of this generation, after the delay.
    Restart { after: Duration, generation: u64 },
    /// Do not restart the child.
    Stop,
}

/// Order of the supervisor to a runner. A hung child cannot hold it up, since the runner reads it; a blocked thread
/// can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// End the incarnation of this generation, and no later one. It will be restarted.
    ///
    /// `activity` is the counter at the time of the order. If an unresponsive child has moved it since, the child is
    /// slow, not dead, and the runner ignores the order.
    Kill { generation: u64, reason: KillReason, activity: u64 },
}
