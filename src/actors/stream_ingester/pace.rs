//! Pace at which connections to the stream follow one another, while requests are limited.
//!
//! A connection costs two or three requests: its own, and roots that check the network. A stream that breaks every few
//! seconds would use the whole public budget, and nothing would be left for history, assets and books.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::horizon::client::LIMIT_MAX;

/// Interval between two connections after one short one, and the step by which further short ones lengthen it.
/// Horizon looks for a new ledger every 5 s.
const BETWEEN_MIN: Duration = Duration::from_secs(5);
/// Longest interval between two connections, reached after three short ones in a row. The backfiller reads the newest
/// page as often, so trades come no later.
const BETWEEN_MAX: Duration = Duration::from_secs(15);

/// Pace of the connections of one incarnation.
#[derive(Debug)]
pub(super) struct Pace {
    /// True if requests are limited. Otherwise connections follow at once.
    is_limited: bool,
    /// Short connections in a row.
    short: Cell<u32>,
    /// Time when the last connection was opened; none if its end was taken into account.
    opened: Cell<Option<Instant>>,
    /// Records that the last connection brought.
    records: Cell<u32>,
}

impl Pace {
    pub(super) const fn new(is_limited: bool) -> Self {
        Self { is_limited, short: Cell::new(0), opened: Cell::new(None), records: Cell::new(0) }
    }

    /// Records that a connection was opened.
    pub(super) fn note_opened(&self, now: Instant) {
        self.records.set(0);
        if self.opened.replace(Some(now)).is_some() {
            self.short.set(0); // it follows one that was not short
        }
    }

    /// Records that the connection brought a record.
    pub(super) fn note_record(&self) {
        self.records.set(self.records.get().saturating_add(1));
    }

    /// Returns true if the next connection may follow at once: the last one lasted, or ended at its limit of records,
    /// as while a large ledger is read.
    pub(super) fn allows_next(&self, now: Instant) -> bool {
        let has_lasted =
            |opened: Instant| now.saturating_duration_since(opened) >= BETWEEN_MAX || self.is_full();
        !self.is_limited || self.opened.get().is_none_or(has_lasted)
    }

    /// Returns the wait before the next connection. A session that opened none has no wait.
    pub(super) fn next_wait(&self, now: Instant) -> Duration {
        let allows_next = self.allows_next(now);
        let Some(opened) = self.opened.take() else { return Duration::ZERO };
        if allows_next {
            self.short.set(0);
            return Duration::ZERO;
        }
        self.short.set(self.short.get().saturating_add(1));
        let between = BETWEEN_MIN.saturating_mul(self.short.get()).min(BETWEEN_MAX);
        between.saturating_sub(now.saturating_duration_since(opened))
    }

    const fn is_full(&self) -> bool {
        self.records.get() >= LIMIT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits after connections that last so long, one after the other.
    fn waits(pace: &Pace, lasting_s: &[u64]) -> Vec<u64> {
        let mut now = Instant::now();
        let mut wait_after = |seconds: &u64| {
            pace.note_opened(now);
            now = now.checked_add(Duration::from_secs(*seconds)).unwrap();
            let wait = pace.next_wait(now);
            now = now.checked_add(wait).unwrap();
            wait.as_secs()
        };
        lasting_s.iter().map(&mut wait_after).collect()
    }

    #[test]
    fn short_connections_in_a_row_are_5_then_10_then_15_seconds_apart() {
        assert_eq!(waits(&Pace::new(true), &[2, 2, 2, 2]), [3, 8, 13, 13]);
        assert_eq!(waits(&Pace::new(true), &[7, 7, 7]), [0, 3, 8]);
    }

    #[test]
    fn the_first_connection_after_a_long_one_comes_at_once() {
        assert_eq!(waits(&Pace::new(true), &[55, 2, 2, 55, 2]), [0, 3, 8, 0, 3]);
    }

    #[test]
    fn connections_are_not_spaced_if_requests_are_not_limited() {
        assert_eq!(waits(&Pace::new(false), &[0, 1, 2]), [0, 0, 0]);
    }

    #[test]
    fn a_connection_that_ended_at_its_limit_of_records_is_followed_at_once() {
        let (pace, now) = (Pace::new(true), Instant::now());
        pace.note_opened(now);
        assert!(!pace.allows_next(now), "it may break again and again");
        (1..LIMIT_MAX).for_each(|_| pace.note_record());
        assert!(!pace.allows_next(now));
        pace.note_record();
        assert!(pace.allows_next(now));
        pace.note_opened(now);
        assert!(!pace.allows_next(now), "each connection counts its own records");
    }

    #[test]
    fn a_session_that_opened_no_connection_waits_for_none() {
        let (pace, now) = (Pace::new(true), Instant::now());
        assert_eq!(pace.next_wait(now), Duration::ZERO);
        pace.note_opened(now);
        assert_eq!(pace.next_wait(now), BETWEEN_MIN);
        assert_eq!(pace.next_wait(now), Duration::ZERO, "its end counts once");
    }
}
