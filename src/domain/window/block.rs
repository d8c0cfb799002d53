//! Trades of one market in a row, packed: each is written as what it differs by from the one before.
//!
//! An amount is what the other one comes to at the trade's price, but for rounding, and so is written as a small number.
//! A trade takes some 20 bytes so, where the plain figures take 64; ten million of them must be held.

use std::sync::Arc;

use super::{
    super::{
        amount::Amount,
        cursor::PagingToken,
        instant::Second,
        price::Price,
        summary::{Summary, WindowTrade},
    },
    Added,
};

/// Trades in a block, at most.
pub(super) const BLOCK_TRADES: usize = 160;
/// Bytes in a block, about: a size that the allocator has, so that little of what it gives is left over. Most blocks are
/// full by this.
const BLOCK_BYTES: usize = 2_560;
/// Bits of a toid below the ledger's number.
const LEDGER_SHIFT: u32 = 32;

/// What an ordinary trade takes.
const TRADE_BYTES: usize = 24;

/// By what trades are ordered: when they closed, then where they stand.
pub(super) type Key = (Second, PagingToken);

pub(super) const fn key(trade: &WindowTrade) -> Key {
    (trade.closed_at, trade.token)
}

/// How a trade's price is written, in the two lowest bits beside its order.
const NO_PRICE: u64 = 0;
/// Pools trade at the ratio of the two amounts.
const PRICE_OF_AMOUNTS: u64 = 1;
const OWN_PRICE: u64 = 2;
/// Many prices of a market have the same denominator.
const OWN_NUMERATOR: u64 = 3;

/// At least one and at most [`BLOCK_TRADES`] trades, by their keys, and their sum.
#[derive(Clone, Debug)]
pub(super) struct Block {
    first: Key,
    last: Key,
    count: usize,
    sum: Summary,
    bytes: Vec<u8>,
    /// The denominator of the last price that was written whole.
    denominator: i64,
}

impl Block {
    pub(super) fn of(trade: WindowTrade) -> Self {
        let (bytes, denominator) = (Vec::new(), 0);
        let mut block = Self {
            first: key(&trade),
            last: key(&trade),
            count: 0,
            sum: Summary::default(),
            bytes,
            denominator,
        };
        block.append(trade);
        block
    }

    /// Of trades that are in order; none where there is none.
    fn packed(trades: &[WindowTrade]) -> Option<Self> {
        let (first, rest) = trades.split_first()?;
        let mut block = Self::of(*first);
        for trade in rest {
            block.append(*trade);
        }
        block.bytes.shrink_to_fit();
        Some(block)
    }

    pub(super) const fn first(&self) -> Key {
        self.first
    }

    pub(super) const fn last(&self) -> Key {
        self.last
    }

    pub(super) const fn sum(&self) -> &Summary {
        &self.sum
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count >= BLOCK_TRADES || self.bytes.len() + TRADE_BYTES > BLOCK_BYTES
    }

    /// Adds a trade that comes after all others.
    pub(super) fn append(&mut self, trade: WindowTrade) {
        if self.bytes.capacity() - self.bytes.len() < TRADE_BYTES {
            // By little, for most markets seldom trade.
            self.bytes.reserve_exact(TRADE_BYTES + self.bytes.len() / 8);
        }
        self.push(&trade);
        self.last = key(&trade);
        self.count += 1;
        self.sum.merge(&Summary::of(&trade));
        if self.is_full() {
            self.bytes.shrink_to_fit();
        }
    }

    /// Writes a trade behind [`Self::last`].
    fn push(&mut self, trade: &WindowTrade) {
        let (closed_before, token_before) = self.last;
        let (base, counter) = (trade.base_amount.stroops(), trade.counter_amount.stroops());
        let kind = match trade.price {
            None => NO_PRICE,
            Some(price) if price.n() == counter && price.d() == base => PRICE_OF_AMOUNTS,
            Some(price) if price.d() == self.denominator => OWN_NUMERATOR,
            Some(_) => OWN_PRICE,
        };
        let ledgers = (trade.token.toid >> LEDGER_SHIFT).wrapping_sub(token_before.toid >> LEDGER_SHIFT);
        let within = trade.token.toid.cast_unsigned() & u64::from(u32::MAX);
        let order = u64::from(trade.token.order.cast_unsigned());
        let bytes = &mut self.bytes;
        push_number(bytes, trade.closed_at.0.wrapping_sub(closed_before.0).cast_unsigned());
        push_number(bytes, zigzag(ledgers));
        push_number(bytes, within);
        push_number(bytes, order << 2 | kind);
        push_number(bytes, base.cast_unsigned());
        match trade.price.filter(|_| kind >= OWN_PRICE) {
            None => push_number(bytes, counter.cast_unsigned()),
            Some(price) => {
                push_number(bytes, price.n().cast_unsigned());
                if kind == OWN_PRICE {
                    push_number(bytes, price.d().cast_unsigned());
                    self.denominator = price.d();
                }
                push_number(bytes, zigzag(counter.wrapping_sub(worth(base, price))));
            }
        }
    }

