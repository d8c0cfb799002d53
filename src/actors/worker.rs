//! The frame of actors that do one thing over and over, as most actors of this program do.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, Supervised,
    WrapFuture,
};
use tokio::sync::Notify;

use super::{
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    trace::{
        context::TraceContext,
        record::{Causes, Links},
        step::{Step, StepName},
    },
};
use crate::steps;

/// Interval at which a waiting worker reports progress.
pub const TICK: Duration = Duration::from_secs(1);

/// Work of a worker. It is cloned for each incarnation, so it holds dependencies. State is local to `run`,
/// except what must survive a restart: that is in an `Rc`, with the reason at the field.
pub trait Work: Clone + Unpin + 'static {
    /// Works until the context drains. The future may be dropped at any await, since everything is written in
    /// transactions; [`Self::FINISHES_ON_DRAIN`] prevents that. If it returns before the drain, the work has failed:
    /// the actor stops and the supervisor restarts it.
    fn run(self, context: WorkContext) -> impl Future<Output = ()> + 'static;

    /// Returns the status of the actor, its entry in `/actors.json`.
    fn status(&self) -> &Arc<ChildStatus>;

    /// True if `run` returns by itself when the context drains, because it has something to finish.
    const FINISHES_ON_DRAIN: bool = false;
}

/// Lifecycle of one incarnation of a worker, shared by the actor and its work. All clones are the same context.
#[derive(Clone, Debug, Default)]
pub struct WorkContext(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Status that receives progress; none in a command, which runs without a supervisor.
    status: Option<Arc<ChildStatus>>,
    /// True once the drain began.
    draining: Cell<bool>,
    /// Time limit of the drain; zero before it begins.
    drain_within: Cell<Duration>,
    /// True once the work returned or was dropped.
    ended: Cell<bool>,
    /// Notified if there is something to do before the next tick.
    wake: Notify,
    /// Messages that woke the worker since its last pass.
    causes: RefCell<Causes>,
    /// Causes of the last pass.
    passed: RefCell<(Option<TraceContext>, Links)>,
    /// Notified when `draining` or `ended` becomes true.
    changed: Notify,
}

impl WorkContext {
    /// Creates the context of a supervised worker.
    fn of(status: &Arc<ChildStatus>) -> Self {
        Self(Rc::new(Inner { status: Some(Arc::clone(status)), ..Inner::default() }))
    }

    /// Reports progress to the supervisor.
    pub fn advance(&self) {
        if let Some(status) = &self.0.status {
            status.advance();
        }
    }

    /// Returns [`Self::advance`] as a function, for code that must not depend on actors.
    pub fn heartbeat(&self) -> impl Fn() + 'static {
        let context = self.clone();
        move || context.advance()
    }

    /// Returns true once the drain began. Begin nothing new then.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Waits until the drain begins.
    pub async fn draining(&self) {
        self.until(|inner| inner.draining.get()).await;
    }

    /// Returns the time limit of the drain; zero before it begins.
    #[must_use]
    pub fn drain_within(&self) -> Duration {
        self.0.drain_within.get()
    }

    /// Ends the current or the next [`Self::pause_until_woken`]. `cause` is the message that wakes.
    pub fn wake(&self, cause: TraceContext) {
        self.0.causes.borrow_mut().add(cause);
        self.0.wake.notify_one();
    }

    /// Begins a step of work. A command that runs without a supervisor records nothing.
    #[must_use]
    pub fn step(&self, name: StepName, cause: Option<&TraceContext>) -> Step {
        match &self.0.status {
            Some(status) => status.step(name, cause),
            None => Step::unrecorded(name, cause),
        }
    }

    /// Takes a test hook of this name. Returns true if it was armed.
    pub(super) fn takes_hook(&self, hook: &str) -> bool {
        self.0.status.as_ref().is_some_and(|status| status.test_hooks().take(hook))
    }

    /// Begins a step that the messages which woke the worker cause, or else the timer.
    #[must_use]
    pub fn pass(&self, name: StepName) -> Step {
        let (cause, links) = self.0.causes.borrow_mut().take();
        *self.0.passed.borrow_mut() = (cause, links.clone());
        self.step(name, cause.as_ref()).with_links(links)
    }

    /// Lets the causes of the last pass cause the next one too, because that goes on with the work or tries it again.
    pub fn keep_causes(&self) {
        let (cause, links) = self.0.passed.take();
        self.0.causes.borrow_mut().put_back(cause, &links);
    }

    /// Waits for the given time, or until the drain begins. Reports progress meanwhile. During the drain it returns
    /// at once, after other tasks of the thread had their turn.
    pub async fn pause(&self, wait: Duration) {
        self.wait(wait, false).await;
    }

    /// Waits like [`Self::pause`], but also until [`Self::wake`].
    pub async fn pause_until_woken(&self, wait: Duration) {
        self.wait(wait, true).await;
    }

    async fn wait(&self, wait: Duration, wakes: bool) {
        if self.is_draining() {
            // Nothing is waited for any more. Work that goes on all the same must let its thread serve the drain.
            return tokio::task::yield_now().await;
        }
        let mut left = wait;
        while !left.is_zero() && !self.is_draining() {
            let step = left.min(TICK);
            self.advance();
            if !wakes {
                // Ends at once if the drain begins: it has little time.
                let _ = tokio::time::timeout(step, self.draining()).await;
            } else if tokio::time::timeout(step, self.0.wake.notified()).await.is_ok() {
                return;
            }
            left = left.saturating_sub(step);
        }
    }

    /// Waits for work that has a time limit of its own, and reports progress meanwhile. The limit may be longer than
    /// the time after which an actor without progress is restarted.
    pub async fn attend<T>(&self, work: impl Future<Output = T>) -> T {
        attend(work, || self.advance()).await
    }

    async fn until(&self, reached: impl Fn(&Inner) -> bool) {
        loop {
            // Register before the check, so that a change in between is not lost.
            let changed = self.0.changed.notified();
            if reached(&self.0) {
                return;
            }
            changed.await;
        }
    }

    /// Begins the drain, which may take `within`.
    pub fn drain(&self, within: Duration) {
        self.0.drain_within.set(within);
        self.0.draining.set(true);
        self.0.changed.notify_waiters();
        self.0.wake.notify_one();
    }

    fn end(&self) {
        self.0.ended.set(true);
        self.0.changed.notify_waiters();
    }
}

