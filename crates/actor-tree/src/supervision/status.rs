//! State of one child as seen from outside. The child and the supervisor write it; any thread may read it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::Message;
use metrics::histogram;
use tracing::Span;

pub use super::incarnation::STOPPED;
use super::{
    incarnation::{Incarnation, Underway},
    messages::{Exit, Pulse},
    probe::ActivityCounters,
    queue::Queue,
    report::{ActorView, BusyView},
    stats::{Stats, short_type_name},
    thread_time::{ThreadAccounts, ThreadSample},
};
use crate::{
    clock::SharedClock,
    envelope::Envelope,
    health::Health,
    test_hooks::TestHooks,
    trace::{
        context::TraceContext,
        rates::{RateSpan, Rates},
        record::{Label, Outcome},
        recorder::Recorder,
        step::{Step, StepName},
        view::HandlingView,
    },
};

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
    /// Microseconds that the child's thread spent on a core. Written by the supervisor.
    busy: Mutex<Rates>,
    /// Messages that are being handled, by number.
    handled_now: Mutex<BTreeMap<u64, Underway>>,
    recorder: Arc<Recorder>,
    /// True once it has stopped for good.
    is_gone: AtomicBool,
    test_hooks: TestHooks,
}

impl ChildStatus {
    /// Creates the status of a child that has not started. `capacity` is the most messages in its mailbox.
    #[must_use]
    pub fn new(
        name: &'static str,
        capacity: usize,
        clock: SharedClock,
        recorder: Arc<Recorder>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            clock,
            queue: Arc::new(Queue::new(capacity)),
            incarnation: Mutex::default(),
            stats: Mutex::default(),
            activity: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            health: Mutex::default(),
            thread: OnceLock::new(),
            busy: Mutex::default(),
            handled_now: Mutex::default(),
            recorder,
            is_gone: AtomicBool::new(false),
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
        *self.health_cell() = Some(Health::succeeded(detail, self.clock.now()));
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
        *health = Some(Health::failed(health.as_ref(), error.to_string(), self.clock.now()));
    }

    /// Forgets the health of the child's work, because another process does that work now.
    pub fn forget_health(&self) {
        *self.health_cell() = None;
    }