    /// This block with one trade more, as one or two; none where the trade is there already.
    pub(super) fn with(&self, trade: WindowTrade) -> Option<(Self, Option<Self>)> {
        let mut trades: Vec<WindowTrade> = self.trades().collect();
        let place = trades.binary_search_by_key(&key(&trade), key).err()?;
        trades.insert(place, trade);
        let cut = if trades.len() > BLOCK_TRADES { trades.len() / 2 } else { trades.len() };
        let (left, right) = trades.split_at_checked(cut)?;
        Some((Self::packed(left)?, Self::packed(right)))
    }

    pub(super) fn trades(&self) -> impl Iterator<Item = WindowTrade> {
        let mut reader = Reader { bytes: &self.bytes, before: self.first, denominator: 0 };
        std::iter::from_fn(move || reader.next_trade())
    }

    /// The sum of the trades that closed after `edge`.
    pub(super) fn since(&self, edge: Second) -> Summary {
        if self.first.0 > edge {
            return self.sum;
        }
        let mut sum = Summary::default();
        for trade in self.trades().filter(|trade| trade.closed_at > edge) {
            sum.merge(&Summary::of(&trade));
        }
        sum
    }
}

/// Where a new trade goes in a row of blocks: appended, put between, or refused as a repeat.
pub(super) fn add(blocks: &mut Vec<Arc<Block>>, trade: WindowTrade) -> Added {
    let new = key(&trade);
    // The last block that begins at or before it, or the first of all; mostly the last.
    let place = match blocks.last() {
        Some(last) if last.first <= new => blocks.len() - 1,
        _ => blocks.partition_point(|block| block.first <= new).saturating_sub(1),
    };
    let Some(block) = blocks.get_mut(place) else {
        blocks.push(Arc::new(Block::of(trade)));
        return Added::New;
    };
    if new > block.last && !block.is_full() {
        Arc::make_mut(block).append(trade);
    } else if block.is_full() && (new > block.last || new < block.first) {
        let beside = place + usize::from(new > block.last);
        blocks.insert(beside, Arc::new(Block::of(trade)));
    } else {
        let Some((left, right)) = block.with(trade) else { return Added::Repeat };
        *block = Arc::new(left);
        if let Some(right) = right {
            blocks.insert(place + 1, Arc::new(right));
        }
    }
    Added::New
}

/// What an amount of the base comes to at a price, in stroops of the counter, cut; any number where that is too much.
fn worth(base: i64, price: Price) -> i64 {
    let (base, n, d) = (base.cast_unsigned(), price.n().cast_unsigned(), price.d().cast_unsigned());
    let worth = match base.checked_mul(n) {
        Some(product) => product.checked_div(d),
        None => u64::try_from(u128::from(base) * u128::from(n) / u128::from(d.max(1))).ok(),
    };
    worth.unwrap_or_default().cast_signed()
}

/// Small numbers of either sign as small numbers without one.
const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Reads what [`Block::push`] wrote, trade after trade.
struct Reader<'a> {
    bytes: &'a [u8],
    before: Key,
    denominator: i64,
}

impl Reader<'_> {
    fn next_trade(&mut self) -> Option<WindowTrade> {
        let (closed_before, token_before) = self.before;
        let closed_at = Second(closed_before.0.wrapping_add(self.number()?.cast_signed()));
        let ledger = (token_before.toid >> LEDGER_SHIFT).wrapping_add(unzigzag(self.number()?));
        let toid = ledger << LEDGER_SHIFT | self.number()?.cast_signed();
        let order_and_kind = self.number()?;
        let order = i32::try_from(order_and_kind >> 2).ok()?;
        let base = self.number()?.cast_signed();
        let kind = order_and_kind & 3;
        let (counter, price) = if kind >= OWN_PRICE {
            let n = self.number()?.cast_signed();
            if kind == OWN_PRICE {
                self.denominator = self.number()?.cast_signed();
            }
            let price = Price::new(n, self.denominator)?;
            (worth(base, price).wrapping_add(unzigzag(self.number()?)), Some(price))
        } else {
            let counter = self.number()?.cast_signed();
            (counter, if kind == PRICE_OF_AMOUNTS { Price::new(counter, base) } else { None })
        };
        let token = PagingToken { toid, order };
        self.before = (closed_at, token);
        Some(WindowTrade {
            token,
            closed_at,
            base_amount: Amount::from_stroops(base).ok()?,
            counter_amount: Amount::from_stroops(counter).ok()?,
            price,
        })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::summary::tests::any_trade;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_reads_back_the_same(
            trades in prop::collection::vec(any_trade(), 1..=BLOCK_TRADES), low in 0..u32::MAX, of_amounts in any::<bool>(),
        ) {
            let mut trades = trades;
            for trade in &mut trades {
                trade.token.toid |= i64::from(low);
                if of_amounts {
                    trade.price = Price::new(trade.counter_amount.stroops(), trade.base_amount.stroops());
                }
            }
            trades.sort_by_key(key);
            trades.dedup_by_key(|trade| key(trade));
            let block = Block::packed(&trades).unwrap();
            prop_assert_eq!(block.trades().collect::<Vec<_>>(), trades.clone());
            prop_assert_eq!(*block.sum(), trades.iter().collect());
            prop_assert_eq!((block.first(), block.last()), (key(&trades[0]), key(&trades[trades.len() - 1])));
            prop_assert!(trades.iter().all(|trade| block.with(*trade).is_none()), "a repeat");
        }

        #[test]
        fn numbers_of_either_sign_are_kept(number in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }
    }
}
