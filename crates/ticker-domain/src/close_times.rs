//! Plausibility of close times. Ledgers close one after the other, so a close time that is out of order is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    coverage::ClosedLedger,
    instant::{HOUR, UnixSeconds},
};

/// Tolerated disorder between close times, in seconds. Horizon's clock may differ from ours by less, and that does no
/// harm.
pub const SLACK_S: i64 = 600;
/// Earliest close time that is accepted. No Stellar network is older.
pub const EARLIEST: UnixSeconds = UnixSeconds(1_420_070_400); // 2015-01-01T00:00:00Z, the first day that has a table
/// Longest pause between two ledgers that is accepted at once, in seconds. A longer one needs confirmation by further
/// ledgers below it.
const DROP_MAX_S: i64 = HOUR;
/// Ledgers below a long pause that confirm it.
pub const CONFIRMED_BY: usize = 3;
/// Ledgers of a stream kept for the median.
const RECENT_MAX: usize = 5;
/// Ledgers of earlier pages that each page is compared with.
const CONTEXT_MAX: usize = 16;

/// Plausible close times of the ledgers of a page. Pages are read from new to old.
#[derive(Clone, Debug, Default)]
pub struct CloseTimes {
    /// Plausible close times of the page's ledgers.
    plausible: BTreeMap<u32, UnixSeconds>,
    /// Ledgers of the page whose close time is out of order.
    outliers: BTreeSet<u32>,
    /// Highest ledger below a long pause that too few ledgers confirm.
    undecided_from: Option<u32>,
    /// Plausible ledgers above the page, the lowest last.
    context: Vec<ClosedLedger>,
}

/// Range of plausible close times of a ledger, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// Close time of the nearest plausible ledger below.
    after: Option<UnixSeconds>,
    /// Close time of the nearest plausible ledger above.
    before: Option<UnixSeconds>,
}

impl CloseTimes {
    /// Checks the close times of a page's trades against each other and against the ledgers above. `page` holds the
    /// ledger and the close time of each trade, in any order.
    ///
    /// The largest set of ledgers whose times are in order is plausible. A minority of wrong times cannot outweigh the
    /// others, whether they are too early or too late.
    #[must_use]
    pub fn check(above: &Self, page: impl IntoIterator<Item = ClosedLedger>) -> Self {
        let context = above.tail();
        let page: Vec<ClosedLedger> = by_ledger(page);
        let all: Vec<ClosedLedger> = context.iter().copied().chain(page.iter().copied()).collect();
        let chain = longest_in_order(&all);
        let chained: BTreeMap<u32, UnixSeconds> = chain.iter().copied().collect();
        let mut times = Self { undecided_from: undecided_from(&chain), context, ..Self::default() };
        for (ledger, closed_at) in page {
            let bounds = Bounds {
                after: chained.range(..ledger).next_back().map(|(_, at)| *at),
                before: chained.range(ledger.saturating_add(1)..).next().map(|(_, at)| *at),
            };
            // A time outside the chain is still fine if it is out of order by no more than the tolerance.
            if chained.contains_key(&ledger) || bounds.contains(closed_at) {
                times.plausible.insert(ledger, closed_at);
            } else {
                times.outliers.insert(ledger);
            }
        }
        times
    }

    /// Returns true if `closed_at` is not plausible for a trade of this ledger: all of its trades on the page have the
    /// time of most of them. A ledger outside this page is unknown, so this returns false.
    ///
    /// A ledger that two pages share is judged on each page by its own trades there. The upper page may be wrong, so
    /// it must not outvote the lower one.
    #[must_use]
    pub fn is_implausible(&self, ledger: u32, closed_at: UnixSeconds) -> bool {
        let differs = |plausible: &UnixSeconds| *plausible != closed_at;
        self.outliers.contains(&ledger) || self.plausible.get(&ledger).is_some_and(differs)
    }

    /// Plausible close time of a ledger: its own, or that of the nearest plausible ledger. `None` if no ledger is
    /// plausible.
    #[must_use]
    pub fn nearest_plausible(&self, ledger: u32) -> Option<UnixSeconds> {
        if let Some(at) = self.plausible.get(&ledger) {
            return Some(*at);
        }
        // Prefer the ledger above: its time is an upper bound.
        let above = self.plausible.range(ledger..).next().map(|(_, at)| *at);
        let context = self.context.last().map(|(_, at)| *at);
        above.or(context).or_else(|| self.plausible.last_key_value().map(|(_, at)| *at))
    }

