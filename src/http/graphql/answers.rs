//! Cache of answers from one publication. Each answer is made once; concurrent requests for the same document share it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::request::DocumentRequest;
use crate::{domain::market_snapshot::MarketSnapshot, http::negotiation::Coding, published::Published};

/// Largest number of cached answers, including those that are being made.
const KEPT_MAX: usize = 512;
/// Largest number of bytes of cached answers and of the documents that they belong to.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A body that is ready to be sent.
#[derive(Debug)]
pub(super) struct CachedAnswer {
    /// Parts of the body, in order.
    pub(super) pieces: Vec<Bytes>,
    /// Coding of the body: the requested one, or identity for a body that is not worth compressing.
    pub(super) coding: Coding,
    /// Its share of the memory for answers.
    _room: Option<OwnedSemaphorePermit>,
}

impl CachedAnswer {
    /// Returns an answer that holds `room` for as long as it lives.
    pub(super) const fn new(pieces: Vec<Bytes>, coding: Coding, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { pieces, coding, _room: room }
    }

    /// Returns the bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// Slot of an answer that is made once.
type Slot = Arc<OnceCell<Arc<CachedAnswer>>>;

/// Cache of answers from the newest publication that was queried.
#[derive(Debug, Default)]
pub(super) struct AnswerCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    /// Snapshot of the publication. It is compared by address, because `seq` is not unique: it goes back if the
    /// database loses committed batches.
    of: Weak<MarketSnapshot>,
    slots: HashMap<(DocumentRequest, Coding), Slot>,
    bytes: usize,
}

impl AnswerCache {
    /// Returns the answer to a document. `make` makes it if it is not cached.
    ///
    /// # Errors
    ///
    /// The error of `make`. It is not cached, so the next request tries again.
    pub(super) async fn get<E>(
        &self,
        of: &Arc<MarketSnapshot>,
        published: &Published,
        question: &(DocumentRequest, Coding),
        make: impl Future<Output = Result<CachedAnswer, E>>,
    ) -> Result<Arc<CachedAnswer>, E> {
        let Some(slot) = self.slot(of, published, question) else { return make.await.map(Arc::new) };
        let mut is_new = false;
        let made = slot
            .get_or_try_init(async || {
                is_new = true;
                make.await.map(Arc::new)
            })
            .await
            .cloned();
        match &made {
            Ok(answer) if is_new => self.account(of, question, answer.len()),
            Ok(_) => {}
            Err(_) => self.forget(of, question),
        }
        made
    }

    /// Returns the slot of an answer, or none if it will not be cached.
    fn slot(
        &self,
        of: &Arc<MarketSnapshot>,
        published: &Published,
        question: &(DocumentRequest, Coding),
    ) -> Option<Slot> {
        let mut state = self.state();
        if !state.is_of(of) {
            let newest = published.newest();
            if !newest.is_some_and(|newest| Arc::ptr_eq(&newest.snapshot, of)) {
                return None; // A request that began before the newest publication must not empty its cache.
            }
            *state = CacheState { of: Arc::downgrade(of), ..CacheState::default() };
        }
        if let Some(slot) = state.slots.get(question) {
            return Some(Arc::clone(slot));
        }
        let bytes = state.bytes + question.0.len();
        if state.slots.len() >= KEPT_MAX || bytes > KEPT_BYTES_MAX {
            return None;
        }
        state.bytes = bytes;
        let slot = Slot::default();
        state.slots.insert(question.clone(), Arc::clone(&slot));
        Some(slot)
    }

    /// Counts a new answer, and removes it from the cache if it exceeds the limit. Requests that wait for it get it all
    /// the same.
    fn account(&self, of: &Arc<MarketSnapshot>, question: &(DocumentRequest, Coding), bytes: usize) {
        let mut state = self.state();
        if !state.is_of(of) {
            return;
        }
        if state.bytes + bytes > KEPT_BYTES_MAX {
            state.slots.remove(question);
        } else {
            state.bytes += bytes;
        }
    }

