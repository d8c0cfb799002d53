//! One slice: the rows of some markets, as they were at a publication, against that publication.

use std::sync::Arc;

use metrics::histogram;
use tokio::task::JoinError;
use tracing::{debug, warn};

use super::{AFTER_FAILURE, Audit, Tally, WorkContext};
use crate::{
    audit::{
        Unreadable,
        windows::{self, Found},
    },
    db::{
        DbError,
        audit::{Audited, Summed},
    },
    domain::windows::MarketId,
    published::Publication,
};

/// Publications that are tried for a slice; the next pass comes to its markets again.
const TRIES_MAX: u32 = 5;
/// Reads that may fail among them.
const FAILURES_MAX: u32 = 1;

impl Audit {
    /// Compares some markets of the first publication that will do; none where no try of some could be compared.
    pub(super) async fn compared(
        &self,
        context: &WorkContext,
        markets: &[MarketId],
        tally: &mut Tally,
        will_do: impl Fn(&Publication) -> bool,
    ) -> Result<Option<(Arc<Publication>, Found)>, DbError> {
        let compare = async |publication: &Arc<Publication>| self.compare(publication, markets).await;
        self.caught(context, tally, will_do, compare).await
    }

    /// The first publication that will do and can be compared, and what came of that; none where no try of some could.
    pub(super) async fn caught<T>(
        &self,
        context: &WorkContext,
        tally: &mut Tally,
        will_do: impl Fn(&Publication) -> bool,
        compare: impl AsyncFn(&Arc<Publication>) -> Result<Option<T>, DbError>,
    ) -> Result<Option<(Arc<Publication>, T)>, DbError> {
        let mut failures = 0;
        for _ in 0..TRIES_MAX {
            let publication = self.publication_after(context, &will_do).await;
            let begun = self.clock.monotonic();
            let outcome = compare(&publication).await;
            let took = self.since(begun);
            histogram!("ticker_audit_slice_seconds").record(took.as_secs_f64());
            tally.spent = tally.spent.saturating_add(took);
            match outcome {
                Ok(Some(found)) => return Ok(Some((publication, found))),
                Ok(None) => {}
                // One that took too long, or a database that is away for a moment.
                Err(error) if error.is_transient() && failures < FAILURES_MAX => {
                    warn!(%error, "a slice of the audit could not be read");
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
            context.pause(AFTER_FAILURE).await;
        }
        Ok(None)
    }

    async fn compare(
        &self,
        publication: &Arc<Publication>,
        markets: &[MarketId],
    ) -> Result<Option<Found>, DbError> {
        let audited = Audited { seq: publication.seq, as_of: publication.as_of };
        let sums = match self.database.sum_markets(audited, markets).await? {
            Summed::Sums(sums) => sums,
            Summed::Missed(reason) => {
                debug!(reason, "a publication cannot be audited any more");
                return Ok(None);
            }
        };
        let (publication, markets) = (Arc::clone(publication), markets.to_vec());
        let compared = crate::blocking::run(move || {
            windows::compare(&publication.snapshot, &publication.files.markets.raw, &markets, &sums)
        });
        Ok(usable(compared.await))
    }
}

/// What came of a comparison on a thread of its own; none, and told, where nothing did.
pub(super) fn usable<T>(compared: Result<Result<T, Unreadable>, JoinError>) -> Option<T> {
    match compared {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            warn!(%error, "what is published cannot be audited");
            None
        }
        Err(error) => {
            warn!(%error, "a slice could not be compared");
            None
        }
    }
}
