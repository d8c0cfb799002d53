//! Views of publications: the pinned ones, and that of the newest publication.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use super::{
    error::ApiError,
    moment_view::MomentView,
    turns::{Turns, in_turn, turn},
};
use crate::{
    domain::instant::UnixSeconds,
    http::board_feed::BoardFeed,
    published::{LazyListing, ListingSource, Publication},
};

/// Seconds for which a view is pinned.
const PINNED_S: i64 = 10;
/// Pinned views that are kept: the newest, and the one before for the cursors of its pages.
const VIEWS_KEPT: usize = 2;
/// Time without a reader after which views and their documents are dropped.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The views of this process.
#[derive(Debug)]
pub struct Views {
    source: ListingSource,
    kept: Mutex<Kept>,
    turns: Turns,
    board_feed: Arc<BoardFeed>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Pinned views, the newest first.
    pinned: VecDeque<Slot>,
    pinned_read_at: Option<Instant>,
    /// View of the newest publication that was asked for.
    live: Option<Slot>,
    live_read_at: Option<Instant>,
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
        // Readers of the previous view need only further pages of its lists. Its whole documents take tens of MB.
        // Readers under way may make them once more, also those of a view that is still being made: they then last as
        // long as the view.
        if let Some(before) = self.pinned.front().and_then(|slot| slot.view.get()) {
            before.drop_whole();
        }
        // Every publication has a live view of its own, so nobody gets an older one again.
        if self.live.as_ref().is_some_and(|live| live.listing.as_of() < slot.listing.as_of()) {
            self.live = None;
        }
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
    view: Arc<OnceCell<Arc<MomentView>>>,
}

impl Views {
    /// Views that are made with this source.
    #[must_use]
    pub fn new(source: ListingSource) -> Self {
        Self { source, kept: Mutex::default(), turns: Turns::default(), board_feed: Arc::default() }
    }

