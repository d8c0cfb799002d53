//! A row of blocks: where the trades of a run go in it.
//!
//! Blocks end up full whether trades come from old to new or from new to old, also where several readers of history do so
//! at several places at once.

use std::sync::Arc;

use super::{
    super::trade_stats::WindowTrade,
    block::{BLOCK_TRADES, Block},
    codec::{Key, key},
};

/// Adds a run, which is in order and holds no trade twice. Leaves out trades that are there already and gives the others
/// to `on_new`. Reads each block at most once.
pub(super) fn add(
    blocks: &mut Vec<Arc<Block>>,
    mut run: &[WindowTrade],
    on_new: &mut impl FnMut(&WindowTrade),
) {
    while let Some(new) = run.first().map(key) {
        // The first block that ends there or later; mostly none does.
        let place = match blocks.last() {
            Some(last) if last.last() < new => blocks.len(),
            _ => blocks.partition_point(|block| block.last() < new),
        };
        let Some((begins, ends)) = blocks.get(place).map(|block| (block.first(), block.last())) else {
            run.iter().for_each(&mut *on_new);
            append(blocks, run);
            return;
        };
        let is_gap = new < begins;
        let is_before = |other: &Key| if is_gap { *other < begins } else { *other <= ends };
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

/// Adds trades behind all others.
fn append(blocks: &mut Vec<Arc<Block>>, mut run: &[WindowTrade]) {
    if let Some(last) = blocks.last_mut().filter(|last| !last.is_full()) {
        run = Arc::make_mut(last).append(run);
    }
    while let Some((block, others)) = Block::filled(run) {
        blocks.push(Arc::new(block));
        run = others;
    }
}

/// Adds trades between the block at `place` and the one before it. The later block is filled first, because history is
/// read from new to old. Then the one before; and what is left makes blocks of its own, of which the first is not full.
fn fill_gap(blocks: &mut Vec<Arc<Block>>, place: usize, mut run: &[WindowTrade]) {
    if let Some(later) = blocks.get_mut(place).filter(|later| !later.is_full()) {
        // Trades mostly take less than there must be room for, so there is some left, and less each time.
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

/// Adds trades that lie within the block at `place`, and divides it where it has no room for them.
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
    // A reader that goes from new to old and meets older trades puts all between the same two; cut there, and what comes
    // next finds a block that it can fill. Else cut in the middle.
    let is_together = last_new + 1 - first_new == new.len();
    let cut = if is_together { first_new } else { trades.len() / 2 };
    let (left, right) = trades.split_at(cut);
    let parts: Vec<_> = from_the_end(left).into_iter().chain(from_the_end(right)).collect();
    blocks.splice(place..=place, parts);
}

/// Blocks of these trades, of which only the first may not be full.
fn from_the_end(mut run: &[WindowTrade]) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    while let Some((others, block)) = Block::filled_from_the_end(run) {
        blocks.push(Arc::new(block));
        run = others;
    }
    blocks.reverse();
    blocks
}

/// The trades of a block and those of a run.
struct Merged {
    trades: Vec<WindowTrade>,
    /// The places of the first and the last new trade among them.
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
