//! Ledgers that the lake lacks, or that are refused: Horizon's pages fill them. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::domain::coverage::Missing;

/// Time after which the lake is asked again, because its operator may have mended it. It does not apply to ledgers
/// that are left because of an outage: those are left until the source answers.
const LEFT_FOR: Duration = Duration::from_secs(3_600);
/// Time for which a failure of Horizon at a place is remembered.
const FAILED_FOR: Duration = Duration::from_secs(300);
/// Most ranges that are remembered. With more, neighbours are joined, and what lies between them is left as well.
const RANGES_MAX: usize = 10_000;

/// Ranges of ledgers that are left to Horizon.
#[derive(Debug, Default)]
pub(super) struct LeftToHorizon {
    ranges: Vec<Left>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    from: u32,
    to: u32,
    since: Instant,
    reason: Reason,
}

/// Reason why ledgers are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The lake lacks them. They may be written late.
    Missing,
    /// They are refused, or cannot be read.
    Bad,
    /// The lake, or the source of new ledgers, did not answer at all. They are left until it answers.
    Outage,
}

impl LeftToHorizon {
    /// Adds ledgers that are refused or cannot be read.
    pub(super) fn add(&mut self, from: u32, to: u32, now: Instant) {
        self.add_for(Reason::Bad, (from, to), now);
    }

    /// Adds ledgers that the lake lacks.
    pub(super) fn add_missing(&mut self, from: u32, to: u32, now: Instant) {
        self.add_for(Reason::Missing, (from, to), now);
    }

    /// Adds ledgers for a reason.
    pub(super) fn add_for(&mut self, reason: Reason, (from, to): (u32, u32), now: Instant) {
        self.push(Left { from, to, since: now, reason });
    }

    /// The lake answers again, and is asked for what it may have.
    pub(super) fn end_outage(&mut self) {
        self.ranges.retain(|left| left.reason != Reason::Outage);
    }

    /// Horizon does not give them either: the lake is asked again for those that it lacked more than `age` ago.
    pub(super) fn forget_missing(&mut self, now: Instant, age: Duration) {
        let is_old = |left: &Left| now.saturating_duration_since(left.since) >= age;
        self.ranges.retain(|left| left.reason != Reason::Missing || !is_old(left));
    }

    fn push(&mut self, new: Left) {
        if new.from > new.to {
            return;
        }
        // Most come one after the other.
        if let Some(last) = self.ranges.last_mut().filter(|last| last.continues(&new)) {
            (last.from, last.to) = (last.from.min(new.from), last.to.max(new.to));
            return;
        }
        if self.ranges.len() >= RANGES_MAX {
            self.join_neighbours();
        }
        self.ranges.push(new);
    }

    /// Splits missing ledgers into those that the lake is asked for, and those that are left to Horizon.
    /// Both keep their order, the newest first.
    pub(super) fn split(&mut self, missing: &[Missing], now: Instant) -> (Vec<Missing>, Vec<Missing>) {
        let is_recent = |left: &Left| now.saturating_duration_since(left.since) < LEFT_FOR;
        self.ranges.retain(|left| left.reason == Reason::Outage || is_recent(left));
        let left = merged(self.ranges.iter().map(|left| (left.from, left.to)).collect());
        let (mut lake, mut horizon) = (Vec::new(), Vec::new());
        for gap in missing {
            let first = left.partition_point(|(_, to)| *to < gap.from);
            let end = left.partition_point(|(from, _)| *from <= gap.to);
            // Walk down from the top of the gap.
            let mut top = Some(gap.to);
            for (from, to) in left.get(first..end).unwrap_or_default().iter().rev() {
                let (from, to) = ((*from).max(gap.from), (*to).min(gap.to));
                if let Some(above) = top.filter(|above| to < *above) {
                    lake.push(Missing { from: to.saturating_add(1), to: above, ..*gap });
                }
                horizon.push(Missing { from, to, ..*gap });
                top = from.checked_sub(1);
            }
            if let Some(to) = top.filter(|top| *top >= gap.from) {
                lake.push(Missing { to, ..*gap });
            }
        }
        (lake, horizon)
    }

