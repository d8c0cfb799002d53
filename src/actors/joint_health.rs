//! Health of an actor whose work has several parts that fail independently. It works only if all of them work.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeMap,
    fmt::Display,
    sync::Arc,
};

use super::supervision::status::ChildStatus;

/// Reports the health of several parts of an actor's work as one. The success of a part hides no failure of another.
pub(super) struct JointHealth {
    status: Arc<ChildStatus>,
    /// Errors of the failing parts, by the names of the parts.
    failing: RefCell<BTreeMap<&'static str, String>>,
}

/// Errors of the failing parts, while they are used.
type Failing<'a> = RefMut<'a, BTreeMap<&'static str, String>>;

impl JointHealth {
    /// Creates the health of an actor. No part fails yet.
    pub(super) fn new(status: &Arc<ChildStatus>) -> Self {
        Self { status: Arc::clone(status), failing: RefCell::default() }
    }

    /// Records that a part works. `detail` is shown if no other part fails.
    pub(super) fn succeeds(&self, part: &'static str, detail: &str) {
        let mut failing = self.failing();
        failing.remove(part);
        match failing.values().next() {
            // Keeps the time of the first failure: since then, never did all parts work.
            Some(error) => self.status.fails(error),
            None => self.status.succeeds(detail),
        }
    }

    /// Records that a part fails and is retried.
    pub(super) fn fails(&self, part: &'static str, error: &dyn Display) {
        self.failing().insert(part, error.to_string());
        self.status.fails(error);
    }

    /// Records that a part has nothing to do. It then does not fail, but that is no evidence that it works.
    pub(super) fn rests(&self, part: &'static str, detail: &str) {
        let is_failing = self.failing().contains_key(part);
        if is_failing {
            self.succeeds(part, detail);
        }
    }

    /// Returns true if no part fails.
    pub(super) fn is_whole(&self) -> bool {
        self.failing().is_empty()
    }

    /// Errors of the failing parts. Forgets them if the health of the actor was forgotten, see
    /// [`ChildStatus::forget_health`].
    fn failing(&self) -> Failing<'_> {
        let mut failing = self.failing.borrow_mut();
        if self.status.health().is_none() {
            failing.clear();
        }
        failing
    }
}

#[cfg(test)]
mod tests {
    use actor_tree::trace::recorder::Recorder;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_part_that_works_hides_no_other_that_fails() {
        let clock = SystemClock::shared();
        let status = ChildStatus::new("poller", 8, Arc::clone(&clock), Recorder::off(clock));
        let health = JointHealth::new(&status);
        let shown = || status.health().map(|health| (health.ok, health.detail));
        health.rests("sweep", "works");
        assert_eq!(shown(), None, "rest is no evidence");
        health.succeeds("look-ups", "works");
        assert_eq!(shown(), Some((true, "works".into())));
        health.fails("sweep", &"no pages");
        let since = status.health().unwrap().at;
        health.succeeds("look-ups", "works");
        assert_eq!(shown(), Some((false, "no pages".into())));
        assert!(!health.is_whole());
        assert_eq!(status.health().unwrap().at, since, "the failure goes on");
        health.fails("look-ups", &"no answer");
        health.rests("sweep", "works");
        assert_eq!(shown(), Some((false, "no answer".into())));
        health.succeeds("look-ups", "works");
        assert_eq!(shown(), Some((true, "works".into())));
        assert!(health.is_whole());
    }

    #[test]
    fn parts_that_failed_before_another_replica_led_do_not_fail_any_more() {
        let clock = SystemClock::shared();
        let status = ChildStatus::new("poller", 8, Arc::clone(&clock), Recorder::off(clock));
        let health = JointHealth::new(&status);
        health.fails("sweep", &"no pages");
        status.forget_health();
        assert!(health.is_whole());
        health.succeeds("look-ups", "works");
        assert_eq!(status.health().map(|health| (health.ok, health.detail)), Some((true, "works".into())));
    }
}
