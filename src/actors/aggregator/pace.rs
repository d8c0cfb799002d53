//! Pace of publications. Pure: callers pass the instants.

use std::time::{Duration, Instant};

/// Start times of the last publications.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    last_with_news: Option<Instant>,
}

impl Pace {
    /// Records the start of a publication. `has_news`: it contains newer trades than the one before.
    pub(super) fn begin(&mut self, now: Instant, has_news: bool) {
        self.last = Some(now);
        if has_news {
            self.last_with_news = Some(now);
        }
    }

    /// Returns true if a publication may start after a commit. One that only moved time on does not delay newer trades:
    /// ledgers are 5 s apart, and one such publication per second lies between them.
    pub(super) fn is_due(&self, now: Instant, interval: Duration, has_news: bool) -> bool {
        let last = if has_news { self.last_with_news } else { self.last };
        last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_publication_is_due_at_once() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert!(pace.is_due(now, INTERVAL, false) && pace.is_due(now, INTERVAL, true));
    }

    #[test]
    fn news_wait_only_for_news_and_the_rest_for_any_publication() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        pace.begin(at(0), true);
        pace.begin(at(900), false);
        for (millis, news, due) in
            [(999, true, false), (1_000, true, true), (1_000, false, false), (1_900, false, true)]
        {
            assert_eq!(pace.is_due(at(millis), INTERVAL, news), due, "{millis} {news}");
        }
    }

    /// However fast commits follow each other: at most one with news in each interval.
    #[test]
    fn commits_without_a_pause_are_published_once_an_interval() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut publications = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            if pace.is_due(now, INTERVAL, true) {
                pace.begin(now, true);
                publications += 1;
            }
        }
        assert_eq!(publications, 10);
    }
}
