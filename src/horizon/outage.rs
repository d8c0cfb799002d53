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

/// Reachability of a Horizon, and the outage as last logged.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    outage: Option<Outage>,
    was_answered: bool,
    failures: FailureLog,
}

impl Reachability {
    /// Records an answered request.
    pub(super) fn record_answer(&mut self, url: &str) {
        let outage = self.outage.take();
        self.was_answered = true;
        if let (Some(outage), true) = (outage, self.failures.record_success()) {
            info!(url, after_s = outage.since.elapsed().as_secs(), "Horizon answers again");
        }
    }

    /// Records a failed request.
    pub(super) fn record_failure(&mut self, url: &str, error: &HorizonError, now: Instant) {
        let since = self.outage.take().map_or(now, |outage| outage.since);
        let error = error.to_string();
        if self.failures.record_failure(&error, now) {
            let since_s = now.saturating_duration_since(since).as_secs();
            warn!(url, error, since_s, "Horizon cannot be reached, retrying");
        }
        self.outage = Some(Outage { since, error });
    }

    /// Current outage, or `None` if the last request was answered.
    pub(super) fn outage(&self) -> Option<Outage> {
        self.outage.clone()
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
        assert_eq!((outage.since, outage.error.as_str()), (start, "horizon cannot be reached: refused 2"));
        reachability.record_answer("https://h");
        assert!(reachability.outage().is_none() && reachability.was_answered());
    }
}
