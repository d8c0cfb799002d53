//! Cache of the days whose partitions exist.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, PoisonError},
};

/// Days whose partitions exist, counted from 1970.
#[derive(Debug, Default)]
pub(super) struct KnownDays(Mutex<HashSet<i64>>);

impl KnownDays {
    /// Returns those of `days` that are not known, in order and each once.
    pub(super) fn missing(&self, days: impl Iterator<Item = i64>) -> Vec<i64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: BTreeSet<i64> = days.filter(|day| !known.contains(day)).collect();
        missing.into_iter().collect()
    }

    /// Adds days whose partitions were created or found.
    pub(super) fn learn(&self, days: &[i64]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(days);
    }

    /// Forgets all days, because a partition was dropped.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
