//! Schedule of log lines about the progress of history: frequent at first, rare later. Pure.

use std::time::{Duration, Instant};

/// Pause before the first line. Each further pause is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_LINE: Duration = Duration::from_secs(10);
/// Longest pause between two lines.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Progress after which a line is due before its pause ends, though not within [`FIRST_LINE`].
const STEP_RATIO: f64 = 0.05;

/// Schedule of log lines.
#[derive(Debug)]
pub(super) struct LogSchedule {
    /// Time of the last line, or the beginning.
    logged_at: Instant,
    /// Progress in the last line, 0 to 1.
    logged_ratio: f64,
    /// Pause until the next line.
    pause: Duration,
}

impl LogSchedule {
    /// Creates the schedule of a filling that begins with `ratio` of the history held.
    pub(super) const fn new(begun: Instant, ratio: f64) -> Self {
        Self { logged_at: begun, logged_ratio: ratio, pause: FIRST_LINE }
    }

    /// Returns true if a line is due, and schedules the next one.
    pub(super) fn is_due(&mut self, ratio: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.logged_at);
        let has_progressed = ratio >= self.logged_ratio + STEP_RATIO;
        let is_due = passed >= self.pause || (passed >= FIRST_LINE && has_progressed);
        if is_due {
            let pause = (self.pause * 2).min(LONGEST_PAUSE);
            *self = Self { logged_at: now, logged_ratio: ratio, pause };
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
            let mut lines = LogSchedule::new(start, 0.0);
            let at = |second: u32| start + Duration::from_secs(u64::from(second));
            (0..=seconds).filter(|second| lines.is_due(f64::from(*second) / day, at(*second))).count()
        };
        let day = lines(86_400, 86_400.0);
        assert!((144..=170).contains(&day), "{day}");
        assert_eq!(lines(70, 86_400.0), 3, "after 10, 30 and 70 s");
        assert_eq!(lines(100, 100.0), 10, "fast progress: each 5 %, but not each second");
        let at = |second| start + Duration::from_secs(second);
        let mut lines = LogSchedule::new(start, 0.0);
        assert!(lines.is_due(0.0, at(10)));
        assert!(!lines.is_due(STEP_RATIO, at(19)), "too soon");
        assert!(lines.is_due(STEP_RATIO, at(20)), "5 % more is held, so the line is due before 30 s");
    }
}