    #[cfg(test)]
    pub(super) const fn turns(&self) -> &Turns {
        &self.turns
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
    pub(super) async fn pinned(&self, newest: &Publication) -> Result<Arc<MomentView>, ApiError> {
        let slot = self.slot(|kept| {
            kept.pinned_read_at = Some(Instant::now());
            match kept.recent(newest) {
                Some(slot) => slot.clone(),
                None => kept.pin(Slot::of(newest)),
            }
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
        kept.pinned_read_at = Some(Instant::now());
        if !kept.pinned.front().is_some_and(|slot| slot.is_of(newest.seq, newest.as_of)) {
            kept.pin(Slot::of(newest));
        }
    }

    /// The view of the newest publication.
    pub(super) async fn live(&self, newest: &Publication) -> Result<Arc<MomentView>, ApiError> {
        let slot = self.slot(|kept| {
            kept.live_read_at = Some(Instant::now());
            match kept.live.as_ref().filter(|slot| slot.is_of(newest.seq, newest.as_of)) {
                Some(slot) => slot.clone(),
                None => kept.live.insert(Slot::of(newest)).clone(),
            }
        });
        self.filled(slot).await
    }

    /// Chooses a slot under the lock, which must not be held while the view is made.
    fn slot(&self, choose: impl FnOnce(&mut Kept) -> Slot) -> Slot {
        choose(&mut self.kept())
    }

    /// The pinned view of this publication, if it is still kept.
    pub(super) fn named(&self, seq: i64, as_of: UnixSeconds) -> Option<Arc<MomentView>> {
        let kept = self.kept();
        let slot = kept.pinned.iter().find(|slot| slot.is_of(seq, as_of))?;
        slot.view.get().cloned()
    }

    /// Drops the pinned views, and the live one, if nobody has read them for five minutes before `now`. A view keeps
    /// the windows of its moment in memory.
    pub fn drop_if_idle(&self, now: Instant) {
        let is_idle = |read_at: Instant| now.saturating_duration_since(read_at) >= IDLE_MAX;
        let mut kept = self.kept();
        if kept.pinned_read_at.is_some_and(is_idle) {
            kept.pinned.clear();
        }
        if kept.live_read_at.is_some_and(is_idle) {
            kept.live = None;
            // Every event of the board is made of a live view.
            self.board_feed.clear();
        }
    }

    /// The view of a slot, made by the first reader who asks.
    async fn filled(&self, slot: Slot) -> Result<Arc<MomentView>, ApiError> {
        let Slot { listing, view } = slot;
        let made = view.get_or_try_init(async || {
            let turn = turn(&self.turns.views, Instant::now()).await?;
            let source = self.source.clone();
            let moment = in_turn(turn, move || listing.moment(&source)).await?;
            Ok(Arc::new(MomentView::new(moment, self.turns.clone())))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{directory::Directory, market_snapshot::MarketSnapshot, windows::Windows},
        http::api::{
            moment_view::Cache,
            turns::{ANSWERS_AT_ONCE, VIEWS_AT_ONCE},
        },
        published::{Document, FileMaker, ListedMoment, Plain},
    };

    fn publication(seq: i64, second: i64) -> Publication {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(second));
        let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
        Publication::render(seq, None, snapshot, None, &mut FileMaker::default()).unwrap()
    }

    fn text_of(document: &Document) -> &str {
        let Plain::Kept(text) = &document.plain else { panic!("it is small") };
        std::str::from_utf8(text).unwrap()
    }

    fn moment(view: &MomentView) -> (i64, i64) {
        (view.listing().seq(), view.listing().as_of().0)
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
    async fn the_view_before_keeps_the_pages_of_its_lists_and_no_document_of_all_markets() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let before = views.pinned(&publication(1, 100)).await.unwrap();
        for cache in [Cache::Whole, Cache::Answers] {
            before.made(cache, "/".to_owned(), |_| Document::gzipped(b"{}")).await.unwrap();
        }
        let kept = || [Cache::Whole, Cache::Answers].map(|cache| before.made_already(cache, "/").is_some());
        views.pinned(&publication(5, 109)).await.unwrap();
        assert_eq!(kept(), [true, true], "the same view");
        views.pinned(&publication(6, 110)).await.unwrap();
        assert_eq!(kept(), [false, true]);
        assert!(Arc::ptr_eq(&views.named(1, UnixSeconds(100)).unwrap(), &before));
    }

    #[tokio::test]
    async fn a_live_view_goes_when_a_newer_one_is_pinned() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let newest = publication(1, 100);
        let live = Arc::downgrade(&views.live(&newest).await.unwrap());
        views.pinned(&newest).await.unwrap();
        assert!(live.upgrade().is_some(), "the next reader gets it");
        views.pinned(&publication(5, 110)).await.unwrap();
        assert!(live.upgrade().is_none(), "nobody gets it again");
    }

    #[tokio::test]
    async fn views_without_a_reader_are_dropped_after_five_minutes() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let newest = publication(1, 100);
        let pinned = Arc::downgrade(&views.pinned(&newest).await.unwrap());
        let live = Arc::downgrade(&views.live(&newest).await.unwrap());
        let read_at = views.kept().pinned_read_at.unwrap();
        views.kept().live_read_at = Some(read_at + Duration::from_secs(60));
        let are_held = |idle_s| {
            views.drop_if_idle(read_at + Duration::from_secs(idle_s));
            (pinned.upgrade().is_some(), live.upgrade().is_some())
        };
        // Readers of one kind do not keep the other.
        let held = [are_held(299), are_held(300), are_held(359), are_held(360)];
        assert_eq!(held, [(true, true), (false, true), (false, true), (false, false)]);
    }

    #[tokio::test]
    async fn all_readers_of_a_publication_share_what_follows_from_it() {
        let (source, newest) = (ListingSource::new("Test Network", []), publication(1, 100));
        let (views, others) = (Views::new(source.clone()), Views::new(source.clone()));
        let written = newest.listing.moment(&source);
        for views in [&views, &others] {
            let pinned = views.pinned(&newest).await.unwrap();
            let live = views.live(&newest).await.unwrap();
            assert!(Arc::ptr_eq(pinned.moment(), &written) && Arc::ptr_eq(live.moment(), &written));
        }
        assert!(!Arc::ptr_eq(&publication(1, 100).listing.moment(&source), &written));
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
    async fn what_a_reader_left_behind_keeps_its_turn_and_is_there_for_the_next() {
        let views = Views::new(ListingSource::new("Test Network", []));
        let view = views.pinned(&publication(1, 100)).await.unwrap();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let mut ends = Vec::new();
        for key in 0..ANSWERS_AT_ONCE {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            ends.push(end);
            let begun = begun.clone();
            let encode = move |_: &ListedMoment| {
                begun.send(()).unwrap();
                let _ = ended.recv();
                Document::gzipped(b"first")
            };
            tokio::select! {
                _ = view.made(Cache::Answers, key.to_string(), encode) => unreachable!("it has not ended"),
                begins = begins.recv() => begins.unwrap(),
            }
        }
        assert_eq!(views.turns.answers.available_permits(), 0, "all readers left, and all threads are busy");
        let next = views.live(&publication(2, 101)).await.unwrap();
        let whole =
            next.made(Cache::Whole, "/all".to_owned(), |_| Document::gzipped(b"whole")).await.unwrap();
        assert_eq!(
            text_of(&whole),
            "whole",
            "views and documents of all markets do not wait behind questions"
        );
        drop(ends);
        for key in 0..ANSWERS_AT_ONCE {
            let again = |_: &ListedMoment| Document::gzipped(b"again");
            let made = view.made(Cache::Answers, key.to_string(), again).await.unwrap();
            assert_eq!(text_of(&made), "first");
        }
    }
}
