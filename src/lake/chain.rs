//! Links between consecutive ledgers: each names the hash of the one before it. Pure.

use ledger_metadata::Hash;

use super::VerifiedLedger;
use crate::domain::instant::UnixSeconds;

/// Proof that a ledger gives of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    sequence: u32,
    hash: Hash,
    previous: Hash,
    closed_at: UnixSeconds,
}

/// Neighbour that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The upper ledger names another hash.
    #[error("the chain breaks: the previous-ledger hash in ledger {above} is not this ledger's hash")]
    Below {
        /// Number of the upper ledger.
        above: u32,
    },
    /// The ledger names another hash than that of the lower one.
    #[error("the chain breaks: its previous-ledger hash is not that of the ledger below it")]
    Above,
    /// A ledger that closed before its predecessor.
    #[error("its close time does not fit that of its neighbour")]
    CloseTime,
}

impl Link {
    /// Number of the ledger.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Close time of the ledger.
    #[must_use]
    pub const fn closed_at(&self) -> UnixSeconds {
        self.closed_at
    }

    /// True if it is of the ledger directly above this one.
    #[must_use]
    pub fn is_directly_above(&self, ledger: u32) -> bool {
        ledger.checked_add(1) == Some(self.sequence)
    }

    /// Link of a ledger.
    #[must_use]
    pub const fn of(ledger: &VerifiedLedger) -> Self {
        Self {
            sequence: ledger.sequence,
            hash: ledger.hash,
            previous: ledger.previous,
            closed_at: ledger.closed_at,
        }
    }

    /// Checks the ledger directly below. Any other ledger passes: nothing is known of it.
    ///
    /// # Errors
    ///
    /// [`LinkError`] if it is not the predecessor.
    pub fn check_below(&self, ledger: &VerifiedLedger) -> Result<(), LinkError> {
        if !self.is_directly_above(ledger.sequence) {
            return Ok(());
        }
        if ledger.hash != self.previous {
            return Err(LinkError::Below { above: self.sequence });
        }
        if ledger.closed_at > self.closed_at { Err(LinkError::CloseTime) } else { Ok(()) }
    }

    /// True if the ledger directly above this one is among those that were found, and names it as its predecessor.
    #[must_use]
    pub fn is_named_by_next<'a>(
        mut found: impl Iterator<Item = &'a VerifiedLedger>,
        ledger: &VerifiedLedger,
    ) -> bool {
        let above = found.find(|above| Self::of(above).is_directly_above(ledger.sequence));
        above.is_some_and(|above| Self::of(above).check_below(ledger).is_ok())
    }

    /// Checks the ledger directly above. Any other ledger passes: nothing is known of it.
    ///
    /// # Errors
    ///
    /// [`LinkError`] if it is not the successor.
    pub fn check_above(&self, ledger: &VerifiedLedger) -> Result<(), LinkError> {
        if self.sequence.checked_add(1) != Some(ledger.sequence) {
            return Ok(());
        }
        if ledger.previous != self.hash {
            return Err(LinkError::Above);
        }
        if ledger.closed_at < self.closed_at { Err(LinkError::CloseTime) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(sequence: u32, hash: u8, previous: u8, closed_at: i64) -> VerifiedLedger {
        VerifiedLedger::without_trades(sequence, hash, previous, closed_at)
    }

    #[test]
    fn a_neighbour_must_have_the_hash_and_a_close_time_that_fits() {
        let link = Link::of(&ledger(10, 10, 9, 100));
        assert_eq!(link.check_below(&ledger(9, 9, 8, 100)), Ok(()));
        assert_eq!(link.check_below(&ledger(9, 7, 8, 90)), Err(LinkError::Below { above: 10 }));
        assert_eq!(link.check_below(&ledger(9, 9, 8, 101)), Err(LinkError::CloseTime));
        assert_eq!(link.check_above(&ledger(11, 11, 10, 100)), Ok(()));
        assert_eq!(link.check_above(&ledger(11, 11, 9, 110)), Err(LinkError::Above));
        assert_eq!(link.check_above(&ledger(11, 11, 10, 99)), Err(LinkError::CloseTime));
    }

    #[test]
    fn only_the_ledger_directly_above_names_one() {
        let below = ledger(10, 10, 9, 100);
        let is_named = |found: &[VerifiedLedger]| Link::is_named_by_next(found.iter(), &below);
        assert!(is_named(&[ledger(10, 10, 9, 100), ledger(11, 11, 10, 105)]));
        assert!(!is_named(&[ledger(11, 11, 7, 105)]), "the chain breaks");
        assert!(!is_named(&[ledger(12, 12, 10, 110)]), "another ledger");
        assert!(!is_named(&[]));
    }

    #[test]
    fn nothing_is_known_of_ledgers_farther_away() {
        let link = Link::of(&ledger(10, 10, 9, 100));
        assert_eq!(link.check_below(&ledger(8, 1, 1, 900)), Ok(()));
        assert_eq!(link.check_above(&ledger(12, 1, 1, 1)), Ok(()));
    }
}
