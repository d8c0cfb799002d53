//! Audit of the lists: assets, markets and books in memory, and `assets.json`, compared with their rows.

use std::sync::Arc;

use metrics::counter;
use tracing::{debug, info, warn};

use super::{Audit, BACK_SECONDS_MIN, DIFFERENCES_LOGGED_MAX, REBUILD_TIMEOUT, Tally, WorkContext};
use crate::{
    actors::{
        messages::ReloadDirectory,
        trace::{step::Step, subject::Subject},
    },
    audit::{Comparison, lists},
    db::{
        DbError,
        recomputation::{Audited, Listed},
    },
    published::Publication,
    steps,
};

impl Audit {
    /// Compares the lists. Logs what differs twice and has all lists reloaded.
    pub(super) async fn audit_lists(&self, context: &WorkContext, tally: &mut Tally) -> Result<(), DbError> {
        let mut step = context.pass(steps::AUDIT);
        let audited = self.audit_lists_in(context, &mut step, tally).await;
        step.ended(&audited);
        audited
    }

    async fn audit_lists_in(
        &self,
        context: &WorkContext,
        step: &mut Step,
        tally: &mut Tally,
    ) -> Result<(), DbError> {
        let Some((first, found)) = self.compare_lists(context, tally, |_| true).await? else {
            tally.is_partial = true;
            info!("assets, markets and books could not be compared, the next pass tries again");
            return Ok(());
        };
        step.set_subject(Subject::none().with("seq", first.seq));
        counter!("ticker_audit_lists_total").increment(1);
        if found.difference_count == 0 {
            return Ok(());
        }
        debug!(
            differences = found.difference_count,
            seq = first.seq,
            "assets, markets or books differ, comparing again"
        );
        let again = self.found_twice(
            &first,
            tally,
            async |tally, is_next| self.compare_lists(context, tally, is_next).await,
            |comparison| comparison,
        );
        let Some(again) = again.await? else {
            // The difference may be real. The next pass finds it again.
            tally.is_partial = true;
            info!(
                "differing assets, markets or books could not be compared again, the next pass tries again"
            );
            return Ok(());
        };
        if again.difference_count == 0 {
            return Ok(());
        }
        for difference in again.differences.iter().take(DIFFERENCES_LOGGED_MAX) {
            warn!(
                entry = %difference.entry.escape_debug(), field = %difference.field,
                held = %difference.served.escape_debug(), expected = %difference.expected.escape_debug(),
                "asset, market or book differs from its row"
            );
        }
        let reloaded = self.reloader.call(Some(&step.trace()), ReloadDirectory, REBUILD_TIMEOUT).await;
        let Ok(Some(reloaded)) = reloaded else {
            warn!("assets, markets and books could not be reloaded, the next pass tries again");
            return Ok(());
        };
        let is_reloaded = |newest: &Publication| reloaded.is_in(newest.seq, newest.as_of, BACK_SECONDS_MIN);
        let Some((publication, after)) = self.compare_lists(context, tally, is_reloaded).await? else {
            return Ok(());
        };
        let still_differing = after.difference_count;
        info!(still_differing, seq = publication.seq, "assets, markets and books reloaded");
        Ok(())
    }

    async fn compare_lists(
        &self,
        context: &WorkContext,
        tally: &mut Tally,
        is_acceptable: impl Fn(&Publication) -> bool,
    ) -> Result<Option<(Arc<Publication>, Comparison)>, DbError> {
        let compare = async |publication: &Arc<Publication>| self.compare_lists_of(publication).await;
        self.compare_first(context, tally, is_acceptable, compare).await
    }

    async fn compare_lists_of(&self, publication: &Arc<Publication>) -> Result<Option<Comparison>, DbError> {
        let audited = Audited { seq: publication.seq, as_of: publication.as_of };
        let rows = match self.database.listed(audited).await? {
            Listed::Lists(rows) => rows,
            Listed::Missed(reason) => {
                debug!(reason, "publication expired before its assets, markets and books were audited");
                return Ok(None);
            }
        };
        let publication = Arc::clone(publication);
        let compared = crate::blocking::run(move || {
            lists::compare(&publication.snapshot, &publication.files.assets.raw, &rows)
        });
        Ok(super::slice::result_of(compared.await))
    }
}
