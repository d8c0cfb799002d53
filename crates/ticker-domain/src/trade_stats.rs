//! Statistics of a set of trades.

use super::{amount::Amount, cursor::PagingToken, instant::UnixSeconds, price::Price, trade::Trade};

/// Fields of a trade that a window keeps, in its market's orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowTrade {
    /// Identity and place in history.
    pub token: PagingToken,
    /// Close time of the ledger.
    pub closed_at: UnixSeconds,
    /// Amount of the base asset.
    pub base_amount: Amount,
    /// Amount of the counter asset.
    pub counter_amount: Amount,
    /// Price, counter per base, or `None` if numerator or denominator is 0.
    pub price: Option<Price>,
}

impl From<&Trade> for WindowTrade {
    fn from(trade: &Trade) -> Self {
        Self {
            token: trade.token,
            closed_at: trade.closed_at,
            base_amount: trade.base_amount,
            counter_amount: trade.counter_amount,
            price: trade.price(),
        }
    }
}

/// Price and the trade that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PricedAt {
    /// Trade that set the price.
    pub token: PagingToken,
    /// Price, counter per base.
    pub price: Price,
}

/// Prices of a set of trades, counter per base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// First price by (toid, order).
    pub open: PricedAt,
    /// Last price by (toid, order).
    pub close: PricedAt,
    /// Lowest price.
    pub min: Price,
    /// Highest price.
    pub max: Price,
}

/// Exact statistics of a set of trades. Merging is commutative and associative, so trades may arrive in any order and
/// in any batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradeStats {
    /// Number of trades.
    pub trade_count: u64,
    /// Sum of the base amounts, in stroops.
    pub base_volume: i128,
    /// Sum of the counter amounts, in stroops.
    pub counter_volume: i128,
    /// Prices, or `None` if no trade of the set has one.
    pub prices: Option<Prices>,
    /// Close times of the earliest and the latest ledger, or `None` for the empty set.
    pub times: Option<(UnixSeconds, UnixSeconds)>,
}

impl TradeStats {
    /// Statistics of one trade.
    #[must_use]
    pub fn of(trade: &WindowTrade) -> Self {
        Self {
            trade_count: 1,
            base_volume: i128::from(trade.base_amount.stroops()),
            counter_volume: i128::from(trade.counter_amount.stroops()),
            // A trade without a price still counts in the volumes.
            prices: trade.price.map(|price| {
                let at = PricedAt { token: trade.token, price };
                Prices { open: at, close: at, min: price, max: price }
            }),
            times: Some((trade.closed_at, trade.closed_at)),
        }
    }

    /// Adds the trades of another, disjoint set.
    pub fn merge(&mut self, other: &Self) {
        #[cfg(any(test, feature = "test-support"))]
        crate::test_support::MERGES.with(|merges| merges.set(merges.get() + 1));
        self.trade_count = self.trade_count.saturating_add(other.trade_count);
        // 2^64 trades of 2^63 stroops fit in 127 bits, so these sums never saturate.
        self.base_volume = self.base_volume.saturating_add(other.base_volume);
        self.counter_volume = self.counter_volume.saturating_add(other.counter_volume);
        self.prices = match (self.prices, other.prices) {
            (Some(ours), Some(theirs)) => Some(ours.merged(&theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.times = match (self.times, other.times) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// Returns true if the set has no trades.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.trade_count == 0
    }
}

impl Prices {
    /// Merges the prices of two sets.
    ///
    /// A faulty server may give two markets the same token. Then the lower price opens and the higher one closes, so
    /// the result does not depend on the order of merging.
    fn merged(&self, other: &Self) -> Self {
        let key = |at: &PricedAt| (at.token, at.price);
        Self {
            open: if key(&other.open) < key(&self.open) { other.open } else { self.open },
            close: if key(&other.close) > key(&self.close) { other.close } else { self.close },
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

impl<'a> FromIterator<&'a WindowTrade> for TradeStats {
    fn from_iter<I: IntoIterator<Item = &'a WindowTrade>>(trades: I) -> Self {
        let mut stats = Self::default();
        for trade in trades {
            stats.merge(&Self::of(trade));
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::any_trade;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_gives_the_same_result_in_any_order_and_any_parts(
            trades in prop::collection::vec(any_trade(), 0..40), cut in 0..40_usize,
        ) {
            let whole: TradeStats = trades.iter().collect();
            let (left, right) = trades.split_at(cut.min(trades.len()));
            let mut parts: TradeStats = right.iter().rev().collect();
            parts.merge(&left.iter().collect());
            prop_assert_eq!(parts, whole);
        }
    }
}
