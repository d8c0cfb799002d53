//! The source of time.
//!
//! Code that depends on time takes a [`SharedClock`], or instants if it is pure. A test can then set the time. Waiting
//! is left to tokio's timers: a clock only returns the time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of the current time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall-clock time. It may jump in both directions, so use it for display and storage, not for durations.
    fn now(&self) -> DateTime<Utc>;

    /// Monotonic time, for durations and deadlines.
    fn monotonic(&self) -> Instant;
}

/// A clock shared between threads.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Returns the system clock as a shared clock.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until [`advance`](Self::advance) moves it. For tests.
#[derive(Debug)]
pub struct ManualClock {
    wall_start: DateTime<Utc>,
    monotonic_start: Instant,
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// Creates a clock that shows `wall_start`.
    #[must_use]
    pub fn new(wall_start: DateTime<Utc>) -> Self {
        Self { wall_start, monotonic_start: Instant::now(), elapsed: Mutex::new(Duration::ZERO) }
    }

    /// Moves wall and monotonic time forward. The sum of all steps saturates at `Duration::MAX`.
    pub fn advance(&self, step: Duration) {
        let mut elapsed = self.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
        *elapsed = elapsed.saturating_add(step);
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.elapsed()).unwrap_or(TimeDelta::MAX);
        self.wall_start.checked_add_signed(elapsed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn monotonic(&self) -> Instant {
        self.monotonic_start.checked_add(self.elapsed()).unwrap_or(self.monotonic_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_clock_moves_both_readings_by_the_same_step_and_only_then() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let before = clock.monotonic();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        assert_eq!(clock.monotonic(), before);

        clock.advance(Duration::from_secs(90));

        assert_eq!(clock.now().timestamp(), 90);
        assert_eq!(clock.monotonic().duration_since(before), Duration::from_secs(90));
    }

    #[test]
    fn the_manual_clock_stops_at_the_end_of_time_without_a_panic() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), DateTime::<Utc>::MAX_UTC);
        let _ = clock.monotonic();
    }
}
