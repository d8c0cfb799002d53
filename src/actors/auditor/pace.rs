//! Size of the slices and length of the rests between them. Pure: callers pass how long a slice took.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::domain::{market_snapshot::MarketSnapshot, windows::MarketId};

/// Longest rest after a slice, as a multiple of the slice: the audit then takes 1/81 of the time.
const REST_TIMES_MAX: f64 = 80.0;
/// Shortest rest, likewise: the audit then takes 1/21 of the time, below 5 %.
const REST_TIMES_MIN: f64 = 20.0;
/// Time limit for a pass. Rests are shortened, down to the shortest, if a pass would take longer. With it every market
/// is audited hourly at 30,000 markets and 10 million trades.
const PASS_WITHIN: Duration = Duration::from_secs(50 * 60);
/// Interval between passes below which rests are the shortest: the operator wants them often.
const OFTEN: Duration = Duration::from_secs(60);
/// A slice that takes longer makes the next ones smaller.
const SLICE_LONG: Duration = Duration::from_millis(4_000);
/// A slice that takes less makes the next ones larger, since each slice scans the whole week.
const SLICE_SHORT: Duration = Duration::from_millis(2_000);
/// Trades in the first slice.
const TRADES_FIRST: u64 = 200_000;
/// Trades in the smallest slice; one market is never cut.
const TRADES_MIN: u64 = 1_000;
/// Number of slices per pass, more or less. If the scan alone takes long, smaller slices would only be more numerous.
const SLICES_MAX: u64 = 32;
/// Trades in the largest slice.
const TRADES_MAX: u64 = 2_000_000;

/// Size of the slices of a pass, and the rest after each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Trades in the next slice.
    trades: u64,
    /// Smallest size of a slice in this pass.
    least: u64,
    /// Longest rest, as a multiple of the slice before.
    rest_times_max: f64,
    /// Trades of all slices of this pass.
    pass_trades: u64,
    /// Trades of the slices so far.
    cut_trades: u64,
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
            rest_times_max,
            pass_trades: 0,
            cut_trades: 0,
            spent: Duration::ZERO,
        }
    }

    /// Begins a pass over these groups.
    pub(super) fn begin(&mut self, groups: &VecDeque<Group>) {
        self.pass_trades = groups.iter().map(|group| group.trades).sum();
        self.cut_trades = 0;
        self.spent = Duration::ZERO;
        // Each slice scans the whole week, however few trades it has. More slices would only be more scans.
        self.least = self.pass_trades.div_ceil(SLICES_MAX).clamp(TRADES_MIN, TRADES_MAX);
        self.trades = self.trades.max(self.least);
    }

    /// Records how long a slice took and adapts the size of the next ones. Returns the rest after this slice.
    pub(super) fn record_slice(&mut self, took: Duration) -> Duration {
        self.spent = self.spent.saturating_add(took);
        if took > SLICE_LONG {
            self.trades /= 2;
        } else if took < SLICE_SHORT {
            self.trades = self.trades.saturating_mul(2);
        }
        self.trades = self.trades.clamp(self.least, TRADES_MAX);
        self.rest_after(took)
    }

    /// Returns the rest after a slice that took `took`.
    pub(super) fn rest_after(&self, took: Duration) -> Duration {
        took.mul_f64(self.rest_times())
    }

    /// Returns the rest as a multiple of the slice before it, so that the pass fits into [`PASS_WITHIN`] if possible.
    /// The work of the whole pass is extrapolated from the slices so far, by their trades.
    #[expect(clippy::as_conversions, reason = "a share of a pass needs no more digits than a double has")]
    fn rest_times(&self) -> f64 {
        let share_done = self.cut_trades as f64 / self.pass_trades.max(1) as f64;
        let work_of_pass = self.spent.as_secs_f64() / share_done.max(f64::MIN_POSITIVE);
        // Nothing is measured at the beginning of the first pass.
        if work_of_pass > 0.0 {
            (PASS_WITHIN.as_secs_f64() / work_of_pass).clamp(REST_TIMES_MIN, self.rest_times_max)
        } else {
            self.rest_times_max
        }
    }

    /// Takes the next slice off the groups. It has at least one group.
    pub(super) fn cut(&mut self, groups: &mut VecDeque<Group>) -> Vec<MarketId> {
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
        self.cut_trades = self.cut_trades.saturating_add(trades);
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
    use super::*;

    /// Cost of a slice: a scan of the week, some time per trade in it, some per market of the file.
    fn cost(all_trades: u64, all_markets: u64, trades: u64) -> Duration {
        Duration::from_nanos(all_trades * 200 + trades * 2_000 + all_markets * 20_000)
    }

    /// Simulates a pass. Returns its duration, the longest slice, and the time spent on slices.
    fn pass(pace: &mut Pace, weights: &[u64]) -> (Duration, Duration, Duration) {
        let group = |(market, trades): (i32, &u64)| Group { trades: *trades, markets: vec![market] };
        let mut groups: VecDeque<Group> = (0..).zip(weights).map(group).collect();
        pace.begin(&groups);
        let (all, markets) = (weights.iter().sum(), u64::try_from(weights.len()).unwrap());
        let (mut passed, mut longest, mut spent) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut seen = 0;
        while !groups.is_empty() {
            let slice = pace.cut(&mut groups);
            seen += slice.len();
            let trades = slice.iter().map(|market| weights[usize::try_from(*market).unwrap()]).sum();
            let took = cost(all, markets, trades);
            passed += took + pace.record_slice(took);
            longest = longest.max(took);
            spent += took;
        }
        assert_eq!(seen, weights.len(), "every market, once");
        (passed, longest, spent)
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
            assert!(shares.iter().all(|share| *share <= 0.0125), "{shares:?}, {trades} trades");
        }
        let shares_of_many = shares(INTERVAL, 30_000_000, 30_000);
        assert!(shares_of_many.iter().all(|share| *share <= 0.05), "{shares_of_many:?}");
        let shares_where_often = shares(Duration::from_secs(1), 1_000_000, 10_000);
        let is_shortest_rest = |share: &f64| (0.0125..=0.05).contains(share);
        assert!(shares_where_often.iter().all(is_shortest_rest), "{shares_where_often:?}");
    }

    #[test]
    fn slow_slices_make_the_next_ones_smaller_and_a_market_is_never_split() {
        let mut pace = Pace::new(INTERVAL);
        for _ in 0..20 {
            pace.record_slice(Duration::from_secs(5));
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
            pace.record_slice(Duration::ZERO);
        }
        assert_eq!(pace.trades, TRADES_MAX);
    }
}
