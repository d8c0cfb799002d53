//! The supervisor. It restarts children within limits, probes whether they live and work, and gives up when only a new
//! process can help. It never waits: it reads only counters and the kernel's accounts of the children's threads.

use std::{fmt, sync::Arc, time::Instant};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture, dev::MessageResponse,
};
use metrics::counter;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::supervision::{
    messages::{ChildExited, ChildId, Exit, ExitReply, KillReason, Order, Ping},
    policy::{Decision, EndedRun, Intensity, Policy, RestartRecord},
    probe::{Finding, Probe},
    running::Running,
    thread_time::{ThreadSample, usable},
    tree_status::TreeStatus,
};
use crate::clock::SharedClock;

/// Exit code of a process with a blocked thread.
pub const HUNG_EXIT_CODE: u8 = 71;

/// End of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A drain that was asked for.
    Drained,
    /// An escalation: too many restarts, or a child that cannot be restarted.
    Escalated,
    /// The thread of the child of this name is blocked.
    Hung(&'static str),
}

impl Outcome {
    /// Returns the exit code of the process.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Escalated => 70,
            Self::Hung(_) => HUNG_EXIT_CODE,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Escalated => f.write_str("too many restarts"),
            Self::Hung(actor) => write!(f, "the thread of {actor} is blocked"),
        }
    }
}

/// Notice that the process stops: exits are expected, and nothing is restarted any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeginDrain;

impl Message for BeginDrain {
    type Result = ();
}

/// The actor. It runs on the system's own thread.
pub(crate) struct Supervisor {
    policy: Policy,
    clock: SharedClock,
    status: Arc<TreeStatus>,
    children: Vec<Supervised>,
    /// Restarts of all children together.
    intensity: Intensity,
    /// Time of the last tick.
    ticked_at: Instant,
    /// Reports the end of the tree, once.
    outcome: Option<oneshot::Sender<Outcome>>,
    draining: bool,
}

/// A child and its history.
struct Supervised {
    running: Running,
    record: RestartRecord,
    probe: Probe,
    /// Accounts of its thread at the last tick.
    thread: Option<ThreadSample>,
    generation: u64,
    /// Start of this incarnation; none while it waits for its restart.
    begun_at: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(
        policy: Policy,
        clock: SharedClock,
        status: Arc<TreeStatus>,
        running: Vec<Running>,
        outcome: oneshot::Sender<Outcome>,
    ) -> Self {
        let now = clock.monotonic();
        let supervise = |running: Running| Supervised {
            record: RestartRecord::default(),
            probe: Probe::new(now, running.status.counters()),
            thread: None,
            running,
            generation: 0,
            begun_at: Some(now),
        };
        Self {
            policy,
            clock,
            status,
            children: running.into_iter().map(supervise).collect(),
            intensity: Intensity::default(),
            ticked_at: now,
            outcome: Some(outcome),
            draining: false,
        }
    }