    fn forget(&self, of: &Arc<MarketSnapshot>, question: &(DocumentRequest, Coding)) {
        let mut state = self.state();
        if state.is_of(of) && state.slots.remove(question).is_some() {
            state.bytes = state.bytes.saturating_sub(question.0.len());
        }
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheState {
    fn is_of(&self, snapshot: &Arc<MarketSnapshot>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published::{FileMaker, Publication};
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    fn question(query: &str) -> (DocumentRequest, Coding) {
        let body = serde_json::json!({"query": query}).to_string();
        (DocumentRequest::from_body(body.as_bytes()).unwrap(), Coding::Identity)
    }

    async fn make(made: &AtomicU32, bytes: usize) -> Result<CachedAnswer, Infallible> {
        made.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(CachedAnswer::new(vec![vec![0; bytes].into()], Coding::Identity, None))
    }

    fn published(seq: i64) -> (Published, Arc<MarketSnapshot>) {
        let published = Published::default();
        let newest = publish(&published, seq);
        (published, newest)
    }

    fn publish(published: &Published, seq: i64) -> Arc<MarketSnapshot> {
        let maker = &mut FileMaker::default();
        let newest =
            Arc::new(Publication::render(seq, None, MarketSnapshot::default(), None, maker).unwrap());
        published.publish(Arc::clone(&newest));
        Arc::clone(&newest.snapshot)
    }

    #[tokio::test]
    async fn the_same_document_is_answered_once_per_publication() {
        let (answers, made) = (AnswerCache::default(), AtomicU32::new(0));
        let (published, first) = published(1);
        let ask = |of: &Arc<MarketSnapshot>, query: &'static str| {
            let (answers, made, published, of) = (&answers, &made, &published, Arc::clone(of));
            async move { answers.get(&of, published, &question(query), make(made, 1)).await }
        };
        let _ = tokio::join!(ask(&first, "a"), ask(&first, "a"), ask(&first, "a"), ask(&first, "b"));
        assert_eq!(made.load(Ordering::Relaxed), 2);
        let second = publish(&published, 2);
        ask(&second, "a").await.unwrap();
        ask(&second, "a").await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 3, "a new publication needs a new answer");
        ask(&first, "b").await.unwrap();
        ask(&first, "b").await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 5, "answers of an older publication are not cached");
        ask(&second, "a").await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 5, "and do not empty the cache");
    }

    #[tokio::test]
    async fn answers_are_cached_after_seq_went_back() {
        let (answers, made) = (AnswerCache::default(), AtomicU32::new(0));
        let (published, mut newest) = published(1_000_000);
        for (seq, wanted) in [(None, 1), (Some(5), 2), (Some(5), 3), (Some(6), 4)] {
            newest = seq.map_or(newest, |seq| publish(&published, seq));
            for _ in 0..3 {
                answers.get(&newest, &published, &question("a"), make(&made, 1)).await.unwrap();
            }
            assert_eq!(made.load(Ordering::Relaxed), wanted, "{seq:?}");
        }
    }

    #[tokio::test]
    async fn an_error_is_not_cached() {
        let answers = AnswerCache::default();
        let (published, newest) = published(1);
        let failed = answers.get(&newest, &published, &question("a"), async { Err("no") }).await;
        assert_eq!(failed.unwrap_err(), "no");
        let made = AtomicU32::new(0);
        answers.get(&newest, &published, &question("a"), make(&made, 1)).await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_cache_is_bounded_in_number_and_bytes() {
        let (answers, made) = (AnswerCache::default(), AtomicU32::new(0));
        let (published, newest) = published(1);
        for round in 0..3 {
            let large = question(&format!("large {round}"));
            answers.get(&newest, &published, &large, make(&made, KEPT_BYTES_MAX / 2)).await.unwrap();
        }
        for number in 0..2 * KEPT_MAX {
            answers.get(&newest, &published, &question(&number.to_string()), make(&made, 1)).await.unwrap();
        }
        let state = answers.state();
        assert!(
            state.slots.len() <= KEPT_MAX && state.bytes <= KEPT_BYTES_MAX,
            "{} {}",
            state.slots.len(),
            state.bytes
        );
    }
}
