//! Views: pinned publications, each with the documents that were rendered from it.

use std::{
    collections::VecDeque,
    hash::Hash,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ticker_formats::{board::Board, listings::ListingView};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};

use super::{error::ApiError, still_pages::StillPages};
use crate::{
    blocking,
    domain::instant::UnixSeconds,
    http::{
        answer_cache::{AnswerCache, Entry, LastAnswer, Limits, MemorySize},
        board_feed::BoardFeed,
    },
    published::{Document, LazyListing, ListingSource, Publication},
};

/// Seconds for which a view is pinned.
const PINNED_S: i64 = 10;
/// Pinned views that are kept: the newest, and the one before for the cursors of its pages.
const VIEWS_KEPT: usize = 2;
/// Time without a reader after which views and their documents are dropped.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Limits on a view's answers to requests with names or parameters, and (`WHOLE`) on its documents of all markets,
/// whose number is fixed. At most three views exist, so all caches together take at most some 300 MB.
const ANSWERS: Limits = Limits { answers: 512, bytes: 32 << 20, last: LastAnswer::Kept };
const WHOLE: Limits = Limits { answers: 64, bytes: 64 << 20, last: LastAnswer::Kept };
/// Answers to requests with names or parameters that are made at the same time. Further requests wait.
const ANSWERS_AT_ONCE: usize = 4;
/// Documents of all markets that are made at the same time. There are few of them, so they do
/// not wait behind other answers.
const WHOLE_AT_ONCE: usize = 2;
/// Views that are made at the same time. Every answer needs one, so they wait behind nothing else.
const VIEWS_AT_ONCE: usize = 1;
/// Longest wait for a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The views of this process.
#[derive(Debug)]
pub struct Views {
    source: ListingSource,
    kept: Mutex<Kept>,
    turns: Turns,
    board_feed: Arc<BoardFeed>,
}

/// Turns to compute.
#[derive(Clone, Debug)]
struct Turns {
    views: Arc<Semaphore>,
    whole: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Pinned views, the newest first.
    pinned: VecDeque<Slot>,
    /// View of the newest publication that was asked for.
    live: Option<Slot>,
    read_at: Option<Instant>,
}

impl Kept {
    /// The pinned view, if it is less than ten seconds older than the newest publication.
    fn recent(&self, newest: &Publication) -> Option<&Slot> {
        self.pinned.front().filter(|slot| {
            let age = newest.as_of.0.saturating_sub(slot.listing.as_of().0);
            (0..PINNED_S).contains(&age) && slot.listing.seq() <= newest.seq
        })
    }

    fn pin(&mut self, slot: Slot) -> Slot {
        self.pinned.push_front(slot.clone());
        self.pinned.truncate(VIEWS_KEPT);
        slot
    }
}

/// View that is made once, however many readers wait for it.
#[derive(Clone, Debug)]
struct Slot {
    /// Moment of the view. Every request that could fill the slot makes the same view of it.
    listing: Arc<LazyListing>,
    view: Arc<OnceCell<Arc<PinnedView>>>,
}

/// One moment with the documents that were made of it.
#[derive(Debug)]
pub(super) struct PinnedView {
    pub(super) listing: Arc<ListingView>,
    /// Documents of all markets by their path.
    whole: AnswerCache<&'static str, Document>,
    /// Answers to requests with names or parameters.
    answers: AnswerCache<String, Document>,
    still_pages: StillPages,
    turns: Turns,
    publication: Arc<LazyListing>,
}

impl Views {
    /// Views that are made with this source.
    #[must_use]
    pub fn new(source: ListingSource) -> Self {
        Self {
            source,
            kept: Mutex::default(),
            turns: Turns {
                views: Arc::new(Semaphore::new(VIEWS_AT_ONCE)),
                whole: Arc::new(Semaphore::new(WHOLE_AT_ONCE)),
                answers: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
            },
            board_feed: Arc::default(),
        }
    }

    /// Events of the board. Readers of the live stream make them from the views.
    pub(super) const fn board_feed(&self) -> &Arc<BoardFeed> {
        &self.board_feed
    }

