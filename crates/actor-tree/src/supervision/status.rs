//! State of one child as seen from outside. The child and the supervisor write it; any thread may read it.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::Message;
use chrono::{DateTime, Utc};
use metrics::histogram;
use tracing::Span;

use super::{
    messages::{Exit, Pulse},
    probe::ActivityCounters,
    queue::Queue,
    report::{ActorView, ExitView},
    stats::{Stats, short_type_name},
    thread_time::{ThreadAccounts, ThreadSample},
};
use crate::{
    clock::SharedClock,
    envelope::{Envelope, TraceContext},
    test_hooks::TestHooks,
};

/// State of a child that has started and not set a state of its own yet.
pub const STARTING: &str = "starting";
/// State of a child that waits for its restart.
pub const BACKOFF: &str = "backoff";
/// State of a child that does not run: not started, stopped, or lost.
pub const STOPPED: &str = "stopped";

/// Status of one child, for the life of the process.
#[derive(Debug)]
pub struct ChildStatus {
    name: &'static str,
    clock: SharedClock,
    queue: Arc<Queue>,
    incarnation: Mutex<Incarnation>,
    stats: Mutex<Stats>,
    /// Signs of activity since the start of the process. Written on the child's thread, read by the supervisor.
    activity: AtomicU64,
    /// Steps of work since the start of the process. Written on the child's thread, read by the supervisor.
    progress: AtomicU64,
    /// Health of its work; none before its first report.
    health: Mutex<Option<Health>>,
    /// Accounts of the child's thread; none if the system keeps none.
    thread: OnceLock<Option<ThreadAccounts>>,
    test_hooks: TestHooks,
}

/// Success or failure of a child's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// True if the work succeeds.
    pub ok: bool,
    /// Current work, or the reason of the failure.
    pub detail: String,
    /// Time of the last success (`ok`), or of the first failure since then.
    pub at: DateTime<Utc>,
}

#[derive(Debug)]
struct Incarnation {
    state: Cow<'static, str>,
    generation: u64,
    restarts: u64,
    /// Start of this incarnation; none while it does not run.
    begun_at: Option<Instant>,
    last_exit: Option<ExitView>,
}

