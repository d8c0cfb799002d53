//! Waits between retries. Pure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First wait.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait without a request of the server.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Longest valid `Retry-After`. Horizon counts requests by the hour, so no server has reason to ask for more.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Parses a `Retry-After` header in whole seconds. `None` if it is a date, not a number, or longer than an hour.
#[must_use]
pub fn parse_retry_after(header: &str) -> Option<Duration> {
    let seconds = header.trim().parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= RETRY_AFTER_MAX)
}

/// Exponential backoff with jitter, from 250 ms to 30 s, until a success.
#[derive(Debug)]
pub struct Retry {
    waits: ExponentialBackoff,
}

impl Default for Retry {
    fn default() -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .with_jitter()
            .without_max_times()
            .build();
        Self { waits }
    }
}

impl Retry {
    /// Next wait. At least what the server asks for, up to 10 minutes.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        // Jitter may exceed `LONGEST`. This limit keeps the sum below twice that.
        let own = self.waits.next().unwrap_or(LONGEST).min(LONGEST * 2);
        asked.map_or(own, |asked| own.max(asked.min(LONGEST_ASKED)))
    }

    /// Resets the backoff after a success.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_reset_after_a_success() {
        let mut retry = Retry::default();
        let waits: Vec<_> = (0..20).map(|_| retry.next_wait(None)).collect();
        assert!(waits[0] >= FIRST && waits[0] <= FIRST * 2, "{waits:?}");
        assert!(waits[19] >= LONGEST && waits[19] <= LONGEST * 2, "{waits:?}");
        retry.reset();
        assert!(retry.next_wait(None) <= FIRST * 2);
    }

    #[test]
    fn accepts_a_retry_after_of_up_to_an_hour_and_nothing_else() {
        for (header, seconds) in [("0", Some(0)), (" 17 ", Some(17)), ("3600", Some(3_600))] {
            assert_eq!(parse_retry_after(header), seconds.map(Duration::from_secs), "{header:?}");
        }
        let absurd = ["3601", "1000000000000000000", "99999999999999999999999", "-1", "1.5", "", "soon"];
        for header in absurd.into_iter().chain(["Wed, 21 Oct 2026 07:28:00 GMT"]) {
            assert_eq!(parse_retry_after(header), None, "{header:?}");
        }
    }

    #[test]
    fn waits_as_long_as_the_server_asks_within_bounds() {
        let mut retry = Retry::default();
        assert_eq!(retry.next_wait(Some(Duration::from_secs(17))), Duration::from_secs(17));
        assert_eq!(retry.next_wait(Some(Duration::from_secs(1 << 40))), LONGEST_ASKED);
    }
}
