//! A trade, valid by construction and in its market's orientation.

use std::fmt;

use super::{
    amount::{Amount, AmountError},
    asset::{AccountId, Asset, AssetError},
    cursor::PagingToken,
    instant::UnixSeconds,
    market::Market,
    price::Price,
};

/// Length of a liquidity pool's id, in hex digits.
const POOL_ID_LEN: usize = 64;

/// A liquidity pool, by its id of 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolId([u8; POOL_ID_LEN]);

/// One side of a trade as a server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// What is traded on this side.
    pub asset: Asset,
    /// How much of it.
    pub amount: Amount,
    /// Who traded; none on a pool's side.
    pub account: Option<AccountId>,
    /// The pool that traded; none on an account's side.
    pub pool: Option<PoolId>,
}

/// What a server says of a trade, base and counter in whatever order it likes.
#[derive(Clone, Copy, Debug)]
pub struct TradeRecord {
    /// Its identity and place.
    pub token: PagingToken,
    /// When its ledger closed.
    pub closed_at: UnixSeconds,
    /// One side.
    pub base: Side,
    /// The other.
    pub counter: Side,
    /// Numerator of counter per base.
    pub price_n: i64,
    /// Denominator of counter per base.
    pub price_d: i64,
    /// Whether the base side's offer was taken.
    pub base_is_seller: bool,
}

/// A trade in its market's normalised orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Its identity and place.
    pub token: PagingToken,
    /// When its ledger closed.
    pub closed_at: UnixSeconds,
    /// Where it happened.
    pub market: Market,
    /// How much of the base asset.
    pub base_amount: Amount,
    /// How much of the counter asset; not both amounts are 0.
    pub counter_amount: Amount,
    /// Numerator of counter per base; 0 sets no price.
    pub price_n: i64,
    /// Denominator of counter per base; 0 sets no price.
    pub price_d: i64,
    /// Whether the base side's offer was taken.
    pub base_is_seller: bool,
    /// Who traded on the base side; none for a pool.
    pub base_account: Option<AccountId>,
    /// Who traded on the counter side; none for a pool.
    pub counter_account: Option<AccountId>,
    /// The pool, where one side was one.
    pub liquidity_pool: Option<PoolId>,
}

/// Why a record is no trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TradeError {
    /// An amount is none.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// An asset or account is none.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// Nothing changed hands.
    #[error("both amounts are 0")]
    Empty,
    /// A price below zero.
    #[error("price numerator or denominator is negative")]
    NegativePrice,
    /// An asset was traded for itself.
    #[error("both sides are the same asset")]
    SameAsset,
    /// A pool's id of another form.
    #[error("a liquidity pool id must be 64 hex digits")]
    Pool,
}

impl TradeRecord {
    /// The trade that this record tells: checked, and its sides swapped where its market wants it.
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
    /// Its price, counter per base; none where n or d is 0.
    #[must_use]
    pub const fn price(&self) -> Option<Price> {
        Price::new(self.price_n, self.price_d)
    }
}

impl PoolId {
    /// Reads 64 hex digits, lower case.
    pub fn parse(text: &str) -> Result<Self, TradeError> {
        let bytes: [u8; POOL_ID_LEN] = text.as_bytes().try_into().map_err(|_| TradeError::Pool)?;
        let hex = bytes.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        if hex { Ok(Self(bytes)) } else { Err(TradeError::Pool) }
    }

    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // only hex digits get in
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
    fn swapping_sides_swaps_everything() {
        let trade = record().normalise().unwrap();
        assert_eq!(trade.market.base(), &Asset::Native);
        assert_eq!((trade.base_amount.stroops(), trade.counter_amount.stroops()), (10, 30));
        assert_eq!((trade.price_n, trade.price_d, trade.base_is_seller), (3, 1, false));
        assert!(trade.base_account.is_none() && trade.counter_account.is_some());
        assert_eq!(trade.liquidity_pool.unwrap().as_str(), "ab".repeat(32));
    }

    #[test]
    fn both_orientations_of_a_trade_are_one() {
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
    fn a_price_of_zero_and_one_empty_side_are_trades() {
        let trade = TradeRecord { price_n: 0, price_d: 0, ..record() }.normalise().unwrap();
        assert!(trade.price().is_none());
        let mut one_sided = record();
        one_sided.base.amount = Amount::default();
        assert!(one_sided.normalise().is_ok());
    }

    #[test]
    fn refuses_what_is_no_trade() {
        let mut empty = record();
        empty.base.amount = Amount::default();
        empty.counter.amount = Amount::default();
        assert_eq!(empty.normalise(), Err(TradeError::Empty));
        assert_eq!(TradeRecord { price_n: -1, ..record() }.normalise(), Err(TradeError::NegativePrice));
        let mut same = record();
        same.counter.asset = same.base.asset;
        assert_eq!(same.normalise(), Err(TradeError::SameAsset));
        assert_eq!(PoolId::parse("xyz"), Err(TradeError::Pool));
    }
}
