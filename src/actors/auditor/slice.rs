//! Audit of one slice: the rows of some markets as of a publication, compared with that publication.

use std::{sync::Arc, time::Duration};

use metrics::histogram;
use tokio::task::JoinError;
use tracing::{debug, warn};

use super::{AFTER_FAILURE, Audit, PUBLICATION_POLL, Slice, Tally, WorkContext};
use crate::{
    audit::{
        UnreadableError,
        windows::{self, SliceComparison},
    },
    db::{
        DbError,
        recomputation::{Audited, Summed},
    },
    published::Publication,
};

/// Publications that are tried for a slice. After that the next pass takes its markets.
const TRIES_MAX: u32 = 5;
/// Failed reads among those tries.
const FAILURES_MAX: u32 = 1;
/// Longest wait for another publication after one that cannot be audited any more, beyond the time between two.
const ANOTHER_WITHIN: Duration = Duration::from_secs(1);
/// Longest such wait. If publications are less frequent, another one is not waited for.
const ANOTHER_WITHIN_MAX: Duration = Duration::from_secs(90);

impl Audit {
    /// Compares some markets of the first acceptable publication, see [`Self::compare_first`].
    pub(super) async fn compare_markets(
        &self,
        context: &WorkContext,
        slice: Slice<'_>,
        tally: &mut Tally,
        is_acceptable: impl Fn(&Publication) -> bool,
    ) -> Result<Option<(Arc<Publication>, SliceComparison)>, DbError> {
        let compare = async |publication: &Arc<Publication>| {
            context.advance(); // a slice may take two minutes
            let begun = self.clock.monotonic();
            let compared = self.compare_markets_of(publication, slice).await;
            histogram!("ticker_audit_slice_seconds").record(self.since(begun).as_secs_f64());
            compared
        };
        self.compare_first(context, tally, is_acceptable, compare).await
    }

    /// Compares the first acceptable publication whose rows can still be read. Returns it with the result of `compare`,
    /// or none after [`TRIES_MAX`] publications.
    pub(super) async fn compare_first<T>(
        &self,
        context: &WorkContext,
        tally: &mut Tally,
        is_acceptable: impl Fn(&Publication) -> bool,
        compare: impl AsyncFn(&Arc<Publication>) -> Result<Option<T>, DbError>,
    ) -> Result<Option<(Arc<Publication>, T)>, DbError> {
        let mut failures = 0;
        for _ in 0..TRIES_MAX {
            let publication = self.publication_after(context, &is_acceptable).await;
            let begun = self.clock.monotonic();
            let outcome = compare(&publication).await;
            tally.spent = tally.spent.saturating_add(self.since(begun));
            match outcome {
                Ok(Some(found)) => return Ok(Some((publication, found))),
                // The same one would miss again. A new one has the best chance: nothing was committed since.
                Ok(None) => self.wait_for_another(context, &publication).await,
                // The read took too long, or the database was away for a moment.
                Err(error) if error.is_transient() && failures < FAILURES_MAX => {
                    warn!(%error, "audit could not read rows, retrying");
                    failures += 1;
                    context.pause(AFTER_FAILURE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Waits until another publication is the newest, for the time between two and [`ANOTHER_WITHIN`] at most.
    async fn wait_for_another(&self, context: &WorkContext, last: &Publication) {
        let begun = self.clock.monotonic();
        let until_next = self.publish_interval.saturating_add(ANOTHER_WITHIN);
        let longest = if until_next <= ANOTHER_WITHIN_MAX { until_next } else { ANOTHER_WITHIN };
        let is_last = |newest: &Publication| (newest.seq, newest.as_of) == (last.seq, last.as_of);
        while self.published.newest().is_none_or(|newest| is_last(&newest))
            && self.since(begun) < longest
            && !context.is_draining()
        {
            context.pause(PUBLICATION_POLL).await;
        }
    }

    async fn compare_markets_of(
        &self,
        publication: &Arc<Publication>,
        Slice { markets, limit }: Slice<'_>,
    ) -> Result<Option<SliceComparison>, DbError> {
        let audited = Audited { seq: publication.seq, as_of: publication.as_of };
        let sums = match self.database.sum_markets(audited, markets, limit).await? {
            Summed::Sums(sums) => sums,
            Summed::Missed(reason) => {
                debug!(reason, "publication expired before it was audited");
                return Ok(None);
            }
        };
        let (publication, markets) = (Arc::clone(publication), markets.to_vec());
        let compared = crate::blocking::run(move || {
            windows::compare(&publication.snapshot, &publication.files.markets.raw, &markets, &sums)
        });
        Ok(result_of(compared.await))
    }
}

/// Returns the result of a comparison on the blocking pool. Logs a failure and returns none for it.
pub(super) fn result_of<T>(compared: Result<Result<T, UnreadableError>, JoinError>) -> Option<T> {
    match compared {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            warn!(%error, "published data could not be audited");
            None
        }
        Err(error) => {
            warn!(%error, "the blocking pool failed, nothing compared");
            None
        }
    }
}
