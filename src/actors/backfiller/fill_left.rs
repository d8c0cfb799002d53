//! Filling of what the lake lacks, or what was refused, by Horizon's pages.

use std::time::Instant;

use super::{
    Backfill, HistoryError, SharedByLoops, TAIL_INTERVAL, descending_read::DescendingRead, filling::REST,
    plan::Stretch,
};
use crate::{
    actors::worker::{TICK, WorkContext},
    domain::coverage::LedgerRange,
    horizon::budget::Class,
    lake::FIRST_LEDGER,
    outbound::retry::Retry,
};

/// Stretches that are left to Horizon and are tried in turn, until one can be read.
const LEFT_AT_ONCE: usize = 3;

impl Backfill {
    /// Reads by Horizon's pages what the lake lacks or what was refused.
    pub(super) async fn fill_left_forever(&self, context: &WorkContext, shared: &SharedByLoops) {
        let mut retry = Retry::default();
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                continue;
            }
            match self.fill_left(context, shared).await {
                Ok(true) => context.pause(REST).await,
                Ok(false) => retry.reset(),
                Err(error) => {
                    // One place that cannot be read does not mean that Horizon is down.
                    if error.is_of_horizon()
                        && !error.is_of_a_place()
                        && let Some(reader) = &self.lake
                    {
                        shared.left.borrow_mut().forget_missing(Instant::now(), reader.timeouts.given_up);
                    }
                    self.wait_after(&error, &mut retry, context, shared).await;
                    context.pause(TAIL_INTERVAL).await;
                }
            }
        }
    }

    /// Reads the newest stretch that is left to Horizon, and older ones if it cannot be read. Returns true if there is
    /// none, or none of which a part was stored.
    pub(super) async fn fill_left(
        &self,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) -> Result<bool, HistoryError> {
        let held = self.held().await?;
        let missing = self.missing_with_lake(&held, shared, shared.oldest_of_horizon());
        self.horizon.limiter().set_day_complete(missing.is_day_complete);
        if missing.of_horizon.is_empty() && !self.may_have_older(&held, shared) {
            return Ok(true);
        }
        self.history(&self.horizon.of_class(Class::Live), shared).await?;
        // Horizon may have named another oldest ledger.
        let of_horizon = self.missing_with_lake(&held, shared, shared.oldest_of_horizon()).of_horizon;
        if of_horizon.is_empty() {
            return Ok(true);
        }
        let horizon = self.horizon.of_class(Class::History);
        let read: DescendingRead<'_> = self.descending_read(&horizon, context, shared);
        let (mut failure, mut is_still) = (None, true);
        let in_turn = shared.turns.borrow_mut().in_turn(of_horizon, Instant::now());
        for gap in in_turn.iter().take(LEFT_AT_ONCE) {
            let (to, before) = (Some(gap.to), Some(gap.before));
            match read.read(Stretch { from: gap.from, to, before, since: gap.since }).await {
                Ok(_) if self.held().await? != held => {
                    is_still = false;
                    break;
                }
                // All of it was too old, say: others have their turn first.
                Ok(_) => shared.turns.borrow_mut().note_failure(gap, Instant::now()),
                Err(error) if error.is_of_a_place() || error.is_doubt() => {
                    shared.turns.borrow_mut().note_failure(gap, Instant::now());
                    failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.publish_coverage().await?;
        failure.map_or(Ok(is_still), Err)
    }

    /// True if Horizon is asked again for its oldest ledger, because ledgers below that are left to it and its last
    /// report is old. Behind one address, another server may have more history.
    fn may_have_older(&self, held: &[LedgerRange], shared: &SharedByLoops) -> bool {
        let report_max = self.lake.as_ref().map(|reader| reader.timeouts).unwrap_or_default().report_max();
        shared.history.get().is_some_and(|history| history.age() >= report_max)
            && !self.missing_with_lake(held, shared, FIRST_LEDGER).of_horizon.is_empty()
    }
}
