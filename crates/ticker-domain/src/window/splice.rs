//! Trades put between others that are written already. Most bytes are copied as they are: a trade is written relative to
//! the one before it, so only the trades right behind a new one must be written again.

use super::{
    super::trade_stats::WindowTrade,
    codec::{Key, Previous, Reader, key},
};

/// The bytes of a block on their way into a new one. "Held" trades are those of the block.
pub(super) struct Splice<'a> {
    /// The new bytes, without those that are still to be copied.
    bytes: Vec<u8>,
    /// The state after all that was written and passed.
    written: Previous,
    /// Behind `next`.
    reader: Reader<'a>,
    /// The next held trade; none at the end.
    next: Option<WindowTrade>,
    /// The state before `next`, in the block.
    before: Previous,
    /// The held bytes from `next` on.
    rest: &'a [u8],
    /// The held bytes that are not copied yet. They begin at `rest` or before it.
    uncopied: &'a [u8],
}

impl<'a> Splice<'a> {
    /// Begins with the bytes of a block whose first trade is `held_first`. The new one's will be `first`.
    pub(super) fn new(held: &'a [u8], held_first: Key, first: Key, more_bytes: usize) -> Self {
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

    /// Passes all held trades before a key. Says whether the trade with that key is held.
    pub(super) fn pass_before(&mut self, new: Key) -> bool {
        while let Some(held) = self.next.filter(|held| key(held) < new) {
            self.pass(&held);
        }
        self.next.is_some_and(|held| key(&held) == new)
    }

    /// Writes a new trade behind those that were passed.
    pub(super) fn put(&mut self, trade: &WindowTrade) {
        let passed = self.uncopied.len() - self.rest.len();
        self.bytes.extend_from_slice(self.uncopied.get(..passed).unwrap_or_default());
        self.uncopied = self.rest;
        self.written.write(&mut self.bytes, trade);
    }

    /// The new bytes, and the state after the last trade; `held_last` is that of the held ones.
    pub(super) fn finish(mut self, held_last: Previous) -> (Vec<u8>, Previous) {
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
