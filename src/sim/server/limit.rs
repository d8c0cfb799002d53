//! The rate limit: a fixed window, counted for the whole server since all clients share one address here.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    window: Duration,
    state: Mutex<(Instant, u32)>,
}

/// What the `X-RateLimit-*` headers tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Whole seconds until the window ends, rounded up.
    pub(super) reset_s: u64,
    /// False: this request is over the limit.
    pub(super) granted: bool,
}

impl RateLimit {
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, state: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts one request.
    pub(super) fn take(&self) -> Allowance {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.elapsed() >= self.window {
            *state = (Instant::now(), 0);
        }
        let granted = state.1 < self.most;
        if granted {
            state.1 += 1;
        }
        let left = self.window.saturating_sub(state.0.elapsed());
        let reset_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Allowance { limit: self.most, remaining: self.most - state.1, reset_s, granted }
    }
}
