//! Sorted list of blocks, and the placement of new trades in it.
//!
//! Blocks fill up whether trades arrive from old to new or from new to old. They also do if several readers of history
//! work at several places at once.

use std::sync::Arc;

use super::{
    super::trade_stats::WindowTrade,
    block::{BLOCK_TRADES, Block},
    codec::{TradeKey, key},
};

/// Adds a run, which must be in order and without duplicates. Skips trades that are already held, and passes the others
/// to `on_new`. Reads each block at most once.
pub(super) fn add(
    blocks: &mut Vec<Arc<Block>>,
    mut run: &[WindowTrade],
    on_new: &mut impl FnMut(&WindowTrade),
) {
    while let Some(new) = run.first().map(key) {
        // Index of the first block that ends there or later. Mostly none does.
        let place = match blocks.last() {
            Some(last) if last.last() < new => blocks.len(),
            _ => blocks.partition_point(|block| block.last() < new),
        };
        let Some((begins, ends)) = blocks.get(place).map(|block| (block.first(), block.last())) else {
            run.iter().for_each(&mut *on_new);
            append(blocks, run);
            return;
        };
        // In front of the block, all trades up to its first are new. Within the block, duplicates are possible.
        let is_gap = new < begins;
        let is_before = |other: &TradeKey| if is_gap { *other < begins } else { *other <= ends };
        let (part, others) = run.split_at(run.partition_point(|trade| is_before(&key(trade))));
        run = others;
        if is_gap {
            part.iter().for_each(&mut *on_new);
            fill_gap(blocks, place, part);
        } else {
            put_into(blocks, place, part, on_new);
        }
    }
}

/// Appends trades after all others.
fn append(blocks: &mut Vec<Arc<Block>>, mut run: &[WindowTrade]) {
    if let Some(last) = blocks.last_mut().filter(|last| !last.is_full()) {
        run = Arc::make_mut(last).append(run);
    }
    while let Some((block, others)) = Block::filled(run) {
        blocks.push(Arc::new(block));
        run = others;
    }
}

/// Adds trades between the block at `place` and the one before it.
///
/// Fills the later block first, because history is read from new to old. If that is full, fills the earlier one. The
/// rest makes new blocks, of which only the first may have room.
fn fill_gap(blocks: &mut Vec<Arc<Block>>, place: usize, mut run: &[WindowTrade]) {
    if let Some(later) = blocks.get_mut(place).filter(|later| !later.is_full()) {
        // Trades mostly need fewer bytes than `room` reserves, so some room remains. It shrinks with each round.
        while !run.is_empty() && !later.is_full() {
            let (others, newest) = run.split_at(run.len().saturating_sub(later.room()));
            if let Some(with) = later.with(newest, &mut |_| {}) {
                *later = Arc::new(with);
            }
            run = others;
        }
    } else if let Some(earlier) = place.checked_sub(1).and_then(|before| blocks.get_mut(before))
        && !earlier.is_full()
    {
        run = Arc::make_mut(earlier).append(run);
    }
    let filled = from_the_end(run);
    blocks.splice(place..place, filled);
}

/// Adds trades that lie within the block at `place`, and splits the block if they do not fit.
fn put_into(
    blocks: &mut Vec<Arc<Block>>,
    place: usize,
    run: &[WindowTrade],
    on_new: &mut impl FnMut(&WindowTrade),
) {
    let Some(block) = blocks.get_mut(place) else { return };
    if block.room() >= run.len() {
        if let Some(with) = block.with(run, on_new) {
            *block = Arc::new(with);
        }
        return;
    }
    let Merged { trades, first_new, last_new, new } = merge(block, run);
    for trade in &new {
        on_new(trade);
    }
    if new.is_empty() {
        return;
    }
    // A reader that goes from new to old and meets older trades inserts everything at one place. Split there, so that
    // its next trades find a block with room. Else split in the middle.
    let is_together = last_new + 1 - first_new == new.len();
    let cut = if is_together { first_new } else { trades.len() / 2 };
    let (left, right) = trades.split_at(cut);
    let parts: Vec<_> = from_the_end(left).into_iter().chain(from_the_end(right)).collect();
    blocks.splice(place..=place, parts);
}

/// Packs trades into blocks, of which only the first may have room.
fn from_the_end(mut run: &[WindowTrade]) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    while let Some((others, block)) = Block::filled_from_the_end(run) {
        blocks.push(Arc::new(block));
        run = others;
    }
    blocks.reverse();
    blocks
}

/// Merged trades of a block and a run.
struct Merged {
    trades: Vec<WindowTrade>,
    /// Indices of the first and the last new trade in `trades`.
    first_new: usize,
    last_new: usize,
    new: Vec<WindowTrade>,
}

fn merge(block: &Block, run: &[WindowTrade]) -> Merged {
    let mut merged = Merged {
        trades: Vec::with_capacity(BLOCK_TRADES + run.len()),
        first_new: usize::MAX,
        last_new: 0,
        new: Vec::new(),
    };
    let mut held = block.trades().peekable();
    for trade in run {
        while let Some(before) = held.next_if(|held| key(held) < key(trade)) {
            merged.trades.push(before);
        }
        if held.peek().is_some_and(|held| key(held) == key(trade)) {
            continue;
        }
        merged.first_new = merged.first_new.min(merged.trades.len());
        merged.last_new = merged.trades.len();
        merged.trades.push(*trade);
        merged.new.push(*trade);
    }
    merged.trades.extend(held);
    merged
}
