//! First answer of a publication: the end of the way of a trade from the stream to a reader.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use actor_tree::trace::{context::TraceContext, recorder::Recorder, step::Step, subject::Subject};

use crate::steps;

/// Name under which the step is recorded.
const HTTP: &str = "http";

/// Step from the publication to its first answer. Nothing is recorded if nobody reads the publication. Each view of
/// the publication shares it, so an answer from a pinned view counts although newer publications exist.
#[derive(Debug, Default)]
pub struct FirstAnswer {
    /// True until the first answer. Read without the lock, since every answer asks.
    is_awaited: AtomicBool,
    step: Mutex<Option<Step>>,
}

impl FirstAnswer {
    /// Begins the step, caused by the step that publishes.
    pub fn begin(&self, recorder: &Arc<Recorder>, cause: &TraceContext, subject: Subject) {
        let mut step = Step::begin(recorder, HTTP, steps::FIRST_ANSWER, Some(cause));
        step.set_subject(subject);
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// Ends the step, if this is the first answer. Called when the answer is ready to be sent.
    pub fn end(&self) {
        if !self.is_awaited.load(Ordering::Relaxed) {
            return;
        }
        self.is_awaited.store(false, Ordering::Relaxed);
        if let Some(step) = self.take() {
            step.done();
        }
    }

    fn take(&self) -> Option<Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for FirstAnswer {
    fn drop(&mut self) {
        if let Some(unread) = self.take() {
            unread.discard();
        }
    }
}
