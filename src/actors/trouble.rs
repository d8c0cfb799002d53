//! A trouble that lasts, told without filling the log.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// How often one that goes on is told again.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What last went wrong, over and over perhaps.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: Option<(String, Instant)>,
}

impl Trouble {
    /// Something went wrong: whether that is worth a line. It is when it begins, when it changes, and once a minute.
    pub(super) fn is_news(&mut self, error: &dyn Display, now: Instant) -> bool {
        let error = error.to_string();
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(told, at)| *told == error && now.saturating_duration_since(*at) < TOLD_EVERY);
        if !is_known {
            self.told = Some((error, now));
        }
        !is_known
    }

    /// All is well: whether it was not before.
    pub(super) fn is_over(&mut self) -> bool {
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_begins_changes_or_lasts_a_minute() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        assert!(!trouble.is_over());
        for (seconds, error, news) in [
            (0, "away", true),
            (1, "away", false),
            (59, "away", false),
            (60, "away", true),
            (61, "read-only", true),
        ] {
            assert_eq!(
                trouble.is_news(&error, start + Duration::from_secs(seconds)),
                news,
                "{seconds} {error}"
            );
        }
        assert!(trouble.is_over() && !trouble.is_over());
        assert!(trouble.is_news(&"read-only", start + Duration::from_secs(62)), "it begins again");
    }
}
