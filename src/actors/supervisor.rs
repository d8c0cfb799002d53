//! The supervisor: restarts children, paces and bounds that, probes whether they live and work, and gives up when
//! only a new process can help. Never waits for anything; all it reads is counters and its own threads' accounts.

use std::{fmt, sync::Arc, time::Instant};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture, dev::MessageResponse,
};
use metrics::counter;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::supervision::{
    messages::{ChildExited, ChildId, Exit, Order, Ping, Verdict},
    policy::{Decision, Intensity, Policy, RestartRecord},
    probe::{Finding, Probe},
    report::TreeStatus,
    thread_time::{ThreadSample, usable},
    tree::Running,
};
use crate::clock::SharedClock;

/// How a tree came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By a drain that was asked for.
    Drained,
    /// Too many restarts, or a child that cannot be restarted.
    Escalated,
    /// A child's thread is blocked.
    Hung,
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Escalated => 70,
            Self::Hung => 71,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "drained",
            Self::Escalated => "too many restarts",
            Self::Hung => "a thread is blocked",
        })
    }
}

/// The process is going: exits are not mended any more.
#[derive(Clone, Copy, Debug)]
pub struct BeginDrain;

impl Message for BeginDrain {
    type Result = ();
}

/// The actor, on the system's own thread.
pub struct Supervisor {
    policy: Policy,
    clock: SharedClock,
    status: Arc<TreeStatus>,
    children: Vec<Supervised>,
    /// Restarts of all children.
    intensity: Intensity,
    /// When the last tick came.
    ticked_at: Instant,
    /// Told once.
    outcome: Option<oneshot::Sender<Outcome>>,
    draining: bool,
}

/// A child and what is remembered of it.
struct Supervised {
    running: Running,
    record: RestartRecord,
    probe: Probe,
    /// The accounts of its thread at the last tick.
    thread: Option<ThreadSample>,
    generation: u64,
    /// None: it is waiting for its restart.
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
            probe: Probe::new(now, running.status.signs()),
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
        if let Some(told) = self.outcome.take() {
            error!(%outcome, "the supervisor gives up");
            let _ = told.send(outcome);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.monotonic();
        // After a sleep the timer makes up for the ticks that it missed, all at once: they would count as many missed
        // answers within a millisecond.
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
            warn!(late_ms = since.as_millis(), "the supervisor itself slept: all counts begin anew");
            self.children.iter_mut().for_each(|child| child.probe.forgive(now));
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
        let usable = |interval| usable(before, after, interval);
        match child.probe.tick(&self.policy, stale_after, now, status.signs(), usable) {
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
                let activity = child.probe.signs().activity;
                let _ = child.running.orders.send(Order::Kill { generation, reason, activity });
            }
            Finding::Hung => {
                error!(actor = child.running.spec.name, "the thread of an actor is blocked");
                self.give_up(Outcome::Hung);
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

impl MessageResponse<Supervisor, ChildExited> for Verdict {
    fn handle(self, _: &mut Context<Supervisor>, answer: Option<actix::dev::OneshotSender<Self>>) {
        if let Some(answer) = answer {
            let _ = answer.send(self); // the runner may be gone
        }
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = Verdict;

    fn handle(&mut self, exited: ChildExited, ctx: &mut Context<Self>) -> Verdict {
        let now = self.clock.monotonic();
        if matches!(exited.exit, Exit::Lost(_)) {
            self.give_up(Outcome::Escalated);
            return Verdict::Leave;
        }
        let Some(child) = self.children.get_mut(exited.id.0) else { return Verdict::Leave };
        if self.draining || child.generation != exited.generation {
            return Verdict::Leave;
        }
        let lived =
            child.begun_at.take().map_or_else(Default::default, |begun| now.saturating_duration_since(begun));
        match child.record.on_exit(&self.policy, &mut self.intensity, lived, now, rand::random()) {
            Decision::Escalate(excess) => {
                error!(actor = child.running.spec.name, %excess, exit = %exited.exit, "too many restarts");
                self.give_up(Outcome::Escalated);
                Verdict::Leave
            }
            Decision::RestartAfter(after) => {
                let name = child.running.spec.name;
                counter!("ticker_actor_restarts_total", "actor" => name).increment(1);
                info!(actor = name, delay_ms = after.as_millis(), "an actor is restarted");
                child.generation += 1;
                let (id, generation) = (exited.id, child.generation);
                ctx.run_later(after, move |this, _| this.begun(id, generation));
                Verdict::Restart { after, generation }
            }
        }
    }
}

impl Supervisor {
    /// The delay of a restart is over: the new incarnation is probed from now on.
    fn begun(&mut self, id: ChildId, generation: u64) {
        let now = self.clock.monotonic();
        if let Some(child) = self.children.get_mut(id.0).filter(|child| child.generation == generation) {
            child.begun_at = Some(now);
            child.probe = Probe::new(now, child.running.status.signs());
        }
    }
}

impl Handler<BeginDrain> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: BeginDrain, _: &mut Context<Self>) {
        self.draining = true;
    }
}