    /// Halves the number of ranges.
    fn join_neighbours(&mut self) {
        self.ranges.sort_unstable_by_key(|left| left.from);
        let joined = self.ranges.chunks(2).filter_map(|pair| {
            Some(Left {
                from: pair.iter().map(|left| left.from).min()?,
                to: pair.iter().map(|left| left.to).max()?,
                since: pair.iter().map(|left| left.since).min()?,
                reason: joined_reason(pair),
            })
        });
        self.ranges = joined.collect();
    }
}

impl Left {
    /// True if both touch, for the same reason.
    fn continues(&self, next: &Self) -> bool {
        next.from <= self.to.saturating_add(1)
            && self.from <= next.to.saturating_add(1)
            && self.reason == next.reason
    }
}

/// Reason of joined ranges. Ranges of several reasons count as bad: after an hour the lake is asked for all of them.
fn joined_reason(ranges: &[Left]) -> Reason {
    let mut reasons = ranges.iter().map(|left| left.reason);
    let first = reasons.next().unwrap_or(Reason::Bad);
    if reasons.all(|reason| reason == first) { first } else { Reason::Bad }
}

/// Places that are left to Horizon and that it failed to give. The others have their turn first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Last ledgers of these places, and the time of the last failure.
    failed: BTreeMap<u32, Instant>,
}

impl Turns {
    /// Sorts places, the newest first, into the order in which they are read: those that did not fail, then those whose
    /// failure is the oldest.
    pub(super) fn in_turn(&mut self, mut places: Vec<Missing>, now: Instant) -> Vec<Missing> {
        self.failed.retain(|_, at| now.saturating_duration_since(*at) < FAILED_FOR);
        places.sort_by_key(|place| self.failed.get(&place.to).copied());
        places
    }

    pub(super) fn note_failure(&mut self, place: &Missing, now: Instant) {
        self.failed.insert(place.to, now);
    }
}

