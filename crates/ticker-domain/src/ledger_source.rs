//! Sources of trades: Horizon, or ledger metadata.

/// Source of trades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LedgerSource {
    /// Horizon's stream and pages.
    #[default]
    Horizon,
    /// A data lake of ledger metadata.
    Lake,
    /// Stellar RPC's `getLedgers`.
    Rpc,
}
