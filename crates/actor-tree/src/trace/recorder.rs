//! The recorder: keeps the newest records, counts messages by sender and receiver, and passes records on to listeners.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;

use super::{
    flow::{Flow, FlowView},
    record::{Kind, Label, Outcome, Record},
    ring::Ring,
};
use crate::clock::SharedClock;

/// Records that a listener may be behind. A slower one loses the oldest and learns how many.
pub const LISTENER_RECORDS_MAX: usize = 1_024;

/// Recorder of one tree of actors. Any thread may use it.
#[derive(Debug)]
pub struct Recorder {
    clock: SharedClock,
    started: Instant,
    /// False with `--trace-messages off`: nothing is kept, counted or passed on.
    is_on: bool,
    /// Number of the newest message or step; 0 before the first.
    newest: AtomicU64,
    ring: Mutex<Ring>,
    flow: Mutex<Flow>,
    listeners: broadcast::Sender<Arc<Record>>,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall: DateTime<Utc>,
    monotonic: Instant,
}

impl Moment {
    /// Returns this moment's wall-clock time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.wall
    }

    /// Returns the wall-clock time of an earlier monotonic time.
    #[must_use]
    pub fn wall(&self, at: Instant) -> DateTime<Utc> {
        let ago = TimeDelta::from_std(self.monotonic.saturating_duration_since(at)).unwrap_or_default();
        self.wall.checked_sub_signed(ago).unwrap_or_default()
    }
}

impl Recorder {
    /// Creates a recorder that keeps records.
    #[must_use]
    pub fn on(clock: SharedClock) -> Arc<Self> {
        Self::new(clock, true)
    }

    /// Creates a recorder that keeps nothing.
    #[must_use]
    pub fn off(clock: SharedClock) -> Arc<Self> {
        Self::new(clock, false)
    }

    fn new(clock: SharedClock, is_on: bool) -> Arc<Self> {
        Arc::new(Self {
            started: clock.monotonic(),
            clock,
            is_on,
            newest: AtomicU64::new(0),
            ring: Mutex::default(),
            flow: Mutex::default(),
            listeners: broadcast::Sender::new(LISTENER_RECORDS_MAX),
        })
    }

    /// Returns true if records are kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns the number of the next message or step.
    pub(crate) fn next_number(&self) -> u64 {
        self.newest.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Keeps a record. The bench `message` measures what this costs a message.
    pub(crate) fn keep(&self, record: Record) {
        if !self.is_on {
            return;
        }
        if let Kind::Message(message) = record.kind {
            let since_start = record.ended.saturating_duration_since(self.started);
            self.flow().count(record.from, record.to, message, since_start);
        }
        let record = Arc::new(record);
        self.ring().push(Arc::clone(&record));
        if self.listeners.receiver_count() > 0 {
            // Fails only if the last listener has just left.
            let _ = self.listeners.send(record);
        }
    }

    /// Records a message that was not handled.
    pub(crate) fn lost(&self, label: &Label, to: &'static str, outcome: Outcome) {
        self.keep(label.clone().ended(to, None, self.monotonic(), outcome));
    }

    /// Begins the line of a type of message in the flow. Called when a port is made.
    pub(crate) fn announce(&self, from: &'static str, to: &'static str, message: &'static str) {
        self.flow().announce(from, to, message);
    }

    /// Returns the records, the oldest first, and how many older ones were dropped.
    #[must_use]
    pub fn records(&self) -> (Vec<Arc<Record>>, u64) {
        self.ring().all()
    }

    /// Returns the records from now on. A listener that is slow loses some, and learns how many.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<Record>> {
        self.listeners.subscribe()
    }

    /// Returns the counts and rates of messages, by sender, receiver and type.
    #[must_use]
    pub fn flow_view(&self) -> Vec<FlowView> {
        let since_start = self.uptime();
        self.flow().view(since_start)
    }

    /// Returns the time since the start of the process.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.clock.monotonic().saturating_duration_since(self.started)
    }

    /// Returns both clocks at this moment, to show times of records.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), monotonic: self.clock.monotonic() }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
