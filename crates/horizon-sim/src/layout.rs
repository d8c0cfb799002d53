//! Layout of a ledger's trades in transactions and operations.
//!
//! The index of a trade determines its transaction, operation and order. So a cursor maps to a trade without generating
//! the ones before it.

use super::model::TradeId;
use super::num::{below, hash3};

/// Transactions as lists of operations, each with its number of trades.
type Pattern = &'static [&'static [u32]];

const PATTERNS: [Pattern; 4] = [
    &[&[1], &[1], &[2], &[1, 1, 1], &[3], &[1], &[1, 4], &[1]],
    &[&[1], &[1, 1], &[1], &[5], &[1], &[2, 2]],
    &[&[2], &[1], &[1], &[1], &[1, 1, 1, 1, 1, 1], &[7]],
    &[&[1], &[1], &[1], &[1], &[1], &[1], &[3, 1]],
];

#[derive(Debug, Clone, Copy)]
struct Slot {
    transaction: u32,
    operation: u32,
    order: u32,
}

/// Patterns, expanded once.
#[derive(Debug)]
pub(crate) struct Layouts(Vec<Vec<Slot>>);

/// Layout of one ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    ledger: u32,
    slots: &'a [Slot],
    /// Distance between transaction numbers. It leaves gaps, because most transactions of a real ledger do not trade.
    stride: u32,
}

impl Layouts {
    pub(crate) fn new() -> Self {
        Self(PATTERNS.iter().map(|pattern| unroll(pattern)).collect())
    }

    pub(crate) fn of(&self, seed: u64, ledger: u32) -> Layout<'_> {
        let hash = hash3(seed, 0x6c61_796f, u64::from(ledger));
        let slots = self.0.get(below(hash, self.0.len())).map_or(&[][..], Vec::as_slice);
        Layout { ledger, slots, stride: 1 + super::num::high(hash) % 3 }
    }
}

fn unroll(pattern: Pattern) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (transaction, operations) in (0..).zip(pattern) {
        for (operation, trades) in (1..).zip(*operations) {
            slots.extend((0..*trades).map(|order| Slot { transaction, operation, order }));
        }
    }
    slots
}

impl Layout<'_> {
    /// Id of the trade at `index` (from 0). Strictly increasing.
    pub(crate) fn id(&self, index: u32) -> TradeId {
        let len = u32::try_from(self.slots.len()).unwrap_or(u32::MAX).max(1);
        let per_cycle = self.slots.last().map_or(1, |slot| slot.transaction + 1);
        let slot = self.slots.get(usize::try_from(index % len).unwrap_or(0));
        let (offset, operation, order) = slot.map_or((0, 1, 0), |s| (s.transaction, s.operation, s.order));
        let transaction = 1 + self.stride * (index / len * per_cycle + offset);
        let toid = (i64::from(self.ledger) << 32) | (i64::from(transaction) << 12) | i64::from(operation);
        TradeId { toid, order: i64::from(order) }
    }

    /// Number of leading trades, of the first `count`, that satisfy `before`. Those must form a prefix.
    pub(crate) fn prefix(&self, count: u32, before: impl Fn(TradeId) -> bool) -> u32 {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.id(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_and_are_found_again_in_every_pattern() {
        let layouts = Layouts::new();
        for ledger in 1..40 {
            let layout = layouts.of(5, ledger);
            let ids: Vec<_> = (0..200).map(|i| layout.id(i)).collect();
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(ids[0].ledger(), ledger);
            assert!(ids.iter().all(|id| id.toid & 0xfff >= 1 && (id.toid >> 12) & 0xf_ffff >= 1));
            for (index, id) in (0..).zip(&ids) {
                assert_eq!(layout.prefix(200, |other| other < *id), index);
                assert_eq!(layout.prefix(200, |other| other <= *id), index + 1);
            }
        }
    }
}
