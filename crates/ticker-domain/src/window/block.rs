//! Packed trades of one market, and their sum.

use super::{
    super::{
        instant::UnixSeconds,
        trade_stats::{TradeStats, WindowTrade},
    },
    codec::{Previous, Reader, TRADE_BYTES, TradeKey, key},
    splice::Splice,
};

/// Maximum number of trades in a block.
pub(super) const BLOCK_TRADES: usize = 160;
/// Approximate size of a full block, in bytes. It is a size class of the allocator, so little memory is wasted. Most
/// blocks are full by this limit.
const BLOCK_BYTES: usize = 2_560;

/// One to [`BLOCK_TRADES`] trades in the order of their keys, and their sum.
#[derive(Clone, Debug)]
pub(super) struct Block {
    first: TradeKey,
    count: usize,
    sum: TradeStats,
    bytes: Vec<u8>,
    /// State after the last trade, which the next one is encoded against.
    last: Previous,
}

impl Block {
    /// Fills a block with the first trades of an ordered run. Returns it and the remaining trades. `None` without
    /// trades.
    pub(super) fn filled(run: &[WindowTrade]) -> Option<(Self, &[WindowTrade])> {
        let first = key(run.first()?);
        let mut block = Self {
            first,
            count: 0,
            sum: TradeStats::default(),
            bytes: Vec::new(),
            last: Previous::of_first(first),
        };
        let others = block.append(run);
        Some((block, others))
    }

    /// Fills a block with the last trades of an ordered run. Returns the remaining trades and it. `None` without
    /// trades.
    pub(super) fn filled_from_the_end(run: &[WindowTrade]) -> Option<(&[WindowTrade], Self)> {
        let mut taken = run.len().min(BLOCK_TRADES);
        loop {
            let (others, last) = run.split_at_checked(run.len() - taken)?;
            let (block, left) = Self::filled(last)?;
            if left.is_empty() {
                return Some((others, block));
            }
            // The trades need more bytes than a block has: retry with as many as fitted.
            taken -= left.len();
        }
    }

    pub(super) const fn first(&self) -> TradeKey {
        self.first
    }

    pub(super) const fn last(&self) -> TradeKey {
        self.last.key
    }

    pub(super) const fn sum(&self) -> &TradeStats {
        &self.sum
    }

