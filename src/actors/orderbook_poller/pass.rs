//! State of the passes over all books. Pure.

use std::collections::HashMap;

use crate::domain::{instant::UnixSeconds, windows::MarketId};

/// Most attempts per pass for a book that cannot be read while others can.
const TRIES_MAX: u32 = 3;
/// Earliest time. With it as the start of a pass, only books that were never read are due.
const NEVER: UnixSeconds = UnixSeconds(i64::MIN);

/// The pass under way, and the books that it cannot read.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Start of the pass; none between passes.
    began: Option<UnixSeconds>,
    /// True if a new pass is due.
    is_due: bool,
    /// Failed attempts since a book was last read, or given up in an earlier pass.
    tries: HashMap<MarketId, u32>,
    /// True if a book was read since the last pass began.
    has_read: bool,
}

impl Pass {
    /// Creates a pass that begins at this time.
    pub(super) fn since(began: UnixSeconds) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// Marks a new pass as due. It begins with [`Self::begin`].
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    /// Returns true if a new pass is due.
    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }

    /// Returns true during a pass. Between passes, only markets whose book was never read are due.
    pub(super) const fn is_under_way(&self) -> bool {
        self.began.is_some()
    }

    /// Returns the time since which a book must have been read.
    pub(super) fn start(&self) -> UnixSeconds {
        self.began.unwrap_or(NEVER)
    }

    /// Returns true if no more attempts are made at a book in this pass.
    pub(super) fn has_given_up(&self, market: MarketId) -> bool {
        self.tries.get(&market).is_some_and(|tries| *tries >= TRIES_MAX)
    }

    /// Counts a failed attempt.
    pub(super) fn note_failure(&mut self, market: MarketId) {
        *self.tries.entry(market).or_default() += 1;
    }

    /// Records that a book was read.
    pub(super) fn note_success(&mut self, market: MarketId) {
        self.has_read = true;
        self.tries.remove(&market);
    }

    /// Returns true if a book was read since the last pass began.
    pub(super) const fn has_read(&self) -> bool {
        self.has_read
    }

    /// Ends the pass under way.
    pub(super) fn end(&mut self) {
        self.began = None;
        self.tries.clear();
    }

    /// Begins a pass, also if one is under way. Books that were given up get new attempts: with many markets and few
    /// requests no pass ever ends. Other counts stay, so that a pass can end although it begins again all the time.
    pub(super) fn begin(&mut self, now: UnixSeconds) {
        self.began = Some(now);
        (self.is_due, self.has_read) = (false, false);
        self.tries.retain(|_, tries| *tries < TRIES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_that_was_given_up_gets_new_attempts_in_the_next_pass_although_this_one_never_ends() {
        let mut pass = Pass::default();
        pass.begin(UnixSeconds(1));
        (0..3).for_each(|_| pass.note_failure(7));
        assert!(pass.has_given_up(7));
        pass.begin(UnixSeconds(2));
        assert!(!pass.has_given_up(7));
        (0..2).for_each(|_| pass.note_failure(7));
        pass.begin(UnixSeconds(3));
        pass.note_failure(7);
        assert!(pass.has_given_up(7), "attempts count although passes begin again");
    }

    #[test]
    fn a_book_that_is_read_has_all_its_attempts_again() {
        let mut pass = Pass::since(UnixSeconds(1));
        (0..2).for_each(|_| pass.note_failure(7));
        pass.note_success(7);
        (0..2).for_each(|_| pass.note_failure(7));
        assert!(!pass.has_given_up(7));
    }
}