impl ChildStatus {
    /// Creates the status of a child that has not started. `capacity` is the most messages in its mailbox.
    #[must_use]
    pub fn new(name: &'static str, capacity: usize, clock: SharedClock) -> Arc<Self> {
        let incarnation = Incarnation {
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
            incarnation: Mutex::new(incarnation),
            stats: Mutex::default(),
            activity: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            health: Mutex::default(),
            thread: OnceLock::new(),
            test_hooks: TestHooks::default(),
        })
    }

    /// Name of the child.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Sets the current work in a word, such as `loading` or `streaming`. Called by the actor.
    pub fn set_state(&self, state: impl Into<Cow<'static, str>>) {
        self.note_activity();
        self.incarnation().state = state.into();
    }

    /// Returns the hooks by which tests make this child fail.
    #[must_use]
    pub fn test_hooks(&self) -> &TestHooks {
        &self.test_hooks
    }

    /// Records that the work succeeds. Called by the actor.
    pub fn succeeds(&self, detail: &str) {
        let at = self.clock.now();
        *self.health_cell() = Some(Health { ok: true, detail: detail.to_owned(), at });
    }

    /// Records that the work succeeds unless it is known to fail: for a pass without anything to do, which is no
    /// evidence of a recovery. Called by the actor.
    pub fn idles(&self, detail: &str) {
        if self.health_cell().as_ref().is_none_or(|last| last.ok) {
            self.succeeds(detail);
        }
    }

    /// Records that the work fails and is retried. Called by the actor. The time of the first failure in a row is kept.
    pub fn fails(&self, error: &dyn fmt::Display) {
        let mut health = self.health_cell();
        // Keep the time of the first failure in a row: readers see how long it lasts.
        let since = health.as_ref().filter(|last| !last.ok).map(|last| last.at);
        let at = since.unwrap_or_else(|| self.clock.now());
        *health = Some(Health { ok: false, detail: error.to_string(), at });
    }

    /// Returns the health of the child's work; none before its first report.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.health_cell().clone()
    }

    fn health_cell(&self) -> MutexGuard<'_, Option<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a step of work. Called by the actor, at least once within its `stale_after`: answering probes alone does
    /// not count as work. An actor that may be idle for longer calls it on its own tick.
    ///
    /// A handler with much to do calls it every few milliseconds, so that a long message does not look like a hang.
    /// Costs two atomic additions.
    pub fn advance(&self) {
        self.note_activity();
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the child's counters.
    #[must_use]
    pub fn counters(&self) -> ActivityCounters {
        ActivityCounters {
            activity: self.activity.load(Ordering::Relaxed),
            progress: self.progress.load(Ordering::Relaxed),
        }
    }

    /// Samples the accounts of the child's thread.
    pub(crate) fn thread_sample(&self) -> Option<ThreadSample> {
        self.thread.get()?.as_ref()?.sample()
    }

    /// Opens the accounts of the calling thread. Called once on the child's thread, which never changes.
    pub(super) fn note_thread(&self) {
        self.thread.get_or_init(ThreadAccounts::of_this_thread);
    }

    fn note_activity(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns true if an incarnation is alive, whether it works or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.incarnation().begun_at.is_some()
    }

    /// Returns the number of restarts since the start of the process.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.incarnation().restarts
    }

    /// Returns the slots of the mailbox.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Begins the handling of a message; every handler calls it first. Takes the message out of the queue's count and
    /// times its handling until the guard is dropped. An asynchronous handler moves the guard into its future.
    #[must_use = "the guard times the handling: hold it to the end of the handler"]
    pub fn begin<M: Message>(self: &Arc<Self>, envelope: &Envelope<M>) -> Handling {
        // The queue counts messages that wait, and this one is being handled now.
        envelope.leave_queue();
        self.note_activity();
        let message = short_type_name::<M>();
        let waited = self.monotonic().saturating_duration_since(envelope.queued_at);
        histogram!("ticker_actor_waiting_seconds", "actor" => self.name, "message" => message)
            .record(waited.as_secs_f64());
        self.test_hooks.fail_if_armed(message);
        let trace = envelope.trace.child();
        let span = tracing::debug_span!(
            "handle",
            actor = self.name,
            message,
            number = envelope.number,
            from = envelope.from,
            %trace,
            parent = trace.parent_id().map(|id| format!("{id:016x}")),
        );
        Handling { status: Arc::clone(self), message, begun_at: self.monotonic(), trace, span }
    }

    /// Begins the series of a message type that this child can receive. Called when a port for it is made.
    pub fn announce<M>(&self) {
        let message = short_type_name::<M>();
        drop(histogram!("ticker_actor_waiting_seconds", "actor" => self.name, "message" => message));
        drop(histogram!("ticker_actor_handling_seconds", "actor" => self.name, "message" => message));
    }

    /// Returns the time that the child's thread spent on a core; none before its start or if the system keeps no
    /// accounts.
    #[must_use]
    pub fn busy(&self) -> Option<Duration> {
        self.thread_sample().map(|sample| sample.ran)
    }

    /// Returns the answer to a probe.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.test_hooks.fail_if_armed("Ping");
        self.note_activity();
        Pulse(())
    }

    /// Returns this child as shown in `/actors.json`.
    #[must_use]
    pub fn view(&self) -> ActorView {
        // The two locks are never held together, so they cannot deadlock.
        let messages = self.stats().view();
        let incarnation = self.incarnation();
        let now = self.monotonic();
        ActorView {
            name: self.name,
            state: incarnation.state.clone(),
            generation: incarnation.generation,
            restarts: incarnation.restarts,
            uptime_s: incarnation.begun_at.map_or(0, |at| now.saturating_duration_since(at).as_secs()),
            mailbox: self.queue.view(),
            last_exit: incarnation.last_exit.clone(),
            messages,
        }
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    pub(crate) fn note_begun(&self, generation: u64) {
        let begun_at = Some(self.monotonic());
        self.test_hooks.reset();
        let mut incarnation = self.incarnation();
        incarnation.state = STARTING.into();
        incarnation.generation = generation;
        incarnation.begun_at = begun_at;
    }

    pub(crate) fn note_exit(&self, generation: u64, exit: &Exit) {
        let last_exit = ExitView { at: self.clock.now(), generation, reason: exit.to_string() };
        let mut incarnation = self.incarnation();
        incarnation.state = STOPPED.into();
        incarnation.begun_at = None;
        incarnation.last_exit = Some(last_exit);
    }

    pub(crate) fn note_restart(&self) {
        let mut incarnation = self.incarnation();
        incarnation.state = BACKOFF.into();
        incarnation.restarts = incarnation.restarts.saturating_add(1);
    }

    pub(crate) fn note_stopped(&self) {
        let mut incarnation = self.incarnation();
        incarnation.state = STOPPED.into();
        incarnation.begun_at = None;
    }

    fn incarnation(&self) -> MutexGuard<'_, Incarnation> {
        self.incarnation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard of a message that is being handled. Records the handling time when dropped, also by a panic or a kill.
#[derive(Debug)]
pub struct Handling {
    status: Arc<ChildStatus>,
    message: &'static str,
    begun_at: Instant,
    trace: TraceContext,
    span: Span,
}

impl Handling {
    /// Returns the trace context for messages sent while handling this one.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// Returns the span of this handling. Enter it in a plain handler; instrument the future of an asynchronous one.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let took = self.status.monotonic().saturating_duration_since(self.begun_at);
        self.status.note_activity();
        histogram!("ticker_actor_handling_seconds", "actor" => self.status.name, "message" => self.message)
            .record(took.as_secs_f64());
        self.status.stats().record(self.message, took);
    }
}
