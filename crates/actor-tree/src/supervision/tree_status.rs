//! State of the whole tree, for the admin listener and the health checks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{report::TreeView, status::ChildStatus};
use crate::{
    clock::SharedClock,
    trace::{recorder::Recorder, view::HandlingView},
};

/// State of the whole tree, readable from any thread.
#[derive(Debug)]
pub struct TreeStatus {
    clock: SharedClock,
    children: Vec<Arc<ChildStatus>>,
    recorder: Arc<Recorder>,
    /// Time of the supervisor's last tick.
    ticked_at: Mutex<Instant>,
}

impl TreeStatus {
    pub(crate) fn new(
        clock: SharedClock,
        children: Vec<Arc<ChildStatus>>,
        recorder: Arc<Recorder>,
    ) -> Arc<Self> {
        let ticked_at = Mutex::new(clock.monotonic());
        Arc::new(Self { clock, children, recorder, ticked_at })
    }

    /// Recorder of the tree's messages.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Children in the order in which they were added.
    #[must_use]
    pub fn children(&self) -> &[Arc<ChildStatus>] {
        &self.children
    }

    /// Returns the time since the supervisor's last tick.
    #[must_use]
    pub fn tick_age(&self) -> Duration {
        let ticked_at = *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic().saturating_duration_since(ticked_at)
    }

    /// Returns the current state of all children. Waits for no actor.
    #[must_use]
    pub fn view(&self) -> TreeView {
        TreeView { actors: self.children.iter().map(|child| child.view()).collect() }
    }

    /// Returns the messages that are being handled, by the name of their actor. Actors without one are left out.
    #[must_use]
    pub fn handling(&self) -> BTreeMap<&'static str, Vec<HandlingView>> {
        let all = self.children.iter().map(|child| (child.name(), child.handling()));
        all.filter(|(_, handling)| !handling.is_empty()).collect()
    }

    pub(crate) fn note_tick(&self, now: Instant) {
        *self.ticked_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
