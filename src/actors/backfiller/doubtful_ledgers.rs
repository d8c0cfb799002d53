//! Ledgers that an audit named and that wait to be read again. Pure.

use std::collections::BTreeSet;

/// Most waiting ledgers. Further ones are left to the random choice.
const IN_DOUBT_MAX: usize = 10_000;

/// Ledgers that wait to be compared with Horizon. A ledger whose reading ends early stays and is tried again.
#[derive(Debug, Default)]
pub struct DoubtfulLedgers {
    ledgers: BTreeSet<u32>,
    /// Ledger that was tried last.
    tried: Option<u32>,
    /// True if `tried` has not been compared since.
    is_unresolved: bool,
}

impl DoubtfulLedgers {
    pub(super) fn add(&mut self, ledgers: impl IntoIterator<Item = u32>) {
        let room = IN_DOUBT_MAX.saturating_sub(self.ledgers.len());
        self.ledgers.extend(ledgers.into_iter().take(room));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ledgers.is_empty()
    }

    /// Returns the ledger to try now, the newest first. After one that could not be compared it returns none once, so
    /// that a random ledger has a turn, and then the next lower one. So no ledger can hold up the others.
    pub(super) fn next(&mut self) -> Option<u32> {
        if std::mem::take(&mut self.is_unresolved) {
            return None;
        }
        let below = self.tried.and_then(|tried| self.ledgers.range(..tried).next_back());
        self.tried = below.or(self.ledgers.last()).copied();
        self.is_unresolved = self.tried.is_some();
        self.tried
    }

    /// Removes a ledger that was compared or is not held.
    pub(super) fn remove(&mut self, ledger: u32) {
        self.ledgers.remove(&ledger);
        self.is_unresolved = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_could_not_be_compared_is_tried_again_and_holds_up_no_other() {
        let mut doubts = DoubtfulLedgers::default();
        doubts.add([5, 9, 7]);
        assert_eq!(doubts.next(), Some(9));
        assert_eq!(doubts.next(), None, "a random ledger has a turn");
        assert_eq!(doubts.next(), Some(7));
        doubts.remove(7);
        assert_eq!(doubts.next(), Some(5));
        doubts.remove(5);
        assert_eq!((doubts.next(), doubts.is_empty()), (Some(9), false));
        doubts.remove(9);
        assert_eq!((doubts.next(), doubts.next(), doubts.is_empty()), (None, None, true));
        doubts.add(0..20_000);
        assert_eq!(doubts.ledgers.len(), IN_DOUBT_MAX);
        doubts.add(30_000..50_000);
        assert_eq!(doubts.ledgers.len(), IN_DOUBT_MAX, "there is no room for more");
        doubts.clear();
        assert!(doubts.is_empty());
        assert_eq!(doubts.next(), None);
        doubts.add([3]);
        assert_eq!(doubts.next(), Some(3), "nothing was tried before it");
    }
}
