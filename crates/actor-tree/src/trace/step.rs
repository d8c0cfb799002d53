//! Work that is not a message: a request to another server, a transaction, a rendering.

use std::{sync::Arc, time::Instant};

use super::{
    context::TraceContext,
    record::{Kind, Links, Outcome, Record},
    recorder::Recorder,
    subject::Subject,
};

/// Name of a step. The program keeps them in one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepName(pub &'static str);

/// A step under way. It is recorded when it ends: by [`Self::done`], by [`Self::failed`], or as abandoned when dropped.
#[derive(Debug)]
pub struct Step {
    /// None if nothing is recorded, as in a command that runs without a tree of actors.
    recorder: Option<Arc<Recorder>>,
    actor: &'static str,
    name: StepName,
    trace: TraceContext,
    links: Links,
    subject: Subject,
    queued: Instant,
    /// None while it waits for its turn.
    began: Option<Instant>,
    /// End to record when dropped; none once it is recorded, or if it must not be.
    end: Option<Outcome>,
}

impl Step {
    /// Begins a step of `actor`, caused by a span or by an edge of the process.
    #[must_use]
    pub fn begin(
        recorder: &Arc<Recorder>,
        actor: &'static str,
        name: StepName,
        cause: Option<&TraceContext>,
    ) -> Self {
        Self::new(Some(Arc::clone(recorder)), actor, name, cause, recorder.monotonic())
    }

    /// Begins a step that is not recorded.
    #[must_use]
    pub fn unrecorded(name: StepName, cause: Option<&TraceContext>) -> Self {
        Self::new(None, "", name, cause, Instant::now())
    }

    fn new(
        recorder: Option<Arc<Recorder>>,
        actor: &'static str,
        name: StepName,
        cause: Option<&TraceContext>,
        began: Instant,
    ) -> Self {
        let trace = TraceContext::caused_by(cause);
        Self {
            recorder,
            actor,
            name,
            trace,
            links: Links::default(),
            subject: Subject::none(),
            queued: began,
            began: Some(began),
            end: Some(Outcome::Abandoned),
        }
    }

    /// Sets further causes.
    #[must_use]
    pub fn with_links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Sets the time at which it began, if that was before this call.
    #[must_use]
    pub fn began_at(mut self, began: Instant) -> Self {
        (self.queued, self.began) = (began, Some(began));
        self
    }

    /// Lets it wait for its turn, which [`Self::has_its_turn`] ends. That time is recorded as queued.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.began = None;
        self
    }

    /// Ends the wait for its turn.
    pub fn has_its_turn(&mut self) {
        self.began = self.recorder.as_ref().map(|recorder| recorder.monotonic());
    }

    /// Makes it the span of this context, which earlier steps may name as their cause.
    #[must_use]
    pub fn as_span(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// Sets the numbers by which it is found.
    pub fn set_subject(&mut self, subject: Subject) {
        self.subject = subject;
    }

    /// Returns the context for the work that this step causes.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// Records that it ended well. Returns its context.
    pub fn done(mut self) -> TraceContext {
        self.end = Some(Outcome::Done);
        self.trace
    }

    /// Records that it ended well at an earlier time.
    pub fn done_at(mut self, ended: Instant) -> TraceContext {
        self.record(Outcome::Done, ended);
        self.trace
    }

    /// Records that it ended with an error. Returns its context.
    pub fn failed(mut self) -> TraceContext {
        self.end = Some(Outcome::Failed);
        self.trace
    }

    /// Records that it ended well or with an error, as this result says. Returns its context.
    pub fn ended<T, E>(self, result: &Result<T, E>) -> TraceContext {
        if result.is_ok() { self.done() } else { self.failed() }
    }

    /// Ends it without a record.
    pub fn discard(mut self) {
        self.end = None;
    }

    fn record(&mut self, outcome: Outcome, ended: Instant) {
        self.end = None;
        let Some(recorder) = self.recorder.take() else { return };
        recorder.keep(Record {
            number: recorder.next_number(),
            trace: self.trace,
            links: std::mem::take(&mut self.links),
            from: self.actor,
            to: self.actor,
            kind: Kind::Step(self.name.0),
            subject: std::mem::take(&mut self.subject),
            queued: self.queued,
            began: self.began,
            ended,
            outcome,
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let Some(outcome) = self.end else { return };
        let Some(recorder) = &self.recorder else { return };
        let ended = recorder.monotonic();
        let is_panic = outcome == Outcome::Abandoned && std::thread::panicking();
        self.record(if is_panic { Outcome::Panicked } else { outcome }, ended);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };

    use chrono::DateTime;

    use super::*;
    use crate::clock::{ManualClock, SharedClock, SystemClock};

    const WORK: StepName = StepName("work");

    #[test]
    fn a_step_is_recorded_with_the_end_that_it_had() {
        let recorder = Recorder::on(SystemClock::shared());
        let begin = |cause| Step::begin(&recorder, "one", WORK, cause);
        let root = begin(None).done();
        begin(Some(&root)).failed();
        drop(begin(Some(&root)));
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _step = begin(Some(&root));
            panic!("as a test");
        }));
        begin(None).discard();
        let (records, _) = recorder.records();
        let ends: Vec<_> = records.iter().map(|record| record.outcome.name()).collect();
        assert_eq!(ends, ["done", "failed", "abandoned", "panicked"]);
        assert_eq!(records[1].trace.parent_id(), Some(root.span_id()));
    }

    #[test]
    fn nothing_is_kept_if_recording_is_off() {
        let recorder = Recorder::off(SystemClock::shared());
        Step::begin(&recorder, "one", WORK, None).done();
        assert!(recorder.records().0.is_empty());
    }

    #[test]
    fn the_wait_for_a_turn_is_recorded_apart_from_the_work() {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let shared: SharedClock = clock.clone();
        let recorder = Recorder::on(shared);
        let mut step = Step::begin(&recorder, "one", WORK, None).waiting();
        drop(Step::begin(&recorder, "one", WORK, None).waiting());
        clock.advance(Duration::from_secs(60));
        step.has_its_turn();
        clock.advance(Duration::from_secs(1));
        step.ended(&Err::<(), ()>(()));
        let [given_up, view] =
            [0, 1].map(|place: usize| recorder.records().0[place].view(&recorder.moment()));
        assert_eq!((given_up.began, given_up.handled_ms), (None, 0.0));
        assert_eq!((view.queued_ms, view.handled_ms, view.outcome.as_ref()), (60_000.0, 1_000.0, "failed"));
    }
}
