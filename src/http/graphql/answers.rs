//! Cache of answers from the newest publication.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{output::CachedAnswer, request::DocumentRequest};
use crate::{
    domain::market_snapshot::MarketSnapshot,
    http::{
        answer_cache::{AnswerCache, Entry, Limits, MemorySize},
        negotiation::Coding,
    },
    published::Published,
};

/// Limits of the cache. Answers hold their share of the memory for all answers.
const LIMITS: Limits = Limits { answers: 512, bytes: 32 * 1024 * 1024 };

impl MemorySize for CachedAnswer {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Everything that an answer depends on, beside the publication.
pub(super) type Question = (DocumentRequest, Coding);

impl MemorySize for Question {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Cache of answers from the newest publication that was queried.
#[derive(Debug, Default)]
pub(super) struct NewestAnswers(Mutex<OfPublication>);

#[derive(Debug)]
struct OfPublication {
    /// Snapshot of the publication. It is compared by address, because `seq` is not unique: it goes back if the
    /// database loses committed batches.
    snapshot: Weak<MarketSnapshot>,
    answers: AnswerCache<Question, CachedAnswer>,
}

impl Default for OfPublication {
    fn default() -> Self {
        Self { snapshot: Weak::new(), answers: AnswerCache::new(LIMITS) }
    }
}

impl NewestAnswers {
    /// Returns the place of an answer from this snapshot. An answer from an older publication is not cached.
    pub(super) fn entry(
        &self,
        snapshot: &Arc<MarketSnapshot>,
        published: &Published,
        question: Question,
    ) -> Entry<Question, CachedAnswer> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(cached.snapshot.as_ptr(), Arc::as_ptr(snapshot)) {
            let newest = published.newest();
            if !newest.is_some_and(|newest| Arc::ptr_eq(&newest.snapshot, snapshot)) {
                // A request that began before the newest publication must not empty its cache.
                return Entry::alone(question);
            }
            *cached = OfPublication { snapshot: Arc::downgrade(snapshot), ..OfPublication::default() };
        }
        cached.answers.entry(question)
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

    fn question(query: &str) -> Question {
        let body = serde_json::json!({"query": query}).to_string();
        (DocumentRequest::from_body(body.as_bytes()).unwrap(), Coding::Identity)
    }

    async fn make(made: &AtomicU32) -> Result<CachedAnswer, Infallible> {
        made.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(CachedAnswer::new(vec![vec![0].into()], Coding::Identity, None))
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
        let (answers, made) = (NewestAnswers::default(), AtomicU32::new(0));
        let (published, first) = published(1);
        let ask = |of: &Arc<MarketSnapshot>, query: &'static str| {
            let (answers, made, published, of) = (&answers, &made, &published, Arc::clone(of));
            async move { answers.entry(&of, published, question(query)).get(make(made)).await }
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
        let (answers, made) = (NewestAnswers::default(), AtomicU32::new(0));
        let (published, mut newest) = published(1_000_000);
        for (seq, wanted) in [(None, 1), (Some(5), 2), (Some(5), 3), (Some(6), 4)] {
            newest = seq.map_or(newest, |seq| publish(&published, seq));
            for _ in 0..3 {
                answers.entry(&newest, &published, question("a")).get(make(&made)).await.unwrap();
            }
            assert_eq!(made.load(Ordering::Relaxed), wanted, "{seq:?}");
        }
    }
}
