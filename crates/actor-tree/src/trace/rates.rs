//! Sums over the last minute and the last quarter of an hour.

use std::time::Duration;

/// Length of a bucket.
const BUCKET: Duration = Duration::from_secs(15);
/// Buckets of a quarter of an hour, and the current one.
const BUCKETS: usize = 61;

/// Spans over which sums are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSpan {
    /// The last minute.
    Minute,
    /// The last 15 minutes.
    Quarter,
}

/// A sum by buckets of 15 s.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Sums, by the number of the bucket modulo their count.
    buckets: [u64; BUCKETS],
    /// Number of the newest bucket, counted from the start of the process.
    newest: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], newest: 0 }
    }
}

impl RateSpan {
    const fn buckets(self) -> u64 {
        match self {
            Self::Minute => 4,
            Self::Quarter => 60,
        }
    }
}

impl Rates {
    /// Adds to the sum, `since_start` after the start of the process.
    pub fn add(&mut self, since_start: Duration, amount: u64) {
        self.advance(since_start);
        if let Some(bucket) = self.bucket(self.newest) {
            *bucket = bucket.saturating_add(amount);
        }
    }

    /// Returns the sum per second over the last full buckets of a span and the current one, or over the life of the
    /// process if that is shorter.
    #[must_use]
    pub fn per_second(&self, since_start: Duration, span: RateSpan) -> f64 {
        let mut moved = self.clone();
        moved.advance(since_start);
        let oldest = moved.newest.saturating_sub(span.buckets());
        let sum: u64 = (oldest..=moved.newest).filter_map(|number| moved.bucket(number).copied()).sum();
        let lasted = since_start.saturating_sub(BUCKET * u32::try_from(oldest).unwrap_or(u32::MAX));
        if lasted.is_zero() {
            return 0.0;
        }
        #[expect(clippy::as_conversions, reason = "a rate for people; sums are far below 2^53")]
        let sum = sum as f64;
        sum / lasted.as_secs_f64()
    }

    /// Empties the buckets that began since the last call.
    fn advance(&mut self, since_start: Duration) {
        let now = since_start.as_secs() / BUCKET.as_secs();
        let first = self.newest.saturating_add(1);
        let all = u64::try_from(BUCKETS).unwrap_or(u64::MAX);
        // After a long silence all of them are emptied once.
        for number in first.max(now.saturating_sub(all))..=now {
            if let Some(bucket) = self.bucket(number) {
                *bucket = 0;
            }
        }
        self.newest = self.newest.max(now);
    }

    fn bucket(&mut self, number: u64) -> Option<&mut u64> {
        let place = usize::try_from(number).unwrap_or(0) % BUCKETS;
        self.buckets.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_young_process_has_the_rate_of_its_life() {
        let mut rates = Rates::default();
        rates.add(at(5), 30);
        assert!((rates.per_second(at(10), RateSpan::Minute) - 3.0).abs() < 1e-9);
        assert!((rates.per_second(at(10), RateSpan::Quarter) - 3.0).abs() < 1e-9);
        assert!(rates.per_second(at(0), RateSpan::Minute).abs() < 1e-9);
    }

    #[test]
    fn old_sums_leave_the_minute_before_the_quarter() {
        let mut rates = Rates::default();
        rates.add(at(60), 600);
        assert!(rates.per_second(at(119), RateSpan::Minute) > 8.0);
        assert!(rates.per_second(at(200), RateSpan::Minute).abs() < 1e-9);
        assert!((rates.per_second(at(200), RateSpan::Quarter) - 3.0).abs() < 1e-9);
        rates.add(at(1_000_000), 1);
        assert!(rates.per_second(at(1_000_000), RateSpan::Quarter) < 0.01);
    }
}
