//! Turns to compute: at most a few documents and views are made at the same time, on threads of the blocking pool.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use crate::blocking;

/// Answers to requests with names or parameters that are made at the same time. Further requests wait.
pub(super) const ANSWERS_AT_ONCE: usize = 4;
/// Documents of all markets that are made at the same time. There are few of them, so they do
/// not wait behind other answers.
const WHOLE_AT_ONCE: usize = 2;
/// Views that are made at the same time. Every answer needs one, so they wait behind nothing else.
pub(super) const VIEWS_AT_ONCE: usize = 1;
/// Longest wait for a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// Turns to compute. All views share them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// Turns of views.
    pub(super) views: Arc<Semaphore>,
    /// Turns of documents of all markets.
    pub(super) whole: Arc<Semaphore>,
    /// Turns of all other answers.
    pub(super) answers: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let turns = |at_once| Arc::new(Semaphore::new(at_once));
        Self { views: turns(VIEWS_AT_ONCE), whole: turns(WHOLE_AT_ONCE), answers: turns(ANSWERS_AT_ONCE) }
    }
}

/// Waits for a turn to compute, for a reader who asked at `asked_at`.
pub(super) async fn turn(
    turns: &Arc<Semaphore>,
    asked_at: Instant,
) -> Result<OwnedSemaphorePermit, ApiError> {
    let patience = TURN_MAX.saturating_sub(asked_at.elapsed());
    match tokio::time::timeout(patience, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(ApiError::Busy),
    }
}

/// Computes on a thread of the blocking pool, which holds the turn until it ends. A disconnect does not end it.
pub(super) async fn in_turn<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let computed = blocking::run(move || {
        let _turn = turn;
        compute()
    });
    computed.await.map_err(|_| ApiError::Busy)
}