    /// Ledgers of the page with a plausible close time before `since`.
    pub fn ledgers_before(&self, since: UnixSeconds) -> impl Iterator<Item = u32> {
        self.plausible.iter().filter(move |(_, at)| **at < since).map(|(ledger, _)| *ledger)
    }

    /// Highest ledger whose time is unconfirmed. It and all lower ledgers need ledgers further below to compare with.
    #[must_use]
    pub const fn undecided_from(&self) -> Option<u32> {
        self.undecided_from
    }

    /// Lowest plausible ledgers, the lowest last: the context of the next page.
    fn tail(&self) -> Vec<ClosedLedger> {
        let page = self.plausible.iter().rev().map(|(ledger, at)| (*ledger, *at));
        let all: Vec<ClosedLedger> = self.context.iter().copied().chain(page).collect();
        all.get(all.len().saturating_sub(CONTEXT_MAX)..).unwrap_or_default().to_vec()
    }
}

/// Close times of the last ledgers of a stream, as received.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentCloseTimes {
    ledgers: [Option<ClosedLedger>; RECENT_MAX],
}

impl RecentCloseTimes {
    /// Records the close time of a ledger, unless it is older than or equal to the newest one.
    pub fn record(&mut self, ledger: u32, closed_at: UnixSeconds) {
        let [newest, ..] = self.ledgers;
        if newest.is_none_or(|(newest, _)| newest < ledger) {
            self.ledgers.rotate_right(1);
            if let Some(first) = self.ledgers.first_mut() {
                *first = Some((ledger, closed_at));
            }
        }
    }

    /// Newest ledger and the median close time of the last five, so that two wrong times of five do not matter. Later
    /// ledgers closed after the median. `None` until five ledgers are recorded.
    #[must_use]
    pub fn median(&self) -> Option<ClosedLedger> {
        let (newest, _) = (*self.ledgers.first()?)?;
        let mut times = self.ledgers.iter().copied().map(|ledger| ledger.map(|(_, at)| at));
        let mut times = times.by_ref().collect::<Option<Vec<UnixSeconds>>>()?;
        times.sort_unstable();
        times.get(times.len() / 2).map(|median| (newest, *median))
    }
}

impl Bounds {
    /// Returns true if `closed_at` is within the range, with [`SLACK_S`] on either side.
    fn contains(self, closed_at: UnixSeconds) -> bool {
        self.after.is_none_or(|after| closed_at.plus(SLACK_S) >= after)
            && self.before.is_none_or(|before| closed_at <= before.plus(SLACK_S))
    }
}

/// Ledgers of the page, the newest first, each with the close time that most of its trades have.
fn by_ledger(page: impl IntoIterator<Item = ClosedLedger>) -> Vec<ClosedLedger> {
    majority_times(page).into_iter().rev().collect()
}

/// Close time that most trades of each ledger have. A tie goes to the latest time. `trades` holds the ledger and the
/// close time of each trade. All trades of a ledger close in the same second.
#[must_use]
pub fn majority_times(trades: impl IntoIterator<Item = ClosedLedger>) -> BTreeMap<u32, UnixSeconds> {
    let mut votes: BTreeMap<u32, BTreeMap<UnixSeconds, usize>> = BTreeMap::new();
    for (ledger, closed_at) in trades {
        *votes.entry(ledger).or_default().entry(closed_at).or_default() += 1;
    }
    let most = |votes: BTreeMap<UnixSeconds, usize>| {
        votes.into_iter().max_by_key(|(at, count)| (*count, *at)).map_or(UnixSeconds(0), |(at, _)| at)
    };
    votes.into_iter().map(|(ledger, votes)| (ledger, most(votes))).collect()
}

