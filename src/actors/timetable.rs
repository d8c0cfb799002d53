//! Due times of work that runs by a schedule. Pure: callers pass the time.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Function that returns the first time of a schedule after a given one; none after its end.
pub type Schedule = Arc<dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>> + Send + Sync>;

/// A schedule and its next due time. Scheduled work also runs at start.
pub struct Timetable {
    schedule: Schedule,
    next: Option<DateTime<Utc>>,
    /// Time at which it was last asked.
    asked_at: DateTime<Utc>,
}

impl Timetable {
    /// Creates a timetable that is due at once, then by schedule.
    #[must_use]
    pub fn due_at_start(schedule: Schedule) -> Self {
        Self { schedule, next: Some(DateTime::<Utc>::MIN_UTC), asked_at: DateTime::<Utc>::MIN_UTC }
    }

    /// Returns true if the due time has come, and moves on to the next one. Several missed times count as one.
    pub fn take_due(&mut self, now: DateTime<Utc>) -> bool {
        // The clock went back. The next time follows from the wrong one, and may be years ahead.
        if now < std::mem::replace(&mut self.asked_at, now) {
            self.next = (self.schedule)(now);
        }
        let is_due = self.next.is_some_and(|next| next <= now);
        if is_due {
            self.next = (self.schedule)(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_at_start_then_by_schedule_and_once_however_late() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let every_ten = |now: DateTime<Utc>| DateTime::from_timestamp((now.timestamp() / 10 + 1) * 10, 0);
        let mut table = Timetable::due_at_start(Arc::new(every_ten));
        let due: Vec<bool> = [3, 4, 9, 10, 11, 47, 48, 50].map(|now| table.take_due(at(now))).to_vec();
        assert_eq!(due, [true, false, false, true, false, true, false, true]);
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_corrected_leaves_no_time_out() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let every_ten = |now: DateTime<Utc>| DateTime::from_timestamp((now.timestamp() / 10 + 1) * 10, 0);
        let mut table = Timetable::due_at_start(Arc::new(every_ten));
        let due: Vec<bool> = [3, 9_000, 13, 19, 20, 21].map(|now| table.take_due(at(now))).to_vec();
        assert_eq!(due, [true, true, false, false, true, false]);
    }
}
