//! Reachability of a Horizon, shared by all its clients.

use std::time::Instant;

use tracing::{info, warn};

use super::error::HorizonError;
use crate::trouble::FailureLog;

/// Series of failed requests without an answered one between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Time of the first failure.
    pub since: Instant,
    /// Error of the last failure.
    pub error: String,
}

/// Consecutive failures of a Horizon that answered before, that count as an outage. Fewer concern single requests.
const FAILURES_IN_A_ROW: u32 = 3;

/// Reachability of a Horizon, and the outage as last logged.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    /// Failed requests since the last answered one.
    failed: Option<Outage>,
    /// Number of those.
    failures_in_a_row: u32,
    is_out: bool,
    was_answered: bool,
    failures: FailureLog,
}

impl Reachability {
    /// Records an answered request.
    pub(super) fn record_answer(&mut self, url: &str) {
        (self.failures_in_a_row, self.is_out, self.was_answered) = (0, false, true);
        if let (Some(failed), true) = (self.failed.take(), self.failures.record_success()) {
            info!(url, after_s = failed.since.elapsed().as_secs(), "Horizon answers again");
        }
    }

    /// Records a failed request.
    pub(super) fn record_failure(&mut self, url: &str, error: &HorizonError, now: Instant) {
        let since = self.failed.take().map_or(now, |failed| failed.since);
        let text = error.to_string();
        let never_answered = !self.was_answered && !matches!(error, HorizonError::Problem { .. });
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.is_out |= never_answered || self.failures_in_a_row >= FAILURES_IN_A_ROW;
        if self.is_out && self.failures.record_failure(&text, now) {
            let since_s = now.saturating_duration_since(since).as_secs();
            warn!(url, error = text, since_s, "Horizon cannot be reached, retrying");
        }
        self.failed = Some(Outage { since, error: text });
    }

    /// Current outage, or `None` if the last request was answered.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.failed.clone().filter(|_| self.is_out)
    }

    /// Returns true if any request was ever answered.
    pub(super) const fn was_answered(&self) -> bool {
        self.was_answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_outage_lasts_from_its_first_failure_until_an_answer() {
        let (mut reachability, start) = (Reachability::default(), Instant::now());
        assert!(reachability.outage().is_none() && !reachability.was_answered());
        for second in 0..3 {
            let error = HorizonError::Connect(format!("refused {second}"));
            reachability.record_failure("https://h", &error, start + Duration::from_secs(second));
        }
        let outage = reachability.outage().unwrap();
        assert_eq!((outage.since, outage.error.as_str()), (start, "Horizon cannot be reached: refused 2"));
        reachability.record_answer("https://h");
        assert!(reachability.outage().is_none() && reachability.was_answered());
    }

    #[test]
    fn failures_of_single_requests_are_no_outage() {
        let problem = HorizonError::Problem {
            status: 500,
            kind: "server_error".into(),
            title: String::new(),
            retry_after: None,
        };
        for error in [problem, HorizonError::Connect("no answer within 5 s".into())] {
            let (mut reachability, now) = (Reachability::default(), Instant::now());
            for _ in 0..10 {
                reachability.record_answer("https://h");
                reachability.record_failure("https://h", &error, now);
                reachability.record_failure("https://h", &error, now);
                assert!(reachability.outage().is_none(), "{error}");
            }
            reachability.record_failure("https://h", &error, now);
            assert!(reachability.outage().is_some(), "{error}");
        }
    }

    #[test]
    fn a_horizon_that_never_answered_cannot_be_reached() {
        let (mut reachability, now) = (Reachability::default(), Instant::now());
        reachability.record_failure("https://h", &HorizonError::Connect("refused".into()), now);
        assert!(reachability.outage().is_some());
    }
}
