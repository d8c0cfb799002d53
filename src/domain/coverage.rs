//! Which ledgers are held whole.

use super::instant::Second;

/// A range of ledgers of which every trade is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRange {
    /// Its first ledger.
    pub from: u32,
    /// Its last ledger, inclusive.
    pub to: u32,
    /// When its first ledger closed, as far as is known.
    pub from_time: Second,
    /// When its last ledger closed, as far as is known.
    pub to_time: Second,
}

/// The same ledgers in as few ranges as they need, in order. Ranges that end before they begin are dropped.
#[must_use]
pub fn merge(mut ranges: Vec<LedgerRange>) -> Vec<LedgerRange> {
    ranges.retain(|range| range.from <= range.to);
    ranges.sort_by_key(|range| (range.from, range.to));
    let mut merged: Vec<LedgerRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.from <= last.to.saturating_add(1) => {
                if range.to > last.to {
                    last.to = range.to;
                    last.to_time = range.to_time;
                }
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// What lies between merged ranges: the ledgers that are not held whole.
#[must_use]
pub fn gaps(merged: &[LedgerRange]) -> Vec<LedgerRange> {
    merged
        .iter()
        .zip(merged.iter().skip(1))
        .map(|(before, after)| LedgerRange {
            from: before.to.saturating_add(1),
            to: after.from.saturating_sub(1),
            from_time: before.to_time,
            to_time: after.from_time,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: Second(i64::from(from)), to_time: Second(i64::from(to)) }
    }

    #[test]
    fn joins_what_touches_and_names_what_is_missing() {
        let merged = merge(vec![range(10, 12), range(1, 3), range(4, 5), range(2, 3), range(9, 8)]);
        assert_eq!(merged, [range(1, 5), range(10, 12)]);
        assert_eq!(gaps(&merged).iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(6, 9)]);
    }

    proptest! {
        #[test]
        fn holds_exactly_the_same_ledgers(parts in prop::collection::vec((0..60_u32, 0..8_u32), 0..12)) {
            let ranges: Vec<_> = parts.iter().map(|(from, len)| range(*from, from + len)).collect();
            let held: BTreeSet<u32> = ranges.iter().flat_map(|r| r.from..=r.to).collect();
            let merged = merge(ranges);
            prop_assert_eq!(&merged.iter().flat_map(|r| r.from..=r.to).collect::<BTreeSet<_>>(), &held);
            let missing: BTreeSet<u32> = gaps(&merged).iter().flat_map(|r| r.from..=r.to).collect();
            let all: BTreeSet<u32> = match (held.first(), held.last()) {
                (Some(first), Some(last)) => (*first..=*last).collect(),
                _ => BTreeSet::new(),
            };
            prop_assert_eq!(missing, all.difference(&held).copied().collect());
        }

        #[test]
        fn nothing_overflows(parts in prop::collection::vec(any::<(u32, u32)>(), 0..8)) {
            let _ = gaps(&merge(parts.iter().map(|(from, to)| range(*from, *to)).collect()));
        }
    }
}
