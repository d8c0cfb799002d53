//! Current incarnation of a child, and the ends of the earlier ones.

use std::{borrow::Cow, collections::VecDeque, time::Instant};

use chrono::{DateTime, Utc};

use super::{messages::Exit, report::ExitView};
use crate::trace::{
    context::TraceContext,
    view::{HandlingView, trace_hex},
};

/// State of a child that has started and not set a state of its own yet.
const STARTING: &str = "starting";
/// State of a child that waits for its restart.
const BACKOFF: &str = "backoff";
/// State of a child that does not run: not started, stopped, or lost.
pub const STOPPED: &str = "stopped";
/// Exits that are remembered.
const EXITS_MAX: usize = 20;

/// The current incarnation, or the last one.
#[derive(Debug)]
pub(super) struct Incarnation {
    /// Current work in the actor's own word, or one of the states above.
    pub(super) state: Cow<'static, str>,
    pub(super) generation: u64,
    pub(super) restarts: u64,
    /// Start; none while it does not run.
    pub(super) begun_at: Option<Instant>,
    /// Message during whose handling it panicked.
    pub(super) fatal: Option<Underway>,
    /// Last exits, the newest last; at most [`EXITS_MAX`].
    pub(super) exits: VecDeque<ExitView>,
}

/// A message that is being handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Underway {
    pub(super) message: &'static str,
    pub(super) from: &'static str,
    pub(super) trace: TraceContext,
    pub(super) began: Instant,
}

impl Default for Incarnation {
    fn default() -> Self {
        Self {
            state: STOPPED.into(),
            generation: 0,
            restarts: 0,
            begun_at: None,
            fatal: None,
            exits: VecDeque::new(),
        }
    }
}

impl Incarnation {
    /// Begins the next incarnation.
    pub(super) fn begin(&mut self, generation: u64, at: Instant) {
        self.state = STARTING.into();
        self.generation = generation;
        self.begun_at = Some(at);
    }

    /// Ends it. `stuck` is the oldest message that it had not finished.
    pub(super) fn end(&mut self, generation: u64, exit: &Exit, at: DateTime<Utc>, stuck: Option<Underway>) {
        let cause = self.fatal.take().or(stuck);
        if self.exits.len() >= EXITS_MAX {
            self.exits.pop_front();
        }
        self.exits.push_back(ExitView {
            at,
            generation,
            reason: exit.to_string(),
            message: cause.map(|cause| cause.message),
            trace: cause.map(|cause| trace_hex(cause.trace.trace_id())),
            crash_file: None,
        });
        self.stop();
    }

    /// Names the crash file of the last exit, if that is still the one of this generation.
    pub(super) fn name_crash_file(&mut self, generation: u64, path: String) {
        if let Some(exit) = self.exits.back_mut().filter(|exit| exit.generation == generation) {
            exit.crash_file = Some(path);
        }
    }

    /// Notes that it waits for its restart.
    pub(super) fn await_restart(&mut self) {
        self.state = BACKOFF.into();
        self.restarts = self.restarts.saturating_add(1);
    }

    /// Notes that it does not run.
    pub(super) fn stop(&mut self) {
        self.state = STOPPED.into();
        self.begun_at = None;
    }
}

impl Underway {
    /// Returns the message as `/actors.json` shows it.
    pub(super) fn view(&self, number: u64, now: Instant) -> HandlingView {
        HandlingView {
            number,
            message: self.message,
            from: self.from,
            trace: trace_hex(self.trace.trace_id()),
            for_s: now.saturating_duration_since(self.began).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_names_the_message_that_caused_it_and_the_last_twenty_are_kept() {
        let now = Instant::now();
        let underway = |message| Underway { message, from: "one", trace: TraceContext::root(), began: now };
        let mut child = Incarnation::default();
        for generation in 0..25 {
            child.begin(generation, now);
            child.fatal = (generation == 24).then(|| underway("Fatal"));
            child.end(generation, &Exit::Stopped, DateTime::UNIX_EPOCH, Some(underway("Stuck")));
            child.name_crash_file(generation, format!("{generation}.json"));
        }
        let (oldest, newest) = (child.exits.front().unwrap(), child.exits.back().unwrap());
        assert_eq!((child.exits.len(), oldest.generation, newest.generation), (20, 5, 24));
        assert_eq!((oldest.message, newest.message), (Some("Stuck"), Some("Fatal")));
        child.name_crash_file(3, "late.json".into());
        assert_eq!(child.exits.back().unwrap().crash_file.as_deref(), Some("24.json"));
        assert!(child.fatal.is_none() && child.begun_at.is_none());
    }
}
