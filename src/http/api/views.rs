//! Views: moments that documents are made of, each with its rendered documents.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use ticker_formats::{
    board::Board,
    listings::{ListingView, facts::HourlyFacts},
};
use tokio::sync::{OnceCell, Semaphore};

use super::error::ApiError;
use crate::{
    blocking,
    domain::{asset::Asset, coverage::LedgerRange, instant::UnixSeconds, market_snapshot::MarketSnapshot},
    http::board_feed::BoardFeed,
    published::{EncodedFile, Publication},
};

/// Seconds for which a view is pinned.
const PINNED_S: i64 = 10;
/// Pinned views that are kept: the newest, and the one before for the cursors of its pages.
const VIEWS_KEPT: usize = 2;
/// Time without a reader after which views and their documents are dropped.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Most documents kept of a view.
const DOCUMENTS_MAX: usize = 512;
/// Bytes of documents, plain and gzip, from which on a view keeps no further ones. Three views at most exist, and all of
/// them are part of the documented memory.
const DOCUMENT_BYTES_MAX: usize = 96 << 20;
/// Views and documents that are made at the same time. The others wait.
const AT_ONCE: usize = 4;
/// Longest wait for a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The views of this process.
#[derive(Debug)]
pub struct Views {
    passphrase: Arc<str>,
    anchors: Arc<[Asset]>,
    /// Stored facts. A view shows those that count at its moment.
    facts: Arc<ArcSwap<HourlyFacts>>,
    kept: Mutex<Kept>,
    turns: Arc<Semaphore>,
    board_feed: Arc<BoardFeed>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Pinned views, the newest first.
    pinned: VecDeque<Slot>,
    /// View of the newest publication that was asked for.
    live: Option<Slot>,
    read_at: Option<Instant>,
}

/// View that is made once, however many readers wait for it.
#[derive(Clone, Debug)]
struct Slot {
    seq: i64,
    /// Moment of the view, so that whoever fills the slot makes the same view of it.
    snapshot: Arc<MarketSnapshot>,
    coverage: Arc<Vec<LedgerRange>>,
    view: Arc<OnceCell<Arc<PinnedView>>>,
}

/// One moment with the documents that were made of it.
#[derive(Debug)]
pub(super) struct PinnedView {
    pub(super) listing: Arc<ListingView>,
    documents: Mutex<Documents>,
    turns: Arc<Semaphore>,
    board: LazyBoard,
}

/// Board of a view, made by the first document that needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct LazyBoard(Arc<OnceLock<Board>>);

impl LazyBoard {
    /// The board. `view` must be the one that it belongs to. The first call takes some microseconds per market.
    pub(super) fn of(&self, view: &ListingView) -> &Board {
        self.0.get_or_init(|| Board::of(view))
    }
}

#[derive(Debug, Default)]
struct Documents {
    by_key: HashMap<String, Arc<OnceCell<Arc<EncodedFile>>>>,
    bytes: usize,
}

impl Views {
    /// Views on the network with this passphrase. `anchors` count as one dollar.
    #[must_use]
    pub fn new(passphrase: &str, anchors: impl IntoIterator<Item = Asset>) -> Self {
        Self {
            passphrase: passphrase.into(),
            anchors: anchors.into_iter().collect(),
            facts: Arc::default(),
            kept: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            board_feed: Arc::default(),
        }
    }

    /// Makes the views with these stored facts, which may change.
    #[must_use]
    pub fn with_facts(self, facts: Arc<ArcSwap<HourlyFacts>>) -> Self {
        Self { facts, ..self }
    }

    /// Events of the board, which readers of the live stream make of the views.
    pub(super) const fn board_feed(&self) -> &Arc<BoardFeed> {
        &self.board_feed
    }

    /// Passphrase of the network.
    pub(super) fn passphrase(&self) -> Arc<str> {
        Arc::clone(&self.passphrase)
    }