    /// Passphrase of the network.
    pub(super) fn passphrase(&self) -> Arc<str> {
        Arc::clone(&self.source.passphrase)
    }

    /// Identity of the database.
    pub(super) fn database(&self) -> Arc<str> {
        Arc::clone(&self.source.database)
    }

    /// The pinned view: of the newest publication, or of one that is less than ten seconds older.
    pub(super) async fn pinned(&self, newest: &Publication) -> Result<Arc<PinnedView>, ApiError> {
        let slot = self.slot(|kept| match kept.recent(newest) {
            Some(slot) => slot.clone(),
            None => kept.pin(Slot::of(newest)),
        });
        self.filled(slot).await
    }

    /// Publication of the pinned view. Later requests get this view or a newer one.
    pub(super) fn pinned_moment(&self, newest: &Publication) -> (i64, UnixSeconds) {
        let kept = self.kept();
        kept.recent(newest)
            .map_or((newest.seq, newest.as_of), |slot| (slot.listing.seq(), slot.listing.as_of()))
    }

    /// Pins a view of the newest publication, which readers get from now on.
    pub(super) fn pin(&self, newest: &Publication) {
        let mut kept = self.kept();
        if !kept.pinned.front().is_some_and(|slot| slot.is_of(newest.seq, newest.as_of)) {
            kept.pin(Slot::of(newest));
        }
    }

    /// The view of the newest publication.
    pub(super) async fn live(&self, newest: &Publication) -> Result<Arc<PinnedView>, ApiError> {
        let slot =
            self.slot(|kept| match kept.live.as_ref().filter(|slot| slot.is_of(newest.seq, newest.as_of)) {
                Some(slot) => slot.clone(),
                None => kept.live.insert(Slot::of(newest)).clone(),
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
        let Slot { listing: publication, view } = slot;
        let made = view.get_or_try_init(async || {
            let turn = turn(&self.turns.views, Instant::now()).await?;
            let (source, making) = (self.source.clone(), Arc::clone(&publication));
            let listing = in_turn(turn, move || making.view(&source)).await?;
            let (whole, answers) = (AnswerCache::new(WHOLE), AnswerCache::new(ANSWERS));
            let (turns, still_pages) = (self.turns.clone(), StillPages::default());
            Ok(Arc::new(PinnedView { listing, whole, answers, still_pages, turns, publication }))
        });
        made.await.cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn of(publication: &Publication) -> Self {
        Self { listing: Arc::clone(&publication.listing), view: Arc::default() }
    }

    fn is_of(&self, seq: i64, as_of: UnixSeconds) -> bool {
        self.listing.seq() == seq && self.listing.as_of() == as_of
    }
}

impl PinnedView {
    /// The document with this key, made by `render` if it is not kept. Compressed by gzip only, since its reader waits.
    pub(super) async fn document(
        &self,
        key: String,
        render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        self.encoded(key, |view| Document::gzipped(&render(view))).await
    }

    /// The file with this key, made by `encode` if it is not kept.
    pub(super) async fn encoded(
        &self,
        key: String,
        encode: impl FnOnce(&ListingView) -> io::Result<Document> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        self.encoded_in(&self.answers, key, encode).await
    }

    /// The same in another cache.
    pub(super) async fn encoded_in(
        &self,
        cache: &AnswerCache<String, Document>,
        key: String,
        encode: impl FnOnce(&ListingView) -> io::Result<Document> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        self.made(cache.entry(key), &self.turns.answers, encode).await
    }

    /// Cache of the pages for people at `now`.
    pub(super) fn pages(&self, now: UnixSeconds) -> AnswerCache<String, Document> {
        self.still_pages.cache(self.listing.as_of(), now).unwrap_or_else(|| self.answers.clone())
    }

    /// The document of all markets under this path, made by `encode` if it is not kept. No question takes its place.
    pub(super) async fn whole(
        &self,
        path: &'static str,
        encode: impl FnOnce(&ListingView) -> io::Result<Document> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        self.made(self.whole.entry(path), &self.turns.whole, encode).await
    }

    async fn made<K: Clone + Eq + Hash + MemorySize + Send + 'static>(
        &self,
        entry: Entry<K, Document>,
        turns: &Arc<Semaphore>,
        encode: impl FnOnce(&ListingView) -> io::Result<Document> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        if let Some(made) = entry.made() {
            return Ok(made);
        }
        let (listing, turns) = (Arc::clone(&self.listing), Arc::clone(turns));
        let (_reader, reader_left) = oneshot::channel::<()>();
        let asked_at = Instant::now();
        let make = async move {
            let turn = tokio::select! {
                biased;
                _ = reader_left => return Err(ApiError::Busy),
                turn = turn(&turns, asked_at) => turn?,
            };
            in_turn(turn, move || encode(&listing)).await?.map_err(|_| ApiError::Compression)
        };
        // A task of its own, so that what a reader began is finished for the next one.
        let making = tokio::spawn(async move { entry.get(make).await });
        making.await.map_err(|_| ApiError::Busy)?
    }

    /// Computes something of the view, in the turns of the answers. It is not kept.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&ListingView) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = turn(&self.turns.answers, Instant::now()).await?;
        let listing = Arc::clone(&self.listing);
        in_turn(turn, move || compute(&listing)).await
    }

    /// The answer with this key, if it is made already.
    pub(super) fn kept(&self, key: &str) -> Option<Arc<Document>> {
        self.answers.made(key)
    }

    /// Publication of the view.
    pub(super) fn publication(&self) -> Arc<LazyListing> {
        Arc::clone(&self.publication)
    }

    /// Board of the view. The first call takes some microseconds per market.
    pub(super) fn board(&self) -> &Board {
        self.publication.board(&self.listing)
    }
}

/// Computes on a thread of the blocking pool, which holds the turn until it ends. A disconnect does not end it.
async fn in_turn<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let computed = blocking::run(move || {
        let _turn = turn;
        compute()
    });
    computed.await.map_err(|_| ApiError::Busy)
}

