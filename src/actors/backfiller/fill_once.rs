//! Filling of history once, for the command `ingest trades`.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{
    Backfill, HistoryError, SharedByLoops, filling::NewestGap, lake_fill::LakeRound, lake_tail::LakeTail,
};
use crate::{
    actors::{lake_reader::LakeReader, network_check::NetworkError, worker::WorkContext},
    outbound::retry::Retry,
    published::LakeUse,
};

/// Failures in a row, other than those of the lake, after which the command gives up.
const FAILURES_MAX: u32 = 10;
/// The command gives up a lake that fails after this many times the time after which ledgers are left to Horizon.
const LAKE_FAILING_FACTOR: u32 = 2;

/// State of one filling of history.
#[derive(Debug, Default)]
struct FillOnce {
    tail: LakeTail,
    /// True once Horizon gave the newest ledgers, which the lake lacks.
    has_read_pages: Cell<bool>,
    /// True while Horizon is asked for the newest ledgers, and all others are held.
    lacks_only_newest: Cell<bool>,
    /// Time when Horizon last failed to give what the lake lacks, while the lake had more to read.
    horizon_failed_at: Cell<Option<Instant>>,
}

impl FillOnce {
    /// Returns true if Horizon failed less than `pause` ago.
    fn spares_horizon(&self, now: Instant, pause: Duration) -> bool {
        self.horizon_failed_at.get().is_some_and(|at| now.saturating_duration_since(at) < pause)
    }
}

/// Failures since the last success.
#[derive(Debug, Default)]
struct Failures {
    /// Failures that are not of the lake.
    count: u32,
    /// Time of the first failure of the lake.
    lake_since: Option<Instant>,
}

impl Failures {
    /// Adds a failure. Returns true if there are too many.
    fn add(&mut self, error: &HistoryError, now: Instant, lake_failing_max: Duration) -> bool {
        if matches!(error, HistoryError::Lake(_)) {
            let since = *self.lake_since.get_or_insert(now);
            return now.saturating_duration_since(since) >= lake_failing_max;
        }
        self.count = self.count.saturating_add(1);
        self.count > FAILURES_MAX
    }
}

impl Backfill {
    /// Reads all wanted history that is missing. Returns the newest held ledger.
    ///
    /// # Errors
    ///
    /// A text: the database failed, the network is wrong or was reset, or Horizon or the lake
    /// failed too often in a row.
    pub async fn fill_once(&self, context: &WorkContext) -> Result<Option<u32>, String> {
        let (shared, mut lake_round) = (SharedByLoops::default(), LakeRound::default());
        let mut newest_gap = NewestGap::default();
        let state = FillOnce::default();
        let timeouts = self.lake.as_ref().map(|reader| reader.timeouts).unwrap_or_default();
        let lake_failing_max = timeouts.given_up.saturating_mul(LAKE_FAILING_FACTOR);
        let (mut retry, mut failures) = (Retry::default(), Failures::default());
        let stored = lake_round.progress.stored();
        loop {
            let before = stored.get();
            let round = async {
                if let Some(reader) = self.lake.as_ref().filter(|_| self.is_from_lake) {
                    self.fill_by_lake(reader, context, &shared, &mut lake_round, &state).await
                } else {
                    self.read_tail(context, &shared).await?;
                    self.fill(context, &shared, &mut lake_round.progress, &mut newest_gap).await
                }
            };
            let round = round.await;
            if stored.get() > before {
                (retry, failures) = (Retry::default(), Failures::default());
            }
            match round {
                Ok(true) => return self.newest_held().await,
                Ok(false) => (retry, failures) = (Retry::default(), Failures::default()),
                Err(
                    error @ (HistoryError::Write(_)
                    | HistoryError::Network(
                        NetworkError::WrongNetwork(_) | NetworkError::HistoryReset { .. },
                    )),
                ) => {
                    return Err(error.to_string());
                }
                Err(error) if failures.add(&error, Instant::now(), lake_failing_max) => {
                    if state.lacks_only_newest.get() && !matches!(error, HistoryError::Lake(_)) {
                        warn!(%error, "the newest ledgers could not be read from Horizon");
                        return self.newest_held().await;
                    }
                    return Err(error.to_string());
                }
                Err(error) => self.wait_after(&error, &mut retry, context, &shared).await,
            }
        }
    }

