//! Failures of the database and of Horizon, as workers report them: one line of the log for an outage, not one of each
//! worker at each retry.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::poll_error::PollError;
use crate::{
    db::{Database, DbError},
    horizon::{HorizonClient, HorizonError},
};

/// Reports a call of the database that failed and is tried again.
pub fn database_failed(database: &Database, error: &DbError, doing: &'static str) {
    if database.is_news(error, Instant::now()) {
        warn!(%error, doing, "a call of the database failed, trying again");
    } else {
        debug!(%error, doing, "a call of the database failed, trying again");
    }
}

/// Logs a request to Horizon that failed and is retried. While Horizon as a whole cannot be reached, nothing is logged: the
/// line about the outage is enough.
pub fn horizon_failed(horizon: &HorizonClient, error: &HorizonError, doing: &'static str, wait: Duration) {
    let wait_ms = wait.as_millis();
    let limiter = horizon.limiter();
    if limiter.outage().is_none()
        && let Some(left_out) = limiter.allow_line(Instant::now())
    {
        warn!(%error, doing, wait_ms, left_out, "a request to Horizon failed, trying again");
    } else {
        debug!(%error, doing, wait_ms, "a request to Horizon failed, trying again");
    }
}

/// Reports whichever of both it was.
pub fn poll_failed(
    horizon: &HorizonClient,
    database: &Database,
    error: &PollError,
    doing: &'static str,
    wait: Duration,
) {
    match error {
        PollError::Horizon(error) => horizon_failed(horizon, error, doing, wait),
        PollError::Database(error) => database_failed(database, error, doing),
    }
}
