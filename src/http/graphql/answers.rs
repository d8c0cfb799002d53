//! Answers of one publication: made once, whoever else asks for the same waits for it and shares it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::request::Asked;
use crate::{domain::market_snapshot::MarketSnapshot, http::negotiation::Coding, published::Published};

/// Answers that are kept, and requests for which one is being made.
const KEPT_MAX: usize = 512;
/// Bytes of answers and questions that are kept.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A body that is ready to be sent.
#[derive(Debug)]
pub(super) struct CachedAnswer {
    /// As they are sent, one after the other.
    pub(super) pieces: Vec<Bytes>,
    /// How they are coded: what was asked for, or not at all where that is not worth it.
    pub(super) coding: Coding,
    /// Its share of the memory for answers.
    _room: Option<OwnedSemaphorePermit>,
}

impl CachedAnswer {
    /// An answer that holds `room` for as long as it lives.
    pub(super) const fn new(pieces: Vec<Bytes>, coding: Coding, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { pieces, coding, _room: room }
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

type Place = Arc<OnceCell<Arc<CachedAnswer>>>;

/// The answers of the newest publication that anybody asked.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Their publication's snapshot: it itself, for `seq` goes back where a database lost what it had committed.
    of: Weak<MarketSnapshot>,
    places: HashMap<(Asked, Coding), Place>,
    bytes: usize,
}

impl Answers {
    /// The answer to a question of a publication, made by `make` where nobody has made it yet.
    ///
    /// # Errors
    ///
    /// Whatever `make` gives; the next who asks tries again.
    pub(super) async fn get<E>(
        &self,
        of: &Arc<MarketSnapshot>,
        published: &Published,
        question: &(Asked, Coding),
        make: impl Future<Output = Result<CachedAnswer, E>>,
    ) -> Result<Arc<CachedAnswer>, E> {
        let Some(place) = self.place(of, published, question) else { return make.await.map(Arc::new) };
        let mut is_new = false;
        let made = place
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

    /// Where the answer lies or will lie; none where nothing more is kept.
    fn place(
        &self,
        of: &Arc<MarketSnapshot>,
        published: &Published,
        question: &(Asked, Coding),
    ) -> Option<Place> {
        let mut kept = self.kept();
        if !kept.is_of(of) {
            let newest = published.newest();
            if !newest.is_some_and(|newest| Arc::ptr_eq(&newest.snapshot, of)) {
                return None; // a reader that holds an older publication
            }
            *kept = Kept { of: Arc::downgrade(of), ..Kept::default() };
        }
        if let Some(place) = kept.places.get(question) {
            return Some(Arc::clone(place));
        }
        let bytes = kept.bytes + question.0.len();
        if kept.places.len() >= KEPT_MAX || bytes > KEPT_BYTES_MAX {
            return None;
        }
        kept.bytes = bytes;
        let place = Place::default();
        kept.places.insert(question.clone(), Arc::clone(&place));
        Some(place)
    }

    /// Counts an answer that was made, and lets go of it where it is too much; who waits for it has it all the same.
    fn account(&self, of: &Arc<MarketSnapshot>, question: &(Asked, Coding), bytes: usize) {
        let mut kept = self.kept();
        if !kept.is_of(of) {
            return;
        }
        if kept.bytes + bytes > KEPT_BYTES_MAX {
            kept.places.remove(question);
        } else {
            kept.bytes += bytes;
        }
    }

    fn forget(&self, of: &Arc<MarketSnapshot>, question: &(Asked, Coding)) {
        let mut kept = self.kept();
        if kept.is_of(of) && kept.places.remove(question).is_some() {
            kept.bytes = kept.bytes.saturating_sub(question.0.len());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
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

    fn question(query: &str) -> (Asked, Coding) {
        let body = serde_json::json!({"query": query}).to_string();
        (Asked::from_body(body.as_bytes()).unwrap(), Coding::Identity)
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
        let newest = Arc::new(Publication::render(seq, None, MarketSnapshot::default(), maker).unwrap());
        published.publish(Arc::clone(&newest));
        Arc::clone(&newest.snapshot)
    }

    #[tokio::test]
    async fn the_same_question_is_answered_once_a_publication() {
        let (answers, made) = (Answers::default(), AtomicU32::new(0));
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
        assert_eq!(made.load(Ordering::Relaxed), 3, "a new publication is asked anew");
        ask(&first, "b").await.unwrap();
        ask(&first, "b").await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 5, "of an older one nothing is kept");
        ask(&second, "a").await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 5, "and it does not drive out what is");
    }

    #[tokio::test]
    async fn answers_are_kept_when_seq_has_gone_back() {
        let (answers, made) = (Answers::default(), AtomicU32::new(0));
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
    async fn an_error_is_not_kept() {
        let answers = Answers::default();
        let (published, newest) = published(1);
        let failed = answers.get(&newest, &published, &question("a"), async { Err("no") }).await;
        assert_eq!(failed.unwrap_err(), "no");
        let made = AtomicU32::new(0);
        answers.get(&newest, &published, &question("a"), make(&made, 1)).await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_number_and_bytes() {
        let (answers, made) = (Answers::default(), AtomicU32::new(0));
        let (published, newest) = published(1);
        for round in 0..3 {
            let large = question(&format!("large {round}"));
            answers.get(&newest, &published, &large, make(&made, KEPT_BYTES_MAX / 2)).await.unwrap();
        }
        for number in 0..2 * KEPT_MAX {
            answers.get(&newest, &published, &question(&number.to_string()), make(&made, 1)).await.unwrap();
        }
        let kept = answers.kept();
        assert!(
            kept.places.len() <= KEPT_MAX && kept.bytes <= KEPT_BYTES_MAX,
            "{} {}",
            kept.places.len(),
            kept.bytes
        );
    }
}
