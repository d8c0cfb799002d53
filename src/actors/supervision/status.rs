//! What is known of a child from outside; read by any thread, written by the child and the supervisor.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use actix::Message;
use chrono::{DateTime, Utc};
use tracing::Span;

use super::{
    messages::{Exit, Pulse},
    probe::Signs,
    queue::Queue,
    report::{ActorView, ExitView},
    stats::{Stats, short_type_name},
    thread_time::{ThreadAccounts, ThreadSample},
};
use crate::{
    actors::{
        envelope::{Envelope, TraceContext},
        test_hooks::TestHooks,
    },
    clock::SharedClock,
};

/// A child that has begun and said nothing of itself yet.
pub const STARTING: &str = "starting";
/// Waiting for its restart.
pub const BACKOFF: &str = "backoff";
/// Not running: not started yet, its group is stopped, or over for good.
pub const STOPPED: &str = "stopped";
/// The status of one child, for the life of the process.
#[derive(Debug)]
pub struct ChildStatus {
    name: &'static str,
    clock: SharedClock,
    queue: Arc<Queue>,
    life: Mutex<Incarnation>,
    stats: Mutex<Stats>,
    /// Signs of life of all kinds since the start of the process. Written on the child's thread, read by the
    /// supervisor.
    activity: AtomicU64,
    /// Steps of work since the start of the process. Written and read by the same.
    progress: AtomicU64,
    /// Success or failure of its work; none before its first report.
    health: Mutex<Option<Health>>,
    /// The system's accounts of the child's thread; none if the system keeps none.
    thread: OnceLock<Option<ThreadAccounts>>,
    test_hooks: TestHooks,
}

/// Success or failure of the work of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// It does.
    pub ok: bool,
    /// Current work, or the reason of the failure.
    pub detail: String,
    /// Time of the last success (`ok`), or of the first failure since.
    pub at: DateTime<Utc>,
}

#[derive(Debug)]
struct Incarnation {
    state: Cow<'static, str>,
    generation: u64,
    restarts: u64,
    /// None: not running.
    begun_at: Option<Instant>,
    last_exit: Option<ExitView>,
}

impl ChildStatus {
    /// The status of a child that has not begun. `capacity`: the most messages in its mailbox.
    #[must_use]
    pub fn new(name: &'static str, capacity: usize, clock: SharedClock) -> Arc<Self> {
        let life = Incarnation {
            state: STOPPED.into(),
            generation: 0,
            restarts: 0,
            begun_at: None,
            last_exit: None,
        };
        Arc::new(Self {
            name,
            clock,
            queue: Arc::new(Queue::new(capacity)),
            life: Mutex::new(life),
            stats: Mutex::default(),
            activity: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            health: Mutex::default(),
            thread: OnceLock::new(),
            test_hooks: TestHooks::default(),
        })
    }

    /// The child's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Called by the actor: what it is doing now, in a word (`loading`, `streaming`).
    pub fn set_state(&self, state: impl Into<Cow<'static, str>>) {
        self.note_activity();
        self.life().state = state.into();
    }

    /// Called by the actor: its work succeeds.
    pub fn succeeds(&self, detail: &str) {
        let at = self.clock.now();
        *self.health_cell() = Some(Health { ok: true, detail: detail.to_owned(), at });
    }

    /// Called by the actor: its work fails, and is tried again.
    pub fn fails(&self, error: &dyn fmt::Display) {
        let mut health = self.health_cell();
        let since = health.as_ref().filter(|last| !last.ok).map(|last| last.at);
        let at = since.unwrap_or_else(|| self.clock.now());
        *health = Some(Health { ok: false, detail: error.to_string(), at });
    }

