//! An actor that does one thing over and over: the frame that most actors of this program share.

use std::{cell::Cell, future::Future, rc::Rc, sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, Supervised,
    WrapFuture,
};
use tokio::sync::Notify;

use super::supervision::{
    messages::{Drain, Ping, Pulse},
    status::ChildStatus,
};

/// A worker that waits says so often that it lives.
pub const TICK: Duration = Duration::from_secs(1);

/// What a worker does. It is cloned for each incarnation, so it holds what the work needs and no state of it.
pub trait Work: Clone + Unpin + 'static {
    /// Works until the context ends. Where nothing must be finished it may simply be dropped at any await: what is
    /// written is written in transactions. If it comes back before, it has failed, and the actor stops: the supervisor
    /// restarts it.
    fn run(self, context: WorkContext) -> impl Future<Output = ()> + 'static;

    /// Its own line in `/actors.json`.
    fn status(&self) -> &Arc<ChildStatus>;

    /// Whether `run` sees to its own end when the context is draining, for it has something to finish.
    const FINISHES: bool = false;
}

/// How one incarnation of a worker stands. All clones are the same context.
#[derive(Clone, Debug, Default)]
pub struct WorkContext(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Status in which the supervisor sees progress; none in a command, which runs without a supervisor.
    status: Option<Arc<ChildStatus>>,
    draining: Cell<bool>,
    drain_within: Cell<Duration>,
    ended: Cell<bool>,
    /// Something came that shall not wait for the tick.
    wake: Notify,
    /// The drain began, or the work ended.
    turn: Notify,
}

impl WorkContext {
    /// The context of a supervised worker.
    fn of(status: &Arc<ChildStatus>) -> Self {
        Self(Rc::new(Inner { status: Some(Arc::clone(status)), ..Inner::default() }))
    }

    /// Something was done, or at least it lives.
    pub fn advance(&self) {
        if let Some(status) = &self.0.status {
            status.advance();
        }
    }

    /// The same, for somebody who has no context of its own to tell of.
    pub fn advancing(&self) -> impl Fn() + 'static {
        let context = self.clone();
        move || context.advance()
    }

    /// Nothing new shall be begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Comes back when nothing new shall be begun.
    pub async fn draining(&self) {
        self.until(|inner| inner.draining.get()).await;
    }

    /// How long the drain may take; nothing before it has begun.
    #[must_use]
    pub fn drain_within(&self) -> Duration {
        self.0.drain_within.get()
    }

    /// Do not wait any longer.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Waits, saying every second that it lives, until the time is over or the drain begins.
    pub async fn pause(&self, wait: Duration) {
        self.wait(wait, false).await;
    }

    /// The same, and until someone wakes it.
    pub async fn rest(&self, wait: Duration) {
        self.wait(wait, true).await;
    }

    async fn wait(&self, wait: Duration, wakes: bool) {
        let mut left = wait;
        while !left.is_zero() && !self.is_draining() {
            let step = left.min(TICK);
            self.advance();
            if !wakes {
                actix_rt::time::sleep(step).await;
            } else if tokio::time::timeout(step, self.0.wake.notified()).await.is_ok() {
                return;
            }
            left = left.saturating_sub(step);
        }
    }

    async fn until(&self, reached: impl Fn(&Inner) -> bool) {
        loop {
            let turn = self.0.turn.notified();
            if reached(&self.0) {
                return;
            }
            turn.await;
        }
    }

    /// Nothing new shall be begun, and what is begun may take so long.
    pub fn drain(&self, within: Duration) {
        self.0.drain_within.set(within);
        self.0.draining.set(true);
        self.0.turn.notify_waiters();
        self.0.wake.notify_one();
    }

    fn end(&self) {
        self.0.ended.set(true);
        self.0.turn.notify_waiters();
    }
}

/// The actor around some work. The work runs in the actor's own context, so a panic in it ends this incarnation.
pub struct Worker<W> {
    pub(super) work: W,
    pub(super) context: WorkContext,
}

impl<W: Work> Worker<W> {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(work: W) -> Self {
        let context = WorkContext::of(work.status());
        Self { work, context }
    }
}

impl<W: Work> Actor for Worker<W> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (work, context) = (self.work.clone(), self.context.clone());
        let run = async move {
            let drained = async {
                context.draining().await;
                if W::FINISHES {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = work.run(context.clone()) => {}
                () = drained => {}
            }
            context.end();
        };
        ctx.spawn(run.into_actor(self).map(|(), this, ctx| {
            if !this.context.is_draining() {
                ctx.stop();
            }
        }));
    }
}

impl<W: Work> Supervised for Worker<W> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.context = WorkContext::of(self.work.status());
    }
}

impl<W: Work> Handler<Ping> for Worker<W> {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.work.status().pulse()
    }
}

impl<W: Work> Handler<Drain> for Worker<W> {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) -> Self::Result {
        self.context.drain(drain.within);
        let context = self.context.clone();
        let wait = async move {
            let _ = tokio::time::timeout(drain.within, context.until(|inner| inner.ended.get())).await;
        };
        Box::pin(wait.into_actor(self))
    }
}
