//! Sliding windows: exact figures of the last hours of a market, to the second, whatever order trades come in.
//!
//! A market's trades lie in blocks, and blocks in chunks, by close time; each block and each chunk has its sum. The
//! figures since some second are then the sums of the chunks after it, of the blocks after it in the chunk that it cuts,
//! and of the trades after it in one block: the cost hardly depends on how many trades there are.

mod block;

use std::sync::Arc;

use self::block::{Block, Key, key};
use super::{
    instant::{DAY, HOUR, Second},
    summary::{Summary, WindowTrade},
};

/// The longest window, in hours; what is older is let go.
pub const LONGEST_HOURS: i64 = 168;
/// Blocks in a chunk.
const CHUNK_BLOCKS: usize = 64;
/// Blocks of a market from which on [`Running`] is kept for it; below it would only take memory.
const LARGE_BLOCKS: usize = 4;

/// The last seven days of one market. Clones share their chunks; one that changes is copied then, but for its blocks.
#[derive(Clone, Debug, Default)]
pub struct MarketWindow {
    /// None is empty; by their trades' keys.
    chunks: Vec<Arc<Chunk>>,
}

/// Blocks in a row, and their sum.
#[derive(Clone, Debug)]
struct Chunk {
    /// At least one.
    blocks: Vec<Arc<Block>>,
    sum: Summary,
}

/// The figures after an edge that moves on, of which those behind the block that it cuts are kept: while it stays in that
/// block, they cost that block alone, however much lies behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    /// The last trade of the block that the edge cut.
    upto: Option<Key>,
    /// The sum of all trades behind it.
    rest: Summary,
}

impl Running {
    /// Must be told of each trade that the window took.
    pub(super) fn add(&mut self, trade: &WindowTrade) {
        if self.upto.is_some_and(|upto| key(trade) > upto) {
            self.rest.merge(&Summary::of(trade));
        }
    }
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
        let new = key(&trade);
        // The last chunk that begins at or before it, or the first of all; mostly the last.
        let place = match self.chunks.last() {
            Some(last) if last.first() <= new => self.chunks.len() - 1,
            _ => self.chunks.partition_point(|chunk| chunk.first() <= new).saturating_sub(1),
        };
        let Some(shared) = self.chunks.get_mut(place) else {
            self.chunks.push(Arc::new(Chunk::of(trade)));
            return Added::New;
        };
        let is_append = new > shared.last();
        if is_append && shared.is_full() {
            self.chunks.insert(place + 1, Arc::new(Chunk::of(trade)));
            return Added::New;
        }
        let chunk = Arc::make_mut(shared);
        if block::add(&mut chunk.blocks, trade) == Added::Repeat {
            return Added::Repeat;
        }
        chunk.sum.merge(&Summary::of(&trade));
        if let Some(right) = chunk.split_off() {
            self.chunks.insert(place + 1, Arc::new(right));
        }
        Added::New
    }

    /// The figures of all trades that closed after `edge` (the lower edge is exclusive; there is no upper one).
    #[must_use]
    pub fn since(&self, edge: Second) -> Summary {
        let from = self.chunks.partition_point(|chunk| chunk.ends_by(edge));
        let mut chunks = self.chunks.iter().skip(from);
        let mut summary = chunks.next().map(|chunk| chunk.since(edge)).unwrap_or_default();
        for chunk in chunks {
            summary.merge(&chunk.sum);
        }
        summary
    }

    /// The same as [`Self::since`], with what `running` keeps from the last time.
    pub(super) fn since_running(&self, edge: Second, running: &mut Running) -> Summary {
        let from = self.chunks.partition_point(|chunk| chunk.ends_by(edge));
        let place = |chunk: &Arc<Chunk>| chunk.blocks.partition_point(|block| block.last().0 <= edge);
        let cut = self.chunks.get(from).map(|chunk| (chunk, place(chunk)));
        let block = cut.and_then(|(chunk, place)| chunk.blocks.get(place));
        let (Some((chunk, place)), Some(block)) = (cut, block) else {
            *running = Running::default();
            return Summary::default();
        };
        if running.upto != Some(block.last()) {
            let mut rest = sum_of(chunk.blocks.get(place + 1..).unwrap_or_default());
            for chunk in self.chunks.iter().skip(from + 1) {
                rest.merge(&chunk.sum);
            }
            *running = Running { upto: Some(block.last()), rest };
        }
        let mut summary = block.since(edge);
        summary.merge(&running.rest);
        summary
    }

    /// Whether there is so much that it is worth to keep a [`Running`] for it.
    pub(super) fn is_large(&self) -> bool {
        self.chunks.len() > 1 || self.chunks.iter().any(|chunk| chunk.blocks.len() >= LARGE_BLOCKS)
    }

    /// When the earliest trade after `edge` closed.
    #[must_use]
    pub fn first_after(&self, edge: Second) -> Option<Second> {
        self.since(edge).times.map(|(first, _)| first)
    }

    /// Lets go of what no window can reach again, now that `as_of` is reached, as far as it lies in blocks of its own.
    pub fn forget_before(&mut self, as_of: Second) {
        let edge = as_of.minus(LONGEST_HOURS * HOUR);
        let gone = self.chunks.iter().take_while(|chunk| chunk.ends_by(edge)).count();
        self.chunks.drain(..gone);
        if let Some(chunk) = self.chunks.first_mut()
            && chunk.blocks.first().is_some_and(|block| block.last().0 <= edge)
        {
            Arc::make_mut(chunk).forget_until(edge);
        }
    }

    /// All trades that it holds, by when they closed.
    pub fn trades(&self) -> impl Iterator<Item = WindowTrade> {
        self.chunks.iter().flat_map(|chunk| &chunk.blocks).flat_map(|block| block.trades())
    }

    /// Whether no trade is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

