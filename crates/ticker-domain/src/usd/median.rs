//! Weighted medians, and weights that no single voice can dominate.

use std::collections::BTreeMap;

use super::Rate;
use crate::conversions::SaturatingFrom;

/// Most rounds of cutting weights. Each brings them closer to both limits, and a few dozen suffice.
const ROUNDS_MAX: usize = 200;
/// Part of a limit by which rounding may exceed it.
const ROUNDING: i128 = 1_000;
/// Bits of the largest weight. Small ones are raised with it, so that rounding does not matter.
const WEIGHT_BITS: u32 = 56;

/// Price with the minute and the anchor it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) minute: i64,
    /// Close time of its last trade, in seconds since 1970.
    pub(super) last_at: i64,
    pub(super) anchor: usize,
    pub(super) rate: Rate,
    /// Weight, not negative.
    pub(super) weight: i128,
}

/// Largest share of a group, as a fraction.
#[derive(Clone, Copy)]
pub(super) struct Cap {
    pub(super) n: i128,
    pub(super) d: i128,
}

/// Largest share of a minute.
pub(super) const MINUTE_CAP: Cap = Cap { n: 1, d: 10 };
/// Largest share of an anchor.
pub(super) const ANCHOR_CAP: Cap = Cap { n: 7, d: 10 };

/// Cuts the weights until no minute has more than a tenth of the total and no anchor more than seven tenths.
///
/// To cut once is no cap, because the turnover of an attacker raises the total. With fewer groups than a cap allows,
/// all groups have equal weights. Both caps may be impossible at once: nine minutes of one anchor and one of another.
/// Then only minutes are cut. Equal weights would give a minute of a dollar the same voice as all others.
pub(super) fn capped(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    raise(&mut candidates);
    let raised = candidates.clone();
    for _ in 0..ROUNDS_MAX {
        let before = candidates.clone();
        cut(&mut candidates, minute, MINUTE_CAP);
        cut(&mut candidates, anchor, ANCHOR_CAP);
        if candidates == before {
            break;
        }
    }
    if holds(&candidates, minute, MINUTE_CAP) && holds(&candidates, anchor, ANCHOR_CAP) {
        return candidates;
    }
    candidates = raised;
    cut(&mut candidates, minute, MINUTE_CAP);
    candidates
}

/// Raises the weights together, so that rounding does not matter.
fn raise(candidates: &mut [Candidate]) {
    let largest = candidates.iter().map(|candidate| candidate.weight.max(1)).max().unwrap_or(1);
    let bits = i128::BITS - largest.leading_zeros();
    for candidate in candidates {
        // Every trade has a voice, also one that is worth less than a stroop.
        let weight = candidate.weight.max(1);
        let raised = weight << WEIGHT_BITS.saturating_sub(bits) >> bits.saturating_sub(WEIGHT_BITS);
        candidate.weight = raised.max(1);
    }
}

const fn minute(of: &Candidate) -> i64 {
    of.minute
}

fn anchor(of: &Candidate) -> i64 {
    i64::saturating_from(of.anchor)
}

/// Cuts the groups that have more than their share of what is left after the cut.
fn cut(candidates: &mut [Candidate], group: impl Fn(&Candidate) -> i64, cap: Cap) {
    let totals = totals(candidates, &group);
    let limit = limit(&totals, cap);
    for candidate in candidates {
        let total = totals.get(&group(candidate)).copied().unwrap_or(1);
        if total > limit {
            // Weights have 56 bits and totals few more, so the product fits.
            candidate.weight = (candidate.weight * limit / total.max(1)).max(1);
        }
    }
}

/// True if no group has more than its share. Rounding may leave a group a little above.
fn holds(candidates: &[Candidate], group: impl Fn(&Candidate) -> i64, cap: Cap) -> bool {
    let totals = totals(candidates, group);
    let limit = limit(&totals, cap);
    totals.values().all(|total| *total <= limit + limit / ROUNDING)
}

fn totals(candidates: &[Candidate], group: impl Fn(&Candidate) -> i64) -> BTreeMap<i64, i128> {
    let mut totals: BTreeMap<i64, i128> = BTreeMap::new();
    for candidate in candidates {
        *totals.entry(group(candidate)).or_default() += candidate.weight;
    }
    totals
}

/// Largest weight of a group such that it is at most its share of the sum of all groups, cut to that weight. The
/// smallest weight if there are too few groups for the cap.
fn limit(totals: &BTreeMap<i64, i128>, cap: Cap) -> i128 {
    if i128::saturating_from(totals.len()) * cap.n < cap.d {
        return totals.values().min().copied().unwrap_or_default();
    }
    let mut sorted: Vec<i128> = totals.values().copied().collect();
    sorted.sort_unstable();
    let mut rest: i128 = sorted.iter().sum();
    let mut cut = 0;
    // Cut from the largest down: `limit = share * (rest + cut * limit)`.
    while let Some(largest) = sorted.pop() {
        let free = cap.d - cap.n * cut;
        if free <= 0 || cap.n * rest >= largest * free {
            return if free > 0 { cap.n * rest / free } else { largest };
        }
        rest -= largest;
        cut += 1;
    }
    0
}

