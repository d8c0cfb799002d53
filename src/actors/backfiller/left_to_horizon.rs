//! Ledgers that the lake lacks, or that are refused: Horizon's pages fill them. Pure.

use std::time::{Duration, Instant};

use crate::domain::coverage::Missing;

/// Time after which the lake is asked again. Its operator may have mended it.
const LEFT_FOR: Duration = Duration::from_secs(3_600);
/// Most ranges that are remembered. With more, the oldest are forgotten, and asked of the lake again.
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
}

impl LeftToHorizon {
    /// Adds ledgers.
    pub(super) fn add(&mut self, from: u32, to: u32, now: Instant) {
        if from > to {
            return;
        }
        if self.ranges.len() >= RANGES_MAX {
            self.ranges.remove(0);
        }
        self.ranges.push(Left { from, to, since: now });
    }

    /// Splits missing ledgers into those that the lake is asked for, and those that are left to Horizon. Both keep their
    /// order, the newest first.
    pub(super) fn split(&mut self, missing: &[Missing], now: Instant) -> (Vec<Missing>, Vec<Missing>) {
        self.ranges.retain(|left| now.saturating_duration_since(left.since) < LEFT_FOR);
        let (mut lake, mut horizon) = (Vec::new(), Vec::new());
        for gap in missing {
            let left = self
                .ranges
                .iter()
                .map(|left| (left.from.max(gap.from), left.to.min(gap.to)))
                .filter(|(from, to)| from <= to)
                .collect();
            // Walk down from the top of the gap.
            let mut top = Some(gap.to);
            for (from, to) in merged(left).into_iter().rev() {
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
