//! Insertion of trades between encoded ones.
//!
//! A trade is encoded relative to the one before it, so only the trades right after an inserted one must be encoded
//! again. All other bytes are copied.

use super::{
    super::trade_stats::WindowTrade,
    codec::{Previous, Reader, TradeKey, key},
};

/// Block under construction, made from the bytes of another one. "Held" trades are those of the old block.
pub(super) struct Splice<'a> {
    /// New bytes, without held bytes that are still to be copied.
    bytes: Vec<u8>,
    /// State after everything written or passed.
    written: Previous,
    /// Decoder of the held bytes, positioned after `next`.
    reader: Reader<'a>,
    /// Next held trade, or `None` at the end.
    next: Option<WindowTrade>,
    /// State before `next` in the old block.
    before: Previous,
    /// Held bytes from `next` on.
    rest: &'a [u8],
    /// Held bytes that are not copied yet. They begin at `rest` or before it.
    uncopied: &'a [u8],
}

impl<'a> Splice<'a> {
    /// Starts with the bytes of a block whose first trade has the key `held_first`. The new block's first trade will
    /// have the key `first`.
    pub(super) fn new(held: &'a [u8], held_first: TradeKey, first: TradeKey, more_bytes: usize) -> Self {
        let mut reader = Reader::new(held, held_first);
        Self {
            bytes: Vec::with_capacity(held.len() + more_bytes),
            written: Previous::of_first(first),
            before: reader.previous,
            next: reader.next_trade(),
            rest: held,
            uncopied: held,
            reader,
        }
    }

    /// Passes all held trades before `new`. Returns true if the block already holds a trade with that key.
    pub(super) fn pass_before(&mut self, new: TradeKey) -> bool {
        while let Some(held) = self.next.filter(|held| key(held) < new) {
            self.pass(&held);
        }
        self.next.is_some_and(|held| key(&held) == new)
    }

    /// Encodes a new trade after the passed ones.
    pub(super) fn put(&mut self, trade: &WindowTrade) {
        let passed = self.uncopied.len() - self.rest.len();
        self.bytes.extend_from_slice(self.uncopied.get(..passed).unwrap_or_default());
        self.uncopied = self.rest;
        self.written.write(&mut self.bytes, trade);
    }

    /// Returns the new bytes and the state after the last trade. `held_last` is the state after the last held trade.
    pub(super) fn finish(mut self, held_last: Previous) -> (Vec<u8>, Previous) {
        // Encode held trades again until the following bytes decode to the same trades as before.
        while let Some(held) = self.next.filter(|_| !self.written.reads_as(&self.before)) {
            self.pass(&held);
        }
        self.bytes.extend_from_slice(self.uncopied);
        if self.next.is_some() {
            self.written = self.written.after_same_bytes(&self.before, &held_last);
        }
        (self.bytes, self.written)
    }

    fn pass(&mut self, held: &WindowTrade) {
        if self.written.reads_as(&self.before) {
            self.written = self.written.after_same_bytes(&self.before, &self.reader.previous);
        } else {
            self.written.write(&mut self.bytes, held);
            self.uncopied = self.reader.rest();
        }
        (self.before, self.rest) = (self.reader.previous, self.reader.rest());
        self.next = self.reader.next_trade();
    }
}
