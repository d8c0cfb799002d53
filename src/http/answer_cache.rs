//! Bounded cache of answers. Each answer is made once, and everyone who wants it meanwhile waits for it.
//!
//! Its owner decides how long it lives: GraphQL's belongs to one publication, and those of the API to a view (ADR 21).

use std::{
    borrow::Borrow,
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::OnceCell;

use crate::published::Document;

/// A key or an answer whose memory counts.
pub(super) trait MemorySize {
    /// Its size in bytes.
    fn bytes(&self) -> usize;
}

impl MemorySize for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl MemorySize for &'static str {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl MemorySize for Document {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

/// Limits of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Largest number of answers, including those that are being made.
    pub(super) answers: usize,
    /// Largest number of bytes of all keys and answers.
    pub(super) bytes: usize,
    /// Treatment of the answer that goes beyond `bytes`.
    pub(super) last: LastAnswer,
}

/// Treatment of the answer with which a cache exceeds its bytes. No answer follows it in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastAnswer {
    /// It is cached: it costs so much that its own size may go beyond the limit. Those that were being made meanwhile
    /// are not cached.
    Kept,
    /// It is not cached: the memory has another use.
    Dropped,
}

/// Cell of an answer that is made once.
type Cell<V> = Arc<OnceCell<Arc<V>>>;

/// The cache. Keys say everything that an answer depends on, beside what the owner of the cache stands for.
#[derive(Debug)]
pub(super) struct AnswerCache<K, V>(Arc<Mutex<State<K, V>>>);

#[derive(Debug)]
struct State<K, V> {
    cells: HashMap<K, Cell<V>>,
    bytes: usize,
    limits: Limits,
}

/// Place of one answer. It does not keep the other answers in memory.
pub(super) struct Entry<K, V> {
    key: K,
    cell: Cell<V>,
    /// Cache that the answer belongs to; empty for an answer that is made for one reader alone.
    cache: Weak<Mutex<State<K, V>>>,
}

/// A clone is the same cache.
impl<K, V> Clone for AnswerCache<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash + MemorySize, V: MemorySize> AnswerCache<K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(State { cells: HashMap::new(), bytes: 0, limits })))
    }

    /// Returns the place of an answer. If the cache is full, the answer is made for its reader alone.
    pub(super) fn entry(&self, key: K) -> Entry<K, V> {
        let mut state = lock(&self.0);
        if let Some(cell) = state.cells.get(&key) {
            return Entry { cell: Arc::clone(cell), key, cache: Arc::downgrade(&self.0) };
        }
        let has_room =
            state.cells.len() < state.limits.answers && state.bytes + key.bytes() <= state.limits.bytes;
        if !has_room {
            return Entry::alone(key);
        }
        let cell = Cell::default();
        state.bytes += key.bytes();
        state.cells.insert(key.clone(), Arc::clone(&cell));
        Entry { key, cell, cache: Arc::downgrade(&self.0) }
    }

    /// Returns the answer if it is made already.
    pub(super) fn made<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        lock(&self.0).cells.get(key)?.get().cloned()
    }

    /// Returns the number of cached answers and their bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let state = lock(&self.0);
        (state.cells.len(), state.bytes)
    }
}

impl<K: Clone + Eq + Hash + MemorySize, V: MemorySize> Entry<K, V> {
    /// Place of an answer that is not cached.
    pub(super) fn alone(key: K) -> Self {
        Self { key, cell: Cell::default(), cache: Weak::new() }
    }

    /// Returns the answer if it is made already.
    pub(super) fn made(&self) -> Option<Arc<V>> {
        self.cell.get().cloned()
    }

    /// Returns the answer. `make` makes it if nobody did.
    ///
    /// # Errors
    ///
    /// The error of `make`. It is not cached, so the next request tries again.
    pub(super) async fn get<E>(self, make: impl Future<Output = Result<V, E>>) -> Result<Arc<V>, E> {
        let mut is_new = false;
        let made = self.cell.get_or_try_init(async || {
            is_new = true;
            make.await.map(Arc::new)
        });
        let made = made.await.cloned();
        match &made {
            Ok(answer) if is_new => self.count(answer.bytes()),
            Ok(_) => {}
            Err(_) => self.forget(),
        }
        made
    }

    /// Counts a new answer, or removes it if the cache exceeds its bytes and must not. Requests that wait for it get it
    /// all the same.
    fn count(&self, bytes: usize) {
        let Some(cache) = self.cache.upgrade() else { return };
        let mut state = lock(&cache);
        if !state.holds(self) {
            return;
        }
        let limits = state.limits;
        let is_full = match limits.last {
            LastAnswer::Kept => state.bytes > limits.bytes,
            LastAnswer::Dropped => state.bytes + bytes > limits.bytes,
        };
        if is_full {
            state.remove(&self.key);
        } else {
            state.bytes += bytes;
        }
    }

