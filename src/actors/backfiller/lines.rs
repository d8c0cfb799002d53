//! Lines of the log about the filling of history: soon at first, rarely later. Pure.

use std::time::{Duration, Instant};

/// The first line about progress comes after this time, each further one after twice as long as the one before …
const FIRST_LINE: Duration = Duration::from_secs(10);
/// … but not later than this after it, and as soon as so much more is held.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const STEP_RATIO: f64 = 0.05;

/// When a line about progress is worth writing.
#[derive(Debug)]
pub(super) struct Lines {
    told_at: Instant,
    told_ratio: f64,
    pause: Duration,
}

impl Lines {
    /// The filling begins with so much of it held.
    pub(super) const fn new(begun: Instant, ratio: f64) -> Self {
        Self { told_at: begun, told_ratio: ratio, pause: FIRST_LINE }
    }

    /// Whether one is now; then the next one waits for longer.
    pub(super) fn is_due(&mut self, ratio: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.told_at);
        let is_due = passed >= self.pause || (passed >= FIRST_LINE && ratio >= self.told_ratio + STEP_RATIO);
        if is_due {
            *self = Self { told_at: now, told_ratio: ratio, pause: (self.pause * 2).min(LONGEST_PAUSE) };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_filling_takes_some_dozens_of_lines_and_a_minute_a_few() {
        let start = Instant::now();
        let lines = |seconds: u32, day: f64| {
            let mut lines = Lines::new(start, 0.0);
            let at = |second: u32| start + Duration::from_secs(u64::from(second));
            (0..=seconds).filter(|second| lines.is_due(f64::from(*second) / day, at(*second))).count()
        };
        let day = lines(86_400, 86_400.0);
        assert!((144..=170).contains(&day), "{day}");
        assert_eq!(lines(70, 86_400.0), 3, "after 10, 30 and 70 s");
        assert_eq!(lines(100, 100.0), 10, "fast progress: each 5 %, but not each second");
    }
}
