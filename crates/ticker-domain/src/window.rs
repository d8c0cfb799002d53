//! Sliding window of one market: exact statistics of its last hours, to the second, whatever the order of arrival.
//!
//! Trades lie in blocks, and blocks in chunks, sorted by close time. Each block and each chunk has a sum. The
//! statistics since some second add whole chunks, whole blocks of the chunk that the second cuts, and the trades of one
//! block. The cost hardly depends on the number of trades.

mod block;
mod blocks;
mod chunk;
mod codec;
mod filling;
mod splice;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use self::{
    chunk::{Chunk, sum_of},
    codec::{TradeKey, key},
    filling::Filling,
};
use super::{
    candles::Buckets,
    instant::UnixSeconds,
    span::Span,
    trade_stats::{TradeStats, WindowTrade},
};

/// Length of the longest window, in hours. Older trades are dropped.
pub const LONGEST_HOURS: i64 = Span::Week.hours();
/// Blocks of a market from which [`RunningSum`] is kept. For a smaller market it would only cost memory.
const LARGE_BLOCKS: usize = 4;

/// Trades of one market in the last 7 days. Clones share their chunks. A shared chunk is copied before it changes, but
/// not its blocks.
#[derive(Clone, Debug, Default)]
pub struct MarketWindow {
    /// Non-empty chunks, sorted by the keys of their trades.
    chunks: Vec<Arc<Chunk>>,
}

/// Statistics after a moving edge, without the block that the edge cuts. While the edge stays in that block, an update
/// costs only that block, however many trades follow.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningSum {
    /// Key of the last trade in the block that the edge cuts.
    upto: Option<TradeKey>,
    /// Sum of all trades after `upto`.
    rest: TradeStats,
}

impl RunningSum {
    /// Adds a trade. The window must pass every new trade.
    pub(super) fn add(&mut self, trade: &WindowTrade) {
        if self.upto.is_some_and(|upto| key(trade) > upto) {
            self.rest.add(trade);
        }
    }
}

impl MarketWindow {
    /// Adds the trades of a run, which must be in the order of [`sort_run`]. Skips trades that the window already
    /// holds, and passes the others to `on_new`.
    ///
    /// The cost hardly depends on the place in the window: a trade beside or within a block repacks no other block.
    pub(super) fn add_run(&mut self, mut run: &[WindowTrade], on_new: &mut impl FnMut(&WindowTrade)) {
        while let Some(new) = run.first().map(key) {
            let place = self.place_of(new);
            let is_last = place + 1 == self.chunks.len();
            let Some(shared) = self.chunks.get_mut(place) else { return };
            let chunk = Arc::make_mut(shared);
            // Everything after the last chunk belongs to it, else only the trades up to the chunk's end.
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

    /// Index of the first chunk that ends at or after `new`. Mostly none does: then the last chunk, or a new one if
    /// that is full.
    fn place_of(&mut self, new: TradeKey) -> usize {
        match self.chunks.last() {
            Some(last) if last.last() >= new => self.chunks.partition_point(|chunk| chunk.last() < new),
            Some(last) if !last.is_full() => self.chunks.len() - 1,
            _ => {
                self.chunks.push(Arc::default());
                self.chunks.len() - 1
            }
        }
    }

    /// Statistics of all trades that closed after `edge`. The edge is exclusive, and there is no upper limit.
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

    /// Same as [`Self::since`], but reuses the sums that `running` keeps from the last call.
    pub(super) fn since_running(&self, edge: UnixSeconds, running: &mut RunningSum) -> TradeStats {
        let from = self.chunks.partition_point(|chunk| chunk.ends_by(edge));
        let place = |chunk: &Arc<Chunk>| chunk.blocks.partition_point(|block| block.last().0 <= edge);
        let cut = self.chunks.get(from).map(|chunk| (chunk, place(chunk)));
        let block = cut.and_then(|(chunk, place)| chunk.blocks.get(place));
        let (Some((chunk, place)), Some(block)) = (cut, block) else {
            *running = RunningSum::default();
            return TradeStats::default();
        };
        // The edge moved to another block, or that block changed: sum everything behind it again.
        if running.upto != Some(block.last()) {
            let mut rest = sum_of(chunk.blocks.get(place + 1..).unwrap_or_default());
            for chunk in self.chunks.iter().skip(from + 1) {
                rest.merge(&chunk.sum);
            }
            *running = RunningSum { upto: Some(block.last()), rest };
        }
        let mut stats = block.since(edge);
        stats.merge(&running.rest);
        stats
    }

    /// Returns true if the window has enough trades to be worth a [`RunningSum`].
    pub(super) fn is_large(&self) -> bool {
        self.chunks.len() > 1 || self.chunks.iter().any(|chunk| chunk.blocks.len() >= LARGE_BLOCKS)
    }

    /// Drops trades that no window at or after `as_of` reaches, in whole blocks.
    pub(crate) fn drop_expired(&mut self, as_of: UnixSeconds) {
        let edge = Span::Week.edge(as_of);
        let gone = self.chunks.iter().take_while(|chunk| chunk.ends_by(edge)).count();
        self.chunks.drain(..gone);
        if let Some(chunk) = self.chunks.first_mut()
            && chunk.blocks.first().is_some_and(|block| block.last().0 <= edge)
        {
            Arc::make_mut(chunk).drop_until(edge);
        }
    }

    /// All trades of the window, by close time.
    pub fn trades(&self) -> impl Iterator<Item = WindowTrade> {
        self.chunks.iter().flat_map(|chunk| &chunk.blocks).flat_map(|block| block.trades())
    }

    /// Trades that closed after `edge`, by close time. Decodes only the blocks that hold them.
    pub fn trades_since(&self, edge: UnixSeconds) -> impl Iterator<Item = WindowTrade> {
        let chunks = self.chunks.iter().skip_while(move |chunk| chunk.ends_by(edge));
        let blocks = chunks.flat_map(|chunk| &chunk.blocks).skip_while(move |block| block.last().0 <= edge);
        blocks.flat_map(|block| block.trades()).skip_while(move |trade| trade.closed_at <= edge)
    }

    /// Statistics of the trades that closed at `times`, by the start of their bucket. A bucket
    /// without trades is absent.
    ///
    /// Reads only the trades of blocks that a bucket's edge cuts.
    #[must_use]
    pub fn by_bucket(
        &self,
        buckets: Buckets,
        times: Range<UnixSeconds>,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        let mut filling = Filling::new(buckets, times);
        for chunk in &self.chunks {
            if filling.add_whole(&chunk.sum) {
                continue;
            }
            for block in &chunk.blocks {
                if !filling.add_whole(block.sum()) {
                    block.trades().for_each(|trade| filling.add(&trade));
                }
            }
        }
        filling.finish()
    }

    /// Returns true if no trade is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// Sorts the trades of a run by their keys, and removes duplicates.
pub(super) fn sort_run(run: &mut Vec<WindowTrade>) {
    run.sort_unstable_by_key(key);
    run.dedup_by_key(|trade| key(trade));
}

#[cfg(test)]
mod tests;
