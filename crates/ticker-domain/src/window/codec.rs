//! Binary encoding of trades. Each trade is encoded as the difference from the one before it.
//!
//! The counter amount is nearly the base amount times the price, so only the rounding error is stored. A trade takes
//! about 20 bytes this way instead of 64. Ten million trades must fit in memory.

use super::super::{
    amount::Amount, conversions::SaturatingFrom, cursor::PagingToken, instant::UnixSeconds, price::Price,
    trade_stats::WindowTrade,
};

/// Maximum size of a trade with ordinary figures, in bytes.
pub(super) const TRADE_BYTES: usize = 24;
/// Bits of a toid below the ledger number.
const LEDGER_SHIFT: u32 = 32;

/// Sort key of trades: close time first, then (toid, order).
pub(super) type TradeKey = (UnixSeconds, PagingToken);

pub(super) const fn key(trade: &WindowTrade) -> TradeKey {
    (trade.closed_at, trade.token)
}

/// Trade without a price. These codes of a price occupy the two lowest bits below the trade's order.
const NO_PRICE: u64 = 0;
/// Price equal to the ratio of the two amounts, as in trades with a liquidity pool.
const PRICE_OF_AMOUNTS: u64 = 1;
/// Price with its own numerator and denominator.
const OWN_PRICE: u64 = 2;
/// Price with its own numerator, and the denominator of the last [`OWN_PRICE`]. Many prices of a market share one.
const OWN_NUMERATOR: u64 = 3;

/// Bits of the price's code.
const KIND_BITS: u64 = 3;
/// Bit of a trade whose taker bought the base.
const IS_BUY: u64 = 1 << 2;
/// Bit of a trade with a liquidity pool.
const IS_POOL: u64 = 1 << 3;
/// Bits below the trade's order.
const ORDER_SHIFT: u32 = 4;

/// State that the next trade is encoded and decoded against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    /// Key of the previous trade.
    pub(super) key: TradeKey,
    /// Denominator of the last [`OWN_PRICE`], or 0 before the first.
    pub(super) denominator: i64,
}

impl Previous {
    /// State before the first trade of a block.
    pub(super) const fn of_first(key: TradeKey) -> Self {
        Self { key, denominator: 0 }
    }

    /// Returns true if bytes encoded after `other` decode to the same trades after this state.
    ///
    /// Before the first own price the denominator does not matter, because no such bytes refer to it.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.key == other.key && (self.denominator == other.denominator || other.denominator == 0)
    }

    /// State after bytes that lead from `from` to `to`, if they are decoded after this state instead of `from`.
    pub(super) const fn after_same_bytes(&self, from: &Self, to: &Self) -> Self {
        let has_own = to.denominator != from.denominator;
        Self { key: to.key, denominator: if has_own { to.denominator } else { self.denominator } }
    }

    /// Encodes a trade, and makes it the previous one.
    pub(super) fn write(&mut self, bytes: &mut Vec<u8>, trade: &WindowTrade) {
        let (closed_before, token_before) = self.key;
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
        push_number(bytes, trade.closed_at.0.wrapping_sub(closed_before.0).cast_unsigned());
        // A later close time does not imply a higher ledger in wrong data, so this difference needs a sign.
        push_number(bytes, zigzag(ledgers));
        push_number(bytes, within);
        let side = if trade.is_buy { IS_BUY } else { 0 };
        let maker = if trade.is_pool { IS_POOL } else { 0 };
        push_number(bytes, order << ORDER_SHIFT | maker | side | kind);
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
        self.key = key(trade);
    }
}

