//! Size of the slices and length of the rests between them. Pure: the steps of a pass report how long they took.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::domain::{conversions::Integer, market_snapshot::MarketSnapshot, windows::MarketId};

/// Longest rest after a step, as a multiple of the step: the audit then takes 1/76 of the time, and a pass over
/// a million trades less than five minutes.
const REST_TIMES_MAX: f64 = 75.0;
/// Shortest rest, likewise: the audit then takes 1/21 of the time, below 5 %.
const REST_TIMES_MIN: f64 = 20.0;
/// Time limit for a pass. Rests are shortened, down to the shortest, if a pass would take longer. So every market is
/// audited at least hourly at 30,000 markets and 10 million trades.
const PASS_WITHIN: Duration = Duration::from_secs(48 * 60);
/// Longest rest after the lists, unless the shortest rest is longer. Nothing of the pass is measured by then, so a slow
/// read of prices would delay all slices by 75 times as long.
const LISTS_REST_MAX: Duration = Duration::from_secs(12 * 60);
/// Below this interval between passes, rests are the shortest: the operator wants frequent passes.
const OFTEN: Duration = Duration::from_secs(60);
/// A slice that takes longer makes the next ones smaller.
const SLICE_LONG: Duration = Duration::from_millis(4_000);
/// A slice that takes less makes the next ones larger, since each slice scans the whole week.
const SLICE_SHORT: Duration = Duration::from_millis(2_000);
/// Trades in the first slice.
const TRADES_FIRST: u64 = 200_000;
/// Trades in the smallest slice; one market is never split.
const TRADES_MIN: u64 = 1_000;
/// Target number of slices per pass. If the scan alone takes long, smaller slices would only be more numerous.
const SLICES_MAX: u64 = 32;
/// Trades in the largest slice.
const TRADES_MAX: u64 = 2_000_000;
/// Time limit of a slice at first.
const LIMIT_FIRST: Duration = Duration::from_secs(20);
/// Longest time limit of a slice. After three minutes without progress the auditor would be restarted.
const LIMIT_MAX: Duration = Duration::from_secs(120);
/// Fewest slices per pass for which slices are enlarged.
const SLICES_MIN: u64 = 3;

/// Steps of a pass.
pub(super) trait Steps {
    /// Audits assets, markets, books, symbols and prices in dollars. Returns the time that this and the reading of the
    /// markets took.
    async fn lists(&mut self) -> Duration;

    /// Audits the markets of a slice. Reading them may take as long as `limit`.
    async fn slice(&mut self, markets: Vec<MarketId>, limit: Duration) -> Sliced;

    /// Rests. The time may be zero.
    async fn rest(&mut self, rest: Duration);
}

/// Result of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliced {
    /// Time that it took.
    pub(super) took: Duration,
    /// Outcome for its markets.
    pub(super) end: SliceEnd,
}

/// End of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SliceEnd {
    /// Its markets were compared.
    Compared,
    /// Its rows could not be read within the limit.
    OverTime,
    /// Its markets could not be compared for another reason. Its time says nothing about the database.
    NotCompared,
}

/// Size of the slices of a pass, their time limit, and the rest after each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Trades in the next slice.
    trades: u64,
    /// Smallest size of a slice in this pass.
    least: u64,
    /// Time limit of a slice. On slow storage the scan of the week alone may take longer than the first one.
    limit: Duration,
    /// Longest rest, as a multiple of the slice before.
    rest_times_max: f64,
    /// Trades of all slices of this pass.
    pass_trades: u64,
    /// Trades of the slices so far.
    sliced_trades: u64,
    /// Time spent on those slices.
    spent: Duration,
}

impl Pace {
    /// Creates the pace of passes that begin at least `interval` apart.
    pub(super) const fn new(interval: Duration) -> Self {
        let rest_times_max =
            if interval.as_secs() < OFTEN.as_secs() { REST_TIMES_MIN } else { REST_TIMES_MAX };
        Self {
            trades: TRADES_FIRST,
            least: TRADES_MIN,
            limit: LIMIT_FIRST,
            rest_times_max,
            pass_trades: 0,
            sliced_trades: 0,
            spent: Duration::ZERO,
        }
    }

