//! Decides when a lake does not give the recent ledgers, so that Horizon's pages are needed for them.

use std::time::Instant;

use super::{Backfill, SharedByLoops};
use crate::{
    actors::{
        lake_reader::{HASH_TIMEOUT, LakeReader},
        lake_timeouts::LakeTimeouts,
        network_check::History,
    },
    domain::{conversions::SaturatingFrom, instant::UnixSeconds},
    horizon::budget::Class,
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
        self.since = is_too_old(age_s, timeouts).then(|| self.since.unwrap_or(now));
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= timeouts.late)
    }

    /// True if a newest ledger of this age would be the first one that is too old.
    fn would_begin(&self, age_s: Option<i64>, timeouts: LakeTimeouts) -> bool {
        self.since.is_none() && is_too_old(age_s, timeouts)
    }
}

/// True if the newest ledger is too old for a lake that gives new trades.
fn is_too_old(age_s: Option<i64>, timeouts: LakeTimeouts) -> bool {
    age_s.is_some_and(|age_s| age_s > i64::saturating_from(timeouts.behind.as_secs()))
}

impl Backfill {
    /// True if the lake does not give the recent ledgers, so that Horizon's pages are needed for them. If a lake that
    /// gives new trades seems to get late, asks Horizon for its time before.
    pub(super) async fn falls_short(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
        lateness: &mut Lateness,
    ) -> bool {
        let timeouts = reader.timeouts;
        let Some(lake) = self.writer.published.vitals.lake.load() else { return true };
        let is_out = self.is_lake_out_for(LakeUse::Recent, timeouts.late);
        let is_late = if self.is_live_from_lake {
            let newest_at = lake.figures.newest.map(|(_, closed_at)| closed_at);
            let age_s = || newest_at.map(|at| self.earlier_time(timeouts, shared).0.saturating_sub(at.0));
            if lateness.would_begin(age_s(), timeouts) {
                // Our clock may be fast, and Horizon's last report too old to show that.
                let horizon = self.horizon.of_class(Class::Live);
                tokio::time::timeout(HASH_TIMEOUT, self.history(&horizon, shared)).await.ok();
            }
            let is_behind = lateness.note(age_s(), timeouts, Instant::now());
            reader.reports.note_behind(is_behind);
            // The stream ingester says so once the lake has given nothing for a while.
            let stream = self.writer.published.vitals.stream.load();
            let is_quiet =
                stream.as_ref().is_some_and(|stream| !stream.ok && self.has_passed(stream.at, timeouts.late));
            is_quiet || is_behind
        } else {
            let now = UnixSeconds::from(self.writer.clock.now());
            let most_s = i64::saturating_from(timeouts.late.as_secs());
            lake.figures.newest.is_none_or(|(_, closed_at)| now.0.saturating_sub(closed_at.0) > most_s)
        };
        is_out || is_late || lake.contradicted.is_some()
    }

    /// Current time by the earlier of two clocks: our own, and Horizon's if it has reported lately. A server that is
    /// behind the ledgers of the lake says nothing about the time.
    fn earlier_time(&self, timeouts: LakeTimeouts, shared: &SharedByLoops) -> UnixSeconds {
        let now = UnixSeconds::from(self.writer.clock.now());
        let is_usable = |report: &History| report.age() < timeouts.report_max() && !report.is_behind();
        let report = shared.history.get().filter(is_usable);
        report.and_then(|history| history.time()).map_or(now, |time| time.min(now))
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
    fn horizon_is_asked_for_its_time_once_when_a_lake_seems_to_get_late() {
        let (mut lateness, timeouts, now) = (Lateness::default(), LakeTimeouts::default(), Instant::now());
        assert!(!lateness.would_begin(None, timeouts) && !lateness.would_begin(Some(60), timeouts));
        assert!(lateness.would_begin(Some(61), timeouts));
        lateness.note(Some(61), timeouts, now);
        assert!(!lateness.would_begin(Some(62), timeouts), "it was asked");
        lateness.note(Some(5), timeouts, now);
        assert!(lateness.would_begin(Some(61), timeouts), "the lake was well in between");
    }

    #[test]
    fn a_short_timeout_makes_no_ledger_at_the_tip_late() {
        let timeouts = LakeTimeouts::of(Duration::from_millis(500));
        let (mut lateness, begun) = (Lateness::default(), Instant::now());
        assert!(!lateness.note(Some(10), timeouts, begun));
        assert!(!lateness.note(Some(10), timeouts, begun.checked_add(Duration::from_secs(9)).unwrap()));
    }
}