/// Sequential decoder of trades.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// State after the last decoded trade.
    pub(super) previous: Previous,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], first: TradeKey) -> Self {
        Self { rest: bytes, previous: Previous::of_first(first) }
    }

    /// Bytes of the trades that are not decoded yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn next_trade(&mut self) -> Option<WindowTrade> {
        #[cfg(test)]
        tests::READS.with(|reads| reads.set(reads.get() + 1));
        let (closed_before, token_before) = self.previous.key;
        let closed_at = UnixSeconds(closed_before.0.wrapping_add(self.number()?.cast_signed()));
        let ledger = (token_before.toid >> LEDGER_SHIFT).wrapping_add(unzigzag(self.number()?));
        let toid = ledger << LEDGER_SHIFT | self.number()?.cast_signed();
        let order_and_flags = self.number()?;
        let order = i32::try_from(order_and_flags >> ORDER_SHIFT).ok()?;
        let base = self.number()?.cast_signed();
        let kind = order_and_flags & KIND_BITS;
        let (counter, price) = if kind >= OWN_PRICE {
            let n = self.number()?.cast_signed();
            if kind == OWN_PRICE {
                self.previous.denominator = self.number()?.cast_signed();
            }
            let price = Price::new(n, self.previous.denominator)?;
            (worth(base, price).wrapping_add(unzigzag(self.number()?)), Some(price))
        } else {
            let counter = self.number()?.cast_signed();
            (counter, if kind == PRICE_OF_AMOUNTS { Price::new(counter, base) } else { None })
        };
        let token = PagingToken { toid, order };
        self.previous.key = (closed_at, token);
        Some(WindowTrade {
            token,
            closed_at,
            base_amount: Amount::from_stroops(base).ok()?,
            counter_amount: Amount::from_stroops(counter).ok()?,
            price,
            is_buy: order_and_flags & IS_BUY != 0,
            is_pool: order_and_flags & IS_POOL != 0,
        })
    }

    /// Decodes a number. Nearly all numbers end within eight bytes, so one word holds them and no loop is needed.
    fn number(&mut self) -> Option<u64> {
        let word = self.rest.first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes));
        // The clear top bit of a byte ends the number. Then drop the top bits, and join 7-bit groups into pairs, fours
        // and eights.
        let ends = !word & 0x8080_8080_8080_8080;
        let bits = ends.trailing_zeros() + 1;
        if bits > u64::BITS || self.rest.len() < size_of::<u64>() {
            return self.long_number();
        }
        self.rest = self.rest.get(usize::saturating_from(bits / u8::BITS)..)?;
        let digits = word & (u64::MAX >> (u64::BITS - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
        let pairs = digits & 0x007f_007f_007f_007f | (digits & 0x7f00_7f00_7f00_7f00) >> 1;
        let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
        Some(fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4)
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// Value of a base amount at a price, in stroops of the counter, rounded down.
///
/// An overflow gives an arbitrary but repeatable number, which is enough: encoder and decoder only need the same one.
fn worth(base: i64, price: Price) -> i64 {
    let (base, n, d) = (base.cast_unsigned(), price.n().cast_unsigned(), price.d().cast_unsigned());
    // 64-bit division is much faster and nearly always suffices.
    let worth = match base.checked_mul(n) {
        Some(product) => product.checked_div(d),
        None => u64::try_from(u128::from(base) * u128::from(n) / u128::from(d.max(1))).ok(),
    };
    worth.unwrap_or_default().cast_signed()
}

/// Maps small numbers of either sign to small unsigned numbers.
const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Appends seven bits per byte, the lowest first. The eighth bit is set if more bytes follow.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    thread_local! {
        /// Trades decoded by this thread: the cost of a window, without a clock.
        pub(in super::super) static READS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    proptest! {
        #[test]
        fn zigzag_round_trips(number in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }

        #[test]
        fn numbers_of_any_length_round_trip(
            numbers in prop::collection::vec((any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift), 1..20),
        ) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| push_number(&mut bytes, *number));
            let mut reader = Reader::new(&bytes, TradeKey::default());
            for number in numbers {
                prop_assert_eq!(reader.number(), Some(number));
            }
            prop_assert_eq!(reader.number(), None);
        }
    }
}