impl Chunk {
    fn of(trade: WindowTrade) -> Self {
        Self { blocks: vec![Arc::new(Block::of(trade))], sum: Summary::of(&trade) }
    }

    fn first(&self) -> Key {
        self.blocks.first().map_or_else(Key::default, |block| block.first())
    }

    fn last(&self) -> Key {
        self.blocks.last().map_or_else(Key::default, |block| block.last())
    }

    /// Whether none of its trades closed after `edge`. Looks at nothing but the sum: blocks are mostly in no cache.
    fn ends_by(&self, edge: Second) -> bool {
        self.sum.times.is_none_or(|(_, last)| last <= edge)
    }

    fn is_full(&self) -> bool {
        self.blocks.len() >= CHUNK_BLOCKS && self.blocks.last().is_none_or(|block| block.is_full())
    }

    /// The second half, where there are too many blocks.
    fn split_off(&mut self) -> Option<Self> {
        if self.blocks.len() <= CHUNK_BLOCKS {
            return None;
        }
        // A block that came first was put before a full one: history comes from new to old, and fills the new one.
        let cut =
            if self.blocks.first().is_some_and(|block| block.is_full()) { self.blocks.len() / 2 } else { 1 };
        let right = self.blocks.split_off(cut);
        self.sum = sum_of(&self.blocks);
        Some(Self { sum: sum_of(&right), blocks: right })
    }

    fn forget_until(&mut self, edge: Second) {
        let gone = self.blocks.partition_point(|block| block.last().0 <= edge);
        self.blocks.drain(..gone);
        self.sum = sum_of(&self.blocks);
    }

    fn since(&self, edge: Second) -> Summary {
        let from = self.blocks.partition_point(|block| block.last().0 <= edge);
        let mut blocks = self.blocks.iter().skip(from);
        let mut summary = blocks.next().map(|block| block.since(edge)).unwrap_or_default();
        for block in blocks {
            summary.merge(block.sum());
        }
        summary
    }
}

fn sum_of(blocks: &[Arc<Block>]) -> Summary {
    let mut sum = Summary::default();
    for block in blocks {
        sum.merge(block.sum());
    }
    sum
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
        let count = |window: &MarketWindow| window.since(Second(0)).trade_count;
        assert_eq!((count(&before), count(&window)), (1, 2));
    }

    #[test]
    fn time_lets_go_of_what_no_window_reaches() {
        let mut window = MarketWindow::default();
        for place in 0..1_000_i64 {
            window.add(trade(place, 0, place, (1, 1), (1, 1)));
        }
        let held = |window: &MarketWindow| -> usize {
            let blocks = window.chunks.iter().flat_map(|chunk| &chunk.blocks);
            blocks.map(|block| block.trades().count()).sum()
        };
        window.forget_before(Second(499 + LONGEST_HOURS * HOUR));
        assert_eq!(held(&window), 1_000 - 3 * block::BLOCK_TRADES, "whole blocks go");
        assert_eq!(window.since(Second(499)).trade_count, 500);
        window.forget_before(Second(i64::MAX));
        assert!(window.is_empty());
    }

    #[test]
    fn blocks_are_filled_whether_trades_come_from_old_to_new_or_from_new_to_old() {
        let fill = |places: &mut dyn Iterator<Item = i64>| {
            let mut window = MarketWindow::default();
            for place in places {
                window.add(trade(place, 0, place, (1, 1), (1, 1)));
            }
            (window.chunks.len(), window.chunks.iter().map(|chunk| chunk.blocks.len()).sum::<usize>())
        };
        let trades = i64::try_from(3 * CHUNK_BLOCKS * block::BLOCK_TRADES).unwrap();
        assert_eq!(fill(&mut (0..trades)), (3, 3 * CHUNK_BLOCKS));
        assert_eq!(fill(&mut (0..trades).rev()).1, 3 * CHUNK_BLOCKS);
    }

    #[test]
    fn many_trades_in_any_order_equal_a_recomputation() {
        use rand::{SeedableRng, seq::SliceRandom};
        let count = i64::try_from(2 * CHUNK_BLOCKS * block::BLOCK_TRADES).unwrap();
        let mut trades: Vec<_> =
            (0..count).map(|place| trade(place / 3, 0, place / 5, (place, 7), (1 + place % 9, 3))).collect();
        trades.dedup_by_key(|trade| (trade.closed_at, trade.token));
        let edges = [-1, 0, 1, count / 10, count / 7, count / 6, count / 5 - 1, count];
        let right = edges.map(|edge| -> Summary {
            trades.iter().filter(|trade| trade.closed_at > Second(edge)).collect()
        });
        for seed in 0..3 {
            trades.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
            let mut window = MarketWindow::default();
            for trade in &trades {
                assert_eq!(window.add(*trade), Added::New);
            }
            assert_eq!(edges.map(|edge| window.since(Second(edge))), right);
            assert!(trades.iter().step_by(99).all(|trade| window.add(*trade) == Added::Repeat));
            window.forget_before(Second(count / 10 + LONGEST_HOURS * HOUR));
            assert_eq!(window.since(Second(count / 10)), right[3]);
        }
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