/// Awaits a transaction of an actor, and records it as a step that `cause` causes.
pub(super) async fn transaction<T, E>(
    status: &ChildStatus,
    cause: &TraceContext,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let step = status.step(steps::TRANSACTION, Some(cause));
    let done = work.await;
    step.ended(&done);
    done
}

/// Like [`WorkContext::attend`], for actors without a context.
pub async fn attend<T>(work: impl Future<Output = T>, advance: impl Fn()) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        advance();
        if let Ok(done) = tokio::time::timeout(TICK, work.as_mut()).await {
            return done;
        }
    }
}

/// Actor around some work. The work runs in the actor's own context, so a panic in it ends the incarnation.
pub struct Worker<W> {
    pub(super) work: W,
    pub(super) context: WorkContext,
}

impl<W: Work> Worker<W> {
    /// Creates the actor. It is not started yet.
    #[must_use]
    pub fn new(work: W) -> Self {
        let context = WorkContext::of(work.status());
        Self { work, context }
    }
}

impl<W: Work> Actor for Worker<W> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // In the actor's own context: a panic in the work ends this incarnation, and the supervisor sees it.
        let (work, context) = (self.work.clone(), self.context.clone());
        let run = async move {
            let drained = async {
                context.draining().await;
                if W::FINISHES_ON_DRAIN {
                    std::future::pending::<()>().await;
                }
            };
            // The drain first: work that is not polled again begins nothing new.
            tokio::select! {
                biased;
                () = drained => {}
                () = work.run(context.clone()) => {}
            }
            context.end();
        };
        ctx.spawn(run.into_actor(self).map(|(), this, ctx| {
            // Work that returned without a drain has failed.
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{actors::trace::recorder::Recorder, clock::SystemClock};

    /// Work without an end, which waits for nothing but pauses.
    #[derive(Clone)]
    struct Idle<const FINISHES: bool>(Arc<ChildStatus>);

    impl<const FINISHES: bool> Work for Idle<FINISHES> {
        const FINISHES_ON_DRAIN: bool = FINISHES;

        async fn run(self, context: WorkContext) {
            // As work does that finishes on a drain: it goes on for a while, here without an end.
            loop {
                context.pause(TICK).await;
                context.pause_until_woken(TICK).await;
            }
        }

        fn status(&self) -> &Arc<ChildStatus> {
            &self.0
        }
    }

    fn idle<const FINISHES: bool>() -> actix::Addr<Worker<Idle<FINISHES>>> {
        let clock = SystemClock::shared();
        let recorder = Recorder::off(Arc::clone(&clock));
        Worker::new(Idle(ChildStatus::new("idle", 1, clock, recorder))).start()
    }

    /// Most of the time limit of a drain, so that a busy machine does not matter.
    const DRAIN: Duration = Duration::from_secs(20);

    #[actix_rt::test]
    async fn work_that_only_pauses_ends_with_the_drain() {
        for _ in 0..50 {
            let begun = std::time::Instant::now();
            idle::<false>().send(Drain { within: DRAIN }).await.unwrap();
            assert!(begun.elapsed() < DRAIN / 2, "{:?}", begun.elapsed());
        }
    }

    #[actix_rt::test]
    async fn work_that_pauses_after_the_drain_began_leaves_its_thread_free() {
        let worker = idle::<true>();
        let drained = worker.send(Drain { within: Duration::from_millis(1) });
        // Its own time limit ends it, which only a free thread notices.
        drained.await.unwrap();
        worker.send(Ping).await.unwrap();
    }

    #[actix_rt::test]
    async fn a_pass_that_goes_on_with_the_work_has_the_same_causes() {
        let clock = SystemClock::shared();
        let recorder = Recorder::on(Arc::clone(&clock));
        let context = WorkContext::of(&ChildStatus::new("worker", 1, clock, Arc::clone(&recorder)));
        let (first, second) = (TraceContext::root(), TraceContext::root());
        context.wake(first);
        context.wake(second);
        context.pass(StepName("work")).done();
        context.keep_causes();
        context.pass(StepName("work")).done();
        context.pass(StepName("work")).done();
        let (records, _) = recorder.records();
        let causes = |place: usize| (records[place].trace.parent_id(), records[place].links.spans());
        assert_eq!(causes(0), (Some(first.span_id()), &[second][..]));
        assert_eq!(causes(1), causes(0));
        assert_eq!(causes(2), (None, &[][..]), "that work is done");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_when_the_drain_begins() {
        let context = WorkContext::default();
        let mut pause = std::pin::pin!(context.pause(Duration::from_secs(60)));
        assert_eq!(pause.as_mut().now_or_never(), None);
        context.drain(Duration::ZERO);
        assert_eq!(pause.now_or_never(), Some(()), "no time has passed");
    }

    #[tokio::test(start_paused = true)]
    async fn attended_work_reports_progress_every_second() {
        let reported = Cell::new(0);
        let work = tokio::time::sleep(Duration::from_millis(300_500));
        attend(work, || reported.set(reported.get() + 1)).await;
        assert_eq!(reported.get(), 301);
    }
}