    async fn newest_held(&self) -> Result<Option<u32>, String> {
        let held = self.held().await.map_err(|error| error.to_string())?;
        Ok(held.last().map(|newest| newest.to))
    }

    /// Reads a round of history from the lake, and from Horizon what the lake lacks. Returns true if all is read.
    async fn fill_by_lake(
        &self,
        reader: &LakeReader,
        context: &WorkContext,
        shared: &SharedByLoops,
        round: &mut LakeRound,
        state: &FillOnce,
    ) -> Result<bool, HistoryError> {
        state.lacks_only_newest.set(false);
        let is_tail_read = match self.read_lake_tail(reader, context, shared, &state.tail).await {
            // Its newest ledgers are read from Horizon, as old ones are.
            Err(HistoryError::Lake(_)) if self.is_lake_out_for(LakeUse::Recent, reader.timeouts.given_up) => {
                false
            }
            read => read.map(|()| true)?,
        };
        let is_read = self.fill_from_lake(reader, context, shared, round).await?;
        let is_filled = if is_read {
            self.fill_left(context, shared).await?
        } else {
            self.fill_left_meanwhile(context, shared, state, reader.timeouts.given_up).await?
        };
        if !is_read || !is_filled {
            return Ok(false);
        }
        let held = self.held().await?;
        let is_recent =
            held.last().is_some_and(|newest| !self.has_passed(newest.to_time.to_utc(), reader.timeouts.late));
        if is_recent || state.has_read_pages.get() {
            return Ok(true);
        }
        warn!("the newest ledgers are missing in the lake, reading them from Horizon");
        state.lacks_only_newest.set(is_tail_read && !held.is_empty());
        self.read_tail(context, shared).await?;
        state.has_read_pages.set(true);
        Ok(false)
    }

    /// Reads from Horizon what the lake lacks, while the lake has more to read. After a failure of Horizon, does
    /// nothing for `pause`. Returns true if nothing is left to Horizon.
    ///
    /// Ledgers are left to Horizon for an hour only. With a hundred slow bad objects the lake takes longer, and would
    /// be asked for the first ones again.
    async fn fill_left_meanwhile(
        &self,
        context: &WorkContext,
        shared: &SharedByLoops,
        state: &FillOnce,
        pause: Duration,
    ) -> Result<bool, HistoryError> {
        // A silent Horizon costs up to 40 s each time, and the lake is read in rounds of some seconds.
        if state.spares_horizon(Instant::now(), pause) {
            return Ok(false);
        }
        match self.fill_left(context, shared).await {
            Err(error) if error.is_of_horizon() || error.is_of_a_place() || error.is_doubt() => {
                debug!(%error, "ledgers that the lake lacks not read from Horizon yet");
                state.horizon_failed_at.set(Some(Instant::now()));
                Ok(false)
            }
            filled => filled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::LakeError;

    #[test]
    fn a_failing_lake_is_given_up_by_time_and_everything_else_by_number() {
        let (mut failures, begun) = (Failures::default(), Instant::now());
        let of_lake = HistoryError::Lake(LakeError::Slow(Duration::from_secs(1)));
        let most = Duration::from_secs(600);
        assert!((0..100).all(|_| !failures.add(&of_lake, begun, most)));
        assert!(!failures.add(&of_lake, begun + Duration::from_secs(500), most));
        assert!(failures.add(&of_lake, begun + most, most));
        let other = HistoryError::OtherHashes;
        assert!((0..FAILURES_MAX).all(|_| !failures.add(&other, begun, most)));
        assert!(failures.add(&other, begun, most));
    }

    #[test]
    fn a_horizon_that_failed_is_spared_for_a_while() {
        let (state, failed_at) = (FillOnce::default(), Instant::now());
        let pause = Duration::from_secs(300);
        assert!(!state.spares_horizon(failed_at, pause));
        state.horizon_failed_at.set(Some(failed_at));
        assert!(state.spares_horizon(failed_at + Duration::from_secs(299), pause));
        assert!(!state.spares_horizon(failed_at + pause, pause));
    }
}
