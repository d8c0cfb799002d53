//! Decides which ledgers the backfiller reads from Horizon instead of the lake: those that the lake fails to give for
//! minutes, and those that it gave and no hash of Horizon proves.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Backfill, HistoryError, SharedByLoops, lake_read::LakeStretch};
use crate::{
    actors::lake_reader::LakeReader,
    horizon::budget::Class,
    lake::{Content, FIRST_LEDGER, Link},
    published::LakeUse,
};

/// Time for which a bad object and a failed stretch are remembered.
const BAD_OBJECT_FOR: Duration = Duration::from_secs(3_600);
/// Longest search for an object below a bad one.
const SEARCH_MAX: Duration = Duration::from_secs(60);
/// Factor by which each step of that search is longer than the one before.
const SEARCH_FACTOR: u32 = 4;

/// State of filling history from the lake. The loop that fills owns it.
#[derive(Debug, Default)]
pub(super) struct LakeFilling {
    /// Last ledgers of stretches that the lake does not give, and the time since when.
    failing: BTreeMap<u32, DateTime<Utc>>,
    /// Time when a single object of the lake was last given up.
    bad_object_at: Option<DateTime<Utc>>,
    /// Lowest ledger that was read from the lake, if a hash of Horizon leads down to it. Without an anchor, the lowest
    /// one. The reading of a stretch sets it.
    pub(super) proven: Option<Link>,
}

impl Backfill {
    /// Takes unproven ledgers of the lake out of the coverage, so that Horizon's pages fill them. Those
    /// that are older than Horizon's history stay.
    pub(super) async fn read_unproven_from_horizon(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
    ) -> Result<(), HistoryError> {
        // Read first: another reader that fails meanwhile resets what they share.
        let oldest = self.history(&self.horizon.of_class(Class::Live), shared).await?.elder;
        if let Some(doubted) = self.doubt_what_a_lake_left(oldest).await?
            && reader.is_contradicted()
        {
            shared.left.borrow_mut().add(doubted.from, doubted.to, Instant::now());
        }
        Ok(())
    }

    /// True if a reader of the lake has failed for this time.
    pub(super) fn is_lake_out_for(&self, reader: LakeUse, time: Duration) -> bool {
        let outages = self.writer.published.vitals.lake.load().map(|lake| lake.outages).unwrap_or_default();
        outages.of(reader).is_some_and(|outage| self.has_passed(outage.since, time))
    }

    pub(super) fn has_passed(&self, since: DateTime<Utc>, time: Duration) -> bool {
        let passed = self.writer.clock.now().signed_duration_since(since);
        TimeDelta::from_std(time).is_ok_and(|time| passed >= time)
    }

    /// After the reading of a stretch, leaves to Horizon what it still lacks, if the lake has failed for
    /// too long or an object is bad. `has_found` says that the reading gave some ledger of the stretch.
    /// Returns true if something was given up.
    pub(super) async fn leave_what_is_given_up(
        &self,
        reader: &LakeReader,
        (shared, filling): (&SharedByLoops, &mut LakeFilling),
        stretch: LakeStretch,
        outcome: &Result<(), HistoryError>,
        has_found: bool,
    ) -> bool {
        let now = self.writer.clock.now();
        // A stretch may be shorter or gone at its next reading.
        filling.failing.retain(|_, since| !self.has_passed(*since, BAD_OBJECT_FOR));
        let is_lake_at_fault = matches!(outcome, Err(HistoryError::Lake(_)));
        let given_up = reader.patience.given_up;
        let is_outage = is_lake_at_fault && self.is_lake_out_for(LakeUse::Recent, given_up);
        // Other stretches may be read meanwhile, such as the newest ones.
        let has_timed_out = is_lake_at_fault && {
            let since = *filling.failing.entry(stretch.to).or_insert(now);
            is_outage || self.has_passed(since, given_up)
        };
        // Waiting makes sense for a lake that cannot be reached. After one bad object, the next one is given
        // up at once if an older object can be read.
        let had_bad_object = filling.bad_object_at.is_some_and(|at| !self.has_passed(at, BAD_OBJECT_FOR));
        let readable_below = if is_lake_at_fault && !has_found && (has_timed_out || had_bad_object) {
            readable_below(reader, stretch.to).await
        } else {
            None
        };
        if readable_below.is_some() {
            filling.bad_object_at = Some(now);
        }
        let gives_up = has_timed_out || readable_below.is_some();
        if gives_up {
            reader.note_answer(LakeUse::History); // Horizon is asked instead
        }
        if outcome.is_ok() || gives_up {
            filling.failing.retain(|to, _| !(stretch.from..=stretch.to).contains(to));
        }
        let is_done = outcome.is_ok() || gives_up || matches!(outcome, Err(HistoryError::OtherHashes));
        if !is_done || (has_found && outcome.is_ok()) {
            return gives_up;
        }
        let from = match readable_below {
            _ if has_found => stretch.from,
            Some(readable) => stretch.floor.max(readable.saturating_add(1)),
            // Otherwise a lake without any of these ledgers would get one request for each.
            None => stretch.floor,
        };
        let mut left = shared.left.borrow_mut();
        if is_outage && readable_below.is_none() {
            left.add_in_outage(from, stretch.to, Instant::now());
        } else {
            left.add(from, stretch.to, Instant::now());
        }
        gives_up
    }
}

/// Looks for an older object than a failed one, in growing steps. Returns the last ledger of the first that can be
/// read. If there is one, the lake works, and the newer objects are bad.
async fn readable_below(reader: &LakeReader, failed: u32) -> Option<u32> {
    let search = async {
        let mut distance = reader.lake.manifest().await.ok()?.ledgers_per_batch();
        loop {
            let below = failed.checked_sub(distance).filter(|below| *below >= FIRST_LEDGER)?;
            match reader.lake.read(below).await {
                Ok(batch) if matches!(batch.content, Content::Ledgers(_)) => return Some(batch.last),
                Ok(_) | Err(_) => distance = distance.saturating_mul(SEARCH_FACTOR),
            }
        }
    };
    tokio::time::timeout(SEARCH_MAX, search).await.ok().flatten()
}