    /// Number of further trades of ordinary size that fit.
    pub(super) const fn room(&self) -> usize {
        let by_bytes = BLOCK_BYTES.saturating_sub(self.bytes.len()) / TRADE_BYTES;
        let by_count = BLOCK_TRADES.saturating_sub(self.count);
        if by_bytes < by_count { by_bytes } else { by_count }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Appends trades of a run that comes after all of its own, until the block is full. Returns the remaining trades.
    pub(super) fn append<'a>(&mut self, mut run: &'a [WindowTrade]) -> &'a [WindowTrade] {
        while let Some((trade, others)) = run.split_first().filter(|_| !self.is_full()) {
            if self.bytes.capacity() - self.bytes.len() < TRADE_BYTES {
                // Grow in small steps, because most markets seldom trade. Grow faster if the block already holds more
                // trades.
                let coming = self.room().min(run.len());
                self.bytes.reserve_exact(coming * TRADE_BYTES + self.bytes.len() / 8);
            }
            self.last.write(&mut self.bytes, trade);
            self.count += 1;
            self.sum.add(trade);
            run = others;
        }
        if self.is_full() {
            self.bytes.shrink_to_fit();
        }
        run
    }

    /// Copy of this block with some trades added. They must be in order, and there must be room for them. Skips repeats
    /// and passes the others to `on_new`. `None` if nothing is new.
    ///
    /// Decodes only up to the place of the last trade, and encodes hardly more than the added ones. Other bytes are
    /// copied.
    pub(super) fn with(&self, run: &[WindowTrade], on_new: &mut impl FnMut(&WindowTrade)) -> Option<Self> {
        let first = self.first.min(key(run.first()?));
        let mut splice = Splice::new(&self.bytes, self.first, first, run.len() * TRADE_BYTES);
        let (mut sum, mut count) = (self.sum, self.count);
        for trade in run {
            if splice.pass_before(key(trade)) {
                continue; // a repeat
            }
            splice.put(trade);
            sum.add(trade);
            count += 1;
            on_new(trade);
        }
        // All were repeats: the caller keeps the shared block.
        if count == self.count {
            return None;
        }
        let (bytes, last) = splice.finish(self.last);
        Some(Self { first, count, sum, bytes, last })
    }

    pub(super) fn trades(&self) -> impl Iterator<Item = WindowTrade> {
        let mut reader = Reader::new(&self.bytes, self.first);
        std::iter::from_fn(move || reader.next_trade())
    }

    /// Sum of the trades that closed after `edge`.
    pub(super) fn since(&self, edge: UnixSeconds) -> TradeStats {
        if self.first.0 > edge {
            return self.sum;
        }
        let mut sum = TradeStats::default();
        for trade in self.trades().filter(|trade| trade.closed_at > edge) {
            sum.add(&trade);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{price::Price, test_support::any_trade};
    use proptest::{prelude::*, sample::Index};

    fn in_order(mut trades: Vec<WindowTrade>) -> Vec<WindowTrade> {
        trades.sort_by_key(key);
        trades.dedup_by_key(|trade| key(trade));
        trades
    }

    /// Trades as pools and the order book produce them, few enough for one block.
    fn trades(count: usize) -> impl Strategy<Value = Vec<WindowTrade>> {
        let like_a_pool = |(mut trade, is_pool, low): (WindowTrade, bool, u32)| {
            trade.token.toid |= i64::from(low);
            if is_pool {
                trade.price = Price::new(trade.counter_amount.stroops(), trade.base_amount.stroops());
            }
            trade
        };
        let one = (any_trade(), any::<bool>(), 0..u32::MAX).prop_map(like_a_pool);
        prop::collection::vec(one, 1..=count).prop_map(in_order)
    }

    fn assert_holds(block: &Block, trades: &[WindowTrade]) {
        assert_eq!(block.trades().collect::<Vec<_>>(), trades);
        assert_eq!(*block.sum(), trades.iter().collect());
        assert_eq!((block.first(), block.last()), (key(&trades[0]), key(&trades[trades.len() - 1])));
        assert_eq!(block.count, trades.len());
    }

    proptest! {
        #[test]
        fn packed_trades_read_back_unchanged(trades in trades(60)) {
            let (block, others) = Block::filled(&trades).unwrap();
            assert_holds(&block, &trades[..trades.len() - others.len()]);
            let (others, block) = Block::filled_from_the_end(&trades).unwrap();
            assert_holds(&block, &trades[others.len()..]);
            prop_assert!(block.with(&trades, &mut |_| panic!("a repeat is new")).is_none());
        }

        /// Inserts trades at any place, in any number of steps, and appends more afterwards.
        #[test]
        fn inserted_trades_read_back_unchanged(
            trades in trades(60), steps in prop::collection::vec(prop::collection::vec(any::<Index>(), 1..8), 1..12),
        ) {
            let mut held = vec![trades[trades.len() / 2]];
            let (mut block, _) = Block::filled(&held).unwrap();
            for step in steps {
                let run = in_order(step.iter().map(|place| *place.get(&trades)).collect());
                let mut new = Vec::new();
                let with = block.with(&run, &mut |trade| new.push(*trade));
                prop_assert_eq!(with.is_some(), !new.is_empty());
                block = with.unwrap_or(block);
                prop_assert!(new.iter().all(|trade| !held.contains(trade)));
                held = in_order([held, new, run].concat());
                assert_holds(&block, &held);
            }
            let later: Vec<_> = trades.iter().filter(|trade| key(trade) > block.last()).copied().collect();
            let left = block.append(&later).len();
            held.extend_from_slice(&later[..later.len() - left]);
            assert_holds(&block, &held);
        }
    }
}