/// Largest subset of the ledgers (given newest first) whose times never increase. Of several such subsets, the one that
/// ends latest, because a pause is less likely than none.
fn longest_in_order(ledgers: &[ClosedLedger]) -> Vec<ClosedLedger> {
    // For each ledger, the longest chain that ends there: its length, and the index of the previous ledger in it.
    let mut chains: Vec<(usize, Option<usize>)> = Vec::with_capacity(ledgers.len());
    for (_, at) in ledgers {
        let before = ledgers.iter().zip(&chains).enumerate().filter(|(_, ((_, above), _))| above >= at);
        // Of several longest chains, extend the nearest one. Else a wrong time that equals an old ledger's would
        // exclude right ones.
        let best = before.max_by_key(|(place, (_, (length, _)))| (*length, *place));
        chains.push(best.map_or((1, None), |(place, (_, (length, _)))| (length + 1, Some(place))));
    }
    let ends = ledgers.iter().zip(&chains).enumerate();
    let mut next = ends.max_by_key(|(_, ((_, at), (length, _)))| (*length, *at)).map(|(place, _)| place);
    let mut chain = Vec::new();
    while let Some((ledger, (_, before))) = next.and_then(|place| ledgers.get(place).zip(chains.get(place))) {
        chain.push(*ledger);
        next = *before;
    }
    chain.reverse();
    chain
}

