//! Views: moments that documents are made of, each with its rendered documents.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ticker_formats::listings::ListingView;
use tokio::sync::{OnceCell, Semaphore};

use super::error::ApiError;
use crate::{
    blocking,
    domain::{asset::Asset, coverage::LedgerRange, instant::UnixSeconds},
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
/// Most bytes of documents kept of a view, in all encodings.
const DOCUMENT_BYTES_MAX: usize = 256 << 20;
/// Views and documents that are made at the same time. The others wait.
const AT_ONCE: usize = 4;
/// Longest wait for a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The views of this process.
#[derive(Debug)]
pub struct Views {
    passphrase: Arc<str>,
    anchors: Arc<[Asset]>,
    kept: Mutex<Kept>,
    turns: Arc<Semaphore>,
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
    as_of: UnixSeconds,
    view: Arc<OnceCell<Arc<PinnedView>>>,
}

/// One moment with the documents that were made of it.
#[derive(Debug)]
pub(super) struct PinnedView {
    pub(super) listing: Arc<ListingView>,
    documents: Mutex<Documents>,
    turns: Arc<Semaphore>,
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
            kept: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The pinned view: of the newest publication, or of one that is less than ten seconds older.
    pub(super) async fn pinned(
        &self,
        newest: &Arc<Publication>,
        coverage: Arc<Vec<LedgerRange>>,
    ) -> Result<Arc<PinnedView>, ApiError> {
        let slot = {
            let mut kept = self.kept();
            kept.read_at = Some(Instant::now());
            let is_recent = |slot: &&Slot| {
                let age = newest.as_of.0.saturating_sub(slot.as_of.0);
                (0..PINNED_S).contains(&age) && slot.seq <= newest.seq
            };
            match kept.pinned.front().filter(is_recent) {
                Some(slot) => slot.clone(),
                None => {
                    let slot = Slot::of(newest);
                    kept.pinned.push_front(slot.clone());
                    kept.pinned.truncate(VIEWS_KEPT);
                    slot
                }
            }
        };
        self.filled(slot, newest, coverage).await
    }

    /// The view of the newest publication.
    pub(super) async fn live(
        &self,
        newest: &Arc<Publication>,
        coverage: Arc<Vec<LedgerRange>>,
    ) -> Result<Arc<PinnedView>, ApiError> {
        let slot = {
            let mut kept = self.kept();
            kept.read_at = Some(Instant::now());
            match kept.live.as_ref().filter(|slot| slot.is_of(newest.seq, newest.as_of)) {
                Some(slot) => slot.clone(),
                None => kept.live.insert(Slot::of(newest)).clone(),
            }
        };
        self.filled(slot, newest, coverage).await
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
        }
    }

    /// The view of a slot, made of `newest` if nobody has made it. A slot that is new is of `newest`; any other one is
    /// filled already, or by somebody who waits in line before us.
    async fn filled(
        &self,
        slot: Slot,
        newest: &Arc<Publication>,
        coverage: Arc<Vec<LedgerRange>>,
    ) -> Result<Arc<PinnedView>, ApiError> {
        let made = slot.view.get_or_try_init(async || {
            let _turn = turn(&self.turns).await?;
            let (seq, snapshot) = (newest.seq, Arc::clone(&newest.snapshot));
            let (passphrase, anchors) = (Arc::clone(&self.passphrase), Arc::clone(&self.anchors));
            let made =
                blocking::run(move || ListingView::new(seq, snapshot, coverage, passphrase, &anchors)).await;
            let listing = Arc::new(made.map_err(|_| ApiError::Busy)?);
            Ok(Arc::new(PinnedView { listing, documents: Mutex::default(), turns: Arc::clone(&self.turns) }))
        });
        made.await.cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn of(publication: &Publication) -> Self {
        Self { seq: publication.seq, as_of: publication.as_of, view: Arc::default() }
    }

    fn is_of(&self, seq: i64, as_of: UnixSeconds) -> bool {
        self.seq == seq && self.as_of == as_of
    }
}

impl PinnedView {
    /// The document with this key, made by `render` if it is not kept.
    pub(super) async fn document(
        &self,
        key: String,
        render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
    ) -> Result<Arc<EncodedFile>, ApiError> {
        let slot = {
            let mut documents = self.documents();
            let has_room = documents.by_key.len() < DOCUMENTS_MAX && documents.bytes < DOCUMENT_BYTES_MAX;
            match documents.by_key.get(&key) {
                Some(slot) => Arc::clone(slot),
                None if has_room => Arc::clone(documents.by_key.entry(key.clone()).or_default()),
                None => Arc::default(), // made for this reader alone
            }
        };
        let made = slot.get_or_try_init(async || {
            let _turn = turn(&self.turns).await?;
            let listing = Arc::clone(&self.listing);
            let made = blocking::run(move || EncodedFile::gzipped(render(&listing))).await;
            let file = made.map_err(|_| ApiError::Busy)?.map_err(|_| ApiError::Compression)?;
            self.documents().bytes += file.raw.len() + file.gzip.len();
            Ok(Arc::new(file))
        });
        let made = made.await.cloned();
        if made.is_err() {
            self.documents().by_key.remove(&key); // the next reader tries again
        }
        made
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
