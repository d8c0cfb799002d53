//! Random choice of the held ledger to read again. Pure.

use rand::Rng;

use crate::domain::{conversions::SaturatingFrom, coverage::LedgerRange};

/// Target of a reading again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RereadTarget {
    /// A ledger of a held range.
    Ledger(LedgerRange, u32),
    /// The bottom of a range, below its oldest trade. A wrongly believed end of history would be there.
    Bottom(LedgerRange),
}

impl RereadTarget {
    /// True for the ledger that an audit named.
    pub(super) fn is_named(self, named: Option<u32>) -> bool {
        matches!(self, Self::Ledger(_, ledger) if Some(ledger) == named)
    }
}

/// Held ledgers from `elder` on.
pub(super) fn from_ledger(held: &[LedgerRange], elder: u32) -> Vec<LedgerRange> {
    let kept = held.iter().filter(|range| range.to >= elder);
    kept.map(|range| LedgerRange { from: range.from.max(elder), ..*range }).collect()
}

/// Chooses the ledger that an audit named, if it is held. Otherwise, with even chances, the bottom of a range or a
/// ledger from `with_trades` on. Below that ledger no trade is held; on the public network those are 60 million
/// ledgers, in which a random choice would find nothing.
pub(super) fn choose(
    held: &[LedgerRange],
    named: Option<u32>,
    with_trades: u32,
    random: &mut impl Rng,
) -> Option<RereadTarget> {
    if let Some(target) = named.and_then(|ledger| {
        let range = held.iter().find(|range| (range.from..=range.to).contains(&ledger))?;
        Some(RereadTarget::Ledger(*range, ledger))
    }) {
        return Some(target);
    }
    if random.random() {
        bottom(held, random)
    } else {
        any_ledger(held, with_trades, random).or_else(|| bottom(held, random))
    }
}

/// Chooses the bottom of a held range. The oldest one is chosen as often as all others together, since no held trade
/// below it could contradict its end.
fn bottom(held: &[LedgerRange], random: &mut impl Rng) -> Option<RereadTarget> {
    let oldest = held.first()?;
    if random.random() {
        return Some(RereadTarget::Bottom(*oldest));
    }
    held.get(random.random_range(0..held.len())).copied().map(RereadTarget::Bottom)
}

/// Chooses a held ledger from `with_trades` on, each with the same chance.
fn any_ledger(held: &[LedgerRange], with_trades: u32, random: &mut impl Rng) -> Option<RereadTarget> {
    let parts = || {
        held.iter().filter(|range| range.to >= with_trades).map(|range| {
            let from = range.from.max(with_trades);
            (range, from, u64::from(range.to.saturating_sub(from)) + 1)
        })
    };
    let all: u64 = parts().map(|(_, _, length)| length).sum();
    if all == 0 {
        return None;
    }
    // Choose among all ledgers, not among ranges: a long range has more to check.
    let mut place = random.random_range(0..all);
    for (range, from, length) in parts() {
        if place < length {
            return Some(RereadTarget::Ledger(*range, from.saturating_add(u32::saturating_from(place))));
        }
        place -= length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::UnixSeconds;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(1), to_time: UnixSeconds(2) }
    }

    fn choices(held: &[LedgerRange], with_trades: u32) -> Vec<RereadTarget> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        (0..1_000).filter_map(|_| choose(held, None, with_trades, &mut random)).collect()
    }

    fn ledgers(choices: &[RereadTarget]) -> Vec<u32> {
        let ledgers = choices.iter().filter_map(|target| match target {
            RereadTarget::Ledger(_, ledger) => Some(*ledger),
            RereadTarget::Bottom(_) => None,
        });
        ledgers.collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn ledgers_below_the_oldest_one_of_horizon_are_left_out() {
        let held = [range(3, 5), range(9, 12)];
        assert_eq!(from_ledger(&held, 0), held);
        assert_eq!(from_ledger(&held, 5), [range(5, 5), range(9, 12)]);
        assert_eq!(from_ledger(&held, 10), [range(10, 12)]);
        assert_eq!(from_ledger(&held, 13), []);
    }

    #[test]
    fn every_held_ledger_and_every_bottom_is_chosen_and_no_other() {
        let held = [range(3, 5), range(9, 9), range(20, 22)];
        let choices = choices(&held, 0);
        assert_eq!(ledgers(&choices), [3, 4, 5, 9, 20, 21, 22]);
        for range in held {
            assert!(choices.contains(&RereadTarget::Bottom(range)), "{range:?}");
        }
    }

    #[test]
    fn millions_of_ledgers_without_trades_do_not_hide_their_end() {
        let held = [range(2, 60_000_000)];
        let choices = choices(&held, 59_999_998);
        assert_eq!(ledgers(&choices), [59_999_998, 59_999_999, 60_000_000]);
        let bottoms = choices.iter().filter(|target| matches!(target, RereadTarget::Bottom(_))).count();
        assert!((400..600).contains(&bottoms), "about every other choice: {bottoms}");
    }

    #[test]
    fn a_named_ledger_is_chosen_if_it_is_held() {
        let held = [range(3, 5), range(20, 22)];
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let target = RereadTarget::Ledger(held[1], 21);
            assert_eq!(choose(&held, Some(21), 0, &mut random), Some(target));
            assert!(target.is_named(Some(21)) && !target.is_named(None));
            let other = choose(&held, Some(7), 0, &mut random);
            assert!(other.is_some_and(|target| !target.is_named(Some(7))), "it is not held");
        }
        assert_eq!(choose(&[], Some(7), 0, &mut random), None);
        assert!(
            matches!(choose(&held, None, 900, &mut random), Some(RereadTarget::Bottom(_))),
            "no trade is held"
        );
    }

    #[test]
    fn the_first_and_the_last_ledger_of_a_range_are_held() {
        let held = [range(3, 5), range(20, 22)];
        assert_eq!(ledgers(&choices(&held, 5)), [5, 20, 21, 22], "the range ends with the oldest trade");
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for ledger in [20, 22] {
            assert_eq!(
                choose(&held, Some(ledger), 0, &mut random),
                Some(RereadTarget::Ledger(held[1], ledger))
            );
        }
    }

    #[test]
    fn the_oldest_bottom_is_chosen_as_often_as_all_others_and_always_without_held_trades() {
        let held: Vec<LedgerRange> = (1..=20).map(|place| range(place * 10, place * 10 + 3)).collect();
        let choices = choices(&held, 900);
        assert_eq!(choices.len(), 1_000, "each choice finds something");
        let oldest = choices.iter().filter(|target| **target == RereadTarget::Bottom(held[0])).count();
        assert!((450..600).contains(&oldest), "about every other choice: {oldest}");
    }
}
