//! Decides which ledgers the backfiller reads from Horizon instead of the lake: those that the lake fails to give for
//! minutes, and those that it gave and no hash of Horizon confirms.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Backfill, HistoryError, SharedByLoops,
    hash_turns::HashTurns,
    lake_read::{Found, LakeStretch},
    left_to_horizon::Reason,
};
use crate::{
    actors::lake_reader::LakeReader,
    lake::{Content, FIRST_LEDGER, LakeError, Link},
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
    /// Lowest ledger that was read from the lake, if a hash of Horizon leads down to it or hashes are not compared. The
    /// reading of a stretch sets it.
    pub(super) confirmed: Option<Link>,
    /// Turns of the unconfirmed ranges for which Horizon is asked whether it has their hashes now.
    pub(super) hash_turns: HashTurns,
}

/// End of the reading of a stretch.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// The stretch was read. What the lake lacks of it is known.
    Read,
    /// The lake has other hashes than Horizon.
    OtherHashes,
    /// The lake could not be read.
    LakeFailed {
        lasting: Lasting,
        /// Last ledger of an older object that can be read, if it was looked for: then newer objects are bad.
        readable_below: Option<u32>,
    },
    /// Something else failed, such as the database.
    OtherFailure,
}

/// Part of the lake that has failed for so long that it is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    NotYet,
    /// This stretch. Others may be read meanwhile, such as the newest ones.
    Stretch,
    /// The whole lake: its newest ledgers could not be read either.
    Lake,
}

/// Facts about a reading.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    ended: Ended,
    /// Findings of the reading.
    found: Found,
}

/// Decision after a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decision {
    /// True if the lake is not waited for.
    gives_up: bool,
    /// Ledgers to read from Horizon.
    left: Option<LeftLedgers>,
}

/// Ledgers that are left to Horizon, up to the end of the stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeftLedgers {
    from: u32,
    reason: Reason,
}

impl Backfill {
    /// True if a reader of the lake has failed for this time.
    pub(super) fn is_lake_out_for(&self, reader: LakeUse, time: Duration) -> bool {
        let outages = self.writer.published.vitals.lake.load().map(|lake| lake.outages).unwrap_or_default();
        outages.of(reader).is_some_and(|outage| self.has_passed(outage.since, time))
    }

    pub(super) fn has_passed(&self, since: DateTime<Utc>, time: Duration) -> bool {
        let passed = self.writer.clock.now().signed_duration_since(since);
        TimeDelta::from_std(time).is_ok_and(|time| passed >= time)
    }

    /// After the reading of a stretch, leaves to Horizon what it still lacks, if the lake has failed for too long
    /// or an object is bad. `found` says what the reading gave. Returns true if the lake is given up for these
    /// ledgers, so that a failure is no reason to wait.
    pub(super) async fn leave_what_is_given_up(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
        filling: &mut LakeFilling,
        stretch: LakeStretch,
        outcome: &Result<(), HistoryError>,
        found: Found,
    ) -> bool {
        let ended = self.ended(reader, filling, stretch, outcome, found.has_some).await;
        let Decision { gives_up, left } = decide(Outcome { ended, found }, stretch);
        if gives_up {
            reader.reports.note_answer(LakeUse::History); // Horizon is asked instead
        }
        if outcome.is_ok() || gives_up {
            filling.failing.retain(|to, _| !(stretch.from..=stretch.to).contains(to));
        }
        if let Some(LeftLedgers { from, reason }) = left {
            shared.left.borrow_mut().add_for(reason, (from, stretch.to), Instant::now());
        }
        gives_up
    }

    /// Collects the facts about the end of a reading. After a failure of the lake, this may read older objects.
    async fn ended(
        &self,
        reader: &LakeReader,
        filling: &mut LakeFilling,
        stretch: LakeStretch,
        outcome: &Result<(), HistoryError>,
        has_found: bool,
    ) -> Ended {
        let now = self.writer.clock.now();
        // A stretch may be shorter or gone at its next reading.
        filling.failing.retain(|_, since| !self.has_passed(*since, BAD_OBJECT_FOR));
        match outcome {
            Ok(()) => return Ended::Read,
            Err(HistoryError::OtherHashes) => return Ended::OtherHashes,
            Err(HistoryError::Lake(_)) => {}
            Err(_) => return Ended::OtherFailure,
        }
        let given_up = reader.timeouts.given_up;
        let since = *filling.failing.entry(stretch.to).or_insert(now);
        // The tail takes what such a lake lacks for ledgers that are not written yet.
        let is_gone = matches!(outcome, Err(HistoryError::Lake(LakeError::NoManifest)));
        let lasting = if self.is_lake_out_for(LakeUse::Recent, given_up)
            || is_gone && self.has_passed(since, given_up)
        {
            Lasting::Lake
        } else if self.has_passed(since, given_up) {
            Lasting::Stretch
        } else {
            Lasting::NotYet
        };
        // Waiting makes sense for a lake that cannot be reached. After one bad object, the next one is given
        // up at once if an older object can be read.
        let had_bad_object = filling.bad_object_at.is_some_and(|at| !self.has_passed(at, BAD_OBJECT_FOR));
        let readable_below = if !has_found && (lasting != Lasting::NotYet || had_bad_object) {
            readable_below(reader, stretch.to).await
        } else {
            None
        };
        if readable_below.is_some() {
            filling.bad_object_at = Some(now);
        }
        Ended::LakeFailed { lasting, readable_below }
    }
}