    /// Returns the health of the child's work; none before its first report, and once it is forgotten.
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
    pub(crate) fn counters(&self) -> ActivityCounters {
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

    /// Returns true once the child has stopped for good: nothing will read its mailbox any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Returns the recorder of the tree.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Begins a step of this child's work, caused by a span or by an edge of the process, such as a timer.
    #[must_use]
    pub fn step(&self, name: StepName, cause: Option<&TraceContext>) -> Step {
        Step::begin(&self.recorder, self.name, name, cause)
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
        envelope.transit.ticket.leave();
        self.note_activity();
        let label = envelope.transit.label.clone();
        let began = self.monotonic();
        let waited = began.saturating_duration_since(label.queued);
        let message = label.message;
        histogram!("ticker_actor_waiting_seconds", "actor" => self.name, "message" => message)
            .record(waited.as_secs_f64());
        let span = tracing::debug_span!(
            "handle",
            actor = self.name,
            message,
            number = label.number,
            from = label.from,
            trace = %label.trace,
            parent = label.trace.parent_id().map(|id| format!("{id:016x}")),
        );
        self.handled_now()
            .insert(label.number, Underway { message, from: label.from, trace: label.trace, began });
        let handling = Handling { status: Arc::clone(self), label, began, waited, span };
        self.test_hooks.fail_if_armed(message);
        handling
    }

    /// Begins the series of a message type that this child can receive from a sender. Called when a port is made.
    pub fn announce<M>(&self, from: &'static str) {
        let message = short_type_name::<M>();
        self.recorder.announce(from, self.name, message);
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
        // No two locks are held together, so they cannot deadlock.
        let now = self.monotonic();
        let since_start = self.recorder.uptime();
        let messages = self.stats().view(since_start);
        let handling = self.handling();
        let busy = self.busy_view(since_start);
        let incarnation = self.incarnation();
        ActorView {
            name: self.name,
            state: incarnation.state.clone(),
            generation: incarnation.generation,
            restarts: incarnation.restarts,
            uptime_s: incarnation.begun_at.map_or(0, |at| now.saturating_duration_since(at).as_secs()),
            mailbox: self.queue.view(now),
            busy,
            handling,
            last_exit: incarnation.exits.back().cloned(),
            exits: incarnation.exits.iter().cloned().collect(),
            messages,
        }
    }

    /// Returns the messages that are being handled.
    pub(crate) fn handling(&self) -> Vec<HandlingView> {
        let now = self.monotonic();
        self.handled_now().iter().map(|(number, underway)| underway.view(*number, now)).collect()
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    pub(crate) fn note_begun(&self, generation: u64) {
        let begun_at = self.monotonic();
        self.test_hooks.reset();
        self.incarnation().begin(generation, begun_at);
    }

    pub(crate) fn note_exit(&self, generation: u64, exit: &Exit) {
        // A killed incarnation has not dropped its messages yet. The oldest one is what it did not get past.
        let stuck = self.handled_now().first_key_value().map(|(_, underway)| *underway);
        let at = self.clock.now();
        self.incarnation().end(generation, exit, at, stuck);
    }

    /// Names the crash file of the last exit.
    pub(crate) fn note_crash_file(&self, generation: u64, path: String) {
        self.incarnation().name_crash_file(generation, path);
    }

    /// Adds up the time that the child's thread spent on a core. Called at each tick of the supervisor.
    pub(crate) fn note_busy(&self, ran: Duration) {
        let micros = u64::try_from(ran.as_micros()).unwrap_or(u64::MAX);
        self.busy_cell().add(self.recorder.uptime(), micros);
    }

    fn busy_view(&self, since_start: Duration) -> BusyView {
        const MICROS: f64 = 1_000_000.0;
        let busy = self.busy_cell();
        let share = |over| (busy.per_second(since_start, over) / MICROS).min(1.0);
        BusyView { over_1m: share(RateSpan::Minute), over_15m: share(RateSpan::Quarter) }
    }

    fn busy_cell(&self) -> MutexGuard<'_, Rates> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handled_now(&self) -> MutexGuard<'_, BTreeMap<u64, Underway>> {
        self.handled_now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_restart(&self) {
        self.incarnation().await_restart();
    }

    pub(crate) fn note_stopped(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
        self.incarnation().stop();
    }

    fn incarnation(&self) -> MutexGuard<'_, Incarnation> {
        self.incarnation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard of a message that is being handled. Records the message when dropped, also by a panic or a kill.
#[derive(Debug)]
pub struct Handling {
    status: Arc<ChildStatus>,
    label: Label,
    began: Instant,
    /// Time between sending and begin.
    waited: Duration,
    span: Span,
}

impl Handling {
    /// Returns the trace context for messages sent while handling this one.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.label.trace
    }

    /// Returns the span of this handling. Enter it in a plain handler; instrument the future of an asynchronous one.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Returns how the handling ended, given that its guard is being dropped now.
    fn outcome(&self) -> Outcome {
        if std::thread::panicking() {
            return Outcome::Panicked;
        }
        // The runner notes the end of a killed incarnation before it drops the futures of its handlers.
        if self.status.is_running() { Outcome::Done } else { Outcome::Abandoned }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let (status, ended) = (&self.status, self.status.monotonic());
        let took = ended.saturating_duration_since(self.began);
        let outcome = self.outcome();
        let underway = status.handled_now().remove(&self.label.number);
        if outcome == Outcome::Panicked {
            status.incarnation().fatal = underway;
        }
        status.note_activity();
        histogram!("ticker_actor_handling_seconds", "actor" => status.name, "message" => self.label.message)
            .record(took.as_secs_f64());
        status.stats().record(self.label.message, status.recorder.uptime(), self.waited, took);
        status.recorder.keep(self.label.clone().ended(status.name, Some(self.began), ended, outcome));
    }
}
