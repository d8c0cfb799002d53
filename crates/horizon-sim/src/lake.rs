//! Ledger metadata of the simulated network, as honest ledgers: the very same trades, with correct hashes.
//!
//! A ledger holds one transaction for each transaction number that trades, and fillers for the numbers between. Its
//! shape varies with its number, so that a reader meets every version and every trap that a real history has: failed
//! transactions with claims, envelopes of all kinds, takers that are not the source of their transaction, passive
//! offers with the result of a sell offer, offers that were swept.

mod chain;
mod claims;
mod layout;
mod ledger;
mod objects;
mod operation;
mod payment;
mod transaction;

use stellar_xdr as xdr;

pub use chain::Chain;
pub use layout::LakeLayout;
pub use ledger::{EncodedLedger, LakeLedger, batch};
pub use objects::{LakeFault, MissingAnswer, SimLake};

/// Versions of a ledger's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Version of `LedgerCloseMeta`: 0 to 2.
    pub close_meta: u32,
    /// Version of `TransactionMeta`: 1 to 4.
    pub transaction_meta: u32,
}

impl Shape {
    /// Shape of the ledger with this number. Neighbours differ.
    pub fn of_ledger(sequence: u32) -> Self {
        Self { close_meta: sequence % 3, transaction_meta: 1 + sequence / 3 % 4 }
    }
}

/// Trade that cannot be encoded as metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LakeError {
    /// Value that XDR does not allow.
    #[error("a value cannot be encoded: {0}")]
    Xdr(String),
    /// Asset, account or pool that has no valid name.
    #[error("not an asset, account or pool: {0}")]
    Name(String),
    /// Offer price that does not fit two 32-bit numbers.
    #[error("a price of {0}/{1} is not that of an offer")]
    Price(i64, i64),
    /// Object that the server never gives.
    #[error("the object is refused")]
    Refused,
}

impl From<xdr::Error> for LakeError {
    fn from(error: xdr::Error) -> Self {
        Self::Xdr(error.to_string())
    }
}
