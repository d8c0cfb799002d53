//! Time for which Horizon has listed no asset. Pure.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Time since which Horizon lists no asset.
#[derive(Debug)]
pub(super) struct Listing {
    /// Time after which that is believed: the only asset of a private network may really go.
    patience: Duration,
    /// First look without a record; none after a record.
    empty_since: Cell<Option<Instant>>,
}

impl Listing {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, empty_since: Cell::new(None) }
    }

    /// Records that Horizon returned a record.
    pub(super) fn note_record(&self) {
        self.empty_since.set(None);
    }

    /// Records that Horizon knows none of the assets that it should know.
    pub(super) fn note_empty(&self, now: Instant) {
        self.empty_since.set(Some(self.empty_since.get().unwrap_or(now)));
    }

    /// Returns true if Horizon has listed no asset for so long that it is believed.
    pub(super) fn is_believed_empty(&self, now: Instant) -> bool {
        self.empty_since.get().is_some_and(|since| now.saturating_duration_since(since) >= self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_believed_once_it_has_lasted() {
        let (listing, now, second) =
            (Listing::new(Duration::from_secs(10)), Instant::now(), Duration::from_secs(1));
        assert!(!listing.is_believed_empty(now));
        listing.note_empty(now);
        listing.note_empty(now + 9 * second);
        assert!(!listing.is_believed_empty(now + 9 * second));
        assert!(listing.is_believed_empty(now + 10 * second), "the first look counts");
        listing.note_record();
        listing.note_empty(now + 20 * second);
        assert!(!listing.is_believed_empty(now + 29 * second), "a record between begins the time again");
    }
}