/// Ledger below the first long pause with fewer than [`CONFIRMED_BY`] ledgers below it.
fn undecided_from(chain: &[ClosedLedger]) -> Option<u32> {
    let pairs = chain.iter().zip(chain.iter().skip(1)).enumerate();
    // Only a pause this near to the end has too few ledgers below it.
    let mut unconfirmed = pairs.skip(chain.len().saturating_sub(CONFIRMED_BY));
    let pause = unconfirmed.find(|(_, ((_, above), (_, below)))| above.minus(DROP_MAX_S) > *below);
    pause.map(|(_, (_, (below, _)))| *below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_457_237;
    const DAY: i64 = 86_400;

    /// Ledgers 100 to 60, five seconds apart. `wrong` overrides the times of some.
    fn page(wrong: &[(u32, i64)]) -> Vec<ClosedLedger> {
        let right = |ledger: u32| NOW - 5 * i64::from(100 - ledger);
        let at = |ledger| wrong.iter().find(|(odd, _)| *odd == ledger).map_or(right(ledger), |(_, at)| *at);
        (60..=100).rev().map(|ledger| (ledger, UnixSeconds(at(ledger)))).collect()
    }

    fn outliers(page: &[ClosedLedger]) -> Vec<u32> {
        let times = CloseTimes::check(&CloseTimes::default(), page.iter().copied());
        let odd = page.iter().filter(|(ledger, at)| times.is_implausible(*ledger, *at));
        odd.map(|(ledger, _)| *ledger).collect()
    }

    #[test]
    fn finds_times_out_of_order_in_either_direction_at_any_place() {
        assert!(outliers(&page(&[])).is_empty());
        let old = NOW - 20 * DAY;
        assert_eq!(outliers(&page(&[(80, old)])), [80]);
        assert_eq!(outliers(&page(&[(80, NOW + 20 * DAY)])), [80]);
        assert_eq!(outliers(&page(&[(100, old)])), [100], "the newest");
        assert_eq!(
            outliers(&page(&[(90, old), (89, old - 1), (88, old - 2), (70, NOW + DAY)])),
            [90, 89, 88, 70]
        );
        let near = NOW - 5 * 20 - SLACK_S;
        assert!(outliers(&page(&[(80, near)])).is_empty(), "within the tolerance for clocks");
    }

    #[test]
    fn an_outlier_gets_the_time_of_its_neighbour() {
        let page = page(&[(80, NOW - 20 * DAY)]);
        let times = CloseTimes::check(&CloseTimes::default(), page);
        assert_eq!(times.nearest_plausible(80), Some(UnixSeconds(NOW - 5 * 19)));
    }

    #[test]
    fn an_outlier_at_the_top_gets_the_time_of_the_page_above_or_of_the_next_ledger() {
        let above = CloseTimes::check(&CloseTimes::default(), page(&[]));
        let lowest = UnixSeconds(NOW - 5 * 40);
        let odd = [(59, NOW - 20 * DAY), (58, NOW - 210), (57, NOW - 215)];
        let odd = odd.map(|(ledger, at)| (ledger, UnixSeconds(at)));
        assert_eq!(CloseTimes::check(&above, odd).nearest_plausible(59), Some(lowest));
        let alone = CloseTimes::check(&CloseTimes::default(), odd);
        assert_eq!(alone.nearest_plausible(59), Some(UnixSeconds(NOW - 210)));
    }

    #[test]
    fn the_tolerance_for_clocks_is_exact_to_the_second() {
        let bounds = Bounds { after: Some(UnixSeconds(NOW)), before: Some(UnixSeconds(NOW + DAY)) };
        let [low, high] = [NOW - SLACK_S, NOW + DAY + SLACK_S];
        assert!(bounds.contains(UnixSeconds(low)) && bounds.contains(UnixSeconds(high)));
        assert!(!bounds.contains(UnixSeconds(low - 1)) && !bounds.contains(UnixSeconds(high + 1)));
        let times = CloseTimes::check(&CloseTimes::default(), [(80, UnixSeconds(NOW))]);
        assert_eq!(times.ledgers_before(UnixSeconds(NOW)).count(), 0, "closed at that time, not before");
        assert_eq!(times.ledgers_before(UnixSeconds(NOW + 1)).count(), 1);
    }

    #[test]
    fn a_ledger_has_the_time_of_most_of_its_trades_and_the_latest_in_a_tie() {
        let plausible_time = |times: &[i64]| {
            let trades = times.iter().map(|at| (80, UnixSeconds(*at)));
            CloseTimes::check(&CloseTimes::default(), trades).nearest_plausible(80)
        };
        assert_eq!(plausible_time(&[NOW, NOW + 9, NOW]), Some(UnixSeconds(NOW)));
        assert_eq!(plausible_time(&[NOW + 9, NOW]), Some(UnixSeconds(NOW + 9)));
    }

    #[test]
    fn all_trades_of_a_ledger_on_a_page_have_one_close_time() {
        let check = |above: &CloseTimes, times: &[i64]| {
            let trades = times.iter().map(|at| (80, UnixSeconds(*at)));
            CloseTimes::check(above, trades)
        };
        let refused = |times: &CloseTimes| {
            [NOW - 1, NOW, NOW + 1, NOW + 300].map(|at| times.is_implausible(80, UnixSeconds(at)))
        };
        let upper = check(&CloseTimes::default(), &[NOW, NOW + 300, NOW]);
        assert_eq!(refused(&upper), [true, false, true, true]);
        let wrong = check(&CloseTimes::default(), &[NOW + 300]);
        let lower = check(&wrong, &[NOW, NOW, NOW]);
        assert_eq!(refused(&lower), [true, false, true, true], "the part of another page has no vote");
    }

    #[test]
    fn a_pause_of_an_hour_needs_no_confirmation_and_simultaneous_ledgers_confirm_a_longer_one() {
        let undecided = |below: &[i64]| {
            let below = (0_u32..).zip(below).map(|(place, at)| (99 - place, UnixSeconds(*at)));
            let page = [(100, UnixSeconds(NOW))].into_iter().chain(below);
            CloseTimes::check(&CloseTimes::default(), page).undecided_from()
        };
        assert_eq!(undecided(&[NOW - DROP_MAX_S]), None);
        assert_eq!(undecided(&[NOW - DROP_MAX_S - 1]), Some(99));
        assert_eq!(undecided(&[NOW - 9 * DAY; CONFIRMED_BY]), None);
    }

    #[test]
    fn compares_only_with_the_lowest_ledgers_of_the_pages_above() {
        let times = CloseTimes::check(&CloseTimes::default(), page(&[]));
        let ledgers: Vec<u32> = times.tail().iter().map(|(ledger, _)| *ledger).collect();
        assert_eq!(ledgers, (60..60 + 16).rev().collect::<Vec<_>>());
        assert_eq!(ledgers.len(), CONTEXT_MAX);
    }

    #[test]
    fn one_trade_of_a_ledger_does_not_outweigh_the_others() {
        let mut trades = page(&[]);
        trades.extend([(80, UnixSeconds(NOW - 100)), (80, UnixSeconds(NOW - 20 * DAY))]);
        let times = CloseTimes::check(&CloseTimes::default(), trades);
        assert!(!times.is_implausible(80, UnixSeconds(NOW - 100)));
        assert!(times.is_implausible(80, UnixSeconds(NOW - 20 * DAY)));
        assert_eq!(times.nearest_plausible(80), Some(UnixSeconds(NOW - 100)));
    }

    #[test]
    fn a_wrong_time_equal_to_an_old_ledgers_excludes_no_right_one_between() {
        let old = UnixSeconds(NOW - 30 * DAY);
        assert_eq!(outliers(&[(106, old), (101, UnixSeconds(NOW)), (95, old)]), [106]);
        assert_eq!(
            outliers(&[(108, UnixSeconds(NOW)), (106, old), (101, UnixSeconds(NOW)), (95, old)]),
            [106]
        );
    }

    #[test]
    fn the_lowest_ledgers_are_decided_with_the_page_below() {
        let empty = CloseTimes::default();
        let odd = page(&[(60, NOW - 20 * DAY)]);
        assert_eq!(CloseTimes::check(&empty, odd.clone()).undecided_from(), Some(60));
        let below = (40..60).rev().map(|ledger| (ledger, UnixSeconds(NOW - 5 * i64::from(100 - ledger))));
        let both = CloseTimes::check(&empty, odd.into_iter().chain(below));
        assert!(both.undecided_from().is_none() && both.is_implausible(60, UnixSeconds(NOW - 20 * DAY)));
    }

    #[test]
    fn accepts_a_network_that_stood_still_for_days() {
        let above = CloseTimes::check(&CloseTimes::default(), page(&[]));
        let below = |count: u32| {
            (60 - count..60).map(|ledger| (ledger, UnixSeconds(NOW - 9 * DAY + i64::from(ledger))))
        };
        assert_eq!(CloseTimes::check(&above, below(2)).undecided_from(), Some(59));
        let times = CloseTimes::check(&above, below(3));
        assert_eq!(times.undecided_from(), None);
        assert!(below(3).all(|(ledger, at)| !times.is_implausible(ledger, at)));
        let before = |since| times.ledgers_before(UnixSeconds(since)).count();
        assert_eq!((before(NOW - DAY), before(0)), (3, 0));
    }

    #[test]
    fn a_wrongly_accepted_time_affects_no_later_page() {
        let mut above = CloseTimes::check(&CloseTimes::default(), page(&[(60, NOW - 20 * DAY)]));
        let mut refused = 0;
        for ledger in (50..60).rev() {
            let at = UnixSeconds(NOW - 5 * i64::from(100 - ledger));
            above = CloseTimes::check(&above, [(ledger, at)]);
            refused += usize::from(above.is_implausible(ledger, at));
        }
        assert_eq!(refused, 0, "one wrong ledger does not outweigh those above it");
    }

    #[test]
    fn the_median_ignores_two_wrong_times_of_five() {
        let mut recent = RecentCloseTimes::default();
        for (ledger, by) in [(1, 0), (2, 20 * DAY), (3, -20 * DAY), (4, 15)] {
            recent.record(ledger, UnixSeconds(NOW + by));
        }
        assert_eq!(recent.median(), None, "fewer than five ledgers");
        recent.record(4, UnixSeconds(0)); // another trade of the same ledger
        recent.record(5, UnixSeconds(NOW + 20));
        assert_eq!(recent.median(), Some((5, UnixSeconds(NOW + 15))));
        recent.record(6, UnixSeconds(NOW + 25));
        assert_eq!(recent.median(), Some((6, UnixSeconds(NOW + 20))), "the oldest is dropped");
    }

    proptest! {
        #[test]
        fn a_minority_never_outweighs_the_others(wrong in prop::collection::btree_map(60..=100_u32, -40 * DAY..DAY, 0..14)) {
            let wrong: Vec<(u32, i64)> = wrong.into_iter().map(|(ledger, by)| (ledger, NOW + by)).collect();
            let page = page(&wrong);
            let times = CloseTimes::check(&CloseTimes::default(), page.iter().copied());
            let right: Vec<u32> = page.iter().map(|(ledger, _)| *ledger)
                .filter(|ledger| !wrong.iter().any(|(odd, _)| odd == ledger)).collect();
            // At the ends of a page a few wrong times may outnumber the right ones beside them.
            let inner = right.get(wrong.len() + 1..right.len().saturating_sub(wrong.len() + 1)).unwrap_or_default();
            for (ledger, at) in page.iter().filter(|(ledger, _)| inner.contains(ledger)) {
                prop_assert!(!times.is_implausible(*ledger, *at), "{ledger}");
            }
        }

        #[test]
        fn nothing_overflows(page in prop::collection::vec((any::<u32>(), any::<i64>()), 0..40)) {
            let times = CloseTimes::check(&CloseTimes::default(), page.iter().map(|(ledger, at)| (*ledger, UnixSeconds(*at))));
            for (ledger, at) in page {
                let _ = (times.is_implausible(ledger, UnixSeconds(at)), times.nearest_plausible(ledger), times.tail());
            }
        }
    }
}
