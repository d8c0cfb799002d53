//! How long to wait before asking again. Pure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait of our own choice.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Waits that double from a quarter of a second to half a minute, with jitter, until something succeeds.
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
    /// The next wait; at least what the server asks for, which is bounded too.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.waits.next().unwrap_or(LONGEST).min(LONGEST * 2);
        asked.map_or(own, |asked| own.max(asked.min(LONGEST_ASKED)))
    }

    /// Begins anew after a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut retry = Retry::default();
        let waits: Vec<_> = (0..20).map(|_| retry.next_wait(None)).collect();
        assert!(waits[0] >= FIRST && waits[0] <= FIRST * 2, "{waits:?}");
        assert!(waits[19] >= LONGEST && waits[19] <= LONGEST * 2, "{waits:?}");
        retry.succeeded();
        assert!(retry.next_wait(None) <= FIRST * 2);
    }

    #[test]
    fn heeds_what_the_server_asks_within_bounds() {
        let mut retry = Retry::default();
        assert_eq!(retry.next_wait(Some(Duration::from_secs(17))), Duration::from_secs(17));
        assert_eq!(retry.next_wait(Some(Duration::from_secs(1 << 40))), LONGEST_ASKED);
    }
}
