//! Order and pace in which Horizon is asked for the hashes of unconfirmed ledgers. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::domain::coverage::LedgerRange;

/// Least pause between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(15);
/// Longest pause. After each further round in vain the pause doubles, because Horizon may never have these ledgers.
const ROUND_EVERY_MAX: Duration = Duration::from_secs(600);
/// Most ranges of a round. Each costs a request.
const RANGES_MAX: usize = 4;

/// Rounds of requests for the newest hash of each range. Ranges for which Horizon gave none wait for all others.
#[derive(Debug, Default)]
pub(super) struct HashTurns {
    /// Last ledgers of ranges for which Horizon gave no hash, and the time of the last request.
    failed: BTreeMap<u32, Instant>,
    /// Time of the last round; none before the first one.
    begun_at: Option<Instant>,
    /// Ranges of the last round whose hash Horizon may have, as far as it has said.
    open: usize,
    /// Rounds since the last settled or new range after which Horizon lacked every hash that was asked for.
    in_vain: u32,
    /// True if a request of the last round got no turn in the budget.
    is_cut_short: bool,
}

impl HashTurns {
    /// Begins a round, if it is time. Of these ranges, returns those to ask for: the ones that did not fail, the newest
    /// first, then those whose failure is the oldest. Horizon may soon have the hash of a new range, so that one ends a
    /// pause that grew for others.
    pub(super) fn begin_round(&mut self, mut ranges: Vec<LedgerRange>, now: Instant) -> Vec<LedgerRange> {
        let ends: BTreeSet<u32> = ranges.iter().map(|range| range.to).collect();
        self.failed.retain(|to, _| ends.contains(to));
        if self.failed.len() < ends.len() {
            self.in_vain = 0;
        }
        if ranges.is_empty() || !self.is_due(now) {
            return Vec::new();
        }
        (self.begun_at, self.is_cut_short) = (Some(now), false);
        ranges.sort_unstable_by_key(|range| Reverse(range.to));
        ranges.sort_by_key(|range| self.failed.get(&range.to).copied());
        ranges.truncate(RANGES_MAX);
        self.open = ranges.len();
        ranges
    }

