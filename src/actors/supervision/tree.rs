//! Putting a tree together: all mailboxes first, then the actors with ports to each other, then all are started.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, Addr, Context, Handler, Message, Recipient, Supervised,
    dev::channel::{AddressReceiver, channel},
};
use actix_rt::Arbiter;
use tokio::sync::{
    mpsc::{UnboundedSender, unbounded_channel},
    oneshot,
};

use super::{
    child::ChildRunner,
    messages::{ChildExited, ChildId, Drain, Order, Ping},
    policy::{Policy, PolicyError},
    report::TreeStatus,
    status::ChildStatus,
};
use crate::{
    actors::{
        envelope::Envelope,
        port::Port,
        supervisor::{Outcome, Supervisor},
    },
    clock::SharedClock,
};

/// What every child must be: it answers probes, finishes when asked, and forgets when restarted.
pub trait Child:
    Actor<Context = Context<Self>> + Supervised + Handler<Ping> + Handler<Drain> + Unpin
{
}

impl<A> Child for A where A: Actor<Context = Context<A>> + Supervised + Handler<Ping> + Handler<Drain> + Unpin {}

/// What the supervisor must know of a child before it begins.
#[derive(Clone, Copy, Debug)]
pub struct ChildSpec {
    /// Its name, as in logs.
    pub name: &'static str,
    /// The most messages in its mailbox.
    pub capacity: usize,
    /// Bound on the time between two steps of its work ([`ChildStatus::advance`]).
    pub stale_after: Duration,
    /// In which phase of the drain it finishes.
    pub drain_phase: usize,
}

/// A mailbox whose actor is yet to be made.
pub struct Slot<A: Actor> {
    spec: ChildSpec,
    address: Addr<A>,
    mailbox: AddressReceiver<A>,
    status: Arc<ChildStatus>,
}

impl<A: Actor> Slot<A> {
    /// A port to the actor, valid for the life of the process.
    #[must_use]
    pub fn port<M>(&self) -> Port<M>
    where
        A: Handler<Envelope<M>>,
        A::Context: actix::dev::ToEnvelope<A, Envelope<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Port::new(self.address.clone().recipient(), Arc::clone(&self.status))
    }

    /// The actor's status.
    #[must_use]
    pub fn status(&self) -> Arc<ChildStatus> {
        Arc::clone(&self.status)
    }
}

type Launch = Box<dyn FnOnce(ChildId, Recipient<ChildExited>) -> Running>;

/// A child that runs, as the supervisor sees it.
pub(crate) struct Running {
    pub(crate) spec: ChildSpec,
    pub(crate) status: Arc<ChildStatus>,
    pub(crate) ping: Recipient<Ping>,
    pub(crate) drain: Recipient<Drain>,
    pub(crate) orders: UnboundedSender<Order>,
    /// Its thread, which ends when nobody holds it.
    pub(crate) _arbiter: Arbiter,
}

/// A tree that is being put together.
pub struct Tree {
    policy: Policy,
    clock: SharedClock,
    children: Vec<(Arc<ChildStatus>, Launch)>,
}

impl Tree {
    /// An empty tree.
    ///
    /// # Errors
    ///
    /// Numbers that contradict each other.
    pub fn new(policy: Policy, clock: SharedClock) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self { policy, clock, children: Vec::new() })
    }

    /// A mailbox for an actor that comes later.
    #[must_use]
    pub fn mailbox<A: Actor>(&self, spec: ChildSpec) -> Slot<A> {
        let status = ChildStatus::new(spec.name, spec.capacity, Arc::clone(&self.clock));
        let (sender, mailbox) = channel(spec.capacity);
        Slot { spec, address: Addr::new(sender), mailbox, status }
    }

    /// Says how the actor of a mailbox is made: `build` runs on the actor's own thread, where it may make what cannot
    /// be sent between threads.
    pub fn place<A: Child>(&mut self, slot: Slot<A>, build: impl FnOnce() -> A + Send + 'static) {
        let Slot { spec, address, mailbox, status } = slot;
        let told = Arc::clone(&status);
        let launch = move |id, supervisor| {
            let arbiter = Arbiter::new();
            let (orders, inbox) = unbounded_channel();
            let runner = ChildRunner { id, status: Arc::clone(&status), orders: inbox, supervisor };
            arbiter.spawn_fn(move || {
                let actor = Context::with_receiver(mailbox).into_future(build());
                actix_rt::spawn(runner.run(actor));
            });
            let (ping, drain) = (address.clone().recipient(), address.recipient());
            Running { spec, status, ping, drain, orders, _arbiter: arbiter }
        };
        self.children.push((told, Box::new(launch)));
    }

    /// Starts all children, and the supervisor on this thread, which must be the system's.
    #[must_use]
    pub fn start(self) -> RunningTree {
        let statuses = self.children.iter().map(|(status, _)| Arc::clone(status)).collect();
        let status = TreeStatus::new(Arc::clone(&self.clock), statuses);
        let (outcome, told) = oneshot::channel();
        let (policy, clock, launches) = (self.policy, self.clock, self.children);
        let tree_status = Arc::clone(&status);
        let mut children = Vec::new();
        let supervisor = Supervisor::create(|ctx| {
            let supervisor = actix::AsyncContext::address(ctx).recipient();
            let running: Vec<Running> = launches
                .into_iter()
                .enumerate()
                .map(|(place, (_, launch))| launch(ChildId(place), supervisor.clone()))
                .collect();
            children = running.iter().map(|child| (child.spec, child.drain.clone())).collect();
            Supervisor::new(policy, clock, tree_status, running, outcome)
        });
        RunningTree { status, outcome: told, supervisor, children }
    }
}

/// A tree that runs.
pub struct RunningTree {
    status: Arc<TreeStatus>,
    outcome: oneshot::Receiver<Outcome>,
    supervisor: Addr<Supervisor>,
    children: Vec<(ChildSpec, Recipient<Drain>)>,
}

impl RunningTree {
    /// What is known of the tree from outside.
    #[must_use]
    pub fn status(&self) -> Arc<TreeStatus> {
        Arc::clone(&self.status)
    }

    /// Comes back when the supervisor gives up, and with what. A supervisor that is gone has given up too.
    pub async fn given_up(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Outcome::Escalated)
    }

    /// From now on exits are not mended any more.
    pub async fn begin_drain(&self) {
        let _ = self.supervisor.send(super::super::supervisor::BeginDrain).await;
    }

    /// Lets the children of a phase finish, all at once, and stops waiting after `within`.
    pub async fn drain(&self, phase: usize, within: Duration) {
        let asked = self.children.iter().filter(|(spec, _)| spec.drain_phase == phase);
        let all = futures_util::future::join_all(asked.map(|(spec, child)| async move {
            if tokio::time::timeout(within, child.send(Drain { within })).await.is_err() {
                tracing::warn!(actor = spec.name, "an actor did not finish in time");
            }
        }));
        all.await;
    }
}
