//! Newest ledger of a trade in the pages of the tail. The backfiller notes it, and the stream's session compares it
//! with what the stream sent.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Ledger that both actors share. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct NewestPage(Arc<AtomicU32>);

impl NewestPage {
    /// Notes the newest ledger of the pages that were read last.
    pub(super) fn note(&self, ledger: u32) {
        self.0.store(ledger, Ordering::Relaxed);
    }

    /// Newest ledger of the pages that were read last; 0 before any.
    pub(super) fn ledger(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