    /// The pinned view: of the newest publication, or of one that is less than ten seconds older.
    pub(super) async fn pinned(
        &self,
        newest: &Publication,
        coverage: Arc<Vec<LedgerRange>>,
    ) -> Result<Arc<PinnedView>, ApiError> {
        let slot = self.slot(|kept| {
            let is_recent = |slot: &&Slot| {
                let age = newest.as_of.0.saturating_sub(slot.as_of().0);
                (0..PINNED_S).contains(&age) && slot.seq <= newest.seq
            };
            if let Some(slot) = kept.pinned.front().filter(is_recent) {
                return slot.clone();
            }
            let slot = Slot::of(newest, coverage);
            kept.pinned.push_front(slot.clone());
            kept.pinned.truncate(VIEWS_KEPT);
            slot
        });
        self.filled(slot).await
    }

    /// The view of the newest publication.
    pub(super) async fn live(
        &self,
        newest: &Publication,
        coverage: Arc<Vec<LedgerRange>>,
    ) -> Result<Arc<PinnedView>, ApiError> {
        let slot =
            self.slot(|kept| match kept.live.as_ref().filter(|slot| slot.is_of(newest.seq, newest.as_of)) {
                Some(slot) => slot.clone(),
                None => kept.live.insert(Slot::of(newest, coverage)).clone(),
            });
        self.filled(slot).await
    }

    /// Chooses a slot, and notes that somebody reads.
    fn slot(&self, choose: impl FnOnce(&mut Kept) -> Slot) -> Slot {
        let mut kept = self.kept();
        kept.read_at = Some(Instant::now());
        choose(&mut kept)
    }

    /// The pinned view of this publication, if it is still kept.
    pub(super) fn named(&self, seq: i64, as_of: UnixSeconds) -> Option<Arc<PinnedView>> {
        let kept = self.kept();
        let slot = kept.pinned.iter().find(|slot| slot.is_of(seq, as_of))?;
        slot.view.get().cloned()
    }

    /// Drops everything if nobody has read for five minutes: a view keeps the windows of its moment in memory.
    pub fn drop_if_idle(&self) {
        let mut kept = self.kept();
        if kept.read_at.is_some_and(|read_at| read_at.elapsed() >= IDLE_MAX) {
            *kept = Kept::default();
            self.board_feed.clear();
        }
    }

    /// The view of a slot, made by the first reader who asks.
    async fn filled(&self, slot: Slot) -> Result<Arc<PinnedView>, ApiError> {
        let Slot { seq, snapshot, coverage, view } = slot;
        let made = view.get_or_try_init(async || {
            let _turn = turn(&self.turns).await?;
            let (passphrase, anchors) = (Arc::clone(&self.passphrase), Arc::clone(&self.anchors));
            let facts = self.facts.load_full();
            let make = move || ListingView::new(seq, snapshot, coverage, passphrase, &anchors, &facts);
            let listing = Arc::new(blocking::run(make).await.map_err(|_| ApiError::Busy)?);
            let (documents, turns) = (Mutex::default(), Arc::clone(&self.turns));
            Ok(Arc::new(PinnedView { listing, documents, turns, board: LazyBoard::default() }))
        });
        made.await.cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn of(publication: &Publication, coverage: Arc<Vec<LedgerRange>>) -> Self {
        let snapshot = Arc::clone(&publication.snapshot);
        Self { seq: publication.seq, snapshot, coverage, view: Arc::default() }
    }

    fn as_of(&self) -> UnixSeconds {
        self.snapshot.as_of()
    }

    fn is_of(&self, seq: i64, as_of: UnixSeconds) -> bool {
        self.seq == seq && self.as_of() == as_of
    }
}

impl PinnedView {
    /// The document with this key, made by `render` if it is not kept. Compressed by gzip only, since its reader waits.
    pub(super) async fn document(
        &self,
        key: String,
        render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
    ) -> Result<Arc<EncodedFile>, ApiError> {
        self.encoded(key, |view| EncodedFile::gzipped(render(view))).await
    }

