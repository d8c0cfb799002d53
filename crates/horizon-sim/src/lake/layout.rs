//! Sizes of a lake.

/// Sizes of a lake's objects and partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LakeLayout {
    /// Ledgers in an object, 1 or more.
    pub ledgers_per_batch: u32,
    /// Objects in a partition, 1 or more. A lake with 1 has no directories.
    pub batches_per_partition: u32,
    /// Payments in a ledger beside its trades: they give ledgers the size of real ones. 500 make about 0.6 MB.
    pub payments_per_ledger: u32,
}

/// The public lake's objects, without payments.
impl Default for LakeLayout {
    fn default() -> Self {
        Self { ledgers_per_batch: 1, batches_per_partition: 64_000, payments_per_ledger: 0 }
    }
}
