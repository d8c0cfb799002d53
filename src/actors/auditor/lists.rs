//! The slice that is no market's: assets, markets and books in memory, and `assets.json`, against their rows.

use std::sync::Arc;

use metrics::counter;
use tracing::{debug, info, warn};

use super::{Audit, BACK_SECONDS_MIN, DIFFERENCES_TOLD_MAX, QUIET, REBUILD_TIMEOUT, Tally, WorkContext};
use crate::{
    actors::{envelope::TraceContext, messages::ReloadDirectory},
    audit::{Comparison, lists},
    db::{
        DbError,
        audit::{Audited, Listed},
    },
    published::Publication,
};

impl Audit {
    /// What differs twice is told, and everything of that kind is read anew.
    pub(super) async fn audit_lists(&self, context: &WorkContext, tally: &mut Tally) -> Result<(), DbError> {
        let Some((first, found)) = self.lists_compared(context, tally, |_| true).await? else {
            return Ok(());
        };
        counter!("ticker_audit_lists_total").increment(1);
        if found.difference_count == 0 {
            return Ok(());
        }
        debug!(differences = found.difference_count, seq = first.seq, "lists to be looked at again");
        let since = self.clock.monotonic();
        let is_next = |newest: &Publication| {
            newest.seq > first.seq || newest.as_of != first.as_of && self.since(since) >= QUIET
        };
        let Some((_, again)) = self.lists_compared(context, tally, is_next).await? else { return Ok(()) };
        if again.difference_count == 0 {
            return Ok(());
        }
        tally.differences = tally.differences.saturating_add(again.difference_count);
        counter!("ticker_audit_differences_total").increment(again.difference_count);
        self.tell(tally, false);
        for told in again.differences.iter().take(DIFFERENCES_TOLD_MAX) {
            warn!(
                entry = %told.entry.escape_debug(), field = %told.field, held = %told.served.escape_debug(),
                expected = %told.expected.escape_debug(), "an asset, a market or a book is not what its row says"
            );
        }
        let reloaded = self.reloader.call(&TraceContext::root(), ReloadDirectory, REBUILD_TIMEOUT).await;
        let Ok(Some(reloaded)) = reloaded else {
            warn!("assets, markets and books could not be read anew; the next pass tries again");
            return Ok(());
        };
        let is_reloaded = |newest: &Publication| reloaded.is_in(newest.seq, newest.as_of, BACK_SECONDS_MIN);
        let Some((publication, after)) = self.lists_compared(context, tally, is_reloaded).await? else {
            return Ok(());
        };
        let still_differing = after.difference_count;
        info!(still_differing, seq = publication.seq, "assets, markets and books were read anew");
        Ok(())
    }

    async fn lists_compared(
        &self,
        context: &WorkContext,
        tally: &mut Tally,
        will_do: impl Fn(&Publication) -> bool,
    ) -> Result<Option<(Arc<Publication>, Comparison)>, DbError> {
        let compare = async |publication: &Arc<Publication>| self.compare_lists(publication).await;
        self.caught(context, tally, will_do, compare).await
    }

    async fn compare_lists(&self, publication: &Arc<Publication>) -> Result<Option<Comparison>, DbError> {
        let audited = Audited { seq: publication.seq, as_of: publication.as_of };
        let rows = match self.database.listed(audited).await? {
            Listed::Lists(rows) => rows,
            Listed::Missed(reason) => {
                debug!(reason, "a publication's lists cannot be audited any more");
                return Ok(None);
            }
        };
        let publication = Arc::clone(publication);
        let compared = crate::blocking::run(move || {
            lists::compare(&publication.snapshot, &publication.files.assets.raw, &rows)
        });
        Ok(super::slice::usable(compared.await))
    }
}
