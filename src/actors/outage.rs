//! Log lines about failures of the database and of Horizon, as workers see them. One line per outage, not one per
//! worker and retry.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::poll_error::PollError;
use crate::{
    db::{Database, DbError},
    horizon::{HorizonClient, HorizonError},
};

/// Logs a failed database call that is retried. Repetitions of an outage, or of another failure of the same work, are
/// logged at debug level. So is a lost lease: a take-over is no failure.
pub fn database_failed(database: &Database, error: &DbError, doing: &'static str) {
    if error.is_take_over() {
        debug!(doing, "lease lost, another replica leads");
    } else if database.record_failure(error, doing, Instant::now()) {
        warn!(%error, doing, "database call failed, retrying");
    } else {
        debug!(%error, doing, "database call failed, retrying");
    }
}

/// Logs a failed request to Horizon that is retried. While Horizon as a whole is unreachable, it is logged at debug
/// level only: the line about the outage is enough.
pub fn horizon_failed(horizon: &HorizonClient, error: &HorizonError, doing: &'static str, wait: Duration) {
    let wait_ms = wait.as_millis();
    let limiter = horizon.limiter();
    if limiter.outage().is_none()
        && let Some(suppressed) = limiter.allow_line(Instant::now())
    {
        warn!(%error, doing, wait_ms, suppressed, "request to Horizon failed, retrying");
    } else {
        debug!(%error, doing, wait_ms, "request to Horizon failed, retrying");
    }
}

/// Logs a failed polling step, see [`horizon_failed`] and [`database_failed`].
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
