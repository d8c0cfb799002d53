//! Published state. Actors write it and HTTP reads it; neither ever waits for the other.

mod facts;
mod first_answer;
mod health_cell;
mod lake_state;
mod listing;
pub mod recent;
mod vitals;

use std::{io, sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;

pub use facts::FactsCell;
pub use first_answer::FirstAnswer;
pub use health_cell::HealthCell;
pub use lake_state::{HashCheck, LakeCell, LakeOutage, LakeState, LakeUse, Outages};
pub use listing::{LazyListing, ListedMoment, ListingSource};
pub use ticker_formats::{Document, EncodedFile, FileMaker, Files, Plain, Tags, pieces};
pub use vitals::{
    Backfilled, BudgetFault, BudgetUse, DatabaseVitals, Grace, HorizonState, Part, Reread, SelfAudit,
    UnreadHistory, Vitals,
};

use crate::domain::{
    changes::Changes, coverage::ClosedLedger, instant::UnixSeconds, market_snapshot::MarketSnapshot,
};
use recent::Recent;

/// One publication: everything that readers get, made from one state of the database at one second.
#[derive(Debug)]
pub struct Publication {
    /// Number of the last committed batch in it.
    pub seq: i64,
    /// Time of all its windows.
    pub as_of: UnixSeconds,
    /// Latest ledger with a trade and its close time, or `None` before the first trade.
    pub latest: Option<ClosedLedger>,
    /// Data that answers are computed from. Readers of an older publication keep it without the files.
    pub snapshot: Arc<MarketSnapshot>,
    /// View of the snapshot for the market API. Readers of an older publication keep it without the files.
    pub listing: Arc<LazyListing>,
    /// Rendered files, ready to send.
    pub files: Files,
    /// Time at which the rows of the files were rendered and their compression began.
    pub rendered_at: Instant,
    /// Differences from the publication before.
    pub changes: Changes,
}

impl Publication {
    /// Renders and compresses what changed since the last snapshot that `maker` rendered, and compares with the last
    /// published snapshot. Takes a while: do not call it on an actor's thread.
    ///
    /// # Errors
    ///
    /// Errors of a compressor.
    pub fn render(
        seq: i64,
        latest: Option<ClosedLedger>,
        snapshot: MarketSnapshot,
        last: Option<&MarketSnapshot>,
        maker: &mut FileMaker,
    ) -> io::Result<Self> {
        let changes = last.map_or_else(Changes::whole, |last| Changes::between(last, &snapshot));
        maker.update(&snapshot);
        let rendered_at = Instant::now();
        let files = maker.compress(snapshot.as_of())?;
        let snapshot = Arc::new(snapshot);
        Ok(Self {
            seq,
            as_of: snapshot.as_of(),
            latest,
            listing: Arc::new(LazyListing::new(seq, Arc::clone(&snapshot))),
            snapshot,
            files,
            rendered_at,
            changes,
        })
    }
}

/// Newest publication and the health of the daemon, shared by all threads. The aggregator and the other actors write
/// it.
#[derive(Debug, Default)]
pub struct Published {
    newest: ArcSwapOption<Publication>,
    /// Changes of the last publications.
    pub recent: Recent,
    /// Stored facts that views show.
    pub facts: Arc<FactsCell>,
    /// Health of the daemon's parts.
    pub vitals: Vitals,
}

impl Published {
    /// Newest publication, or `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Publication>> {
        self.newest.load_full()
    }

    /// Replaces the newest publication.
    pub fn publish(&self, publication: Arc<Publication>) {
        let (seq, as_of, changes) = (publication.seq, publication.as_of, publication.changes.clone());
        self.newest.store(Some(publication));
        // Afterwards, so that everyone who wakes finds the publication.
        self.recent.push(seq, as_of, changes);
    }
}

#[cfg(test)]
mod tests {
    use actor_tree::{
        clock::SystemClock,
        trace::{context::TraceContext, recorder::Recorder, subject::Subject},
    };

    use super::*;

    #[test]
    fn the_first_answer_from_a_view_counts_although_a_newer_publication_exists() {
        let (recorder, published) = (Recorder::on(SystemClock::shared()), Published::default());
        let publish = |seq| {
            let (snapshot, mut maker) = (MarketSnapshot::default(), FileMaker::default());
            let publication = Publication::render(seq, None, snapshot, None, &mut maker).unwrap();
            let subject = Subject::none().with("seq", seq);
            publication.listing.first_answer.begin(&recorder, &TraceContext::root(), subject);
            published.publish(Arc::new(publication));
        };
        publish(1);
        let view = Arc::clone(&published.newest().unwrap().listing);
        publish(2);
        view.first_answer.end();
        view.first_answer.end();
        publish(3);
        drop(view);
        let (records, _) = recorder.records();
        let of: Vec<_> = records.iter().map(|record| record.subject.number("seq")).collect();
        assert_eq!(of, [Some(1)], "nobody read the second, and the third waits");
    }
}
