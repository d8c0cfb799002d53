//! How the parts of the daemon are doing, each told by the part itself.

use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};
use std::sync::Arc;

use crate::domain::coverage::LedgerRange;

/// What a part last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether all is well.
    pub ok: bool,
    /// In a few words; no secret, nothing that a stranger wrote.
    pub detail: String,
    /// When it last was well (`ok`), or since when it is not.
    pub at: DateTime<Utc>,
}

/// What each part last said of itself. None: it has said nothing yet.
#[derive(Debug, Default)]
pub struct Vitals {
    /// PostgreSQL, by whoever used it last.
    pub database: ArcSwapOption<Check>,
    /// Horizon's stream of trades; `at` moves on with every byte.
    pub stream: ArcSwapOption<Check>,
    /// The supervised actors.
    pub children: ArcSwapOption<Check>,
    /// Whether this replica leads; `ok` means that it does.
    pub leader: ArcSwapOption<Check>,
    /// Who this replica is in the lease.
    pub replica_id: ArcSwapOption<String>,
    /// Which ledgers are held whole, merged and in order.
    pub coverage: ArcSwap<Vec<LedgerRange>>,
    /// The network passphrase that Horizon last told is another than the configured one.
    pub wrong_network: AtomicBool,
    /// The daemon is on its way out.
    draining: AtomicBool,
}

impl Vitals {
    /// Keeps what a part says; a fault keeps the moment at which it began.
    pub fn tell(cell: &ArcSwapOption<Check>, ok: bool, detail: impl Into<String>, now: DateTime<Utc>) {
        let since = cell.load().as_ref().filter(|last| !ok && !last.ok).map_or(now, |last| last.at);
        cell.store(Some(Arc::new(Check { ok, detail: detail.into(), at: since })));
    }

    /// From now on no new reader shall be sent here.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_the_moment_at_which_it_began() {
        let vitals = Vitals::default();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        for (ok, now, since) in [(true, 1, 1), (true, 2, 2), (false, 3, 3), (false, 4, 3), (true, 5, 5)] {
            Vitals::tell(&vitals.database, ok, "", at(now));
            assert_eq!(vitals.database.load().as_ref().unwrap().at, at(since));
        }
    }
}
