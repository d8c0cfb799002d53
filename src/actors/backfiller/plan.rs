//! Choice of the stretches of history to read, and their order. Pure.

use crate::domain::{
    conversions::SaturatingFrom,
    coverage::{LedgerRange, Missing},
    instant::UnixSeconds,
};

/// Assumed seconds per ledger if no pace is known.
const LEDGER_SECONDS_GUESSED: i64 = 5;
/// Fewest ledgers of a part of a gap. A smaller part is not worth its last page, which reaches into the next part.
const STRETCH_LEDGERS_MIN: u32 = 32;

/// Fewest ledgers of a part of a gap whose newest ledgers cannot be read, so that little of it stays unread.
const AROUND_LEDGERS_MIN: u32 = 8;
/// Parts of each gap while one cannot be read.
const AROUND_PARTS: u32 = 4;
/// Most stretches then.
const AROUND_MAX: usize = 32;

/// Ledgers to read from `to` down to `from`, or until trades are older than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Lowest ledger to read.
    pub(super) from: u32,
    /// Highest ledger to read; none for the newest of all.
    pub(super) to: Option<u32>,
    /// Latest possible close time in the stretch; none if unknown.
    pub(super) before: Option<UnixSeconds>,
    /// Time before which trades are not wanted.
    pub(super) since: UnixSeconds,
}

/// Chooses the stretches to read now, `at_once` at most, from the newest gap down. A long gap is cut into several by
/// the assumed duration of a ledger. A wrong assumption costs a request, but no trade.
pub(super) fn stretches(missing: &[Missing], held: &[LedgerRange], at_once: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for gap in missing {
        let parts = u32::saturating_from(at_once.saturating_sub(stretches.len()));
        if parts == 0 {
            break;
        }
        let wanted = ledgers_since(gap.before, held, gap.since);
        stretches.extend(split(gap, wanted, parts, STRETCH_LEDGERS_MIN));
    }
    stretches
}

/// Chooses the stretches to read while the newest ledgers of a gap cannot be read: parts of every gap, so that the
/// others are read and that gap becomes smaller.
pub(super) fn around_failures(missing: &[Missing], held: &[LedgerRange]) -> Vec<Stretch> {
    let parts = missing.iter().flat_map(|gap| {
        split(gap, ledgers_since(gap.before, held, gap.since), AROUND_PARTS, AROUND_LEDGERS_MIN)
    });
    parts.take(AROUND_MAX).collect()
}

/// Estimates the first ledger of the wanted history: the floor, or the ledger of `since` by the pace of held ledgers.
pub(super) fn wanted_from(held: &[LedgerRange], floor: u32, since: UnixSeconds) -> u32 {
    let Some(newest) = held.last() else { return floor };
    newest.to.saturating_sub(ledgers_since(newest.to_time, held, since)).max(floor)
}

/// Estimates the number of ledgers between `since` and `until`, by the pace of held ledgers.
fn ledgers_since(until: UnixSeconds, held: &[LedgerRange], since: UnixSeconds) -> u32 {
    let seconds = until.0.saturating_sub(since.0).max(0);
    let pace = held
        .iter()
        .map(|range| (i64::from(range.to - range.from), range.to_time.0 - range.from_time.0))
        .filter(|(ledgers, seconds)| *ledgers > 0 && *seconds > 0)
        .max();
    let ledgers = match pace {
        Some((ledgers, took)) => seconds.saturating_mul(ledgers).checked_div(took).unwrap_or(seconds),
        None => seconds.checked_div(LEDGER_SECONDS_GUESSED).unwrap_or(seconds),
    };
    u32::saturating_from(ledgers)
}

