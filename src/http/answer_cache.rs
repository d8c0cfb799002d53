//! Bounded cache of answers. Each answer is made once, and everyone who wants it meanwhile waits for it. A new answer
//! replaces the oldest ones, so nobody keeps the answers of others out of the cache by filling it.
//!
//! The owner of a cache decides how long it lives (ADR 21).

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
    /// Largest number of bytes of all keys and answers. An answer that alone has more is not cached.
    pub(super) bytes: usize,
}

/// Cell of an answer that is made once.
type Cell<V> = Arc<OnceCell<Arc<V>>>;

/// The cache. Keys say everything that an answer depends on, beside what the owner of the cache stands for.
#[derive(Debug)]
pub(super) struct AnswerCache<K, V>(Arc<Mutex<State<K, V>>>);

#[derive(Debug)]
struct State<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// Number of the newest slot.
    newest: u64,
    bytes: usize,
    limits: Limits,
}

#[derive(Debug)]
struct Slot<V> {
    cell: Cell<V>,
    /// Number in the order in which the answers were first asked for.
    number: u64,
    /// Bytes of the key and, once it is made, of the answer.
    bytes: usize,
    is_made: bool,
}

/// Place of one answer. It does not keep the other answers in memory.
pub(super) struct Entry<K: Eq + Hash, V> {
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
        Self(Arc::new(Mutex::new(State { slots: HashMap::new(), newest: 0, bytes: 0, limits })))
    }

    /// Returns the place of an answer. Everyone who asks for it until it is replaced gets the same place.
    pub(super) fn entry(&self, key: K) -> Entry<K, V> {
        let mut state = lock(&self.0);
        let known = state.slots.get(&key).map(|slot| Arc::clone(&slot.cell));
        let cell = known.unwrap_or_else(|| state.begin(&key));
        Entry { key, cell, cache: Arc::downgrade(&self.0) }
    }

    /// Returns the answer if it is made already.
    pub(super) fn made<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        lock(&self.0).slots.get(key)?.cell.get().cloned()
    }

    /// Drops all answers. One that is being made still reaches its readers.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.0);
        state.slots.clear();
        state.bytes = 0;
    }

    /// Returns the number of cached answers and their bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let state = lock(&self.0);
        (state.slots.len(), state.bytes)
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
        if let Ok(answer) = &made
            && is_new
        {
            self.count(answer.bytes());
        }
        made
    }

    /// Counts a new answer. Requests that wait for it get it even if the cache does not keep it.
    fn count(&self, bytes: usize) {
        let Some(cache) = self.cache.upgrade() else { return };
        let mut state = lock(&cache);
        if !state.holds(self) {
            return;
        }
        if let Some(slot) = state.remove(&self.key) {
            let bytes = slot.bytes.saturating_add(bytes);
            state.add(self.key.clone(), Slot { bytes, is_made: true, ..slot });
        }
    }
}

