//! The view of a publication that the files of the market API and all documents over HTTP are made of.

use std::sync::{Arc, OnceLock};

use ticker_formats::{board::Board, listings::ListingView};

use super::{FactsCell, FirstAnswer};
use crate::domain::{asset::Asset, instant::UnixSeconds, market_snapshot::MarketSnapshot};

/// Inputs of views beside a publication. They are the same in the whole process.
#[derive(Clone, Debug)]
pub struct ListingSource {
    /// Passphrase of the network.
    pub passphrase: Arc<str>,
    /// Identity of the database, to which the numbers of markets belong.
    pub database: Arc<str>,
    /// Assets that count as one dollar.
    pub anchors: Arc<[Asset]>,
    /// Stored facts, which may change. A view shows those that count at its moment.
    pub facts: Arc<FactsCell>,
}

impl ListingSource {
    /// Source on the network with this passphrase, without stored facts. `anchors` count as one dollar.
    #[must_use]
    pub fn new(passphrase: &str, anchors: impl IntoIterator<Item = Asset>) -> Self {
        Self {
            passphrase: passphrase.into(),
            database: Arc::default(),
            anchors: anchors.into_iter().collect(),
            facts: Arc::default(),
        }
    }

    /// Makes views of the database with this identity.
    #[must_use]
    pub fn of_database(self, database: Arc<str>) -> Self {
        Self { database, ..self }
    }

    /// Makes views with these stored facts.
    #[must_use]
    pub fn with_facts(self, facts: Arc<FactsCell>) -> Self {
        Self { facts, ..self }
    }
}

/// View of one publication, and its board, which is made on first use.
#[derive(Debug)]
pub struct ListedMoment {
    view: ListingView,
    board: OnceLock<Board>,
    /// Step of a trace that ends with the first answer from the publication.
    pub first_answer: Arc<FirstAnswer>,
}

impl ListedMoment {
    /// The view.
    #[must_use]
    pub const fn view(&self) -> &ListingView {
        &self.view
    }

    /// The board of the view. The first call takes some microseconds per market.
    pub fn board(&self) -> &Board {
        self.board.get_or_init(|| Board::of(&self.view))
    }
}

/// View of one publication, made on first use and shared by the JSON writer and the readers over HTTP. If nobody asks,
/// it costs nothing. It keeps the snapshot in memory, but not the files of the publication.
#[derive(Debug)]
pub struct LazyListing {
    seq: i64,
    snapshot: Arc<MarketSnapshot>,
    moment: OnceLock<Arc<ListedMoment>>,
    /// Step of a trace that ends with the first answer from this publication.
    pub first_answer: Arc<FirstAnswer>,
}

impl LazyListing {
    pub(super) fn new(seq: i64, snapshot: Arc<MarketSnapshot>) -> Self {
        Self { seq, snapshot, moment: OnceLock::new(), first_answer: Arc::default() }
    }

    /// Number of the last committed batch in it.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Time of all figures.
    #[must_use]
    pub fn as_of(&self) -> UnixSeconds {
        self.snapshot.as_of()
    }

    /// The view with its board. The first call makes the view and takes milliseconds, and calls at the same time wait
    /// for it: do not call this on a thread that readers wait for.
    pub fn moment(&self, source: &ListingSource) -> Arc<ListedMoment> {
        let make = || {
            let (snapshot, passphrase) = (Arc::clone(&self.snapshot), Arc::clone(&source.passphrase));
            let facts = source.facts.load();
            let view = ListingView::new(self.seq, snapshot, passphrase, &source.anchors, &facts);
            let view = view.of_database(Arc::clone(&source.database));
            let first_answer = Arc::clone(&self.first_answer);
            Arc::new(ListedMoment { view, board: OnceLock::new(), first_answer })
        };
        Arc::clone(self.moment.get_or_init(make))
    }
}