    /// Success or failure of its work; none before its first report.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.health_cell().clone()
    }

    fn health_cell(&self) -> MutexGuard<'_, Option<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the actor: a step of its work is done. It must call this within its `stale_after`, for being alive is
    /// not working; an actor that may be idle for longer calls it on its own tick, for there the tick is the work.
    ///
    /// A handler that works on much at once calls it every few milliseconds: so the time that one message may take
    /// grows with what it holds. Costs two atomic additions.
    pub fn advance(&self) {
        self.note_activity();
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The child's counters at this moment.
    #[must_use]
    pub fn signs(&self) -> Signs {
        Signs {
            activity: self.activity.load(Ordering::Relaxed),
            progress: self.progress.load(Ordering::Relaxed),
        }
    }

    /// The system's present account of the child's thread.
    pub(crate) fn thread_sample(&self) -> Option<ThreadSample> {
        self.thread.get()?.as_ref()?.sample()
    }

    /// Called once on the child's thread, which is the same for the life of the process.
    pub(super) fn note_thread(&self) {
        self.thread.get_or_init(ThreadAccounts::of_this_thread);
    }

    fn note_activity(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether an incarnation is alive; it may be working or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.life().begun_at.is_some()
    }

    /// How often it was restarted after an exit.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.life().restarts
    }

    /// The slots of its mailbox.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The first line of every handler: takes the message out of the count of the queue and times its handling
    /// until the returned guard is dropped. An asynchronous handler moves the guard into its future.
    #[must_use = "the guard times the handling: hold it to the end"]
    pub fn begin<M: Message>(self: &Arc<Self>, envelope: &Envelope<M>) -> Handling {
        envelope.leave_queue();
        self.note_activity();
        let message = short_type_name::<M>();
        self.test_hooks.fail_if_armed(message);
        let trace = envelope.trace.child();
        let span = tracing::debug_span!("handle", actor = self.name, message, %trace);
        Handling { status: Arc::clone(self), message, begun_at: self.monotonic(), trace, span }
    }

    /// The answer to a probe.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.test_hooks.fail_if_armed("Ping");
        self.note_activity();
        Pulse(())
    }

    /// The hooks by which tests make this child fail.
    #[must_use]
    pub fn test_hooks(&self) -> &TestHooks {
        &self.test_hooks
    }

    /// This child as `/actors.json` shows it.
    #[must_use]
    pub fn view(&self) -> ActorView {
        let messages = self.stats().view();
        let life = self.life();
        let now = self.monotonic();
        ActorView {
            name: self.name,
            state: life.state.clone(),
            generation: life.generation,
            restarts: life.restarts,
            uptime_s: life.begun_at.map_or(0, |at| now.saturating_duration_since(at).as_secs()),
            mailbox: self.queue.view(),
            last_exit: life.last_exit.clone(),
            messages,
        }
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    pub(crate) fn note_begun(&self, generation: u64) {
        let begun_at = Some(self.monotonic());
        self.test_hooks.reset();
        let mut life = self.life();
        life.state = STARTING.into();
        life.generation = generation;
        life.begun_at = begun_at;
    }

    pub(crate) fn note_exit(&self, generation: u64, exit: &Exit) {
        let last_exit = ExitView { at: self.clock.now(), generation, reason: exit.to_string() };
        let mut life = self.life();
        life.state = STOPPED.into();
        life.begun_at = None;
        life.last_exit = Some(last_exit);
    }

    pub(crate) fn note_restart(&self) {
        let mut life = self.life();
        life.state = BACKOFF.into();
        life.restarts = life.restarts.saturating_add(1);
    }

    pub(crate) fn note_stopped(&self) {
        let mut life = self.life();
        life.state = STOPPED.into();
        life.begun_at = None;
    }

    fn life(&self) -> MutexGuard<'_, Incarnation> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message being handled. Counts it when dropped, also by a panic or a kill.
#[derive(Debug)]
pub struct Handling {
    status: Arc<ChildStatus>,
    message: &'static str,
    begun_at: Instant,
    trace: TraceContext,
    span: Span,
}

impl Handling {
    /// The trace to send further messages with.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// The span of this handling: `enter` it in a plain handler, `instrument` the future of an asynchronous one.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let took = self.status.monotonic().saturating_duration_since(self.begun_at);
        self.status.note_activity();
        self.status.stats().record(self.message, took);
    }
}