    /// Runs a pass over these groups: the lists, then one slice after the other, each followed by a rest.
    pub(super) async fn run(&mut self, mut groups: VecDeque<Group>, steps: &mut impl Steps) {
        self.begin(&groups);
        let took = steps.lists().await;
        steps.rest(self.rest_after_lists(took)).await;
        while !groups.is_empty() {
            let slice = self.cut(&mut groups);
            let sliced = steps.slice(slice, self.limit).await;
            steps.rest(self.record_slice(sliced)).await;
        }
    }

    /// Begins a pass over these groups.
    fn begin(&mut self, groups: &VecDeque<Group>) {
        self.pass_trades = groups.iter().map(|group| group.trades).sum();
        self.sliced_trades = 0;
        self.spent = Duration::ZERO;
        self.set_least();
        self.trades = self.trades.max(self.least);
    }

    /// Each slice scans the whole week, however few trades it has. More slices would only be more scans. The longer the
    /// scan takes, the fewer are affordable.
    fn set_least(&mut self) {
        let slow = self.slowness();
        let slices = (SLICES_MAX / slow.saturating_mul(slow)).max(SLICES_MIN);
        self.least = self.pass_trades.div_ceil(slices).clamp(TRADES_MIN, self.trades_max());
    }

    /// Returns the time limit as a multiple of the first one.
    fn slowness(&self) -> u64 {
        self.limit.as_secs() / LIMIT_FIRST.as_secs()
    }

    fn trades_max(&self) -> u64 {
        TRADES_MAX.saturating_mul(self.slowness())
    }

    /// Records how long a slice took and adapts the size and the time limit of the next ones. Returns the rest after
    /// this slice.
    fn record_slice(&mut self, Sliced { took, end }: Sliced) -> Duration {
        self.spent = self.spent.saturating_add(took);
        let is_slow = end == SliceEnd::OverTime || took.saturating_mul(2) > self.limit;
        if is_slow && self.trades <= self.least {
            // A smaller slice would not be faster: the scan takes the time.
            self.limit = self.limit.saturating_mul(2).min(LIMIT_MAX);
            self.set_least();
        } else if took > SLICE_LONG {
            self.trades /= 2;
        } else if took < SLICE_SHORT && end == SliceEnd::Compared {
            self.trades = self.trades.saturating_mul(2);
            self.limit = LIMIT_FIRST;
            self.set_least(); // it may be larger than the largest size of the first limit
        }
        self.trades = self.trades.clamp(self.least, self.trades_max());
        self.rest_after(took)
    }

    /// Returns the rest after the lists, which took `took`.
    fn rest_after_lists(&self, took: Duration) -> Duration {
        self.rest_after(took).min(LISTS_REST_MAX).max(took.mul_f64(REST_TIMES_MIN))
    }

    /// Returns the rest after a slice that took `took`.
    fn rest_after(&self, took: Duration) -> Duration {
        took.mul_f64(self.rest_times())
    }

    /// Returns the rest as a multiple of the slice before it, so that the pass fits into [`PASS_WITHIN`] if possible.
    /// The work of the whole pass is extrapolated from the slices so far, by their trades.
    fn rest_times(&self) -> f64 {
        let share_done = self.sliced_trades.to_f64() / self.pass_trades.max(1).to_f64();
        let work_of_pass = self.spent.as_secs_f64() / share_done.max(f64::MIN_POSITIVE);
        // Nothing is measured at the beginning of the first pass.
        if work_of_pass > 0.0 {
            (PASS_WITHIN.as_secs_f64() / work_of_pass).clamp(REST_TIMES_MIN, self.rest_times_max)
        } else {
            self.rest_times_max
        }
    }

