//! Wait before work is tried again that failed by itself. Pure: callers pass the time.

use std::time::{Duration, Instant};

use crate::db::DbError;

/// Shortest wait after a second failure in a row. Such work may scan all trades each time.
const SECOND: Duration = Duration::from_secs(60);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Waits between failures in a row. Each further failure doubles the wait, up to an hour.
#[derive(Debug)]
pub(super) struct Backoff {
    /// Wait after the first failure.
    first: Duration,
    /// Time of the last failure, and the wait after it; none after a success.
    failed: Option<(Instant, Duration)>,
}

impl Backoff {
    /// Creates a backoff whose first wait is `first`.
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, failed: None }
    }

    /// Returns true if the work may be tried.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.failed.is_none_or(|(at, wait)| now.saturating_duration_since(at) >= wait)
    }

    /// Resets the waits after a success.
    pub(super) fn reset(&mut self) {
        self.failed = None;
    }

    /// Notes a failure. One of the whole database, or of the lease, says nothing about the work, which may then be
    /// tried again soon.
    pub(super) fn note_failure(&mut self, error: &DbError, now: Instant) {
        if !error.is_outage() && !matches!(error, DbError::LeaseLost) {
            let next = |(_, wait): (Instant, Duration)| wait.saturating_mul(2).clamp(SECOND, LONGEST);
            self.failed = Some((now, self.failed.map_or(self.first, next)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_fails_by_itself_is_tried_soon_once_and_then_ever_more_seldom() {
        let (mut backoff, mut now) = (Backoff::new(Duration::from_secs(5)), Instant::now());
        let own = DbError::Corrupt("a row".to_owned());
        for seconds in [5, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            assert!(backoff.is_over(now));
            backoff.note_failure(&own, now);
            now += Duration::from_secs(seconds);
            assert!(!backoff.is_over(now.checked_sub(Duration::from_secs(1)).unwrap()), "{seconds}");
        }
        backoff.reset();
        assert!(backoff.is_over(now));
        for error in [DbError::Silent(Duration::from_secs(1)), DbError::LeaseLost] {
            backoff.note_failure(&error, now);
            assert!(backoff.is_over(now), "{error}");
        }
        backoff.note_failure(&own, now);
        assert!(!backoff.is_over(now.checked_add(Duration::from_secs(4)).unwrap()));
    }
}