/// Lower weighted median, or `None` without candidates.
pub(super) fn lower_median(candidates: &[Candidate]) -> Option<Rate> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|one, other| {
        one.rate.compare(other.rate).then_with(|| (one.minute, one.anchor).cmp(&(other.minute, other.anchor)))
    });
    let total: i128 = sorted.iter().map(|candidate| candidate.weight).sum();
    let mut sum = 0;
    sorted.into_iter().find_map(|candidate| {
        sum += candidate.weight;
        (2 * sum >= total).then_some(candidate.rate)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn candidate(minute: i64, anchor: usize, n: i128, weight: i128) -> Candidate {
        Candidate { minute, last_at: minute * 60, anchor, rate: Rate::new(n, 100).unwrap(), weight }
    }

    fn share_of(candidates: &[Candidate], is_in: impl Fn(&Candidate) -> bool) -> f64 {
        let total: i128 = candidates.iter().map(|candidate| candidate.weight).sum();
        let part: i128 = candidates.iter().filter(|of| is_in(of)).map(|candidate| candidate.weight).sum();
        crate::number::ratio_to_f64(part >> 10, i64::try_from(total >> 10).unwrap())
    }

    #[test]
    fn the_median_is_the_lower_one() {
        let of = |weights: [i128; 3]| {
            let [a, b, c] = weights;
            lower_median(&[candidate(1, 0, 30, c), candidate(2, 0, 10, a), candidate(3, 0, 20, b)]).unwrap().n
        };
        assert_eq!((of([1, 1, 1]), of([2, 1, 1]), of([1, 1, 2]), of([0, 0, 5])), (20, 10, 20, 30));
        assert_eq!(lower_median(&[]), None);
    }

    #[test]
    fn one_minute_of_huge_turnover_has_a_tenth() {
        let mut candidates: Vec<_> = (0..20).map(|minute| candidate(minute, 0, 10, 100)).collect();
        candidates.push(candidate(99, 0, 900, 1_000_000_000));
        let capped = capped(candidates);
        assert!((share_of(&capped, |of| of.minute == 99) - 0.1).abs() < 1e-6);
        assert_eq!(lower_median(&capped).unwrap().n, 10);
    }

    #[test]
    fn few_minutes_are_equal() {
        let capped =
            capped(vec![candidate(1, 0, 10, 1), candidate(2, 0, 11, 10_000), candidate(3, 0, 12, 500)]);
        assert!(capped.iter().all(|of| of.weight == capped[0].weight), "{capped:?}");
    }

    #[test]
    fn where_both_caps_cannot_hold_only_minutes_are_cut() {
        // Nine minutes of one anchor: at a tenth each they are nine tenths of it, whatever they weigh.
        let mut candidates: Vec<_> = (0..9).map(|minute| candidate(minute, 0, 10, 1_000)).collect();
        candidates.push(candidate(9, 1, 12, 1_000_000));
        candidates.push(candidate(10, 0, 12, 1));
        let capped = capped(candidates);
        assert!(share_of(&capped, |of| of.minute == 9) < 0.1001, "{capped:?}");
        assert!(share_of(&capped, |of| of.minute == 10) < 0.001, "a small one stays small: {capped:?}");
        assert_eq!(lower_median(&capped).unwrap().n, 10);
    }

    proptest! {
        #[test]
        fn both_caps_hold_at_the_end(
            weights in prop::collection::vec((0..40_i64, 0..3_usize, 1..1_000_000_000_000_i128), 15..120),
        ) {
            let candidates: Vec<_> =
                weights.iter().map(|(minute, anchor, weight)| candidate(*minute, *anchor, 10, *weight)).collect();
            let minutes: BTreeSet<_> = candidates.iter().map(|of| of.minute).collect();
            let anchors: BTreeSet<_> = candidates.iter().map(|of| of.anchor).collect();
            prop_assume!(minutes.len() >= 12 && anchors.len() >= 2);
            // Each anchor trades in enough minutes, so that both caps can hold at once.
            prop_assume!(anchors.iter().all(|anchor| {
                candidates.iter().filter(|of| of.anchor == *anchor).map(|of| of.minute).collect::<BTreeSet<_>>().len() >= 5
            }));
            let capped = capped(candidates);
            for minute in minutes {
                prop_assert!(share_of(&capped, |of| of.minute == minute) < 0.1001);
            }
            for anchor in anchors {
                prop_assert!(share_of(&capped, |of| of.anchor == anchor) < 0.7001);
            }
        }

        #[test]
        fn both_caps_hold_or_that_of_a_minute(
            weights in prop::collection::vec((0..14_i64, 0..3_usize, 1..1_000_000_000_000_i128), 10..60),
        ) {
            let candidates: Vec<_> =
                weights.iter().map(|(minute, anchor, weight)| candidate(*minute, *anchor, 10, *weight)).collect();
            let minutes: BTreeSet<_> = candidates.iter().map(|of| of.minute).collect();
            let anchors: BTreeSet<_> = candidates.iter().map(|of| of.anchor).collect();
            prop_assume!(minutes.len() >= 10 && anchors.len() >= 2);
            let capped = capped(candidates);
            prop_assert!(minutes.iter().all(|minute| share_of(&capped, |of| of.minute == *minute) < 0.1002));
        }
    }
}