    /// Takes the next slice off the groups. It has at least one group.
    fn cut(&mut self, groups: &mut VecDeque<Group>) -> Vec<MarketId> {
        let (mut markets, mut trades) = (Vec::new(), 0_u64);
        while let Some(group) = groups.front() {
            let with_it = trades.saturating_add(group.trades);
            // A slice takes at least one group, since a group is never split.
            if with_it > self.trades && !markets.is_empty() {
                break;
            }
            trades = with_it;
            markets.extend(groups.pop_front().into_iter().flat_map(|group| group.markets));
        }
        self.sliced_trades = self.sliced_trades.saturating_add(trades);
        markets
    }
}

/// Markets of one pair, which are compared together, or a single market without a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Their number of trades, by the snapshot.
    trades: u64,
    markets: Vec<MarketId>,
}

/// Groups all markets of a pass: those of the snapshot, and those in `all` that it should have.
pub(super) fn groups(snapshot: &MarketSnapshot, all: &[MarketId]) -> VecDeque<Group> {
    let trades: BTreeMap<MarketId, u64> =
        snapshot.windows().figures().map(|(market, figures)| (market, figures.week.trade_count)).collect();
    // A market that memory lacks is exactly what an audit must find, so those of the database count too.
    let mut ids: Vec<MarketId> = trades.keys().chain(all).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut pairs: BTreeMap<String, Group> = BTreeMap::new();
    let mut groups = VecDeque::new();
    for market in ids {
        let mut single = Group::default();
        let name = snapshot.pair_of(market);
        let group = name.clone().map_or(&mut single, |name| pairs.entry(name).or_default());
        group.trades = group.trades.saturating_add(trades.get(&market).copied().unwrap_or(0));
        group.markets.push(market);
        if name.is_none() {
            groups.push_back(single);
        }
    }
    groups.extend(pairs.into_values());
    groups
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// A machine on which each step costs what was measured, with a clock of its own.
    struct Machine<'a> {
        /// Trades of each market.
        weights: &'a [u64],
        /// Time to scan a row of the week, in nanoseconds.
        scan_ns: u64,
        /// Audited markets, and those whose rows could not be read in time.
        seen: usize,
        unread: usize,
        /// Time since the beginning of the pass.
        passed: Duration,
        /// Longest step.
        longest: Duration,
        /// Time spent on steps.
        spent: Duration,
    }

    impl Machine<'_> {
        fn work(&mut self, took: Duration) -> Duration {
            self.passed += took;
            self.spent += took;
            self.longest = self.longest.max(took);
            took
        }

        fn markets(&self) -> u64 {
            u64::try_from(self.weights.len()).unwrap()
        }
    }

    impl Steps for Machine<'_> {
        /// A third of the markets have a valid asset of their own, and 31,185 markets take 1.92 s. The prices need a
        /// scan of 24 hours, which lie in the tables of two days.
        async fn lists(&mut self) -> Duration {
            let all: u64 = self.weights.iter().sum();
            self.work(Duration::from_nanos(self.markets() * 62_000 + all * self.scan_ns * 2 / 7))
        }

        /// A scan of the week, some time per trade in the slice, and some per market of the file.
        async fn slice(&mut self, markets: Vec<MarketId>, limit: Duration) -> Sliced {
            self.seen += markets.len();
            let trades: u64 =
                markets.iter().map(|market| self.weights[usize::try_from(*market).unwrap()]).sum();
            let all: u64 = self.weights.iter().sum();
            let scan = Duration::from_nanos(all * self.scan_ns + trades * 2_000);
            if scan > limit {
                self.unread += markets.len();
                return Sliced { took: self.work(limit * 2), end: SliceEnd::OverTime }; // it is tried twice
            }
            let took = self.work(scan + Duration::from_nanos(self.markets() * 20_000));
            Sliced { took, end: SliceEnd::Compared }
        }

        async fn rest(&mut self, rest: Duration) {
            self.passed += rest;
        }
    }

    /// Runs a pass. Returns its duration, the longest step, and the time spent on steps.
    fn pass(pace: &mut Pace, weights: &[u64]) -> (Duration, Duration, Duration) {
        let (unread, passed, longest, spent) = pass_on(pace, weights, 200);
        assert_eq!(unread, 0);
        (passed, longest, spent)
    }

    /// The same on storage of which a scan takes some time per row. Also returns the number of unread markets.
    fn pass_on(pace: &mut Pace, weights: &[u64], scan_ns: u64) -> (usize, Duration, Duration, Duration) {
        let group = |(market, trades): (i32, &u64)| Group { trades: *trades, markets: vec![market] };
        let groups: VecDeque<Group> = (0..).zip(weights).map(group).collect();
        let mut machine = Machine {
            weights,
            scan_ns,
            seen: 0,
            unread: 0,
            passed: Duration::ZERO,
            longest: Duration::ZERO,
            spent: Duration::ZERO,
        };
        pace.run(groups, &mut machine).now_or_never().expect("no step waits");
        assert_eq!(machine.seen, weights.len(), "every market, once");
        (machine.unread, machine.passed, machine.longest, machine.spent)
    }

    /// Distributes trades over markets, most of them to the first ones.
    fn weights(trades: u64, markets: u64) -> Vec<u64> {
        let sum: u64 = (1..=markets).map(|rank| 1_000_000 / rank).sum();
        (1..=markets).map(|rank| trades * 1_000_000 / rank / sum + 1).collect()
    }

    /// Default of `--audit-interval`.
    const INTERVAL: Duration = Duration::from_secs(120);

    #[test]
    fn every_market_is_audited_in_time_in_short_slices_and_within_five_hundredths_of_the_time() {
        for (trades, markets, within_s) in [(1_000_000, 10_000, 300), (10_000_000, 30_000, 3_600)] {
            let (mut pace, weights) = (Pace::new(INTERVAL), weights(trades, markets));
            for _ in 0..3 {
                let (passed, longest, spent) = pass(&mut pace, &weights);
                println!(
                    "{trades} trades, {markets} markets: {passed:?}, slices up to {longest:?}, {spent:?} spent"
                );
                assert!(passed <= Duration::from_secs(within_s), "{passed:?}");
                assert!(longest <= Duration::from_secs(5), "{longest:?}");
                assert!(spent.as_secs_f64() <= 0.05 * passed.as_secs_f64());
            }
        }
    }

    /// Shares of the time that three passes take. A pass shorter than the interval counts as long as the interval.
    fn shares(interval: Duration, trades: u64, markets: u64) -> [f64; 3] {
        let (mut pace, weights) = (Pace::new(interval), weights(trades, markets));
        [(); 3].map(|()| {
            let (passed, _, spent) = pass(&mut pace, &weights);
            spent.as_secs_f64() / passed.max(interval).as_secs_f64()
        })
    }

    #[test]
    fn the_share_of_the_time_is_bounded_however_many_trades_are_held() {
        for (trades, markets) in [(10_000, 1_000), (1_000_000, 10_000), (10_000, 100_000)] {
            let shares = shares(INTERVAL, trades, markets);
            assert!(shares.iter().all(|share| *share <= 0.0135), "{shares:?}, {trades} trades");
        }
        let shares_of_many = shares(INTERVAL, 30_000_000, 30_000);
        assert!(shares_of_many.iter().all(|share| *share <= 0.05), "{shares_of_many:?}");
        let shares_where_often = shares(Duration::from_secs(1), 1_000_000, 10_000);
        let is_shortest_rest = |share: &f64| (0.0135..=0.05).contains(share);
        assert!(shares_where_often.iter().all(is_shortest_rest), "{shares_where_often:?}");
    }

    #[test]
    fn a_scan_that_takes_longer_than_the_first_limit_raises_it_so_that_every_market_is_audited() {
        let weights = weights(12_000_000, 30_000);
        for scan_s in [15, 30, 60, 100] {
            let mut pace = Pace::new(INTERVAL);
            let scan_ns = scan_s * 1_000_000_000 / 12_000_000;
            let (unread, first, ..) = pass_on(&mut pace, &weights, scan_ns);
            println!("a scan of {scan_s} s: {unread} markets unread in the first pass of {first:?}");
            for _ in 0..3 {
                let (unread, passed, longest, spent) = pass_on(&mut pace, &weights, scan_ns);
                println!("then a pass takes {passed:?}, slices up to {longest:?}, {spent:?} spent");
                assert_eq!(unread, 0, "{scan_s} s");
                assert!(longest <= LIMIT_MAX + Duration::from_secs(5), "{longest:?}");
                assert!(passed <= Duration::from_secs(3 * 3_600), "an alert follows after three hours");
                assert!(spent.as_secs_f64() <= 0.05 * passed.as_secs_f64());
            }
        }
    }

    #[test]
    fn a_slow_read_of_prices_delays_the_slices_by_at_most_twenty_times_as_long() {
        let pace = Pace::new(INTERVAL);
        let rests = [2, 28, 120].map(|took_s| pace.rest_after_lists(Duration::from_secs(took_s)).as_secs());
        assert_eq!(rests, [2 * 75, 12 * 60, 120 * 20]);
    }

    #[test]
    fn the_limit_rises_for_the_smallest_slices_only_and_falls_once_they_are_short_again() {
        let mut pace = Pace::new(INTERVAL);
        let end = SliceEnd::OverTime;
        let mut raised = 0;
        while pace.trades > pace.least {
            pace.record_slice(Sliced { took: LIMIT_FIRST, end });
            raised += u32::from(pace.limit > LIMIT_FIRST);
        }
        assert_eq!(raised, 0);
        let limits = [(); 4].map(|()| {
            pace.record_slice(Sliced { took: pace.limit, end });
            pace.limit.as_secs()
        });
        assert_eq!(limits, [40, 80, 120, 120]);
        record(&mut pace, Duration::from_secs(100));
        assert_eq!(pace.limit, LIMIT_MAX);
        record(&mut pace, Duration::from_secs(1));
        assert_eq!(pace.limit, LIMIT_FIRST);
    }

    fn record(pace: &mut Pace, took: Duration) {
        pace.record_slice(Sliced { took, end: SliceEnd::Compared });
    }

    #[test]
    fn a_short_slice_after_slow_ones_brings_back_the_first_limits() {
        let mut pace = Pace::new(INTERVAL);
        let week = VecDeque::from([Group { trades: 12_000_000, markets: vec![1] }]);
        pace.begin(&week);
        while pace.limit < LIMIT_MAX {
            pace.record_slice(Sliced { took: pace.limit, end: SliceEnd::OverTime });
        }
        assert!(pace.least > TRADES_MAX, "fewer and larger slices");
        let slow = (pace.limit, pace.trades);
        pace.record_slice(Sliced { took: Duration::ZERO, end: SliceEnd::NotCompared });
        assert_eq!((pace.limit, pace.trades), slow, "the database was away for a moment");
        record(&mut pace, Duration::ZERO);
        assert_eq!(pace.limit, LIMIT_FIRST);
        assert!(pace.least <= pace.trades && pace.trades <= TRADES_MAX);
    }

    #[test]
    fn slow_slices_make_the_next_ones_smaller_and_a_market_is_never_split() {
        let mut pace = Pace::new(INTERVAL);
        for _ in 0..20 {
            record(&mut pace, Duration::from_secs(5));
        }
        assert_eq!(pace.trades, TRADES_MIN);
        let groups = [5_000, 400, 500, 200].map(|trades| Group { trades, markets: vec![1] });
        let mut groups = VecDeque::from(groups);
        let sizes: Vec<usize> = std::iter::from_fn(|| {
            let slice = pace.cut(&mut groups);
            (!slice.is_empty()).then_some(slice.len())
        })
        .collect();
        assert_eq!(sizes, [1, 2, 1]);
        for _ in 0..20 {
            record(&mut pace, Duration::ZERO);
        }
        assert_eq!(pace.trades, TRADES_MAX);
    }
}
