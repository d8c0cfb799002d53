//! The rate limit, counted for the whole server since all clients share one address here: a fixed window, or Horizon's own
//! limiter, which forgets one request after the other.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    window: Duration,
    /// Requests that may come at once; None: all of the window's.
    burst: Option<u32>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the window began, or when requests were last forgotten.
    since: Instant,
    used: f64,
}

/// What the `X-RateLimit-*` headers tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Whole seconds until the window ends or all is forgotten, rounded up.
    pub(super) reset_s: u64,
    /// False: this request is over the limit.
    pub(super) granted: bool,
}

impl RateLimit {
    pub(super) fn new(most: u32, window: Duration, burst: Option<u32>) -> Self {
        Self { most, window, burst, state: Mutex::new(State { since: Instant::now(), used: 0.0 }) }
    }

    /// Counts one request.
    pub(super) fn take(&self) -> Allowance {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.burst.unwrap_or(self.most);
        self.forget(&mut state);
        let granted = state.used + 1.0 <= f64::from(limit);
        if granted {
            state.used += 1.0;
        }
        let reset = match self.burst {
            None => self.window.saturating_sub(state.since.elapsed()),
            Some(_) => Duration::from_secs_f64(state.used * self.seconds_each()),
        };
        let reset_s = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
        let used = (0..=limit).take_while(|used| f64::from(*used) < state.used).count();
        let remaining = limit.saturating_sub(u32::try_from(used).unwrap_or(limit));
        Allowance { limit, remaining, reset_s, granted }
    }

    fn seconds_each(&self) -> f64 {
        self.window.as_secs_f64() / f64::from(self.most.max(1))
    }

    fn forget(&self, state: &mut State) {
        let passed = state.since.elapsed();
        match self.burst {
            None if passed < self.window => {}
            None => *state = State { since: Instant::now(), used: 0.0 },
            Some(_) => {
                let forgotten = passed.as_secs_f64() / self.seconds_each();
                *state = State { since: Instant::now(), used: (state.used - forgotten).max(0.0) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_up_and_a_burst_is_forgotten_one_by_one() {
        let window = RateLimit::new(3, Duration::from_secs(3_600), None);
        let told: Vec<_> = (0..4).map(|_| window.take()).map(|told| (told.remaining, told.granted)).collect();
        assert_eq!(told, [(2, true), (1, true), (0, true), (0, false)]);
        let bucket = RateLimit::new(3_600, Duration::from_secs(3_600), Some(2));
        let told: Vec<_> = (0..3).map(|_| bucket.take()).collect();
        assert_eq!(told.iter().map(|told| told.granted).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((told[0].limit, told[1].remaining, told[1].reset_s), (2, 0, 2));
    }
}
