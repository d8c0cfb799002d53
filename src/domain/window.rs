//! Sliding windows: exact figures of the last hours of a market, to the second, whatever order trades come in.
//!
//! A market's trades lie in buckets of an hour, each with its sum and with the sums of its blocks. The figures
//! since some second are then the sums of the whole hours after it, and in the hour that it cuts the sums of whole
//! blocks and the trades of one block: the cost depends on the hours asked for, not on the trades in them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    instant::{DAY, HOUR, Second},
    summary::{Summary, WindowTrade},
};

/// The longest window, in hours; what is older is let go.
pub const LONGEST_HOURS: i64 = 168;
/// Trades that share one cached sum.
const BLOCK: usize = 64;

/// The last seven days of one market. Clones share their hours; one that changes is copied then.
#[derive(Clone, Debug, Default)]
pub struct MarketWindow {
    hours: BTreeMap<i64, Arc<Hour>>,
}

/// What became of a trade that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It counts now.
    New,
    /// It was there already, nothing changed.
    Repeat,
}

impl MarketWindow {
    /// Adds a trade; one that is there already changes nothing.
    pub fn add(&mut self, trade: WindowTrade) -> Added {
        Arc::make_mut(self.hours.entry(trade.closed_at.hour()).or_default()).add(trade)
    }

    /// The figures of all trades that closed after `edge` (the lower edge is exclusive; there is no upper one).
    #[must_use]
    pub fn since(&self, edge: Second) -> Summary {
        let mut summary = Summary::default();
        for (hour, bucket) in self.hours.range(edge.hour()..) {
            if *hour == edge.hour() {
                summary.merge(&bucket.since(edge));
            } else {
                summary.merge(&bucket.whole);
            }
        }
        summary
    }

    /// Makes the next questions for this edge and those shortly after it cheap.
    pub fn prepare(&mut self, edge: Second) {
        if let Some(hour) = self.hours.get_mut(&edge.hour()).filter(|hour| hour.lacks_blocks()) {
            Arc::make_mut(hour).sum_blocks();
        }
    }

    /// When the earliest trade after `edge` closed.
    #[must_use]
    pub fn first_after(&self, edge: Second) -> Option<Second> {
        self.hours.range(edge.hour()..).find_map(|(_, bucket)| bucket.first_after(edge))
    }

    /// Lets go of the hours that no window can reach again, now that `as_of` is reached.
    pub fn forget_before(&mut self, as_of: Second) {
        let oldest = as_of.minus(LONGEST_HOURS * HOUR).hour();
        if self.hours.first_key_value().is_some_and(|(hour, _)| *hour < oldest) {
            self.hours = self.hours.split_off(&oldest);
        }
    }

    /// Whether no trade is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }
}

/// One hour of one market.
#[derive(Clone, Debug, Default)]
struct Hour {
    /// In order of (close time, token).
    trades: Vec<WindowTrade>,
    /// The sums of the trades' full blocks, as many as are known.
    blocks: Vec<Summary>,
    /// The sum of all trades.
    whole: Summary,
}

impl Hour {
    fn add(&mut self, trade: WindowTrade) -> Added {
        let key = |trade: &WindowTrade| (trade.closed_at, trade.token);
        let Err(place) = self.trades.binary_search_by_key(&key(&trade), key) else { return Added::Repeat };
        self.trades.insert(place, trade);
        self.whole.merge(&Summary::of(&trade));
        // Blocks from here on have shifted; an append leaves all of them.
        self.blocks.truncate(place / BLOCK);
        Added::New
    }

    fn lacks_blocks(&self) -> bool {
        self.blocks.len() < self.trades.len() / BLOCK
    }

    /// Sums the full blocks that are not summed yet. Only an hour that an edge cuts is worth it.
    fn sum_blocks(&mut self) {
        for block in self.trades.chunks_exact(BLOCK).skip(self.blocks.len()) {
            self.blocks.push(block.iter().collect());
        }
    }

    fn since(&self, edge: Second) -> Summary {
        let from = self.trades.partition_point(|trade| trade.closed_at <= edge);
        let first_block = from.div_ceil(BLOCK);
        let mut summary: Summary = self
            .trades
            .iter()
            .skip(from)
            .take(first_block.saturating_mul(BLOCK).saturating_sub(from))
            .collect();
        for block in self.blocks.iter().skip(first_block) {
            summary.merge(block);
        }
        let blocks_end = self.blocks.len().max(first_block).saturating_mul(BLOCK);
        for trade in self.trades.iter().skip(blocks_end) {
            summary.merge(&Summary::of(trade));
        }
        summary
    }