/// An answer that was not made, and that nobody waits for any more, leaves the cache: its maker failed, or its readers
/// left.
impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        if self.cell.initialized() {
            return;
        }
        let Some(cache) = self.cache.upgrade() else { return };
        let mut state = lock(&cache);
        if !state.holds(self) {
            return;
        }
        // Release the cell under the lock. If several readers leave at once, the last one then finds no other.
        self.cell = Cell::default();
        let is_abandoned = |slot: &Slot<V>| !slot.cell.initialized() && Arc::strong_count(&slot.cell) == 1;
        if state.slots.get(&self.key).is_some_and(is_abandoned) {
            state.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V> State<K, V> {
    /// Returns true if the cell of the entry is cached. Another one may be there under the same key.
    fn holds(&self, entry: &Entry<K, V>) -> bool {
        self.slots.get(&entry.key).is_some_and(|slot| Arc::ptr_eq(&slot.cell, &entry.cell))
    }

    fn remove(&mut self, key: &K) -> Option<Slot<V>> {
        let slot = self.slots.remove(key)?;
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        Some(slot)
    }
}

impl<K: Clone + Eq + Hash + MemorySize, V> State<K, V> {
    /// Adds the slot of an answer that is made next, and returns its cell.
    fn begin(&mut self, key: &K) -> Cell<V> {
        let cell = Cell::default();
        self.newest = self.newest.saturating_add(1);
        let (number, bytes) = (self.newest, key.bytes());
        self.add(key.clone(), Slot { cell: Arc::clone(&cell), number, bytes, is_made: false });
        cell
    }

    /// Adds a slot in place of the oldest ones, unless it is larger than the whole cache.
    fn add(&mut self, key: K, slot: Slot<V>) {
        if slot.bytes > self.limits.bytes {
            return;
        }
        while self.slots.len() >= self.limits.answers
            || self.bytes.saturating_add(slot.bytes) > self.limits.bytes
        {
            if !self.remove_oldest() {
                return;
            }
        }
        self.bytes = self.bytes.saturating_add(slot.bytes);
        self.slots.insert(key, slot);
    }

    /// Removes the oldest answer. Those that are being made go last, since their readers wait for them together. But
    /// if they take more than half of what is short, the oldest of them goes: made answers keep the other half. The
    /// search of all slots takes microseconds, and any answer takes longer to make.
    fn remove_oldest(&mut self) -> bool {
        let unmade = || self.slots.values().filter(|slot| !slot.is_made);
        let is_crowded = if self.slots.len() >= self.limits.answers {
            unmade().count() > self.limits.answers / 2
        } else {
            unmade().map(|slot| slot.bytes).fold(0, usize::saturating_add) > self.limits.bytes / 2
        };
        // False sorts first: an unmade slot if they are too many, and a made one otherwise.
        let oldest = self.slots.iter().min_by_key(|(_, slot)| (slot.is_made == is_crowded, slot.number));
        let oldest = oldest.map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.remove(&key).is_some())
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

    use futures_util::FutureExt;

    use super::*;

    const LIMITS: Limits = Limits { answers: 8, bytes: 1_000 };

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
    async fn of_large_answers_made_at_once_the_last_one_is_cached() {
        let counted = Counted::new(LIMITS);
        tokio::join!(counted.get("a", 900), counted.get("b", 900), counted.get("c", 900));
        assert_eq!((counted.made(), counted.cache.size()), (3, (1, 901)));
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
    async fn an_answer_whose_readers_all_left_leaves_the_cache() {
        let cache = AnswerCache::<String, String>::new(LIMITS);
        let read = || {
            let never = std::future::pending::<Result<String, Infallible>>();
            let mut read = Box::pin(cache.entry("a".to_owned()).get(never));
            assert!(read.as_mut().now_or_never().is_none());
            read
        };
        let (first, second) = (read(), read());
        drop(first);
        assert_eq!(cache.size(), (1, 1), "the other one waits for it");
        drop(second);
        assert_eq!(cache.size(), (0, 0));
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
    async fn a_new_answer_replaces_the_oldest_one() {
        let counted = Counted::new(LIMITS);
        for key in 0..9 {
            counted.get(&key.to_string(), 1).await;
            counted.get(&key.to_string(), 1).await;
        }
        assert_eq!((counted.made(), counted.cache.size()), (9, (8, 16)));
        assert!(counted.cache.made("0").is_none() && counted.cache.made("1").is_some());
        counted.get("b", 986).await;
        assert_eq!(counted.cache.size(), (7, 999), "as many as its bytes need");
        assert!(counted.cache.made("2").is_none() && counted.cache.made("3").is_some());
    }

    #[tokio::test]
    async fn a_full_cache_makes_a_further_answer_once_for_all_who_want_it() {
        let counted = Counted::new(LIMITS);
        let waiting: Vec<_> = (0..8).map(|key| counted.cache.entry(key.to_string())).collect();
        tokio::join!(counted.get("a", 1), counted.get("a", 1), counted.get("a", 1));
        assert_eq!((counted.made(), counted.cache.size().0), (1, 8));
        for entry in waiting {
            let made = entry.get(async { Ok::<_, Infallible>("x".to_owned()) }).await;
            assert_eq!(*made.unwrap(), "x", "also those that were replaced");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_being_made_is_replaced_last() {
        let counted = Counted::new(LIMITS);
        let slow = counted.cache.entry("slow".to_owned());
        for key in 0..20 {
            counted.get(&key.to_string(), 1).await;
        }
        let next = counted.cache.entry("slow".to_owned());
        assert!(Arc::ptr_eq(&slow.cell, &next.cell));
        slow.get(async { Ok::<_, Infallible>("x".to_owned()) }).await.unwrap();
        assert!(next.made().is_some());
    }

    #[tokio::test]
    async fn answers_that_are_being_made_leave_half_of_the_cache_to_made_ones() {
        let counted = Counted::new(LIMITS);
        counted.get("made", 1).await;
        let waiting: Vec<_> = (0..8).map(|key| counted.cache.entry(key.to_string())).collect();
        assert!(counted.cache.made("made").is_some(), "eight wait, and it is there");
        drop(waiting);
        let large: Vec<_> = (0..4).map(|key| counted.cache.entry(key.to_string().repeat(300))).collect();
        assert!(counted.cache.made("made").is_some(), "large questions wait, and it is there");
        drop(large);
    }

    #[tokio::test]
    async fn small_answers_that_are_being_made_go_for_no_large_one() {
        let counted = Counted::new(LIMITS);
        counted.get("old", 800).await;
        let waiting: Vec<_> = (0..5).map(|key| counted.cache.entry(key.to_string())).collect();
        counted.get("new", 400).await;
        assert!(counted.cache.made("old").is_none() && counted.cache.made("new").is_some());
        assert_eq!(counted.cache.size().0, waiting.len() + 1);
    }

    #[tokio::test]
    async fn an_answer_larger_than_the_cache_is_not_cached_and_replaces_none() {
        let counted = Counted::new(LIMITS);
        for key in ["a", "large", "large"] {
            counted.get(key, if key == "a" { 600 } else { 1_200 }).await;
        }
        assert_eq!((counted.made(), counted.cache.size()), (3, (1, 601)));
        assert!(counted.cache.made("a").is_some());
    }

    #[tokio::test]
    async fn an_answer_that_is_made_while_the_cache_is_cleared_reaches_its_readers_alone() {
        let counted = Counted::new(LIMITS);
        counted.get("made", 9).await;
        let waiting = counted.cache.entry("waiting".to_owned());
        counted.cache.clear();
        assert_eq!(counted.cache.size(), (0, 0));
        let made = waiting.get(async { Ok::<_, Infallible>("x".to_owned()) }).await;
        assert_eq!((made.unwrap().as_str(), counted.cache.size()), ("x", (0, 0)));
        counted.get("made", 9).await;
        assert_eq!((counted.made(), counted.cache.size()), (2, (1, 13)), "it is made again");
    }

    #[tokio::test]
    async fn a_request_does_not_keep_the_answers_of_a_dropped_cache() {
        let counted = Counted::new(LIMITS);
        counted.get("large", 900).await;
        let answer = Arc::downgrade(lock(&counted.cache.0).slots.get("large").unwrap().cell.get().unwrap());
        let waiting = counted.cache.entry("small".to_owned());
        drop(counted);
        assert!(answer.upgrade().is_none());
        let made = waiting.get(async { Ok::<_, Infallible>("x".to_owned()) }).await;
        assert_eq!(*made.unwrap(), "x");
    }
}
