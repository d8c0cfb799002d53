//! Ranges of ledgers whose trades are complete.

use super::{
    instant::{MINUTE, UnixSeconds},
    number::ratio_to_f64,
};

/// Most seconds from the newest held ledger to the end of a whole window. If there are more, the last ledgers of the
/// window may be missing. A source that follows the network is some seconds behind. On a quiet network, ledgers without
/// a trade become known some minutes later. The limit is fixed, because all replicas must judge alike.
pub const LAG_MAX: i64 = 10 * MINUTE;

/// Number of a ledger, and its close time.
pub type ClosedLedger = (u32, UnixSeconds);

/// Range of ledgers of which every trade is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRange {
    /// First ledger.
    pub from: u32,
    /// Last ledger, inclusive.
    pub to: u32,
    /// Close time of the first ledger, as far as known.
    pub from_time: UnixSeconds,
    /// Close time of the last ledger, as far as known.
    pub to_time: UnixSeconds,
}

/// Span of time, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan {
    /// First second.
    pub from: UnixSeconds,
    /// Last second.
    pub to: UnixSeconds,
}

impl From<&LedgerRange> for TimeSpan {
    fn from(range: &LedgerRange) -> Self {
        Self { from: range.from_time, to: range.to_time }
    }
}

/// Merges spans that touch or overlap, and sorts them. Drops spans that end before they begin.
#[must_use]
pub fn merge_times(mut spans: Vec<TimeSpan>) -> Vec<TimeSpan> {
    spans.retain(|span| span.from <= span.to);
    spans.sort_unstable();
    let mut merged: Vec<TimeSpan> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.to.plus(1) => last.to = last.to.max(span.to),
            _ => merged.push(span),
        }
    }
    merged
}

/// Returns the spans without the seconds of a hole, merged. A hole that ends before it begins has none.
#[must_use]
pub fn times_without(spans: &[TimeSpan], hole: TimeSpan) -> Vec<TimeSpan> {
    let parts = |span: &TimeSpan| {
        let before = TimeSpan { to: span.to.min(hole.from.minus(1)), ..*span };
        let after = TimeSpan { from: span.from.max(hole.to.plus(1)), ..*span };
        [before, after]
    };
    merge_times(spans.iter().flat_map(parts).collect())
}

