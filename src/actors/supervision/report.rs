//! The tree as the admin listener and the health checks see it: `/actors.json`, `/livez`, `/readyz`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{queue::QueueView, stats::MessageView, status::ChildStatus};
use crate::clock::SharedClock;

/// The body of `/actors.json`.
#[derive(Debug, Clone, Serialize)]
pub struct TreeView {
    /// The children in the order in which they were added.
    pub actors: Vec<ActorView>,
}

/// One child in `/actors.json`.
#[derive(Debug, Clone, Serialize)]
pub struct ActorView {
    /// Its name, as in logs.
    pub name: &'static str,
    /// What it is doing, in its own word, or `backoff` or `stopped`.
    pub state: Cow<'static, str>,
    /// Which incarnation; 0 is the first.
    pub generation: u64,
    /// Restarts after an exit, since the start of the process.
    pub restarts: u64,
    /// The age of this incarnation in seconds; 0 when it is not running.
    pub uptime_s: u64,
    /// Its queue.
    pub mailbox: QueueView,
    /// Its last exit; null: it never had one.
    pub last_exit: Option<ExitView>,
    /// Its handling times by type of message.
    pub messages: BTreeMap<&'static str, MessageView>,
}

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExitView {
    /// When, RFC 3339.
    pub at: DateTime<Utc>,
    /// Which incarnation it was.
    pub generation: u64,
    /// Why, for people.
    pub reason: String,
}

/// A function that gives the present `/actors.json`; callable from any thread, asks no actor.
pub type TreeReport = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What is known of the whole tree from outside.
#[derive(Debug)]
pub struct TreeStatus {
    clock: SharedClock,
    children: Vec<Arc<ChildStatus>>,
    ticked_at: Mutex<Instant>,
}

impl TreeStatus {
    pub(crate) fn new(clock: SharedClock, children: Vec<Arc<ChildStatus>>) -> Arc<Self> {
        let ticked_at = Mutex::new(clock.monotonic());
        Arc::new(Self { clock, children, ticked_at })
    }

    /// The children in the order in which they were added.
    #[must_use]
    pub fn children(&self) -> &[Arc<ChildStatus>] {
        &self.children
    }

    /// The time since the supervisor's last tick; `/livez` holds while this is a few probe periods at most.
    #[must_use]
    pub fn tick_age(&self) -> Duration {
        let ticked_at = *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic().saturating_duration_since(ticked_at)
    }

    /// The present state of everything.
    #[must_use]
    pub fn view(&self) -> TreeView {
        TreeView { actors: self.children.iter().map(|child| child.view()).collect() }
    }

    /// That view as a function for those who may not know actors.
    #[must_use]
    pub fn report(self: &Arc<Self>) -> TreeReport {
        let status = Arc::clone(self);
        Arc::new(move || serde_json::to_value(status.view()).unwrap_or_default())
    }

    pub(crate) fn note_tick(&self, now: Instant) {
        *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