    fn give_up(&mut self, outcome: Outcome) {
        if let Some(sender) = self.outcome.take() {
            error!(%outcome, "supervisor gives up");
            let _ = sender.send(outcome);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.monotonic();
        // After the machine slept, the timer delivers all missed ticks at once. They would count as many missed probes
        // within a millisecond.
        let since = now.saturating_duration_since(self.ticked_at);
        if since < self.policy.probe_every / 2 {
            return;
        }
        self.ticked_at = now;
        self.status.note_tick(now);
        if self.draining {
            return;
        }
        if since > self.policy.probe_every + self.policy.late_tick {
            warn!(late_ms = since.as_millis(), "supervisor was late, counts of missed probes are reset");
            self.children.iter_mut().for_each(|child| child.probe.restart_count(now));
        }
        for place in 0..self.children.len() {
            self.probe(ChildId(place), now, ctx);
        }
    }

    fn probe(&mut self, id: ChildId, now: Instant, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(id.0) else { return };
        if child.begun_at.is_none() {
            return;
        }
        let generation = child.generation;
        let (status, stale_after) = (&child.running.status, child.running.spec.stale_after);
        let after = status.thread_sample();
        let before = std::mem::replace(&mut child.thread, after);
        if let (Some(before), Some(after)) = (before, after) {
            status.note_busy(after.ran.saturating_sub(before.ran));
        }
        let usable = |interval| usable(before, after, interval);
        match child.probe.tick(&self.policy, stale_after, now, status.counters(), usable) {
            Finding::Wait => {}
            Finding::Ask => {
                let asked = child.running.ping.send(Ping);
                ctx.spawn(asked.into_actor(self).map(move |answer, this, _| {
                    let child = this.children.get_mut(id.0).filter(|child| child.generation == generation);
                    if let (Ok(_), Some(child)) = (answer, child) {
                        child.probe.answered();
                    }
                }));
            }
            Finding::Kill(reason) => {
                let activity = child.probe.counters().activity;
                let _ = child.running.orders.send(Order::Kill { generation, reason, activity });
            }
            Finding::Hung => {
                let name = child.running.spec.name;
                error!(actor = name, "thread of an actor is blocked");
                self.give_up(Outcome::Hung(name));
            }
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(self.policy.probe_every, Self::tick);
    }
}

impl MessageResponse<Supervisor, ChildExited> for ExitReply {
    fn handle(self, _: &mut Context<Supervisor>, answer: Option<actix::dev::OneshotSender<Self>>) {
        if let Some(answer) = answer {
            let _ = answer.send(self); // the runner may be gone
        }
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ExitReply;

    fn handle(&mut self, exited: ChildExited, ctx: &mut Context<Self>) -> ExitReply {
        let now = self.clock.monotonic();
        // Neither the mailbox nor the actor can be made again: only a new process helps.
        if matches!(exited.exit, Exit::Lost(_)) {
            self.give_up(Outcome::Escalated);
            return ExitReply::Stop;
        }
        let Some(child) = self.children.get_mut(exited.id.0) else { return ExitReply::Stop };
        // A drain expects exits, and a late report of an earlier incarnation changes nothing.
        if self.draining || child.generation != exited.generation {
            return ExitReply::Stop;
        }
        let uptime =
            child.begun_at.take().map_or_else(Default::default, |begun| now.saturating_duration_since(begun));
        let is_stalled = exited.exit == Exit::Killed(KillReason::Stalled);
        let run = EndedRun { uptime, stalled_for: is_stalled.then_some(child.running.spec.stale_after) };
        let (record, policy, random) = (&mut child.record, &self.policy, rand::random());
        let decision = if child.running.spec.is_essential {
            record.on_exit(policy, &mut self.intensity, run, now, random)
        } else {
            record.restart(policy, run, random)
        };
        match decision {
            Decision::Escalate(excess) => {
                error!(actor = child.running.spec.name, %excess, exit = %exited.exit, "too many restarts");
                self.give_up(Outcome::Escalated);
                ExitReply::Stop
            }
            Decision::RestartAfter(after) => {
                let name = child.running.spec.name;
                counter!("ticker_actor_restarts_total", "actor" => name).increment(1);
                info!(actor = name, delay_ms = after.as_millis(), "restarting actor");
                child.generation += 1;
                let (id, generation) = (exited.id, child.generation);
                ctx.run_later(after, move |this, _| this.started_again(id, generation));
                ExitReply::Restart { after, generation }
            }
        }
    }
}

impl Supervisor {
    /// Starts to probe the new incarnation, after the delay of its restart.
    fn started_again(&mut self, id: ChildId, generation: u64) {
        let now = self.clock.monotonic();
        if let Some(child) = self.children.get_mut(id.0).filter(|child| child.generation == generation) {
            child.begun_at = Some(now);
            child.probe = Probe::new(now, child.running.status.counters());
        }
    }
}

impl Handler<BeginDrain> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: BeginDrain, _: &mut Context<Self>) {
        self.draining = true;
    }
}