/// Cuts a gap into `parts` stretches at most, the newest first, of `ledgers_min` ledgers or more. `wanted` is the
/// estimated number of its ledgers that are young enough. The last stretch reaches down to the start of the gap,
/// because the estimate may be too low.
fn split(gap: &Missing, wanted: u32, parts: u32, ledgers_min: u32) -> Vec<Stretch> {
    let low = gap.to.saturating_sub(wanted).max(gap.from);
    let ledgers = gap.to.saturating_sub(low);
    let parts = parts.min(ledgers.checked_div(ledgers_min).unwrap_or(0)).max(1);
    let step = ledgers.checked_div(parts).unwrap_or(0);
    let mut stretches = Vec::new();
    let mut to = gap.to;
    for _ in 1..parts {
        let from = to.saturating_sub(step).max(low);
        stretches.push(Stretch {
            from: from.saturating_add(1),
            to: Some(to),
            before: Some(gap.before),
            since: gap.since,
        });
        to = from;
    }
    stretches.push(Stretch { from: gap.from, to: Some(to), before: Some(gap.before), since: gap.since });
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gap(from: u32, to: u32, before: i64) -> Missing {
        Missing { from, to, before: UnixSeconds(before), since: UnixSeconds(10_000) }
    }

    #[test]
    fn one_at_a_time_is_the_newest_gap_whole() {
        let gaps = [gap(50, 60, 600), gap(10, 20, 200)];
        let stretches = stretches(&gaps, &[], 1);
        assert_eq!(
            stretches,
            [Stretch { from: 50, to: Some(60), before: Some(UnixSeconds(600)), since: UnixSeconds(10_000) }]
        );
    }

    #[test]
    fn a_long_gap_is_cut_at_the_wanted_time_and_the_lowest_part_continues_below() {
        // 10 s a ledger, 10,000 s wanted: 1,000 ledgers above the wanted time, of a history of 90,000.
        let held = [LedgerRange {
            from: 90_001,
            to: 90_101,
            from_time: UnixSeconds(20_000),
            to_time: UnixSeconds(21_000),
        }];
        let stretches = stretches(&[gap(2, 90_000, 20_000)], &held, 4);
        let ends: Vec<_> = stretches.iter().map(|part| (part.from, part.to.unwrap())).collect();
        assert_eq!(ends, [(89_751, 90_000), (89_501, 89_750), (89_251, 89_500), (2, 89_250)]);
    }

    #[test]
    fn a_part_has_32_ledgers_at_least() {
        let parts = |wanted| split(&gap(2, 1_000, 1), wanted, 2, STRETCH_LEDGERS_MIN).len();
        assert_eq!((parts(63), parts(64)), (1, 2));
    }

    #[test]
    fn around_failures_every_gap_is_cut_down_to_a_few_ledgers() {
        let sizes = |gaps: &[Missing]| {
            let stretches = around_failures(gaps, &[]);
            stretches.iter().map(|part| part.to.unwrap() + 1 - part.from).collect::<Vec<_>>()
        };
        let old = |from, to| Missing { since: UnixSeconds(i64::MIN), ..gap(from, to, 1) };
        assert_eq!(sizes(&[old(1_000, 1_040), old(500, 599)]), [10, 10, 10, 11, 24, 24, 24, 28]);
        assert_eq!(sizes(&[old(1_000, 1_015), old(500, 501)]), [16, 2]);
        assert_eq!(sizes(&vec![old(1_000, 9_000); 100]).len(), AROUND_MAX);
    }

    #[test]
    fn the_start_of_wanted_history_is_estimated_by_pace_or_by_five_seconds_a_ledger() {
        let held = |from, took: i64| {
            [LedgerRange {
                from,
                to: 1_000,
                from_time: UnixSeconds(9_000 - took),
                to_time: UnixSeconds(9_000),
            }]
        };
        let wanted = |held: &[LedgerRange], floor, since| wanted_from(held, floor, UnixSeconds(since));
        assert_eq!(wanted(&held(900, 1_000), 2, 8_000), 900, "ten seconds a ledger");
        assert_eq!(wanted(&held(1_000, 10), 2, 8_000), 800, "one ledger has no pace");
        assert_eq!(wanted(&held(900, 0), 2, 8_000), 800, "nor have ledgers that closed at the same time");
        assert_eq!(wanted(&held(900, 1_000), 950, 8_000), 950, "not below Horizon's oldest ledger");
        assert_eq!(wanted(&held(900, 1_000), 2, 20_000), 1_000, "nothing older is wanted");
        assert_eq!(wanted(&[], 7, 8_000), 7);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_gap(from in 0..5_000_u32, len in 0..5_000_u32, wanted in 0..9_000_u32, parts in 1..9_u32) {
            let gap = gap(from, from + len, 1);
            let mut at = gap.to + 1;
            let parts = split(&gap, wanted, parts, STRETCH_LEDGERS_MIN);
            for part in &parts {
                prop_assert_eq!(part.to, Some(at - 1));
                prop_assert!(part.from < at);
                prop_assert_eq!((part.before, part.since), (Some(gap.before), gap.since));
                at = part.from;
            }
            prop_assert_eq!(at, gap.from);
        }
    }
}
