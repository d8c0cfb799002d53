//! Construction of a tree: first all mailboxes, then the actors with ports to each other, then all start at once.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, Addr, Context, Handler, Message, Recipient, Supervised,
    dev::channel::{AddressReceiver, channel},
};
use actix_rt::Arbiter;
use tokio::sync::{mpsc::unbounded_channel, oneshot};

pub use super::running::ChildSpec;
use super::{
    child::ChildRunner,
    messages::{ChildExited, ChildId, Drain, Ping},
    policy::{Policy, PolicyError},
    running::Running,
    status::ChildStatus,
    tree_status::TreeStatus,
};
use crate::{
    clock::SharedClock,
    envelope::Envelope,
    port::{Port, Receiver},
    supervisor::{Outcome, Supervisor},
    trace::{crash::CrashFiles, recorder::Recorder, subject::Traced},
};

/// Requirements of a child: it answers probes, drains when asked, and resets its state when restarted.
pub trait Child:
    Actor<Context = Context<Self>> + Supervised + Handler<Ping> + Handler<Drain> + Unpin
{
}

impl<A> Child for A where A: Actor<Context = Context<A>> + Supervised + Handler<Ping> + Handler<Drain> + Unpin {}

/// A mailbox whose actor does not exist yet.
pub struct Slot<A: Actor> {
    spec: ChildSpec,
    address: Addr<A>,
    mailbox: AddressReceiver<A>,
    status: Arc<ChildStatus>,
}

impl<A: Actor> Slot<A> {
    /// Returns the actor as the receiver of one type of message.
    #[must_use]
    pub fn receiver<M>(&self) -> Receiver<M>
    where
        A: Handler<Envelope<M>>,
        A::Context: actix::dev::ToEnvelope<A, Envelope<M>>,
        M: Message + Traced + Send + 'static,
        M::Result: Send,
    {
        Receiver::new(self.address.clone().recipient(), Arc::clone(&self.status))
    }

    /// Returns a port to the actor for the sender of the name `from`.
    #[must_use]
    pub fn port<M>(&self, from: &'static str) -> Port<M>
    where
        A: Handler<Envelope<M>>,
        A::Context: actix::dev::ToEnvelope<A, Envelope<M>>,
        M: Message + Traced + Send + 'static,
        M::Result: Send,
    {
        self.receiver().port(from)
    }

    /// Returns the actor's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.status.name()
    }

    /// Returns the actor's status.
    #[must_use]
    pub fn status(&self) -> Arc<ChildStatus> {
        Arc::clone(&self.status)
    }
}

/// Starts a child on its own arbiter.
type Launch = Box<dyn FnOnce(ChildId, Recipient<ChildExited>) -> Running>;

/// A tree under construction.
pub struct Tree {
    policy: Policy,
    clock: SharedClock,
    recorder: Arc<Recorder>,
    crashes: Option<Arc<CrashFiles>>,
    children: Vec<(Arc<ChildStatus>, Launch)>,
}

impl Tree {
    /// Creates an empty tree.
    ///
    /// # Errors
    ///
    /// The policy contradicts itself.
    pub fn new(policy: Policy, clock: SharedClock, recorder: Arc<Recorder>) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self { policy, clock, recorder, crashes: None, children: Vec::new() })
    }

    /// Writes a crash file whenever an actor that is placed later panics or is killed.
    pub fn write_crash_files(&mut self, crashes: Arc<CrashFiles>) {
        self.crashes = Some(crashes);
    }

    /// Creates a mailbox for an actor that is placed later.
    #[must_use]
    pub fn mailbox<A: Actor>(&self, spec: ChildSpec) -> Slot<A> {
        let status =
            ChildStatus::new(spec.name, spec.capacity, Arc::clone(&self.clock), Arc::clone(&self.recorder));
        let (sender, mailbox) = channel(spec.capacity);
        Slot { spec, address: Addr::new(sender), mailbox, status }
    }

    /// Registers how the actor of a mailbox is made. `build` runs on the actor's own thread, so it may create values
    /// that cannot be sent between threads.
    pub fn place<A: Child>(&mut self, slot: Slot<A>, build: impl FnOnce() -> A + Send + 'static) {
        let Slot { spec, address, mailbox, status } = slot;
        let (child_status, crashes) = (Arc::clone(&status), self.crashes.clone());
        let launch = move |id, supervisor| {
            let arbiter = Arbiter::new();
            let (orders, inbox) = unbounded_channel();
            let runner = ChildRunner { id, status: Arc::clone(&status), orders: inbox, supervisor, crashes };
            arbiter.spawn_fn(move || {
                let actor = Context::with_receiver(mailbox).into_future(build());
                actix_rt::spawn(runner.run(actor));
            });
            let (ping, drain) = (address.clone().recipient(), address.recipient());
            Running { spec, status, ping, drain, orders, _arbiter: arbiter }
        };
        self.children.push((child_status, Box::new(launch)));
    }

    /// Starts all children, and the supervisor on the calling thread, which must be the system's.
    #[must_use]
    pub fn start(self) -> RunningTree {
        let statuses = self.children.iter().map(|(status, _)| Arc::clone(status)).collect();
        let status = TreeStatus::new(Arc::clone(&self.clock), statuses, self.recorder);
        let (outcome, outcome_received) = oneshot::channel();
        let (policy, clock, launches) = (self.policy, self.clock, self.children);
        let tree_status = Arc::clone(&status);
        let mut children = Vec::new();
        let supervisor = Supervisor::create(|ctx| {
            // The address exists before the supervisor itself, so children can report from the beginning.
            let supervisor = actix::AsyncContext::address(ctx).recipient();
            let running: Vec<Running> = launches
                .into_iter()
                .enumerate()
                .map(|(place, (_, launch))| launch(ChildId(place), supervisor.clone()))
                .collect();
            children = running.iter().map(|child| (child.spec, child.drain.clone())).collect();
            Supervisor::new(policy, clock, tree_status, running, outcome)
        });
        RunningTree { status, outcome: outcome_received, supervisor, children }
    }
}

/// A running tree.
pub struct RunningTree {
    status: Arc<TreeStatus>,
    outcome: oneshot::Receiver<Outcome>,
    supervisor: Addr<Supervisor>,
    children: Vec<(ChildSpec, Recipient<Drain>)>,
}

impl RunningTree {
    /// Returns the state of the tree.
    #[must_use]
    pub fn status(&self) -> Arc<TreeStatus> {
        Arc::clone(&self.status)
    }

    /// Waits until the supervisor gives up and returns its reason. A supervisor that is gone counts as escalated.
    pub async fn given_up(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Outcome::Escalated)
    }

    /// Ends supervision: from here on, children that exit are not restarted.
    pub async fn begin_drain(&self) {
        let _ = self.supervisor.send(super::super::supervisor::BeginDrain).await;
    }

    /// Drains all children of a phase in parallel. Stops waiting after `within`.
    pub async fn drain(&self, phase: usize, within: Duration) {
        let asked = self.children.iter().filter(|(spec, _)| spec.drain_phase == phase);
        let all = futures_util::future::join_all(asked.map(|(spec, child)| async move {
            if tokio::time::timeout(within, child.send(Drain { within })).await.is_err() {
                tracing::warn!(actor = spec.name, "actor did not drain in time");
            }
        }));
        all.await;
    }
}
