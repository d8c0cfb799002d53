//! Rate limit of the server, for all clients together because they share one address.
//!
//! Either a fixed window, or Horizon's own limiter, in which one request expires after another.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::num::ceil_u32;

#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    window: Duration,
    /// Burst in requests, or `None` for a fixed window. Horizon's limiter grants one request more.
    burst: Option<u32>,
    state: Mutex<Usage>,
}

#[derive(Debug)]
struct Usage {
    /// Start of the window, or the last time that requests expired.
    since: Instant,
    used: f64,
}

/// Values of the `X-RateLimit-*` headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimitReply {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Seconds until the window ends or all requests have expired, rounded up.
    pub(super) reset_s: u64,
    /// Seconds until one more request fits, rounded up.
    pub(super) retry_after_s: u64,
    /// False if this request exceeds the limit.
    pub(super) is_granted: bool,
}

impl RateLimit {
    pub(super) fn new(most: u32, window: Duration, burst: Option<u32>) -> Self {
        Self { most, window, burst, state: Mutex::new(Usage { since: Instant::now(), used: 0.0 }) }
    }

    /// Counts one request.
    pub(super) fn take(&self) -> RateLimitReply {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.burst.map_or(self.most, |burst| burst.saturating_add(1));
        self.expire(&mut state);
        let is_granted = state.used + 1.0 <= f64::from(limit);
        if is_granted {
            state.used += 1.0;
        }
        let reset = match self.burst {
            None => self.window.saturating_sub(state.since.elapsed()),
            Some(_) => Duration::from_secs_f64(state.used * self.seconds_each()),
        };
        let retry_after = match self.burst {
            None => reset,
            Some(_) => {
                Duration::from_secs_f64((state.used + 1.0 - f64::from(limit)).max(0.0) * self.seconds_each())
            }
        };
        let (reset_s, retry_after_s) = (ceil_seconds(reset), ceil_seconds(retry_after));
        // A request that has not expired whole still counts.
        let remaining = limit.saturating_sub(ceil_u32(state.used));
        RateLimitReply { limit, remaining, reset_s, retry_after_s, is_granted }
    }

    fn seconds_each(&self) -> f64 {
        self.window.as_secs_f64() / f64::from(self.most.max(1))
    }

    fn expire(&self, state: &mut Usage) {
        let passed = state.since.elapsed();
        match self.burst {
            None if passed < self.window => {}
            None => *state = Usage { since: Instant::now(), used: 0.0 },
            Some(_) => {
                let expired = passed.as_secs_f64() / self.seconds_each();
                *state = Usage { since: Instant::now(), used: (state.used - expired).max(0.0) };
            }
        }
    }
}

fn ceil_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_up_and_a_bursts_requests_expire_one_by_one() {
        let window = RateLimit::new(3, Duration::from_secs(3_600), None);
        let replies: Vec<_> =
            (0..4).map(|_| window.take()).map(|reply| (reply.remaining, reply.is_granted)).collect();
        assert_eq!(replies, [(2, true), (1, true), (0, true), (0, false)]);
        let bucket = RateLimit::new(3_600, Duration::from_secs(36_000), Some(1));
        let replies: Vec<_> = (0..3).map(|_| bucket.take()).collect();
        assert_eq!(replies.iter().map(|reply| reply.is_granted).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((replies[0].limit, replies[1].remaining, replies[1].reset_s), (2, 0, 20));
        assert_eq!(replies[2].retry_after_s, 10, "the time of one request, not of the whole burst");
    }
}
