//! Trades, valid by construction and in the orientation of their market.

use std::fmt;

use super::{
    amount::{Amount, AmountError},
    asset::{AccountId, Asset, AssetError},
    cursor::PagingToken,
    instant::UnixSeconds,
    market::Market,
    price::Price,
};

/// Length of a liquidity pool id, in hex digits.
const POOL_ID_LEN: usize = 64;

/// Liquidity pool, identified by 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolId([u8; POOL_ID_LEN]);

/// One side of a trade, as the server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Asset traded on this side.
    pub asset: Asset,
    /// Amount of the asset.
    pub amount: Amount,
    /// Account that traded, or `None` for a liquidity pool.
    pub account: Option<AccountId>,
    /// Liquidity pool that traded, or `None` for an account.
    pub pool: Option<PoolId>,
}

/// Trade as the server sent it, with base and counter in either order.
#[derive(Clone, Copy, Debug)]
pub struct TradeRecord {
    /// Identity and place in history.
    pub token: PagingToken,
    /// Close time of the ledger.
    pub closed_at: UnixSeconds,
    /// Base side.
    pub base: Side,
    /// Counter side.
    pub counter: Side,
    /// Numerator of the price, counter per base.
    pub price_n: i64,
    /// Denominator of the price, counter per base.
    pub price_d: i64,
    /// True if the trade took the base side's offer.
    pub base_is_seller: bool,
}

/// Trade in its market's normalised orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Identity and place in history.
    pub token: PagingToken,
    /// Close time of the ledger.
    pub closed_at: UnixSeconds,
    /// Market of the two assets.
    pub market: Market,
    /// Amount of the base asset. At most one of the two amounts is 0.
    pub base_amount: Amount,
    /// Amount of the counter asset.
    pub counter_amount: Amount,
    /// Numerator of the price, counter per base. 0 means that the trade sets no price.
    pub price_n: i64,
    /// Denominator of the price, counter per base. 0 means that the trade sets no price.
    pub price_d: i64,
    /// True if the trade took the base side's offer.
    pub base_is_seller: bool,
    /// Account on the base side, or `None` for a liquidity pool.
    pub base_account: Option<AccountId>,
    /// Account on the counter side, or `None` for a liquidity pool.
    pub counter_account: Option<AccountId>,
    /// Liquidity pool on one of the sides, or `None`.
    pub liquidity_pool: Option<PoolId>,
}

/// Reason why a record is not a valid trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TradeError {
    /// Invalid amount.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Invalid asset or account.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// Both amounts are 0.
    #[error("both amounts are 0")]
    Empty,
    /// Price below zero.
    #[error("price numerator or denominator is negative")]
    NegativePrice,
    /// Base and counter are the same asset.
    #[error("both sides are the same asset")]
    SameAsset,
    /// Liquidity pool id that is not 64 lower-case hex digits.
    #[error("a liquidity pool id must be 64 hex digits")]
    Pool,
}

impl TradeRecord {
    /// Validates the record, and swaps its sides if the market's orientation requires it.
    ///
    /// # Errors
    ///
    /// [`TradeError`] with the first rule that the record violates.
    pub fn normalise(self) -> Result<Trade, TradeError> {
        if self.price_n < 0 || self.price_d < 0 {
            return Err(TradeError::NegativePrice);
        }
        if self.base.amount == Amount::default() && self.counter.amount == Amount::default() {
            return Err(TradeError::Empty);
        }
        let (market, swapped) =
            Market::of(self.base.asset, self.counter.asset).ok_or(TradeError::SameAsset)?;
        let (base, counter, price_n, price_d, base_is_seller) = if swapped {
            (self.counter, self.base, self.price_d, self.price_n, !self.base_is_seller)
        } else {
            (self.base, self.counter, self.price_n, self.price_d, self.base_is_seller)
        };
        Ok(Trade {
            token: self.token,
            closed_at: self.closed_at,
            market,
            base_amount: base.amount,
            counter_amount: counter.amount,
            price_n,
            price_d,
            base_is_seller,
            base_account: base.account,
            counter_account: counter.account,
            liquidity_pool: base.pool.or(counter.pool),
        })
    }
}

impl Trade {
    /// Price, counter per base, or `None` if numerator or denominator is 0.
    #[must_use]
    pub const fn price(&self) -> Option<Price> {
        Price::new(self.price_n, self.price_d)
    }
}

