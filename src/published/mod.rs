//! The published state: actors write it, HTTP reads it, and neither ever waits for the other.

mod vitals;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwapOption;

pub use ticker_formats::{EncodedFile, FileMaker, Files, Tags, pieces};
pub use vitals::{
    Backfilled, BudgetFault, BudgetUse, Check, HorizonState, Reread, SelfAudit, UnreadHistory, Vitals,
};

use crate::domain::{instant::UnixSeconds, market_snapshot::MarketSnapshot};

/// One publication: everything that readers get, made of one state of the database at one second.
#[derive(Debug)]
pub struct Publication {
    /// The number of the last committed batch in it.
    pub seq: i64,
    /// The second up to which time has passed for its windows.
    pub as_of: UnixSeconds,
    /// The latest ledger with a trade in it, and when that closed; none before the first trade.
    pub latest: Option<(u32, UnixSeconds)>,
    /// Data that answers are computed from. Readers of an older publication hold it without the files.
    pub snapshot: Arc<MarketSnapshot>,
    /// What is ready to be sent.
    pub files: Files,
    /// The ages of the books; made when somebody first asks. None if the compressor failed.
    pub book_ages: OnceLock<Option<EncodedFile>>,
}

impl Publication {
    /// Renders and compresses what changed since the snapshot that `maker` was given before. Takes a while: not for an
    /// actor's own thread.
    ///
    /// # Errors
    ///
    /// What a compressor said.
    pub fn render(
        seq: i64,
        latest: Option<(u32, UnixSeconds)>,
        snapshot: MarketSnapshot,
        maker: &mut FileMaker,
    ) -> io::Result<Self> {
        let files = maker.make(&snapshot)?;
        Ok(Self {
            seq,
            as_of: snapshot.as_of(),
            latest,
            snapshot: Arc::new(snapshot),
            files,
            book_ages: OnceLock::new(),
        })
    }
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