    fn forget(&self) {
        let Some(cache) = self.cache.upgrade() else { return };
        let mut state = lock(&cache);
        // Another request may have made the answer meanwhile, and it counts. Or one waits for
        // the cell, and makes it now.
        let is_awaited = Arc::strong_count(&self.cell) > 2;
        if state.holds(self) && self.cell.get().is_none() && !is_awaited {
            state.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash + MemorySize, V> State<K, V> {
    /// Returns true if the cell of the entry is cached. Another one may be there under the same key.
    fn holds(&self, entry: &Entry<K, V>) -> bool {
        self.cells.get(&entry.key).is_some_and(|cell| Arc::ptr_eq(cell, &entry.cell))
    }

    /// Removes an answer that is not counted yet.
    fn remove(&mut self, key: &K) {
        self.cells.remove(key);
        self.bytes = self.bytes.saturating_sub(key.bytes());
    }
}

fn lock<K, V>(state: &Mutex<State<K, V>>) -> MutexGuard<'_, State<K, V>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const LIMITS: Limits = Limits { answers: 8, bytes: 1_000, last: LastAnswer::Dropped };

    /// Cache of texts, and the number of answers that were made for it.
    struct Counted {
        cache: AnswerCache<String, String>,
        made: AtomicUsize,
    }

    impl Counted {
        fn new(limits: Limits) -> Self {
            Self { cache: AnswerCache::new(limits), made: AtomicUsize::new(0) }
        }

        async fn get(&self, key: &str, bytes: usize) {
            let make = async {
                self.made.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>("x".repeat(bytes))
            };
            assert_eq!(self.cache.entry(key.to_owned()).get(make).await.unwrap().len(), bytes);
        }

        fn made(&self) -> usize {
            self.made.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn an_answer_is_made_once_for_all_who_want_it() {
        let counted = Counted::new(LIMITS);
        tokio::join!(counted.get("a", 9), counted.get("a", 9), counted.get("b", 9), counted.get("a", 9));
        counted.get("a", 9).await;
        assert_eq!((counted.made(), counted.cache.size()), (2, (2, 20)));
        assert!(counted.cache.made("a").is_some() && counted.cache.made("c").is_none());
    }

    #[tokio::test]
    async fn of_large_answers_made_at_once_at_most_one_goes_beyond_the_limit() {
        for (last, expected) in [(LastAnswer::Kept, (2, 1_802)), (LastAnswer::Dropped, (1, 901))] {
            let counted = Counted::new(Limits { last, ..LIMITS });
            tokio::join!(counted.get("a", 900), counted.get("b", 900), counted.get("c", 900));
            assert_eq!((counted.made(), counted.cache.size()), (3, expected), "{last:?}");
        }
    }

    #[tokio::test]
    async fn an_error_is_not_cached() {
        let counted = Counted::new(LIMITS);
        let failed = counted.cache.entry("a".to_owned()).get(async { Err("no") }).await;
        assert_eq!((failed.unwrap_err(), counted.cache.size()), ("no", (0, 0)));
        counted.get("a", 9).await;
        assert_eq!((counted.made(), counted.cache.size()), (1, (1, 10)));
    }

    #[tokio::test]
    async fn after_an_error_the_next_in_line_makes_the_answer() {
        let cache = AnswerCache::<String, String>::new(LIMITS);
        let (failing, working) = (cache.entry("a".to_owned()), cache.entry("a".to_owned()));
        let failing = failing.get(async {
            tokio::task::yield_now().await;
            Err("no")
        });
        let (failed, made) = tokio::join!(failing, working.get(async { Ok::<_, &str>("x".to_owned()) }));
        assert!(failed.is_err() && made.is_ok());
        assert_eq!(cache.size(), (1, 2), "it is there for all later requests");
    }

    #[tokio::test]
    async fn a_full_cache_makes_further_answers_for_their_reader_alone() {
        let counted = Counted::new(LIMITS);
        for key in 0..LIMITS.answers + 3 {
            counted.get(&key.to_string(), 1).await;
            counted.get(&key.to_string(), 1).await;
        }
        assert_eq!((counted.made(), counted.cache.size()), (LIMITS.answers + 2 * 3, (8, 16)));
    }

    #[tokio::test]
    async fn the_answer_that_exceeds_the_bytes_is_kept_or_dropped() {
        for (last, answers, bytes) in [(LastAnswer::Kept, 2, 1_202), (LastAnswer::Dropped, 1, 601)] {
            let counted = Counted::new(Limits { last, ..LIMITS });
            for key in ["a", "b"] {
                counted.get(key, 600).await;
            }
            assert_eq!((counted.made(), counted.cache.size()), (2, (answers, bytes)), "{last:?}");
        }
        let kept = Counted::new(Limits { last: LastAnswer::Kept, ..LIMITS });
        for key in ["a", "b", "c"] {
            kept.get(key, 600).await;
        }
        assert_eq!(kept.cache.size().0, 2, "none follows it");
    }

    #[tokio::test]
    async fn a_request_does_not_keep_the_answers_of_a_dropped_cache() {
        let counted = Counted::new(LIMITS);
        counted.get("large", 900).await;
        let answer = Arc::downgrade(lock(&counted.cache.0).cells.get("large").unwrap().get().unwrap());
        let waiting = counted.cache.entry("small".to_owned());
        drop(counted);
        assert!(answer.upgrade().is_none());
        let made = waiting.get(async { Ok::<_, Infallible>("x".to_owned()) }).await;
        assert_eq!(*made.unwrap(), "x");
    }
}