/// Waits for a turn to compute, for a reader who asked at `asked_at`.
async fn turn(turns: &Arc<Semaphore>, asked_at: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
    let patience = TURN_MAX.saturating_sub(asked_at.elapsed());
    match tokio::time::timeout(patience, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(ApiError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{market_snapshot::MarketSnapshot, windows::Windows},
        published::{FileMaker, Plain},
    };

    fn publication(seq: i64, second: i64) -> Publication {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(second));
        let snapshot = MarketSnapshot::new(windows.view(), crate::domain::directory::Directory::default());
        Publication::render(seq, None, snapshot, None, &mut FileMaker::default()).unwrap()
    }

    fn text_of(document: &Document) -> &str {
        let Plain::Kept(text) = &document.plain else { panic!("it is small") };
        std::str::from_utf8(text).unwrap()
    }

    fn moment(view: &PinnedView) -> (i64, i64) {
        (view.listing.seq(), view.listing.as_of().0)
    }

    #[tokio::test]
    async fn a_view_is_pinned_for_ten_seconds_and_two_are_kept() {
        let views = Views::new(ListingSource::new("Test Network", []));
        for (seq, second, expected) in
            [(1, 100, (1, 100)), (5, 109, (1, 100)), (6, 110, (6, 110)), (9, 125, (9, 125))]
        {
            let view = views.pinned(&publication(seq, second)).await.unwrap();
            assert_eq!(moment(&view), expected);
        }
        let is_named = |seq, second| views.named(seq, UnixSeconds(second)).is_some();
        assert_eq!(
            [is_named(9, 125), is_named(6, 110), is_named(1, 100), is_named(9, 110)],
            [true, true, false, false]
        );
        let live = views.live(&publication(11, 126)).await.unwrap();
        assert_eq!(moment(&live), (11, 126));
    }

    #[tokio::test]
    async fn all_readers_of_a_publication_share_what_follows_from_it() {
        let (source, newest) = (ListingSource::new("Test Network", []), publication(1, 100));
        let (views, others) = (Views::new(source.clone()), Views::new(source.clone()));
        let written = newest.listing.view(&source);
        for views in [&views, &others] {
            let pinned = views.pinned(&newest).await.unwrap();
            let live = views.live(&newest).await.unwrap();
            assert!(Arc::ptr_eq(&pinned.listing, &written) && Arc::ptr_eq(&live.listing, &written));
            assert!(std::ptr::eq(pinned.board(), live.board()));
        }
        assert!(!Arc::ptr_eq(&publication(1, 100).listing.view(&source), &written));
    }

    /// The first reader may leave before the view is made. A later one must not fill the place with another moment:
    /// cursors of its pages would name a view that nobody finds.
    #[tokio::test]
    async fn a_view_that_was_not_made_in_time_is_made_of_its_own_moment() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let all = u32::try_from(VIEWS_AT_ONCE).unwrap();
        let turns = views.turns.views.acquire_many(all).await.unwrap();
        let first = publication(1, 100);
        let abandoned = tokio::time::timeout(Duration::from_millis(1), views.pinned(&first));
        assert!(abandoned.await.is_err());
        drop(turns);
        let view = views.pinned(&publication(4, 104)).await.unwrap();
        assert_eq!(moment(&view), (1, 100));
        assert!(views.named(1, UnixSeconds(100)).is_some());
    }

    #[tokio::test]
    async fn a_document_is_made_once_for_a_view() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let view = views.pinned(&publication(1, 100)).await.unwrap();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for key in ["a", "b", "a"] {
            let made = Arc::clone(&made);
            let count = move |_: &ListingView| {
                made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                b"{}".to_vec()
            };
            view.document(key.to_owned(), count).await.unwrap();
        }
        assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 2);
        assert_eq!(["a", "b", "c"].map(|key| view.kept(key).is_some()), [true, true, false]);
    }

    #[tokio::test]
    async fn questions_take_no_place_of_a_document_of_all_markets() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let view = views.pinned(&publication(1, 100)).await.unwrap();
        for key in 0..=ANSWERS.answers {
            view.document(key.to_string(), |_| b"{}".to_vec()).await.unwrap();
        }
        assert!(view.kept(&ANSWERS.answers.to_string()).is_none(), "the cache of answers is full");
        for text in ["first", "second"] {
            let whole = view.whole("/all", |_| Document::gzipped(text.as_bytes())).await.unwrap();
            assert_eq!(text_of(&whole), "first");
        }
    }

    #[tokio::test]
    async fn a_computation_has_a_turn_of_the_answers_and_is_not_kept() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let view = views.pinned(&publication(1, 100)).await.unwrap();
        let turns = Arc::clone(&view.turns.answers);
        let free = view.compute(move |view| (view.seq(), turns.available_permits())).await.unwrap();
        assert_eq!(free, (1, ANSWERS_AT_ONCE - 1));
        assert_eq!((view.turns.answers.available_permits(), view.answers.size()), (ANSWERS_AT_ONCE, (0, 0)));
    }

    #[tokio::test]
    async fn what_a_reader_left_behind_keeps_its_turn_and_is_there_for_the_next() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let view = views.pinned(&publication(1, 100)).await.unwrap();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let mut ends = Vec::new();
        for key in 0..ANSWERS_AT_ONCE {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            ends.push(end);
            let begun = begun.clone();
            let render = move |_: &ListingView| {
                begun.send(()).unwrap();
                let _ = ended.recv();
                b"first".to_vec()
            };
            tokio::select! {
                _ = view.document(key.to_string(), render) => unreachable!("it has not ended"),
                begins = begins.recv() => begins.unwrap(),
            }
        }
        assert_eq!(view.turns.answers.available_permits(), 0, "all readers left, and all threads are busy");
        let next = views.live(&publication(2, 101)).await.unwrap();
        let whole = next.whole("/all", |_| Document::gzipped(b"whole")).await.unwrap();
        assert_eq!(
            text_of(&whole),
            "whole",
            "views and documents of all markets do not wait behind questions"
        );
        drop(ends);
        for key in 0..ANSWERS_AT_ONCE {
            let made = view.document(key.to_string(), |_| b"again".to_vec()).await.unwrap();
            assert_eq!(text_of(&made), "first");
        }
    }
}
