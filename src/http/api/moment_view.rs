//! One moment with the documents that were made of it.

use std::{io, sync::Arc, time::Instant};

use ticker_formats::listings::ListingView;
use tokio::sync::oneshot;

use super::{
    error::ApiError,
    still_pages::StillPages,
    turns::{Turns, in_turn, turn},
};
use crate::{
    domain::instant::UnixSeconds,
    http::answer_cache::{AnswerCache, Limits},
    published::{Document, ListedMoment},
};

/// Limits on a view's answers to requests with names or parameters, and (`WHOLE`) on its documents of all markets,
/// whose number is fixed. With two caches of 8 MiB each for still pages, a view takes at most 112 MiB. At most three
/// views exist, so all caches together take at most 336 MiB.
const ANSWERS: Limits = Limits { answers: 512, bytes: 32 << 20 };
const WHOLE: Limits = Limits { answers: 64, bytes: 64 << 20 };

/// View of one moment, with the documents that were made of it.
#[derive(Debug)]
pub(super) struct MomentView {
    moment: Arc<ListedMoment>,
    whole: AnswerCache<String, Document>,
    answers: AnswerCache<String, Document>,
    still_pages: StillPages,
    still_list: StillPages,
    turns: Turns,
}

/// Cache of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// Documents of all markets, by their path. No question takes the place of one.
    Whole,
    /// Answers to requests with names or parameters.
    Answers,
    /// Pages for people at this time.
    Pages(UnixSeconds),
    /// The list of all markets at this time, the page that most people read. Answers to requests with names or
    /// parameters neither replace it nor use its turns.
    List(UnixSeconds),
}

impl MomentView {
    pub(super) fn new(moment: Arc<ListedMoment>, turns: Turns) -> Self {
        Self {
            moment,
            whole: AnswerCache::new(WHOLE),
            answers: AnswerCache::new(ANSWERS),
            still_pages: StillPages::default(),
            still_list: StillPages::default(),
            turns,
        }
    }

    /// Drops the documents of all markets. A later reader of this view makes them again.
    pub(super) fn drop_whole(&self) {
        self.whole.clear();
    }

    /// The view and its board.
    pub(super) const fn moment(&self) -> &Arc<ListedMoment> {
        &self.moment
    }

    /// The view.
    pub(super) fn listing(&self) -> &ListingView {
        self.moment.view()
    }

    /// The document with this key, made by `encode` if the cache does not have it.
    pub(super) async fn made(
        &self,
        cache: Cache,
        key: String,
        encode: impl FnOnce(&ListedMoment) -> io::Result<Document> + Send + 'static,
    ) -> Result<Arc<Document>, ApiError> {
        let entry = self.cache(cache).entry(key);
        if let Some(made) = entry.made() {
            return Ok(made);
        }
        let turns = match cache {
            Cache::Whole | Cache::List(_) => &self.turns.whole,
            Cache::Answers | Cache::Pages(_) => &self.turns.answers,
        };
        let (moment, turns) = (Arc::clone(&self.moment), Arc::clone(turns));
        let (_reader, reader_left) = oneshot::channel::<()>();
        let asked_at = Instant::now();
        let make = async move {
            let turn = tokio::select! {
                biased;
                _ = reader_left => return Err(ApiError::Busy),
                turn = turn(&turns, asked_at) => turn?,
            };
            in_turn(turn, move || encode(&moment)).await?.map_err(|_| ApiError::Compression)
        };
        // A task of its own, so that what a reader began is finished for the next one.
        let making = tokio::spawn(async move { entry.get(make).await });
        making.await.map_err(|_| ApiError::Busy)?
    }

    /// The document with this key, if it is made already.
    pub(super) fn made_already(&self, cache: Cache, key: &str) -> Option<Arc<Document>> {
        self.cache(cache).made(key)
    }

    /// Computes something of the view, in the turns of the answers. It is not kept.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&ListingView) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = turn(&self.turns.answers, Instant::now()).await?;
        let moment = Arc::clone(&self.moment);
        in_turn(turn, move || compute(moment.view())).await
    }

    fn cache(&self, cache: Cache) -> AnswerCache<String, Document> {
        let as_of = self.listing().as_of();
        match cache {
            Cache::Whole => self.whole.clone(),
            Cache::Answers => self.answers.clone(),
            Cache::Pages(now) => self.still_pages.cache(as_of, now).unwrap_or_else(|| self.answers.clone()),
            Cache::List(now) => self.still_list.cache(as_of, now).unwrap_or_else(|| self.whole.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        domain::{directory::Directory, market_snapshot::MarketSnapshot, windows::Windows},
        http::api::turns::ANSWERS_AT_ONCE,
        published::{FileMaker, ListingSource, Publication},
    };

    fn view() -> MomentView {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(100));
        let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
        let publication = Publication::render(1, None, snapshot, None, &mut FileMaker::default()).unwrap();
        MomentView::new(publication.listing.moment(&ListingSource::new("Test Network", [])), Turns::default())
    }

    #[tokio::test]
    async fn a_document_is_made_once_for_a_view() {
        let (view, made) = (view(), Arc::new(AtomicUsize::new(0)));
        for key in ["a", "b", "a"] {
            let made = Arc::clone(&made);
            let count = move |_: &ListedMoment| {
                made.fetch_add(1, Ordering::SeqCst);
                Document::gzipped(b"{}")
            };
            view.made(Cache::Answers, key.to_owned(), count).await.unwrap();
        }
        assert_eq!(made.load(Ordering::SeqCst), 2);
        let is_made = |key| view.made_already(Cache::Answers, key).is_some();
        assert_eq!(["a", "b", "c"].map(is_made), [true, true, false]);
    }

    #[tokio::test]
    async fn other_answers_never_replace_documents_of_all_markets_or_the_list() {
        let (view, as_of) = (view(), UnixSeconds(100));
        let make = async |cache, key: &str| {
            view.made(cache, key.to_owned(), |_| Document::gzipped(b"{}")).await.unwrap()
        };
        // While publications stand still, pages are made again every ten seconds.
        for now in [as_of, as_of.plus(60)] {
            let whole = make(Cache::Whole, "/all").await;
            let list = make(Cache::List(now), "/").await;
            for key in 0..=ANSWERS.answers {
                make(Cache::Answers, &format!("answer{key} at {}", now.0)).await;
                make(Cache::Pages(now), &format!("page{key} at {}", now.0)).await;
            }
            let again = [make(Cache::Whole, "/all").await, make(Cache::List(now), "/").await];
            assert!(Arc::ptr_eq(&again[0], &whole) && Arc::ptr_eq(&again[1], &list), "each is made once");
            let first = format!("answer0 at {}", now.0);
            assert!(view.made_already(Cache::Answers, &first).is_none(), "it was replaced");
        }
    }

    #[tokio::test]
    async fn a_computation_has_a_turn_of_the_answers_and_is_not_kept() {
        let view = view();
        let turns = Arc::clone(&view.turns.answers);
        let free = view.compute(move |view| (view.seq(), turns.available_permits())).await.unwrap();
        assert_eq!(free, (1, ANSWERS_AT_ONCE - 1));
        assert_eq!((view.turns.answers.available_permits(), view.answers.size()), (ANSWERS_AT_ONCE, (0, 0)));
    }
}
