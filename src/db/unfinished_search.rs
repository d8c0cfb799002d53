//! Search for unused markets that the last pass of the cleaner did not finish.

use std::sync::{Mutex, PoisonError};

use super::marks::Position;
use crate::domain::windows::MarketId;

/// The search, or none. The process that leads keeps it in memory: a new leader begins afresh.
#[derive(Debug, Default)]
pub(super) struct UnfinishedSearch(Mutex<Option<Search>>);

/// Markets that may be unused, and what is left to scan.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Last batch that is taken into account. Trades that the scans missed are of later batches.
    pub(super) position: Position,
    /// Markets without a book that were not found in any scanned day, nor in the batches since the search began.
    pub(super) untraded: Vec<MarketId>,
    /// Partitions of `trades` to scan, as SQL. The last is the next: most markets are found in the newest day.
    pub(super) days: Vec<String>,
}

impl UnfinishedSearch {
    /// Replaces the search. `None` if it is finished.
    pub(super) fn replace(&self, search: Option<Search>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = search;
    }

    /// Returns a copy, so that a pass that fails or is dropped loses nothing.
    pub(super) fn copy(&self) -> Option<Search> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
