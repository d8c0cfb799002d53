//! Sequence of blocks, and their sum.

use std::sync::Arc;

use super::{
    super::{
        instant::UnixSeconds,
        trade_stats::{TradeStats, WindowTrade},
    },
    block::Block,
    blocks,
    codec::TradeKey,
};

/// Maximum number of blocks in a chunk.
pub(super) const CHUNK_BLOCKS: usize = 64;

/// Sequence of blocks, and their sum. Empty only until the first trades are added.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) sum: TradeStats,
}

impl Chunk {
    pub(super) fn last(&self) -> TradeKey {
        self.blocks.last().map_or_else(TradeKey::default, |block| block.last())
    }

    /// Returns true if no trade closed after `edge`. Reads only the sum, because blocks are rarely in the CPU cache.
    pub(super) fn ends_by(&self, edge: UnixSeconds) -> bool {
        self.sum.times.is_none_or(|(_, last)| last <= edge)
    }

    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= CHUNK_BLOCKS && self.blocks.last().is_none_or(|block| block.is_full())
    }

    /// Adds a run, which must be in order. Skips trades that are already held, and passes the others to `on_new`.
    /// Returns the chunks split off after this one, if it became too large.
    pub(super) fn add(&mut self, run: &[WindowTrade], on_new: &mut impl FnMut(&WindowTrade)) -> Vec<Self> {
        let ends = |blocks: &[Arc<Block>]| Some((blocks.first()?.first(), blocks.last()?.last()));
        let (sum, before) = (&mut self.sum, ends(&self.blocks));
        blocks::add(&mut self.blocks, run, &mut |trade| {
            sum.add(trade);
            on_new(trade);
        });
        let count = self.blocks.len();
        if count <= CHUNK_BLOCKS {
            return Vec::new();
        }
        let after = ends(&self.blocks);
        // Compare the ends before and after to see where the trades went.
        let is_prepended = before.zip(after).is_some_and(|(before, after)| after.0 < before.0);
        let is_appended = before.zip(after).is_none_or(|(before, after)| after.1 > before.1);
        // Keep chunks full as blocks are: split from the end if trades arrive from new to old, and from the beginning
        // if they arrive from old to new. Else split evenly.
        let (first, size) = if is_prepended {
            ((count - 1) % CHUNK_BLOCKS + 1, CHUNK_BLOCKS)
        } else if is_appended {
            (CHUNK_BLOCKS, CHUNK_BLOCKS)
        } else {
            let size = count.div_ceil(count.div_ceil(CHUNK_BLOCKS));
            (size, size)
        };
        let others = self.blocks.split_off(first);
        self.blocks.shrink_to_fit();
        self.sum = sum_of(&self.blocks);
        let chunk = |blocks: &[Arc<Block>]| Self { blocks: blocks.to_vec(), sum: sum_of(blocks) };
        others.chunks(size).map(chunk).collect()
    }

    pub(super) fn drop_until(&mut self, edge: UnixSeconds) {
        let gone = self.blocks.partition_point(|block| block.last().0 <= edge);
        self.blocks.drain(..gone);
        self.sum = sum_of(&self.blocks);
    }

    pub(super) fn since(&self, edge: UnixSeconds) -> TradeStats {
        let from = self.blocks.partition_point(|block| block.last().0 <= edge);
        let mut blocks = self.blocks.iter().skip(from);
        let mut stats = blocks.next().map(|block| block.since(edge)).unwrap_or_default();
        for block in blocks {
            stats.merge(block.sum());
        }
        stats
    }
}

pub(super) fn sum_of(blocks: &[Arc<Block>]) -> TradeStats {
    let mut sum = TradeStats::default();
    for block in blocks {
        sum.merge(block.sum());
    }
    sum
}