/// Joins ranges that overlap, and sorts them.
fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::instant::UnixSeconds;

    fn gap(from: u32, to: u32) -> Missing {
        Missing { from, to, before: UnixSeconds(9), since: UnixSeconds(1) }
    }

    fn ends(parts: &[Missing]) -> Vec<(u32, u32)> {
        parts.iter().map(|part| (part.from, part.to)).collect()
    }

    #[test]
    fn refused_ledgers_are_left_and_the_others_are_asked_of_the_lake() {
        let (mut left, now) = (LeftToHorizon::default(), Instant::now());
        left.add(15, 16, now);
        left.add(30, 40, now);
        let (lake, horizon) = left.split(&[gap(20, 35), gap(10, 18)], now);
        assert_eq!(ends(&lake), [(20, 29), (17, 18), (10, 14)]);
        assert_eq!(ends(&horizon), [(30, 35), (15, 16)]);
        let later = now.checked_add(LEFT_FOR).unwrap();
        let (lake, horizon) = left.split(&[gap(10, 18)], later);
        assert_eq!((ends(&lake), horizon.len()), (vec![(10, 18)], 0), "the lake may have been mended");
    }

    #[test]
    fn after_an_outage_the_lake_is_asked_for_what_it_may_have() {
        let (mut left, now) = (LeftToHorizon::default(), Instant::now());
        left.add(30, 40, now);
        left.add_for(Reason::Outage, (20, 29), now);
        left.add_for(Reason::Outage, (10, 19), now);
        assert_eq!(ends(&left.split(&[gap(10, 40)], now).1), [(30, 40), (10, 29)]);
        left.end_outage();
        let (lake, horizon) = left.split(&[gap(10, 40)], now);
        assert_eq!((ends(&lake), ends(&horizon)), (vec![(10, 29)], vec![(30, 40)]));
    }

    #[test]
    fn an_outage_of_hours_leaves_its_ledgers_until_it_ends() {
        let (mut left, now) = (LeftToHorizon::default(), Instant::now());
        left.add(30, 40, now);
        left.add_for(Reason::Outage, (20, 29), now);
        let later = now.checked_add(LEFT_FOR * 2).unwrap();
        left.add_for(Reason::Outage, (10, 19), later);
        let (lake, horizon) = left.split(&[gap(10, 40)], later);
        assert_eq!((ends(&lake), ends(&horizon)), (vec![(30, 40)], vec![(10, 29)]));
        left.end_outage();
        assert_eq!(ends(&left.split(&[gap(10, 40)], later).0), [(10, 40)]);
    }

    #[test]
    fn while_horizon_is_down_the_lake_is_asked_again_for_what_it_lacked() {
        let (mut left, now) = (LeftToHorizon::default(), Instant::now());
        let age = Duration::from_secs(300);
        let later = now.checked_add(age).unwrap();
        left.add(30, 40, now);
        left.add_missing(20, 29, now);
        left.add_missing(10, 15, later);
        left.forget_missing(later, age);
        let (lake, horizon) = left.split(&[gap(10, 40)], later);
        assert_eq!((ends(&lake), ends(&horizon)), (vec![(16, 29)], vec![(30, 40), (10, 15)]));
    }

    #[test]
    fn places_that_fail_again_and_again_take_turns_after_all_others() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let places = || (0..6).rev().map(|place| gap(10 * place, 10 * place + 5)).collect::<Vec<_>>();
        let mut tried = Vec::new();
        for second in 0..3 {
            let at = now.checked_add(Duration::from_secs(second)).unwrap();
            for place in turns.in_turn(places(), at).iter().take(3) {
                turns.note_failure(place, at);
                tried.push(place.to);
            }
        }
        assert_eq!(tried, [55, 45, 35, 25, 15, 5, 55, 45, 35]);
        let later = now.checked_add(FAILED_FOR * 2).unwrap();
        assert_eq!(turns.in_turn(places(), later)[0].to, 55, "the newest one comes first again");
    }

    #[test]
    fn a_lake_that_lacks_every_other_ledger_is_forgotten_nowhere() {
        let (mut left, now) = (LeftToHorizon::default(), Instant::now());
        let ledgers = 4 * u32::try_from(RANGES_MAX).unwrap();
        for ledger in (1..=ledgers).rev().step_by(2) {
            left.add(ledger, ledger, now);
        }
        assert!(left.ranges.len() <= RANGES_MAX);
        let (lake, _) = left.split(&[gap(1, ledgers)], now);
        assert!(ends(&lake).iter().all(|(from, to)| from == to && from % 2 == 1), "{:?}", ends(&lake));
        for ledger in (1..=ledgers).rev() {
            left.add(ledger, ledger, now);
        }
        assert!(left.ranges.len() <= RANGES_MAX);
        assert_eq!(left.split(&[gap(1, ledgers)], now).0, []);
    }

    proptest! {
        #[test]
        fn both_parts_together_are_what_is_missing(
            ranges in prop::collection::vec((0..60_u32, 0..60_u32), 0..6), from in 0..40_u32, length in 0..20_u32,
        ) {
            let (mut left, now) = (LeftToHorizon::default(), Instant::now());
            for (from, to) in &ranges {
                left.add(*from, *to, now);
            }
            let (lake, horizon) = left.split(&[gap(from, from + length)], now);
            let members = |parts: &[Missing]| -> Vec<u32> { parts.iter().flat_map(|part| part.from..=part.to).collect() };
            let is_left = |ledger: &u32| ranges.iter().any(|(from, to)| (from..=to).contains(&ledger));
            let all: BTreeSet<u32> = (from..=from + length).collect();
            let (of_lake, of_horizon) = (members(&lake), members(&horizon));
            prop_assert_eq!(of_lake.len() + of_horizon.len(), all.len());
            prop_assert!(of_lake.iter().all(|ledger| !is_left(ledger)) && of_horizon.iter().all(is_left));
            prop_assert_eq!(of_lake.into_iter().chain(of_horizon).collect::<BTreeSet<_>>(), all);
        }
    }
}
