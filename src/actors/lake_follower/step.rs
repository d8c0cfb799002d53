//! Results of a look at the next object of the lake.

use crate::{
    actors::lake_reader::{AheadOfClock, LedgersInDoubt},
    lake::{LakeError, VerifiedLedger},
};

/// Result of a look at the next object.
#[derive(Debug)]
pub enum Step {
    /// It does not exist yet, or it is to be read again.
    NotYet,
    /// It may exist, and could not be read. It is read again.
    Unread(LakeError),
    /// Its ledgers, in order. There is at least one.
    Ledgers(Vec<VerifiedLedger>),
    /// Ledgers that are passed over, because they are refused.
    Refused {
        /// First ledger.
        from: u32,
        /// Last ledger.
        to: u32,
        /// Reason why they are not believed.
        reason: String,
        /// True if they do not fit their neighbours or Horizon.
        is_chain_break: bool,
    },
    /// Ledger that the clock does not allow yet. It is read again.
    Ahead(AheadOfClock),
    /// Stored ledgers that a hash of Horizon puts in doubt. The caller takes them out of the coverage, and then calls
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
    Wrong { sequence: u32, reason: String, is_chain_break: bool },
    /// The clock does not allow it yet.
    Ahead(AheadOfClock),
}
