//! What a slice of the audit holds, and how long it rests after one. Pure: what a slice took comes in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::domain::{board::Board, windows::MarketId};

/// A rest is so many times as long as the slice before it took: 1 of 101 parts is below 1 %. A slice keeps up to two cores
/// busy, PostgreSQL's and the daemon's, so at most 2 % of a core, however many trades are held. More of them make a pass
/// longer.
const REST_TIMES: u32 = 100;
/// The same where an operator wants passes more often than [`OFTEN`]: at most 5 % of the time.
const REST_TIMES_OFTEN: u32 = 20;
const OFTEN: Duration = Duration::from_secs(60);
/// A slice is made smaller when one takes longer.
const SLICE_LONG: Duration = Duration::from_millis(4_000);
/// And larger when one takes less: each of them scans the week.
const SLICE_SHORT: Duration = Duration::from_millis(2_000);
/// Trades in the first slice.
const TRADES_FIRST: u64 = 200_000;
/// Trades in the smallest slice; one market is never cut.
const TRADES_MIN: u64 = 1_000;
/// A pass is of so many slices or little more, however long one takes: where the scan alone takes long, smaller ones would
/// only be more of them.
const SLICES_MAX: u64 = 32;
/// Trades in the largest slice.
const TRADES_MAX: u64 = 2_000_000;

/// How much goes into a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    trades: u64,
    /// No slice of this pass is made smaller.
    least: u64,
    /// How many times as long as a slice the rest after it is.
    rest_times: u32,
}

impl Pace {
    /// The pace of passes that begin at most so often.
    pub(super) const fn new(interval: Duration) -> Self {
        let rest_times = if interval.as_secs() < OFTEN.as_secs() { REST_TIMES_OFTEN } else { REST_TIMES };
        Self { trades: TRADES_FIRST, least: TRADES_MIN, rest_times }
    }

    /// A pass over these begins.
    pub(super) fn begin(&mut self, groups: &VecDeque<Group>) {
        let trades: u64 = groups.iter().map(|group| group.trades).sum();
        self.least = trades.div_ceil(SLICES_MAX).clamp(TRADES_MIN, TRADES_MAX);
        self.trades = self.trades.max(self.least);
    }

    /// A slice took so long. Gives how long to rest now.
    pub(super) fn took(&mut self, took: Duration) -> Duration {
        if took > SLICE_LONG {
            self.trades /= 2;
        } else if took < SLICE_SHORT {
            self.trades = self.trades.saturating_mul(2);
        }
        self.trades = self.trades.clamp(self.least, TRADES_MAX);
        self.rest_after(took)
    }

    /// How long to rest after what took so long.
    pub(super) const fn rest_after(&self, took: Duration) -> Duration {
        took.saturating_mul(self.rest_times)
    }

    /// The next slice of a pass.
    pub(super) fn cut(&self, groups: &mut VecDeque<Group>) -> Vec<MarketId> {
        let (mut markets, mut trades) = (Vec::new(), 0_u64);
        while let Some(group) = groups.front() {
            trades = trades.saturating_add(group.trades);
            if trades > self.trades && !markets.is_empty() {
                break;
            }
            markets.extend(groups.pop_front().into_iter().flat_map(|group| group.markets));
        }
        markets
    }
}

/// The markets of a pair, which are compared together, or one that is of none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// How many trades they have, by the board.
    trades: u64,
    markets: Vec<MarketId>,
}

/// All markets of a pass: those of the board, and those that it should have.
pub(super) fn groups(board: &Board, all: &[MarketId]) -> VecDeque<Group> {
    let trades: BTreeMap<MarketId, u64> =
        board.windows().figures().map(|(market, figures)| (market, figures.week.trade_count)).collect();
    let mut ids: Vec<MarketId> = trades.keys().chain(all).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut pairs: BTreeMap<String, Group> = BTreeMap::new();
    let mut groups = VecDeque::new();
    for market in ids {
        let mut single = Group::default();
        let name = board.pair_of(market);
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

    /// What a slice costs: a scan of the week, some time a trade of it, some a market of the file.
    fn cost(all_trades: u64, all_markets: u64, trades: u64) -> Duration {
        Duration::from_nanos(all_trades * 200 + trades * 2_000 + all_markets * 20_000)
    }

    /// A pass on a clock of its own: how long it took, the longest slice, and the time spent.
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
            passed += took + pace.took(took);
            longest = longest.max(took);
            spent += took;
        }
        assert_eq!(seen, weights.len(), "every market, once");
        (passed, longest, spent)
    }

    /// So many trades over so many markets, the first of which have most.
    fn weights(trades: u64, markets: u64) -> Vec<u64> {
        let sum: u64 = (1..=markets).map(|rank| 1_000_000 / rank).sum();
        (1..=markets).map(|rank| trades * 1_000_000 / rank / sum + 1).collect()
    }

    /// The default of `--audit-interval`.
    const INTERVAL: Duration = Duration::from_secs(120);

    #[test]
    fn every_market_in_time_in_short_slices_and_within_a_hundredth_of_the_time() {
        for (trades, markets, within) in [(1_000_000, 10_000, 400), (10_000_000, 30_000, 3 * 3_600)] {
            let (mut pace, weights) = (Pace::new(INTERVAL), weights(trades, markets));
            for _ in 0..3 {
                let (passed, longest, spent) = pass(&mut pace, &weights);
                println!(
                    "{trades} trades, {markets} markets: {passed:?}, slices up to {longest:?}, {spent:?} spent"
                );
                assert!(passed <= Duration::from_secs(within), "{passed:?}");
                assert!(longest <= Duration::from_secs(5), "{longest:?}");
                assert!(spent.as_secs_f64() <= 0.01 * passed.as_secs_f64());
            }
        }
    }

    #[test]
    fn the_share_of_the_time_does_not_grow_with_the_trades_that_are_held() {
        for (trades, markets) in
            [(10_000, 1_000), (1_000_000, 10_000), (30_000_000, 30_000), (10_000, 100_000)]
        {
            let (mut pace, weights) = (Pace::new(INTERVAL), weights(trades, markets));
            for _ in 0..3 {
                let (passed, _, spent) = pass(&mut pace, &weights);
                let share = spent.as_secs_f64() / passed.max(INTERVAL).as_secs_f64();
                assert!(share <= 0.01, "{share} of the time, {trades} trades in {markets} markets");
            }
        }
        let (mut pace, weights) = (Pace::new(Duration::from_secs(1)), weights(1_000_000, 10_000));
        let (passed, _, spent) = pass(&mut pace, &weights);
        let share = spent.as_secs_f64() / passed.as_secs_f64();
        assert!((0.01..=0.05).contains(&share), "{share} where passes are wanted often");
    }

    #[test]
    fn slices_shrink_where_they_take_long_and_one_market_is_never_cut() {
        let mut pace = Pace::new(INTERVAL);
        for _ in 0..20 {
            pace.took(Duration::from_secs(5));
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
            pace.took(Duration::ZERO);
        }
        assert_eq!(pace.trades, TRADES_MAX);
    }
}
