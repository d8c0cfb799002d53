//! Progress of the sweep: failures in a row, the size of its pages, and the tokens that it has passed. Pure.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use crate::horizon::client::LIMIT_MAX;

/// Smallest page that is tried after failures.
const LIMIT_MIN: u32 = 10;
/// Factor between the sizes of pages.
const LIMIT_FACTOR: u32 = 4;
/// Pages in a row that must succeed before larger ones are tried again. A large one may cost 30 s of silence.
const PAGES_BEFORE_GROWTH: u32 = 10;
/// Most records of a sweep. The public network has some 442,000.
const RECORDS_MAX: usize = 2_000_000;

/// Progress of the sweep since the start of the process.
#[derive(Debug)]
pub(super) struct SweepProgress {
    /// Time without progress after which the sweep counts as stalled.
    patience: Duration,
    /// First failure since the last progress.
    failing_since: Cell<Option<Instant>>,
    /// Most pages of a course that failed since then. A sweep that began again must get beyond them.
    failed_at: Cell<u32>,
    limit: Cell<u32>,
    /// Pages read since the limit changed.
    pages_of_limit: Cell<u32>,
    course: RefCell<Course>,
}

/// Course of one sweep through the tokens.
#[derive(Debug, Default)]
struct Course {
    pages: u32,
    records: usize,
    /// Token of the last page whose number was a power of two. A circle of tokens returns to it, however long it is
    /// (Brent's algorithm).
    mark: Option<String>,
}

impl SweepProgress {
    pub(super) const fn new(patience: Duration) -> Self {
        let course = RefCell::new(Course { pages: 0, records: 0, mark: None });
        let (failing_since, failed_at, pages_of_limit) = (Cell::new(None), Cell::new(0), Cell::new(0));
        Self { patience, failing_since, failed_at, limit: Cell::new(LIMIT_MAX), pages_of_limit, course }
    }

    /// Records that a step of the sweep failed.
    pub(super) fn note_failure(&self, now: Instant) {
        self.failing_since.set(Some(self.failing_since.get().unwrap_or(now)));
        self.failed_at.set(self.failed_at.get().max(self.course.borrow().pages));
    }

    /// Records that a page succeeded. The sweep gets on if it is complete or has come further than it failed.
    pub(super) fn note_success(&self, is_last: bool) {
        if is_last || self.course.borrow().pages > self.failed_at.get() {
            self.failing_since.set(None);
            self.failed_at.set(0);
        }
    }

    /// Returns true if the sweep has failed for so long that nobody should wait for it.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.failing_since.get().is_some_and(|since| now.saturating_duration_since(since) >= self.patience)
    }

    /// Number of records to ask for.
    pub(super) const fn limit(&self) -> u32 {
        self.limit.get()
    }

    /// Makes the next pages smaller, since one failed.
    pub(super) fn shrink_page(&self) {
        self.limit.set((self.limit.get() / LIMIT_FACTOR).max(LIMIT_MIN));
        self.pages_of_limit.set(0);
    }

    /// Records that a page was read. After some of them the next ones are larger again.
    pub(super) fn grow_page(&self) {
        self.pages_of_limit.set(self.pages_of_limit.get().saturating_add(1));
        if self.pages_of_limit.get() >= PAGES_BEFORE_GROWTH {
            self.limit.set(self.limit.get().saturating_mul(LIMIT_FACTOR).min(LIMIT_MAX));
            self.pages_of_limit.set(0);
        }
    }

    /// Records that a sweep begins.
    pub(super) fn note_start(&self) {
        *self.course.borrow_mut() = Course::default();
    }

    /// Returns true if a sweep that goes on at this token would not end.
    pub(super) fn is_endless_at(&self, token: &str) -> bool {
        let course = self.course.borrow();
        course.records >= RECORDS_MAX || course.mark.as_deref() == Some(token)
    }

    /// Records that the page before this token, with so many records, is stored.
    pub(super) fn note_token(&self, token: &str, records: usize) {
        let mut course = self.course.borrow_mut();
        course.pages = course.pages.saturating_add(1);
        course.records = course.records.saturating_add(records);
        if course.pages.is_power_of_two() {
            course.mark = Some(token.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> SweepProgress {
        SweepProgress::new(Duration::from_secs(600))
    }

    /// Number of pages that a sweep through these tokens has before it is found to be endless.
    fn pages_of(tokens: impl Iterator<Item = String>) -> usize {
        let progress = progress();
        let passed = tokens.take_while(|token| {
            let is_endless = progress.is_endless_at(token);
            progress.note_token(token, 200);
            !is_endless
        });
        passed.count()
    }

    #[test]
    fn a_sweep_that_fails_for_ten_minutes_is_stalled_until_it_gets_on() {
        let (progress, now, minute) = (progress(), Instant::now(), Duration::from_secs(60));
        assert!(!progress.is_stalled(now + 99 * minute), "no failure");
        progress.note_failure(now);
        progress.note_failure(now + 9 * minute);
        assert!(!progress.is_stalled(now + 9 * minute));
        assert!(progress.is_stalled(now + 10 * minute));
        progress.note_success(false);
        assert!(
            progress.is_stalled(now + 10 * minute),
            "it began again, and has come no further than before"
        );
        progress.note_token("first", 200);
        progress.note_success(false);
        assert!(!progress.is_stalled(now + 10 * minute));
    }

    #[test]
    fn pages_shrink_after_failures_and_grow_after_a_row_of_successes() {
        let progress = progress();
        let shrunk: Vec<_> = (0..5)
            .map(|_| {
                progress.shrink_page();
                progress.limit()
            })
            .collect();
        assert_eq!(shrunk, [50, 12, 10, 10, 10]);
        (0..9).for_each(|_| progress.grow_page());
        assert_eq!(progress.limit(), 10);
        progress.grow_page();
        assert_eq!(progress.limit(), 40);
        (0..100).for_each(|_| progress.grow_page());
        assert_eq!(progress.limit(), LIMIT_MAX);
    }

    #[test]
    fn a_circle_of_tokens_is_found_however_long_it_is() {
        for (before, length) in [(0, 2), (1, 2), (5, 3), (100, 7), (7, 100), (2_210, 2_210)] {
            let tokens = (0..).map(|page: usize| match page.checked_sub(before) {
                Some(page) => format!("circle {}", page % length),
                None => format!("before {page}"),
            });
            let pages = pages_of(tokens);
            assert!(pages > before && pages <= 3 * (before + length) + 2, "{before} {length}: {pages}");
        }
    }

    #[test]
    fn invented_assets_end_a_sweep_but_not_the_next_one() {
        let most = RECORDS_MAX / 200;
        assert_eq!(pages_of((0..).map(|page: u64| page.to_string())), most);
        let progress = progress();
        (0..most).for_each(|page| progress.note_token(&page.to_string(), 200));
        assert!(progress.is_endless_at("x"));
        progress.note_start();
        assert!(!progress.is_endless_at("x"));
    }
}