    fn first_after(&self, edge: Second) -> Option<Second> {
        let from = self.trades.partition_point(|trade| trade.closed_at <= edge);
        self.trades.get(from).map(|trade| trade.closed_at)
    }
}

/// The lower edges of the two windows that are published all the time, at `as_of`.
#[must_use]
pub const fn published_edges(as_of: Second) -> [Second; 2] {
    [as_of.minus(DAY), as_of.minus(LONGEST_HOURS * HOUR)]
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::{any_trade, trade};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn the_lower_edge_is_exact_to_the_second_and_there_is_no_upper_one() {
        let mut window = MarketWindow::default();
        for (ledger, second) in [(1, 7_200), (2, 7_201), (3, 999_999)] {
            window.add(trade(ledger, 0, second, (1, 1), (1, 1)));
        }
        assert_eq!(window.since(Second(7_199)).trade_count, 3);
        assert_eq!(window.since(Second(7_200)).trade_count, 2);
        assert_eq!(window.since(Second(7_201)).trade_count, 1);
        assert_eq!(window.first_after(Second(7_200)), Some(Second(7_201)));
        assert_eq!(window.first_after(Second(999_999)), None);
    }

    #[test]
    fn a_clone_stays_as_it_was() {
        let mut window = MarketWindow::default();
        window.add(trade(1, 0, 7_200, (1, 1), (1, 1)));
        let before = window.clone();
        window.add(trade(2, 0, 7_201, (1, 1), (1, 1)));
        window.prepare(Second(7_300));
        let count = |window: &MarketWindow| window.since(Second(0)).trade_count;
        assert_eq!((count(&before), count(&window)), (1, 2));
    }

    #[test]
    fn time_lets_go_of_what_no_window_reaches() {
        let mut window = MarketWindow::default();
        window.add(trade(1, 0, 3_599, (1, 1), (1, 1)));
        window.add(trade(2, 0, 3_600, (1, 1), (1, 1)));
        window.forget_before(Second(3_599 + LONGEST_HOURS * HOUR));
        assert_eq!(window.since(Second(0)).trade_count, 2);
        window.forget_before(Second(3_600 + LONGEST_HOURS * HOUR));
        assert_eq!(window.since(Second(0)).trade_count, 1);
        window.forget_before(Second(i64::MAX));
        assert!(window.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_window_equals_a_recomputation_from_scratch(
            trades in prop::collection::vec(any_trade(), 0..400),
            repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
            steps in prop::collection::vec((0..30_000_i64, 1..=LONGEST_HOURS), 1..20),
        ) {
            // Unlike trades never share a token: the database sees to that.
            let mut seen = HashSet::new();
            let trades: Vec<_> = trades.into_iter().filter(|trade| seen.insert(trade.token)).collect();
            let mut window = MarketWindow::default();
            let mut as_of = Second(1_000_000);
            let mut fed = 0;
            for (step, (wait, hours)) in steps.iter().enumerate() {
                let until = trades.len() * (step + 1) / steps.len();
                for new in trades.iter().take(until).skip(fed) {
                    prop_assert_eq!(window.add(*new), Added::New);
                }
                fed = until;
                for repeat in repeats.iter().filter(|_| fed > 0) {
                    prop_assert_eq!(window.add(trades[repeat.index(fed)]), Added::Repeat);
                }
                for hours in [*hours, 24, LONGEST_HOURS] {
                    let edge = as_of.minus(hours * HOUR);
                    let scratch: Summary = trades[..fed].iter().filter(|trade| trade.closed_at > edge).collect();
                    prop_assert_eq!(window.since(edge), scratch);
                    let first = trades[..fed].iter().map(|trade| trade.closed_at).filter(|time| *time > edge).min();
                    prop_assert_eq!(window.first_after(edge), first);
                }
                as_of = as_of.plus(*wait);
            }
        }

        #[test]
        fn a_crowded_hour_equals_a_recomputation(
            seconds in prop::collection::vec(0..3_600_i64, 0..600), edge in 0..3_600_i64,
        ) {
            let trades: Vec<_> = seconds.iter().enumerate().map(|(order, second)| {
                trade(*second, i32::try_from(order).unwrap(), *second, (1 + second, 2), (*second, 7))
            }).collect();
            let mut window = MarketWindow::default();
            for trade in &trades {
                window.add(*trade);
            }
            let scratch: Summary = trades.iter().filter(|trade| trade.closed_at > Second(edge)).collect();
            prop_assert_eq!(window.since(Second(edge)), scratch);
        }
    }
}
