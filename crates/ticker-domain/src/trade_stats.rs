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
    /// True if the taker bought the base: an ask was taken.
    pub is_buy: bool,
    /// True if a liquidity pool made the price, false for an offer of the order book.
    pub is_pool: bool,
}

/// Largest share of an amount that one stroop may be in a trade that sets a clean price: 1 /
/// 1,000, both sides together.
const CLEAN_STROOPS: i128 = 1_000;

impl WindowTrade {
    /// True if the trade is large enough to set a clean price.
    ///
    /// Amounts are whole stroops, so a trade of a few stroops can print any price. Such dust counts in volumes and
    /// numbers of trades, but sets no open, high, low or close: 1 / base + 1 / counter must be at most 1 / 1,000.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let [base, counter] =
            [self.base_amount, self.counter_amount].map(|amount| i128::from(amount.stroops()));
        self.price.is_some() && CLEAN_STROOPS * (base + counter) <= base * counter
    }
}

impl From<&Trade> for WindowTrade {
    fn from(trade: &Trade) -> Self {
        Self {
            token: trade.token,
            closed_at: trade.closed_at,
            base_amount: trade.base_amount,
            counter_amount: trade.counter_amount,
            price: trade.price(),
            is_buy: trade.base_is_seller,
            is_pool: trade.liquidity_pool.is_some(),
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

/// Sums of the two amounts of a set of trades, in stroops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Sum of the base amounts.
    pub base: i128,
    /// Sum of the counter amounts.
    pub counter: i128,
}

/// Statistics of the trades that set clean prices ([`WindowTrade::is_clean`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanStats {
    /// Number of trades.
    pub trade_count: u64,
    /// Their volumes. Counter by base is the volume-weighted price.
    pub volume: Volume,
    /// Their prices, or `None` without such a trade.
    pub prices: Option<Prices>,
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
    /// The same for the trades that set clean prices.
    pub clean: CleanStats,
    /// Volumes of the trades whose taker bought the base.
    pub bought: Volume,
    /// Volumes of the trades with liquidity pools.
    pub pool: Volume,
}

impl Volume {
    /// Volumes of one trade.
    #[must_use]
    pub fn of(trade: &WindowTrade) -> Self {
        let [base, counter] =
            [trade.base_amount, trade.counter_amount].map(|amount| i128::from(amount.stroops()));
        Self { base, counter }
    }

    fn merge(&mut self, other: &Self) {
        // 2^64 trades of 2^63 stroops fit in 127 bits, so these sums never saturate.
        self.base = self.base.saturating_add(other.base);
        self.counter = self.counter.saturating_add(other.counter);
    }
}

impl TradeStats {
    /// Statistics of one trade.
    #[must_use]
    pub fn of(trade: &WindowTrade) -> Self {
        let mut stats = Self::default();
        stats.add(trade);
        stats
    }

    /// Adds a trade that the set does not have yet.
    pub fn add(&mut self, trade: &WindowTrade) {
        count_merge();
        let (volume, is_clean) = (Volume::of(trade), trade.is_clean());
        self.trade_count = self.trade_count.saturating_add(1);
        // 2^64 trades of 2^63 stroops fit in 127 bits, so these sums never saturate.
        self.base_volume = self.base_volume.saturating_add(volume.base);
        self.counter_volume = self.counter_volume.saturating_add(volume.counter);
        // A trade without a price still counts in the volumes.
        if let Some(price) = trade.price {
            let at = PricedAt { token: trade.token, price };
            add_price(&mut self.prices, at);
            if is_clean {
                add_price(&mut self.clean.prices, at);
            }
        }
        if is_clean {
            self.clean.trade_count = self.clean.trade_count.saturating_add(1);
            self.clean.volume.merge(&volume);
        }
        if trade.is_buy {
            self.bought.merge(&volume);
        }
        if trade.is_pool {
            self.pool.merge(&volume);
        }
        self.times = Some(match self.times {
            Some((first, last)) => (first.min(trade.closed_at), last.max(trade.closed_at)),
            None => (trade.closed_at, trade.closed_at),
        });
    }

