//! Ledgers of a lake that are not believed.

/// Ledgers that are refused. They are read from Horizon instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLedgers {
    /// First ledger.
    pub from: u32,
    /// Last ledger.
    pub to: u32,
    /// Reason in words.
    pub reason: String,
    /// Kind of the reason.
    pub cause: RefusedFor,
}

/// Kind of the reason for which ledgers are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedFor {
    /// They cannot be read, or fail their own hashes.
    Content,
    /// They do not fit their neighbours or Horizon.
    Chain,
}

impl RefusedLedgers {
    /// Refusal of a single ledger.
    #[must_use]
    pub fn one(ledger: u32, reason: impl Into<String>, cause: RefusedFor) -> Self {
        Self { from: ledger, to: ledger, reason: reason.into(), cause }
    }

    /// Number of the ledgers.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.to.saturating_sub(self.from)).saturating_add(1)
    }
}

impl RefusedFor {
    /// Name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Chain => "chain",
        }
    }
}
