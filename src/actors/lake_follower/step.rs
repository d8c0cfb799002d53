//! Results of a look at the next object of the lake.

use crate::{
    actors::lake_reader::{AheadOfClockError, LedgersInDoubt, RefusedLedgers},
    lake::{LakeError, VerifiedLedger},
};

/// Result of a look at the next object.
#[derive(Debug)]
pub enum LakeStep {
    /// It does not exist yet, or it is to be read again.
    NotYet,
    /// It may exist, and could not be read. It is read again.
    Unread(LakeError),
    /// Its ledgers, in order. There is at least one.
    Ledgers(Vec<VerifiedLedger>),
    /// Ledgers that are passed over, because they are refused.
    Refused(RefusedLedgers),
    /// Ledger that the clock does not allow yet. It is read again.
    Ahead(AheadOfClockError),
    /// Stored ledgers that a hash of Horizon puts in doubt, or a chain that it confirms. The caller takes them out of
    /// the coverage, ends the notes about the chain, and then calls
    /// [`note_uncovered`](super::LakeFollower::note_uncovered).
    InDoubt(LedgersInDoubt),
    /// Ledgers that are passed over, because they are missing in the lake and later ones exist.
    Hole {
        /// First ledger.
        from: u32,
        /// Last ledger.
        to: u32,
    },
}

/// Reason for which a ledger is not taken.
pub(super) enum Refusal {
    /// It, or its place in the chain, is wrong.
    Wrong(RefusedLedgers),
    /// The clock does not allow it yet.
    Ahead(AheadOfClockError),
}