/// Decides what is left to Horizon after the reading of a stretch. Pure.
fn decide(Outcome { ended, found }: Outcome, stretch: LakeStretch) -> Decision {
    let has_found = found.has_some;
    // Ledgers below the lowest one of the stretch were not asked for, unless nothing of it was found. Then a lake
    // without any of them would get one request for each.
    let rest = if has_found { stretch.from } else { stretch.floor };
    let (gives_up, left) = match ended {
        // Ledgers that the lake lacks within a stretch were left to Horizon when the stretch was read.
        Ended::Read if has_found || found.has_older => (false, None),
        Ended::Read => (false, Some((rest, Reason::Missing))),
        Ended::OtherHashes => (false, Some((rest, Reason::Bad))),
        Ended::OtherFailure => (false, None),
        Ended::LakeFailed { readable_below: Some(readable), .. } => {
            let from = if has_found { rest } else { stretch.floor.max(readable.saturating_add(1)) };
            (true, Some((from, Reason::Bad)))
        }
        Ended::LakeFailed { lasting: Lasting::NotYet, .. } => (false, None),
        Ended::LakeFailed { lasting: Lasting::Stretch, .. } => (true, Some((rest, Reason::Bad))),
        Ended::LakeFailed { lasting: Lasting::Lake, .. } => (true, Some((rest, Reason::Outage))),
    };
    Decision { gives_up, left: left.map(|(from, reason)| LeftLedgers { from, reason }) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::UnixSeconds;

    #[test]
    fn every_end_of_a_reading_leaves_what_only_horizon_can_give() {
        let stretch = LakeStretch { from: 50, to: 80, floor: 10, since: UnixSeconds(0) };
        let failed = |lasting, readable_below| Ended::LakeFailed { lasting, readable_below };
        let (not_yet, of_stretch, of_lake) = (Lasting::NotYet, Lasting::Stretch, Lasting::Lake);
        // End of the reading; what is decided if it found some ledger; what is decided if it found none.
        let nothing = (false, None);
        let (missing, bad, outage) = (Reason::Missing, Reason::Bad, Reason::Outage);
        let table = [
            (Ended::Read, nothing, (false, Some((10, missing)))),
            (Ended::OtherHashes, (false, Some((50, bad))), (false, Some((10, bad)))),
            (Ended::OtherFailure, nothing, nothing),
            (failed(not_yet, None), nothing, nothing),
            (failed(of_stretch, None), (true, Some((50, bad))), (true, Some((10, bad)))),
            (failed(of_lake, None), (true, Some((50, outage))), (true, Some((10, outage)))),
            (failed(not_yet, Some(60)), (true, Some((50, bad))), (true, Some((61, bad)))),
            (failed(of_stretch, Some(60)), (true, Some((50, bad))), (true, Some((61, bad)))),
            (failed(of_lake, Some(60)), (true, Some((50, bad))), (true, Some((61, bad)))),
            // The object that can be read lies below what is missing.
            (failed(not_yet, Some(5)), (true, Some((50, bad))), (true, Some((10, bad)))),
            (failed(of_stretch, Some(5)), (true, Some((50, bad))), (true, Some((10, bad)))),
            (failed(of_lake, Some(5)), (true, Some((50, bad))), (true, Some((10, bad)))),
        ];
        for (ended, with_some, with_none) in table {
            for (has_some, (gives_up, left)) in [(true, with_some), (false, with_none)] {
                let left = left.map(|(from, reason)| LeftLedgers { from, reason });
                let found = Found { has_some, has_older: false };
                let decision = decide(Outcome { ended, found }, stretch);
                assert_eq!(decision, Decision { gives_up, left }, "{ended:?}, {found:?}");
            }
        }
    }

    #[test]
    fn what_lies_below_a_large_hole_is_read_from_the_lake() {
        let stretch = LakeStretch { from: 50, to: 80, floor: 10, since: UnixSeconds(0) };
        let found = Found { has_some: false, has_older: true };
        let decision = decide(Outcome { ended: Ended::Read, found }, stretch);
        assert_eq!(decision, Decision { gives_up: false, left: None });
    }
}
