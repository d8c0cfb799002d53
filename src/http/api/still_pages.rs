//! Pages of a view while no newer one follows: made again every few seconds, since they say how old the figures are.

use std::sync::{Mutex, PoisonError};

use crate::{
    domain::instant::UnixSeconds,
    http::answer_cache::{AnswerCache, Limits},
    published::Document,
};

/// Age of a view in seconds from which on its pages are made again. A view is pinned for 10 seconds, so an older one
/// means that publications stand still, or have a long interval.
const STILL_S: i64 = 15;
/// Seconds for which such a page is kept.
const KEPT_S: i64 = 10;
/// Limits on these pages. They must not fill the cache of the view, which keeps its answers for as long as it is there.
const LIMITS: Limits = Limits { answers: 128, bytes: 8 << 20 };

/// Pages of one stretch of [`KEPT_S`] seconds.
#[derive(Debug)]
pub(super) struct StillPages(Mutex<Stretch>);

#[derive(Debug)]
struct Stretch {
    number: i64,
    pages: AnswerCache<String, Document>,
}

impl Default for StillPages {
    fn default() -> Self {
        Self(Mutex::new(Stretch { number: 0, pages: AnswerCache::new(LIMITS) }))
    }
}

impl StillPages {
    /// Cache of the pages at `now`, for a view of this time. None while that is recent: its pages do not change.
    pub(super) fn cache(
        &self,
        as_of: UnixSeconds,
        now: UnixSeconds,
    ) -> Option<AnswerCache<String, Document>> {
        if now.0.saturating_sub(as_of.0) < STILL_S {
            return None;
        }
        let number = now.0.div_euclid(KEPT_S);
        let mut stretch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that began in the stretch before takes the newer pages. A clock may be set back.
        if stretch.number < number || stretch.number > number.saturating_add(1) {
            *stretch = Stretch { number, pages: AnswerCache::new(LIMITS) };
        }
        Some(stretch.pages.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_old_view_has_other_pages_every_ten_seconds() {
        let (still, as_of) = (StillPages::default(), UnixSeconds(1_000));
        let cache = |age| still.cache(as_of, as_of.plus(age));
        assert!(cache(-50).is_none() && cache(0).is_none() && cache(14).is_none());
        let entry = cache(20).unwrap().entry("/".to_owned());
        entry.get(async { Document::gzipped(b"page") }).await.unwrap();
        assert!(cache(29).unwrap().made("/").is_some());
        assert!(cache(30).unwrap().made("/").is_none());
        cache(31).unwrap().entry("/".to_owned()).get(async { Document::gzipped(b"page") }).await.unwrap();
        assert!(cache(29).unwrap().made("/").is_some(), "a request that began before");
        assert!(cache(19).unwrap().made("/").is_none(), "the clock was set back");
    }
}