    /// The file with this key, made by `encode` if it is not kept.
    pub(super) async fn encoded(
        &self,
        key: String,
        encode: impl FnOnce(&ListingView) -> io::Result<EncodedFile> + Send + 'static,
    ) -> Result<Arc<EncodedFile>, ApiError> {
        let (slot, is_kept) = {
            let mut documents = self.documents();
            let has_room = documents.by_key.len() < DOCUMENTS_MAX && documents.bytes < DOCUMENT_BYTES_MAX;
            match documents.by_key.get(&key) {
                Some(slot) => (Arc::clone(slot), true),
                None if has_room => (Arc::clone(documents.by_key.entry(key.clone()).or_default()), true),
                None => (Arc::default(), false), // made for this reader alone
            }
        };
        let made = slot.get_or_try_init(async || {
            let _turn = turn(&self.turns).await?;
            let listing = Arc::clone(&self.listing);
            let made = blocking::run(move || encode(&listing)).await;
            let file = made.map_err(|_| ApiError::Busy)?.map_err(|_| ApiError::Compression)?;
            if is_kept {
                self.documents().bytes += file.raw.len() + file.gzip.len();
            }
            Ok(Arc::new(file))
        });
        let made = made.await.cloned();
        if made.is_err() && is_kept {
            self.documents().by_key.remove(&key); // the next reader tries again
        }
        made
    }

    /// Returns true if the document with this key is made already.
    pub(super) fn has(&self, key: &str) -> bool {
        self.documents().by_key.get(key).is_some_and(|slot| slot.get().is_some())
    }

    /// Board of the view.
    pub(super) fn board(&self) -> LazyBoard {
        self.board.clone()
    }

    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a turn to compute.
async fn turn(turns: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>, ApiError> {
    match tokio::time::timeout(TURN_MAX, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(ApiError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::windows::Windows, published::FileMaker};

    fn publication(seq: i64, second: i64) -> Publication {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(second));
        let snapshot = MarketSnapshot::new(windows.view(), crate::domain::directory::Directory::default());
        Publication::render(seq, None, snapshot, None, &mut FileMaker::default()).unwrap()
    }

    fn moment(view: &PinnedView) -> (i64, i64) {
        (view.listing.seq(), view.listing.as_of().0)
    }

    #[tokio::test]
    async fn a_view_is_pinned_for_ten_seconds_and_two_are_kept() {
        let views = Views::new("Test Network", []);
        for (seq, second, expected) in
            [(1, 100, (1, 100)), (5, 109, (1, 100)), (6, 110, (6, 110)), (9, 125, (9, 125))]
        {
            let view = views.pinned(&publication(seq, second), Arc::default()).await.unwrap();
            assert_eq!(moment(&view), expected);
        }
        let is_named = |seq, second| views.named(seq, UnixSeconds(second)).is_some();
        assert_eq!(
            [is_named(9, 125), is_named(6, 110), is_named(1, 100), is_named(9, 110)],
            [true, true, false, false]
        );
        let live = views.live(&publication(11, 126), Arc::default()).await.unwrap();
        assert_eq!(moment(&live), (11, 126));
    }

    /// The first reader may leave before the view is made. A later one must not fill the place with another moment:
    /// cursors of its pages would name a view that nobody finds.
    #[tokio::test]
    async fn a_view_that_was_not_made_in_time_is_made_of_its_own_moment() {
        let views = Views::new("Test Network", []);
        let turns = views.turns.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        let first = publication(1, 100);
        let abandoned = tokio::time::timeout(Duration::from_millis(1), views.pinned(&first, Arc::default()));
        assert!(abandoned.await.is_err());
        drop(turns);
        let view = views.pinned(&publication(4, 104), Arc::default()).await.unwrap();
        assert_eq!(moment(&view), (1, 100));
        assert!(views.named(1, UnixSeconds(100)).is_some());
    }

    #[tokio::test]
    async fn a_document_is_made_once_and_one_too_many_is_made_for_its_reader_alone() {
        let views = Views::new("Test Network", []);
        let view = views.pinned(&publication(1, 100), Arc::default()).await.unwrap();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let ask = |key: String| {
            let made = Arc::clone(&made);
            view.document(key, move |_| {
                made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                b"{}".to_vec()
            })
        };
        for place in 0..DOCUMENTS_MAX {
            ask(place.to_string()).await.unwrap();
            ask(place.to_string()).await.unwrap();
        }
        let count = || made.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(count(), DOCUMENTS_MAX);
        let bytes = view.documents().bytes;
        ask("more".to_owned()).await.unwrap();
        ask("more".to_owned()).await.unwrap();
        assert_eq!(
            (count(), view.documents().bytes),
            (DOCUMENTS_MAX + 2, bytes),
            "not kept, and not counted"
        );
    }
}
