//! Ledgers that wait to be read again. Pure.

use std::collections::BTreeSet;

/// Ledgers in doubt that wait; more are left to chance.
const IN_DOUBT_MAX: usize = 10_000;

/// Ledgers that an audit named. Each waits until it was compared: whatever ends a reading before that, it comes again.
#[derive(Debug, Default)]
pub struct DoubtfulLedgers {
    ledgers: BTreeSet<u32>,
    /// The one that was tried last.
    tried: Option<u32>,
    /// That one has not been compared.
    is_open: bool,
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

    /// The one to be tried now, the newest first. After one that could not be compared chance has a turn, and then the
    /// one below: so none that can never be compared holds up the others.
    pub(super) fn next(&mut self) -> Option<u32> {
        if std::mem::take(&mut self.is_open) {
            return None;
        }
        let below = self.tried.and_then(|tried| self.ledgers.range(..tried).next_back());
        self.tried = below.or(self.ledgers.last()).copied();
        self.is_open = self.tried.is_some();
        self.tried
    }

    /// It was compared, or is not held at all.
    pub(super) fn settled(&mut self, ledger: u32) {
        self.ledgers.remove(&ledger);
        self.is_open = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_compared_comes_again_and_holds_up_nothing() {
        let mut doubts = DoubtfulLedgers::default();
        doubts.add([5, 9, 7]);
        assert_eq!(doubts.next(), Some(9));
        assert_eq!(doubts.next(), None, "it is chance's turn");
        assert_eq!(doubts.next(), Some(7));
        doubts.settled(7);
        assert_eq!(doubts.next(), Some(5));
        doubts.settled(5);
        assert_eq!((doubts.next(), doubts.is_empty()), (Some(9), false));
        doubts.settled(9);
        assert_eq!((doubts.next(), doubts.next(), doubts.is_empty()), (None, None, true));
        doubts.add(0..20_000);
        assert_eq!(doubts.ledgers.len(), IN_DOUBT_MAX);
        doubts.add(30_000..50_000);
        assert_eq!(doubts.ledgers.len(), IN_DOUBT_MAX, "none is added where there is no room");
        doubts.clear();
        assert!(doubts.is_empty());
        assert_eq!(doubts.next(), None);
        doubts.add([3]);
        assert_eq!(doubts.next(), Some(3), "nothing was tried before it");
    }
}
