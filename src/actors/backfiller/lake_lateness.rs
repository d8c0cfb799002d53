//! Decides when a lake does not give the recent ledgers, so that Horizon's pages are needed for them.

use std::time::Instant;

use super::{Backfill, SharedByLoops};
use crate::{
    actors::{lake_reader::LakeReader, lake_timeouts::LakeTimeouts},
    domain::{conversions::SaturatingFrom, instant::UnixSeconds},
    published::LakeUse,
};

/// Lateness of a lake that gives new trades. The loop of the tail owns it.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// Time since when the newest ledger is too old.
    since: Option<Instant>,
}

impl Lateness {
    /// Notes the age of the newest ledger, if there is one. Returns true once it has been too old for some time: a lake
    /// that catches up gives old ledgers for a moment.
    fn note(&mut self, age_s: Option<i64>, timeouts: LakeTimeouts, now: Instant) -> bool {
        let most_s = i64::saturating_from(timeouts.behind.as_secs());
        let is_behind = age_s.is_some_and(|age_s| age_s > most_s);
        self.since = is_behind.then(|| self.since.unwrap_or(now));
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= timeouts.late)
    }
}

impl Backfill {
    /// True if the lake does not give the recent ledgers, so that Horizon's pages are needed for them.
    pub(super) fn falls_short(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
        lateness: &mut Lateness,
    ) -> bool {
        let timeouts = reader.timeouts;
        let Some(lake) = self.writer.published.vitals.lake.load() else { return true };
        let is_out = self.is_lake_out_for(LakeUse::Recent, timeouts.late);
        let now = UnixSeconds::from(self.writer.clock.now());
        let is_late = if self.is_live_from_lake {
            // Horizon's time is asked for with the first page. If our clock is fast, it ends the lateness.
            let report = shared.history.get().filter(|history| history.age() < timeouts.report_max());
            let now = report.and_then(|history| history.time()).map_or(now, |time| time.min(now));
            let age_s = lake.figures.newest.map(|(_, closed_at)| now.0.saturating_sub(closed_at.0));
            let is_behind = lateness.note(age_s, timeouts, Instant::now());
            reader.reports.note_behind(is_behind);
            // The stream ingester says so once the lake has given nothing for a while.
            let stream = self.writer.published.vitals.stream.load();
            let is_quiet =
                stream.as_ref().is_some_and(|stream| !stream.ok && self.has_passed(stream.at, timeouts.late));
            is_quiet || is_behind
        } else {
            let most_s = i64::saturating_from(timeouts.late.as_secs());
            lake.figures.newest.is_none_or(|(_, closed_at)| now.0.saturating_sub(closed_at.0) > most_s)
        };
        is_out || is_late || lake.contradicted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_newest_ledger_that_stays_old_makes_a_lake_late() {
        let (mut lateness, begun) = (Lateness::default(), Instant::now());
        let mut is_late = |second, age_s| {
            let now = begun.checked_add(Duration::from_secs(second)).unwrap();
            lateness.note(age_s, LakeTimeouts::default(), now)
        };
        assert!((0..100).all(|second| !is_late(second, Some(60))), "some ledgers behind");
        assert!((100..200).all(|second| !is_late(second, None)), "nothing is read yet");
        assert!((200..230).all(|second| !is_late(second, Some(300))), "it catches up");
        assert!(!is_late(230, Some(5)), "it is there");
        assert!((240..270).all(|second| !is_late(second, Some(7_200))));
        assert!(is_late(270, Some(7_200)), "it stays hours behind");
        assert!(!is_late(271, Some(-3)), "our clock is slow");
    }

    #[test]
    fn a_short_timeout_makes_no_ledger_at_the_tip_late() {
        let timeouts = LakeTimeouts::of(Duration::from_millis(500));
        let (mut lateness, begun) = (Lateness::default(), Instant::now());
        assert!(!lateness.note(Some(10), timeouts, begun));
        assert!(!lateness.note(Some(10), timeouts, begun.checked_add(Duration::from_secs(9)).unwrap()));
    }
}