/// Merges overlapping and adjacent ranges, and sorts them. Drops ranges that end before they begin.
#[must_use]
pub fn merge(mut ranges: Vec<LedgerRange>) -> Vec<LedgerRange> {
    ranges.retain(|range| range.from <= range.to);
    ranges.sort_by_key(|range| (range.from, range.to));
    let mut merged: Vec<LedgerRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            // Overlapping or adjacent: extend the last range.
            Some(last) if range.from <= last.to.saturating_add(1) => {
                // Where no trade is known, a lower range may have the time of the ledgers above it.
                // Its first ledger closed before all of them.
                last.from_time = last.from_time.min(range.from_time);
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

/// Ledgers between merged ranges, whose trades are incomplete. Each gap has the times of the ledgers around it.
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

/// Returns true if every ledger is held that closed from `since` to the newest one that is held.
#[must_use]
pub fn is_whole_since(merged: &[LedgerRange], since: UnixSeconds) -> bool {
    merged.last().is_some_and(|last| last.from_time <= since)
}

/// Returns true if the newest ledger that is held closed more than [`LAG_MAX`] before `until`.
#[must_use]
pub fn lacks_end(merged: &[LedgerRange], until: UnixSeconds) -> bool {
    merged.last().is_some_and(|last| last.to_time.plus(LAG_MAX) < until)
}

/// Returns true if every ledger is held that closed from `since` on, and if the newest one that is held closed at most
/// [`LAG_MAX`] before `until`.
#[must_use]
pub fn is_whole(merged: &[LedgerRange], since: UnixSeconds, until: UnixSeconds) -> bool {
    is_whole_since(merged, since) && !lacks_end(merged, until)
}

/// Ranges without the ledgers from `hole.from` to `hole.to`. The remaining parts end and begin at the hole's times.
#[must_use]
pub fn without(ranges: &[LedgerRange], hole: LedgerRange) -> Vec<LedgerRange> {
    let mut left = Vec::with_capacity(ranges.len().saturating_add(1));
    for range in ranges {
        if range.to < hole.from || range.from > hole.to {
            left.push(*range);
            continue;
        }
        if range.from < hole.from {
            left.push(LedgerRange { to: hole.from - 1, to_time: hole.from_time, ..*range });
        }
        if range.to > hole.to {
            left.push(LedgerRange { from: hole.to + 1, from_time: hole.to_time, ..*range });
        }
    }
    left
}

/// Joins each two neighbours of merged ranges, with what lies between them. Halves their number.
#[must_use]
pub fn joined_in_pairs(merged: &[LedgerRange]) -> Vec<LedgerRange> {
    let joined = merged.chunks(2).filter_map(|pair| {
        let (first, last) = (pair.first()?, pair.last()?);
        Some(LedgerRange { to: last.to, to_time: last.to_time, ..*first })
    });
    joined.collect()
}

/// Time at which the complete ledgers below `ledger` end, if the range that holds it is cut there. `newest_below` is
/// the close time of the newest known ledger of that part. The time may be late, but is never before the part begins:
/// the cleaner would drop the part as too old.
#[must_use]
pub fn end_of_part_below(
    ranges: &[LedgerRange],
    ledger: u32,
    newest_below: Option<UnixSeconds>,
) -> Option<UnixSeconds> {
    let cut = ranges.iter().find(|range| (range.from..=range.to).contains(&ledger));
    newest_below.max(cut.map(|range| range.from_time))
}

/// Range of incomplete ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// First incomplete ledger.
    pub from: u32,
    /// Last incomplete ledger, inclusive.
    pub to: u32,
    /// Close time of the ledger directly above. All of the range is at least as old.
    pub before: UnixSeconds,
    /// Time back to which the range is needed.
    pub since: UnixSeconds,
}

/// Incomplete ledgers below the newest complete one, the newest first.
///
/// Below all ranges, they reach back to `since` and down to `floor`. Gaps between ranges are listed if they end after
/// `gaps_since`, and reach back to `oldest_kept`: trades of an earlier time are not stored.
#[must_use]
pub fn missing(
    merged: &[LedgerRange],
    floor: u32,
    since: UnixSeconds,
    gaps_since: UnixSeconds,
    oldest_kept: UnixSeconds,
) -> Vec<Missing> {
    let mut missing = Vec::new();
    for (index, above) in merged.iter().enumerate().rev() {
        let below = index.checked_sub(1).and_then(|below| merged.get(below));
        let (wanted_since, since) =
            if below.is_some() { (gaps_since.max(oldest_kept), oldest_kept) } else { (since, since) };
        let from = below.map_or(floor, |below| floor.max(below.to.saturating_add(1)));
        let Some(to) = above.from.checked_sub(1) else { continue };
        if from <= to && above.from_time > wanted_since {
            missing.push(Missing { from, to, before: above.from_time, since });
        }
    }
    missing
}

/// Share of complete ledgers between `from` and the newest complete ledger, from 0 to 1.
#[must_use]
pub fn held_ratio(merged: &[LedgerRange], from: u32) -> f64 {
    let Some(newest) = merged.last() else { return 0.0 };
    let wanted = i64::from(newest.to) - i64::from(from) + 1;
    let held = held_between(merged, from, newest.to);
    if wanted <= 0 { 1.0 } else { ratio_to_f64(i128::from(held), wanted) }
}

/// Number of complete ledgers from `from` to `to`, inclusive.
#[must_use]
pub fn held_between(merged: &[LedgerRange], from: u32, to: u32) -> u32 {
    let held = |range: &LedgerRange| {
        let (from, to) = (range.from.max(from), range.to.min(to));
        if from > to { 0 } else { to.saturating_sub(from).saturating_add(1) }
    };
    merged.iter().map(held).fold(0, u32::saturating_add)
}

/// Start of the last run of ascending ledgers without a gap.
#[must_use]
pub fn last_run(ledgers: impl DoubleEndedIterator<Item = u32>) -> Option<u32> {
    ledgers.rev().reduce(|start, lower| if lower.checked_add(1) == Some(start) { lower } else { start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(i64::from(from)), to_time: UnixSeconds(i64::from(to)) }
    }

    #[test]
    fn spans_that_touch_are_one() {
        let span = |from, to| TimeSpan { from: UnixSeconds(from), to: UnixSeconds(to) };
        let spans = vec![span(50, 60), span(0, 9), span(10, 20), span(15, 18), span(30, 29)];
        assert_eq!(merge_times(spans), [span(0, 20), span(50, 60)]);
    }

    #[test]
    fn a_hole_cuts_the_spans_that_it_meets() {
        let span = |from, to| TimeSpan { from: UnixSeconds(from), to: UnixSeconds(to) };
        let spans = [span(0, 20), span(30, 40)];
        assert_eq!(times_without(&spans, span(5, 9)), [span(0, 4), span(10, 20), span(30, 40)]);
        assert_eq!(times_without(&spans, span(15, 35)), [span(0, 14), span(36, 40)]);
        assert_eq!(times_without(&spans, span(0, 40)), []);
        assert_eq!(times_without(&spans, span(22, 28)), spans);
        assert_eq!(times_without(&spans, span(9, 5)), spans, "no second");
    }

    #[test]
    fn a_window_is_whole_if_the_newest_range_begins_before_it() {
        assert!(!is_whole_since(&[], UnixSeconds(0)));
        let held = [range(1, 5), range(10, 12)];
        assert!(is_whole_since(&held, UnixSeconds(10)));
        assert!(!is_whole_since(&held, UnixSeconds(9)), "ledgers 6 to 9 are missing");
    }

    #[test]
    fn a_window_is_not_whole_if_the_newest_ledger_is_long_before_its_end() {
        let held = [range(1, 5), range(10, 12)];
        let whole = |since, until| is_whole(&held, UnixSeconds(since), UnixSeconds(until));
        assert!(whole(10, 12) && whole(10, 12 + LAG_MAX) && whole(10, 11));
        assert!(!whole(10, 13 + LAG_MAX), "nothing has arrived for too long");
        assert!(!whole(9, 12) && !is_whole(&[], UnixSeconds(0), UnixSeconds(0)));
    }

    #[test]
    fn a_merged_range_begins_with_the_earliest_time_of_its_parts() {
        let empty = LedgerRange { from: 1, to: 9, from_time: UnixSeconds(25), to_time: UnixSeconds(25) };
        let whole = LedgerRange { from: 1, to: 30, from_time: UnixSeconds(10), to_time: UnixSeconds(30) };
        assert_eq!(merge(vec![range(10, 30), empty]), [whole]);
    }

    #[test]
    fn neighbours_are_joined_with_what_lies_between_them() {
        assert_eq!(joined_in_pairs(&[range(1, 2), range(5, 6), range(9, 9)]), [range(1, 6), range(9, 9)]);
    }

    #[test]
    fn merges_adjacent_ranges_and_lists_the_gaps() {
        let merged = merge(vec![range(10, 12), range(1, 3), range(4, 5), range(2, 3), range(9, 8)]);
        assert_eq!(merged, [range(1, 5), range(10, 12)]);
        let gap = LedgerRange { from: 6, to: 9, from_time: UnixSeconds(5), to_time: UnixSeconds(10) };
        assert_eq!(gaps(&merged), [gap], "it begins and ends with the times of the ledgers around it");
    }

    #[test]
    fn a_part_that_stays_ends_with_its_newest_known_ledger_and_never_before_it_begins() {
        let held = [range(1, 5), range(10, 30)];
        let end = |ledger, below: Option<i64>| end_of_part_below(&held, ledger, below.map(UnixSeconds));
        assert_eq!(end(20, Some(17)), Some(UnixSeconds(17)));
        assert_eq!(end(20, None), Some(UnixSeconds(10)), "no ledger below is known");
        assert_eq!(end(20, Some(3)), Some(UnixSeconds(10)), "the newest known ledger is of an older range");
        assert_eq!(end(7, None), None, "the ledger is in no range");
        assert_eq!(end(7, Some(4)), Some(UnixSeconds(4)));
    }

    #[test]
    fn lists_missing_ledgers_newest_first_down_to_the_floor_and_back_to_the_time() {
        let merged = [range(10, 12), range(20, 25), range(30, 40)];
        let found = |floor, since| {
            let since = UnixSeconds(since);
            let missing = missing(&merged, floor, since, since, UnixSeconds(i64::MIN));
            missing.iter().map(|missing| (missing.from, missing.to, missing.before.0)).collect::<Vec<_>>()
        };
        assert_eq!(found(5, 0), [(26, 29, 30), (13, 19, 20), (5, 9, 10)]);
        assert_eq!(
            found(15, 0),
            [(26, 29, 30), (15, 19, 20)],
            "ledgers that Horizon no longer has are not requested"
        );
        assert_eq!(found(5, 20), [(26, 29, 30)], "the ranges above reach back far enough");
        let all = UnixSeconds(i64::MIN);
        assert!(missing(&[], 0, all, all, all).is_empty());
        let one = missing(&[range(1, 3), range(5, 6)], 1, all, all, all);
        assert_eq!(one.iter().map(|missing| (missing.from, missing.to)).collect::<Vec<_>>(), [(4, 4)]);
    }

    #[test]
    fn gaps_reach_back_to_the_oldest_time_that_is_kept() {
        let merged = [range(10, 12), range(20, 25), range(30, 40)];
        let found = |since, gaps_since, oldest_kept| {
            let [since, gaps_since, oldest_kept] = [since, gaps_since, oldest_kept].map(UnixSeconds);
            let missing = missing(&merged, 5, since, gaps_since, oldest_kept);
            missing.iter().map(|missing| (missing.from, missing.since.0)).collect::<Vec<_>>()
        };
        assert_eq!(found(3, i64::MIN, 2), [(26, 2), (13, 2), (5, 3)]);
        assert_eq!(found(20, i64::MIN, 2), [(26, 2), (13, 2)], "older ledgers below all are not wanted");
        assert_eq!(found(20, 20, 2), [(26, 2)], "a listed gap is wanted whole");
        assert_eq!(found(3, i64::MIN, 15), [(26, 15), (13, 15), (5, 3)]);
        assert_eq!(found(20, i64::MIN, 20), [(26, 20)], "all that is kept of the lower gap is held");
    }

    #[test]
    fn the_held_ratio_counts_ledgers() {
        let merged = [range(1, 20), range(61, 100)];
        let ratio = |from| held_ratio(&merged, from);
        assert!((ratio(1) - 0.6).abs() < 1e-12);
        assert!((ratio(41) - 40.0 / 60.0).abs() < 1e-12);
        assert_eq!((ratio(61), ratio(200), held_ratio(&[], 1)), (1.0, 1.0, 0.0));
        assert_eq!((ratio(100), ratio(101)), (1.0, 1.0), "all of one ledger, and of none");
        let one = [range(5, 5)];
        assert_eq!([held_between(&one, 5, 9), held_between(&one, 1, 5), held_between(&one, 6, 9)], [1, 1, 0]);
    }

    proptest! {
        #[test]
        fn merging_keeps_exactly_the_same_ledgers(parts in prop::collection::vec((0..60_u32, 0..8_u32), 0..12)) {
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
        fn a_hole_removes_its_ledgers_and_no_others(
            parts in prop::collection::vec((0..60_u32, 0..8_u32), 0..8), from in 0..70_u32, len in 0..20_u32,
        ) {
            let ranges = merge(parts.iter().map(|(from, len)| range(*from, from + len)).collect());
            let ledgers = |ranges: &[LedgerRange]| ranges.iter().flat_map(|r| r.from..=r.to).collect::<Vec<_>>();
            let left = without(&ranges, range(from, from + len));
            let hole = from..=from + len;
            let wanted: Vec<_> = ledgers(&ranges).into_iter().filter(|ledger| !hole.contains(ledger)).collect();
            prop_assert_eq!(ledgers(&left), wanted);
            for part in &left {
                prop_assert!(part.from <= part.to);
                prop_assert!(ranges.contains(part) || part.to_time.0 == i64::from(from) || part.from_time.0 == i64::from(from + len));
            }
        }

        #[test]
        fn nothing_overflows(parts in prop::collection::vec(any::<(u32, u32)>(), 0..8)) {
            let ranges = merge(parts.iter().map(|(from, to)| range(*from, *to)).collect());
            for hole in &ranges {
                let _ = (gaps(&ranges), without(&ranges, *hole));
            }
        }
    }

    #[test]
    fn the_last_run_begins_after_the_last_gap() {
        assert_eq!(last_run([10, 11, 12, 18, 19, 20].into_iter()), Some(18));
        assert_eq!((last_run(10..=12), last_run(7..7)), (Some(10), None));
    }
}
