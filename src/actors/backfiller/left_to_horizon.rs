//! Ledgers that the lake lacks, or that are refused: Horizon's pages fill them. Pure.

use std::time::{Duration, Instant};

use crate::domain::coverage::Missing;

/// Time after which the lake is asked again. Its operator may have mended it.
const LEFT_FOR: Duration = Duration::from_secs(3_600);
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
    /// True if the lake did not answer at all.
    is_outage: bool,
}

impl LeftToHorizon {
    /// Adds ledgers that the lake lacks or that are refused.
    pub(super) fn add(&mut self, from: u32, to: u32, now: Instant) {
        self.push(Left { from, to, since: now, is_outage: false });
    }

    /// Adds ledgers that a lake which does not answer may have.
    pub(super) fn add_in_outage(&mut self, from: u32, to: u32, now: Instant) {
        self.push(Left { from, to, since: now, is_outage: true });
    }

    /// The lake answers again, and is asked for what it may have.
    pub(super) fn end_outage(&mut self) {
        self.ranges.retain(|left| !left.is_outage);
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
        self.ranges.retain(|left| now.saturating_duration_since(left.since) < LEFT_FOR);
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
                is_outage: pair.iter().all(|left| left.is_outage),
            })
        });
        self.ranges = joined.collect();
    }
}

impl Left {
    /// True if both touch, for the same reason.
    const fn continues(&self, next: &Self) -> bool {
        next.from <= self.to.saturating_add(1)
            && self.from <= next.to.saturating_add(1)
            && self.is_outage == next.is_outage
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
        left.add_in_outage(20, 29, now);
        left.add_in_outage(10, 19, now);
        assert_eq!(ends(&left.split(&[gap(10, 40)], now).1), [(30, 40), (10, 29)]);
        left.end_outage();
        let (lake, horizon) = left.split(&[gap(10, 40)], now);
        assert_eq!((ends(&lake), ends(&horizon)), (vec![(10, 29)], vec![(30, 40)]));
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
