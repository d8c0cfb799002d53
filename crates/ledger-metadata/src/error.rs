//! Faults of a ledger, for which it is not believed.

use ticker_domain::cursor::PagingToken;

use crate::{hashes::Hash, limits::TRADES_MAX};

/// Ledger that cannot be believed or understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ledger {sequence}: {problem}")]
pub struct LedgerError {
    /// Number that the ledger claims.
    pub sequence: u32,
    /// Reason for the refusal.
    pub problem: LedgerContentError,
}

/// Reason why the content of a ledger cannot be believed or understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerContentError {
    /// The header does not have the hash that the object claims.
    #[error("the hash of its header is not the one that the ledger states")]
    HeaderHash,
    /// The results are not those of the header.
    #[error("its results do not have the hash that its header names")]
    ResultHash,
    /// The transaction set is not that of the header.
    #[error("its transactions do not have the hash that its header names")]
    TransactionSetHash,
    /// A result without its transaction: another network's ledger, or a damaged one.
    #[error("transaction {0} has a result but no envelope: is this ledger of another network?")]
    UnknownTransaction(Hash),
    /// Operations and results of a transaction do not match.
    #[error("transaction {0}: the numbers of operations and results differ")]
    Operations(Hash),
    /// More transactions or operations than a paging token can number.
    #[error("a transaction or operation number does not fit a paging token")]
    Number,
    /// The maker's offer is not among the changes.
    #[error("trade {0}: the metadata has no price for the offer it took")]
    NoOffer(PagingToken),
    /// The price does not explain the amounts.
    #[error("trade {0}: price times amount is not the other amount")]
    Price(PagingToken),
    /// More trades than a ledger of the network can have.
    #[error("it has more than {TRADES_MAX} trades")]
    TooManyTrades,
    /// A close time that no clock shows.
    #[error("its close time is out of range")]
    CloseTime,
}