    /// Adds the trades of another, disjoint set.
    pub fn merge(&mut self, other: &Self) {
        count_merge();
        self.trade_count = self.trade_count.saturating_add(other.trade_count);
        // 2^64 trades of 2^63 stroops fit in 127 bits, so these sums never saturate.
        self.base_volume = self.base_volume.saturating_add(other.base_volume);
        self.counter_volume = self.counter_volume.saturating_add(other.counter_volume);
        self.prices = merged(self.prices, other.prices);
        self.clean.trade_count = self.clean.trade_count.saturating_add(other.clean.trade_count);
        self.clean.volume.merge(&other.clean.volume);
        self.clean.prices = merged(self.clean.prices, other.clean.prices);
        self.bought.merge(&other.bought);
        self.pool.merge(&other.pool);
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

/// Counts the merges of a thread: the cost of windows, without a clock.
fn count_merge() {
    #[cfg(any(test, feature = "test-support"))]
    crate::test_support::MERGES.with(|merges| merges.set(merges.get() + 1));
}

fn add_price(prices: &mut Option<Prices>, at: PricedAt) {
    match prices {
        Some(prices) => prices.add(at),
        None => *prices = Some(Prices { open: at, close: at, min: at.price, max: at.price }),
    }
}

fn merged(ours: Option<Prices>, theirs: Option<Prices>) -> Option<Prices> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.merged(&theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}

impl PricedAt {
    /// Place in the order of opening and closing prices.
    ///
    /// A faulty server may give two markets the same token. Then the lower price opens and the higher one closes, so
    /// the result does not depend on the order of merging.
    const fn key(&self) -> (PagingToken, Price) {
        (self.token, self.price)
    }
}

impl Prices {
    /// Merges the prices of two sets.
    fn merged(&self, other: &Self) -> Self {
        Self {
            open: if other.open.key() < self.open.key() { other.open } else { self.open },
            close: if other.close.key() > self.close.key() { other.close } else { self.close },
            min: self.min.lower(other.min),
            max: self.max.higher(other.max),
        }
    }

    /// Same as merging the prices of one trade, without a copy.
    fn add(&mut self, at: PricedAt) {
        if at.key() < self.open.key() {
            self.open = at;
        }
        if at.key() > self.close.key() {
            self.close = at;
        }
        self.min = self.min.lower(at.price);
        self.max = self.max.higher(at.price);
    }
}

impl<'a> FromIterator<&'a WindowTrade> for TradeStats {
    fn from_iter<I: IntoIterator<Item = &'a WindowTrade>>(trades: I) -> Self {
        let mut stats = Self::default();
        for trade in trades {
            stats.add(trade);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{any_trade, trade};
    use proptest::prelude::*;

    fn of_amounts(base: i64, counter: i64) -> WindowTrade {
        trade(1, 0, 1, (base, counter), (counter, base))
    }

    #[test]
    fn dust_sets_no_clean_price() {
        for (base, counter, is_clean) in [
            (2_000, 2_000, true),
            (1_999, 2_000, false),
            (1_001, 1_001_000, true),
            (1_000, i64::MAX, false),
            (1, 1, false),
            (i64::MAX, i64::MAX, true),
        ] {
            assert_eq!(of_amounts(base, counter).is_clean(), is_clean, "{base} {counter}");
            assert_eq!(of_amounts(counter, base).is_clean(), is_clean, "either orientation");
        }
        assert!(!WindowTrade { price: None, ..of_amounts(5_000, 5_000) }.is_clean());
    }

    #[test]
    fn the_parts_add_up_by_taker_and_by_maker() {
        let bought = WindowTrade { is_buy: true, ..of_amounts(10_000, 20_000) };
        let pool = WindowTrade { is_pool: true, ..of_amounts(3_000, 7_000) };
        let dust = WindowTrade { is_buy: true, is_pool: true, ..of_amounts(3, 500) };
        let stats: TradeStats = [bought, pool, dust].iter().collect();
        assert_eq!((stats.base_volume, stats.trade_count), (13_003, 3));
        assert_eq!(stats.bought, Volume { base: 10_003, counter: 20_500 });
        assert_eq!(stats.pool, Volume { base: 3_003, counter: 7_500 });
        assert_eq!(stats.clean.volume, Volume { base: 13_000, counter: 27_000 });
        assert_eq!(stats.clean.trade_count, 2);
        assert_eq!(stats.clean.prices.unwrap().max, Price::new(7, 3).unwrap());
        assert_eq!(stats.prices.unwrap().max, Price::new(500, 3).unwrap());
    }

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