    /// Horizon lacks the newest ledger of a range. If that is so for the whole round, the pause grows.
    pub(super) fn note_lack(&mut self, range: &LedgerRange, now: Instant) {
        self.failed.insert(range.to, now);
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.in_vain = self.in_vain.saturating_add(1);
        }
    }

    /// Notes that Horizon did not answer for a range. Later rounds ask for the other ranges first. A failure says
    /// nothing about the hash, so the pause does not grow.
    pub(super) fn note_no_answer(&mut self, range: &LedgerRange, now: Instant) {
        self.failed.insert(range.to, now);
    }

    /// A request got no turn in the budget. The rest of the round follows soon.
    pub(super) const fn note_not_asked(&mut self) {
        self.is_cut_short = true;
    }

    /// A range is settled. The next round follows soon, since Horizon may have other hashes too.
    pub(super) const fn note_settled(&mut self) {
        self.in_vain = 0;
    }

    /// True once the next round may begin.
    fn is_due(&self, now: Instant) -> bool {
        self.begun_at.is_none_or(|begun_at| now.saturating_duration_since(begun_at) >= self.pause())
    }

    fn pause(&self) -> Duration {
        if self.is_cut_short {
            return ROUND_EVERY;
        }
        let factor = 2_u32.saturating_pow(self.in_vain.saturating_sub(1));
        ROUND_EVERY.saturating_mul(factor).min(ROUND_EVERY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::UnixSeconds;

    fn ranges(ends: impl IntoIterator<Item = u32>) -> Vec<LedgerRange> {
        let range = |to| LedgerRange { from: to, to, from_time: UnixSeconds(0), to_time: UnixSeconds(0) };
        ends.into_iter().map(range).collect()
    }

    /// Begins the next round about these ranges, and moves the time there. Returns the seconds until then.
    fn next_round<const N: usize>(turns: &mut HashTurns, ends: [u32; N], now: &mut Instant) -> Option<u64> {
        let begins =
            |second: &u64| !turns.begin_round(ranges(ends), *now + Duration::from_secs(*second)).is_empty();
        let wait = (0..=600).find(begins)?;
        *now += Duration::from_secs(wait);
        Some(wait)
    }

    fn note_lacks<const N: usize>(turns: &mut HashTurns, ends: [u32; N], now: Instant) {
        ranges(ends).iter().for_each(|range| turns.note_lack(range, now));
    }

    #[test]
    fn ranges_without_a_hash_hold_up_no_others_and_take_turns() {
        let (mut turns, mut now) = (HashTurns::default(), Instant::now());
        let mut asked = Vec::new();
        for _ in 0..3 {
            now += ROUND_EVERY_MAX;
            for range in turns.begin_round(ranges([10, 20, 30, 40, 50, 60]), now) {
                turns.note_lack(&range, now);
                asked.push(range.to);
            }
        }
        assert_eq!(asked, [60, 50, 40, 30, 20, 10, 60, 50, 40, 30, 60, 50]);
        let next = turns.begin_round(ranges([10, 60, 70]), now + ROUND_EVERY);
        assert_eq!(
            next.iter().map(|range| range.to).collect::<Vec<_>>(),
            [70, 10, 60],
            "a new one comes first"
        );
        assert_eq!(turns.failed.len(), 2, "those that are not noted any more are forgotten");
    }

    #[test]
    fn the_pause_grows_to_ten_minutes_until_a_range_is_settled() {
        let (mut turns, mut now) = (HashTurns::default(), Instant::now());
        assert_eq!(next_round(&mut turns, [10], &mut now), Some(0));
        let pause_after = |is_settled: bool| {
            if is_settled {
                turns.note_settled();
            } else {
                note_lacks(&mut turns, [10], now);
            }
            next_round(&mut turns, [10], &mut now)
        };
        let pauses = [false, false, false, false, false, false, false, true, false].map(pause_after);
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 600, 15, 15].map(Some));
    }

    #[test]
    fn the_pause_does_not_grow_while_horizon_does_not_answer_for_every_range() {
        let (mut turns, mut now) = (HashTurns::default(), Instant::now());
        next_round(&mut turns, [10, 20], &mut now);
        for _ in 0..6 {
            note_lacks(&mut turns, [20], now);
            turns.note_no_answer(&ranges([10])[0], now);
            assert_eq!(next_round(&mut turns, [10, 20], &mut now), Some(15));
        }
        assert_eq!(next_round(&mut turns, [10, 20], &mut now), Some(15), "none was asked");
    }

    #[test]
    fn a_round_that_got_no_turn_in_the_budget_is_repeated_soon() {
        let (mut turns, mut now) = (HashTurns::default(), Instant::now());
        for pause in [0, 15, 30, 60, 120] {
            assert_eq!(next_round(&mut turns, [10], &mut now), Some(pause));
            note_lacks(&mut turns, [10], now);
        }
        assert_eq!(next_round(&mut turns, [10], &mut now), Some(240));
        turns.note_not_asked();
        assert_eq!(next_round(&mut turns, [10], &mut now), Some(15));
        note_lacks(&mut turns, [10], now);
        assert_eq!(next_round(&mut turns, [10], &mut now), Some(480), "it is still in vain");
    }

    #[test]
    fn a_new_range_is_asked_for_soon_after_a_pause_that_grew() {
        let (mut turns, mut now) = (HashTurns::default(), Instant::now());
        for pause in [0, 15, 30, 60, 120] {
            assert_eq!(next_round(&mut turns, [10], &mut now), Some(pause));
            note_lacks(&mut turns, [10], now);
        }
        assert_eq!(turns.begin_round(ranges([10]), now + Duration::from_secs(20)), []);
        assert_eq!(next_round(&mut turns, [10, 20], &mut now), Some(15));
        note_lacks(&mut turns, [10, 20], now);
        assert_eq!(turns.begin_round(Vec::new(), now + ROUND_EVERY_MAX), [], "nothing is asked for");
    }
}
