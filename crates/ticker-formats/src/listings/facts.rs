//! Facts that the leader determines each hour and stores, and that every replica reads. A view takes those that count
//! at its moment, so that two replicas show the same.

use ticker_domain::{symbol_choice::Choices, trading_accounts::AccountCounts};

/// The stored facts.
#[derive(Clone, Debug, Default)]
pub struct HourlyFacts {
    /// Assets that stand for codes.
    pub choices: Choices,
    /// Accounts behind markets.
    pub accounts: AccountCounts,
}