impl PoolId {
    /// Parses 64 lower-case hex digits, or the same id as `L…` with its checksum (SEP-23), as newer servers write it.
    pub fn parse(text: &str) -> Result<Self, TradeError> {
        if text.starts_with('L') {
            let pool = stellar_strkey::LiquidityPool::from_string(text).map_err(|_| TradeError::Pool)?;
            return Ok(Self::of_hash(pool.0));
        }
        let bytes: [u8; POOL_ID_LEN] = text.as_bytes().try_into().map_err(|_| TradeError::Pool)?;
        let hex = bytes.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        if hex { Ok(Self(bytes)) } else { Err(TradeError::Pool) }
    }

    /// Id of this hash.
    pub(crate) fn of_hash(hash: [u8; 32]) -> Self {
        let mut digits = [0; POOL_ID_LEN];
        let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        for (digit, nibble) in digits.iter_mut().zip(nibbles) {
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        Self(digits)
    }

    /// Id as hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // always valid UTF-8: `parse` accepts only hex digits
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asset::tests::issued, test_support::address};

    fn record() -> TradeRecord {
        let side = |asset, stroops| Side {
            asset,
            amount: Amount::from_stroops(stroops).unwrap(),
            account: Some(AccountId::parse(&address(7)).unwrap()),
            pool: None,
        };
        TradeRecord {
            token: PagingToken::new(5 << 32, 1).unwrap(),
            closed_at: UnixSeconds(1_700_000_000),
            base: side(issued("USD", 1), 30),
            counter: Side {
                account: None,
                pool: PoolId::parse(&"ab".repeat(32)).ok(),
                ..side(Asset::Native, 10)
            },
            price_n: 1,
            price_d: 3,
            base_is_seller: true,
        }
    }

    #[test]
    fn swapping_sides_swaps_all_fields() {
        let trade = record().normalise().unwrap();
        assert_eq!(trade.market.base(), &Asset::Native);
        assert_eq!((trade.base_amount.stroops(), trade.counter_amount.stroops()), (10, 30));
        assert_eq!((trade.price_n, trade.price_d, trade.base_is_seller), (3, 1, false));
        assert!(trade.base_account.is_none() && trade.counter_account.is_some());
        assert_eq!(trade.liquidity_pool.unwrap().as_str(), "ab".repeat(32));
    }

    #[test]
    fn both_orientations_normalise_to_the_same_trade() {
        let there = record();
        let back = TradeRecord {
            base: there.counter,
            counter: there.base,
            price_n: there.price_d,
            price_d: there.price_n,
            base_is_seller: !there.base_is_seller,
            ..there
        };
        assert_eq!(there.normalise(), back.normalise());
    }

    #[test]
    fn accepts_a_zero_price_and_one_zero_amount() {
        for (price_n, price_d) in [(0, 0), (0, 1), (1, 0)] {
            let trade = TradeRecord { price_n, price_d, ..record() }.normalise().unwrap();
            assert!(trade.price().is_none(), "{price_n}/{price_d}");
        }
        let mut one_sided = record();
        one_sided.base.amount = Amount::default();
        assert!(one_sided.normalise().is_ok());
        let mut other_side = record();
        other_side.counter.amount = Amount::default();
        assert!(other_side.normalise().is_ok());
    }

    #[test]
    fn rejects_invalid_trades() {
        let mut empty = record();
        empty.base.amount = Amount::default();
        empty.counter.amount = Amount::default();
        assert_eq!(empty.normalise(), Err(TradeError::Empty));
        for (price_n, price_d) in [(-1, 3), (1, -3), (-1, -3)] {
            let negative = TradeRecord { price_n, price_d, ..record() };
            assert_eq!(negative.normalise(), Err(TradeError::NegativePrice), "{price_n}/{price_d}");
        }
        let mut same = record();
        same.counter.asset = same.base.asset;
        assert_eq!(same.normalise(), Err(TradeError::SameAsset));
        assert_eq!(PoolId::parse("xyz"), Err(TradeError::Pool));
    }

    #[test]
    fn a_pool_has_the_same_id_in_both_forms() {
        let key = stellar_strkey::LiquidityPool([0x0a; 32]).to_string();
        assert_eq!(PoolId::parse(key.as_str()).unwrap().as_str(), "0a".repeat(32));
        let account = address(7);
        let spoiled = key.as_str().replace('L', "M");
        for other in [&key.as_str()[1..], &account, "L", &spoiled] {
            assert_eq!(PoolId::parse(other), Err(TradeError::Pool), "{other}");
        }
    }
}
