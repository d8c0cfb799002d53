//! Sliding windows: exact figures of the last hours of a market, to the second, whatever order trades come in.
//!
//! A market's trades lie in blocks, and blocks in chunks, by close time; each block and each chunk has its sum. The
//! figures since some second are then the sums of the chunks after it, of the blocks after it in the chunk that it cuts,
//! and of the trades after it in one block: the cost hardly depends on how many trades there are.

mod block;
mod blocks;
mod chunk;
mod codec;
mod splice;

use std::sync::Arc;

use self::{
    chunk::{Chunk, sum_of},
    codec::{Key, key},
};
use super::{
    instant::{DAY, HOUR, UnixSeconds},
    trade_stats::{TradeStats, WindowTrade},
};

/// The longest window, in hours; what is older is let go.
pub const LONGEST_HOURS: i64 = 168;
/// Blocks of a market from which on [`Running`] is kept for it; below it would only take memory.
const LARGE_BLOCKS: usize = 4;

/// The last seven days of one market. Clones share their chunks; one that changes is copied then, but for its blocks.
#[derive(Clone, Debug, Default)]
pub struct MarketWindow {
    /// None is empty; by their trades' keys.
    chunks: Vec<Arc<Chunk>>,
}

/// The figures after an edge that moves on, of which those behind the block that it cuts are kept: while it stays in that
/// block, they cost that block alone, however much lies behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    /// The last trade of the block that the edge cut.
    upto: Option<Key>,
    /// The sum of all trades behind it.
    rest: TradeStats,
}

impl Running {
    /// Must be told of each trade that the window took.
    pub(super) fn add(&mut self, trade: &WindowTrade) {
        if self.upto.is_some_and(|upto| key(trade) > upto) {
            self.rest.merge(&TradeStats::of(trade));
        }
    }
}

impl MarketWindow {
    /// Adds the trades of a run, which must be in the order of [`sort_run`]. Leaves out trades that are there already and
    /// passes the others to `on_new`.
    ///
    /// The cost hardly depends on their place in the window: no block is repacked for a trade beside or within it.
    pub(super) fn add_run(&mut self, mut run: &[WindowTrade], on_new: &mut impl FnMut(&WindowTrade)) {
        while let Some(new) = run.first().map(key) {
            let place = self.place_of(new);
            let is_last = place + 1 == self.chunks.len();
            let Some(shared) = self.chunks.get_mut(place) else { return };
            let chunk = Arc::make_mut(shared);
            let part = if is_last {
                std::mem::take(&mut run)
            } else {
                let last = chunk.last();
                let (part, others) = run.split_at(run.partition_point(|trade| key(trade) <= last));
                run = others;
                part
            };
            let others = chunk.add(part, on_new).into_iter().map(Arc::new);
            self.chunks.splice(place + 1..place + 1, others);
        }
    }

    /// Index of the first chunk that ends at a key or later. Mostly no chunk does: then it is the last chunk or a new one.
    fn place_of(&mut self, new: Key) -> usize {
        match self.chunks.last() {
            Some(last) if last.last() >= new => self.chunks.partition_point(|chunk| chunk.last() < new),
            Some(last) if !last.is_full() => self.chunks.len() - 1,
            _ => {
                self.chunks.push(Arc::default());
                self.chunks.len() - 1
            }
        }
    }

    /// The figures of all trades that closed after `edge` (the lower edge is exclusive; there is no upper one).
    #[must_use]
    pub fn since(&self, edge: UnixSeconds) -> TradeStats {
        let from = self.chunks.partition_point(|chunk| chunk.ends_by(edge));
        let mut chunks = self.chunks.iter().skip(from);
        let mut stats = chunks.next().map(|chunk| chunk.since(edge)).unwrap_or_default();
        for chunk in chunks {
            stats.merge(&chunk.sum);
        }
        stats
    }

    /// The same as [`Self::since`], with what `running` keeps from the last time.
    pub(super) fn since_running(&self, edge: UnixSeconds, running: &mut Running) -> TradeStats {
        let from = self.chunks.partition_point(|chunk| chunk.ends_by(edge));
        let place = |chunk: &Arc<Chunk>| chunk.blocks.partition_point(|block| block.last().0 <= edge);
        let cut = self.chunks.get(from).map(|chunk| (chunk, place(chunk)));
        let block = cut.and_then(|(chunk, place)| chunk.blocks.get(place));
        let (Some((chunk, place)), Some(block)) = (cut, block) else {
            *running = Running::default();
            return TradeStats::default();
        };
        if running.upto != Some(block.last()) {
            let mut rest = sum_of(chunk.blocks.get(place + 1..).unwrap_or_default());
            for chunk in self.chunks.iter().skip(from + 1) {
                rest.merge(&chunk.sum);
            }
            *running = Running { upto: Some(block.last()), rest };
        }
        let mut stats = block.since(edge);
        stats.merge(&running.rest);
        stats
    }

    /// Whether there is so much that it is worth to keep a [`Running`] for it.
    pub(super) fn is_large(&self) -> bool {
        self.chunks.len() > 1 || self.chunks.iter().any(|chunk| chunk.blocks.len() >= LARGE_BLOCKS)
    }

    /// When the earliest trade after `edge` closed.
    #[must_use]
    pub fn first_after(&self, edge: UnixSeconds) -> Option<UnixSeconds> {
        self.since(edge).times.map(|(first, _)| first)
    }

    /// Lets go of what no window can reach again, now that `as_of` is reached, as far as it lies in blocks of its own.
    pub fn forget_before(&mut self, as_of: UnixSeconds) {
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

/// Sorts the trades of a run by their keys, and leaves each only once.
pub(super) fn sort_run(run: &mut Vec<WindowTrade>) {
    run.sort_unstable_by_key(key);
    run.dedup_by_key(|trade| key(trade));
}

/// The lower edges of the two windows that are published all the time, at `as_of`.
#[must_use]
pub const fn published_edges(as_of: UnixSeconds) -> [UnixSeconds; 2] {
    [as_of.minus(DAY), as_of.minus(LONGEST_HOURS * HOUR)]
}

#[cfg(test)]
mod tests;
