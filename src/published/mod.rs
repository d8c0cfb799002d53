//! The published state: actors write it, HTTP reads it, and neither ever waits for the other.

mod encoded;
mod vitals;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use encoded::EncodedFile;
pub use vitals::{Backfilled, BudgetUse, Check, LostHistory, Vitals};

use crate::domain::instant::Second;

/// One publication: everything that readers get, made of one state of the database at one second.
#[derive(Debug)]
pub struct Publication {
    /// The number of the last committed batch in it.
    pub seq: i64,
    /// The second up to which time has passed for its windows.
    pub as_of: Second,
    /// The latest ledger with a trade in it, and when that closed; none before the first trade.
    pub latest: Option<(u32, Second)>,
    /// When the oldest of the books in it was fetched; none where it holds no book.
    pub oldest_book: Option<Second>,
    /// `markets.json`, ready to be sent.
    pub markets_json: EncodedFile,
}

/// Where the newest publication and the facts about the daemon's health hang for everybody to read.
#[derive(Debug, Default)]
pub struct Published {
    newest: ArcSwapOption<Publication>,
    /// How the parts are doing.
    pub vitals: Vitals,
}

impl Published {
    /// The newest publication; none before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Publication>> {
        self.newest.load_full()
    }

    /// Puts a new publication in place of the last.
    pub fn publish(&self, publication: Arc<Publication>) {
        self.newest.store(Some(publication));
    }
}
