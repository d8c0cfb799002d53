//! Statistics of trades, computed in the simplest way: exact, in any order, and independent of the windows.

use std::cmp::Ordering;

use crate::domain::{cursor::PagingToken, instant::UnixSeconds};

/// Price in the legacy orientation (base per counter), as numerator and denominator.
pub type Ratio = (i64, i64);

/// Row of `trades`, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTrade {
    /// Identity and place in history.
    pub token: PagingToken,
    /// Close time of the ledger.
    pub closed_at: UnixSeconds,
    /// Base amount in stroops.
    pub base_amount: i64,
    /// Counter amount in stroops.
    pub counter_amount: i64,
    /// Numerator of the price, counter per base.
    pub price_n: i64,
    /// Denominator of the price, counter per base.
    pub price_d: i64,
    /// True if the taker bought the base.
    pub is_buy: bool,
    /// True if a liquidity pool made the price.
    pub is_pool: bool,
}

impl RawTrade {
    /// Price as base per counter, or `None` if the trade sets no price.
    pub(super) const fn price(&self) -> Option<Ratio> {
        if self.price_n > 0 && self.price_d > 0 { Some((self.price_d, self.price_n)) } else { None }
    }
}

/// Statistics of a set of trades. Prices are `None` if no trade has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradeSums {
    /// Number of trades.
    pub trade_count: i64,
    /// Sum of the base amounts, in stroops.
    pub base_volume: i128,
    /// Sum of the counter amounts, in stroops.
    pub counter_volume: i128,
    /// First price by (toid, order), and the trade that set it.
    pub open: Option<(PagingToken, Ratio)>,
    /// Lowest price.
    pub low: Option<Ratio>,
    /// Highest price.
    pub high: Option<Ratio>,
    /// Last price by (toid, order), and the trade that set it.
    pub close: Option<(PagingToken, Ratio)>,
    /// Close times of the earliest and the latest trade, or `None` without trades.
    pub times: Option<(UnixSeconds, UnixSeconds)>,
}

impl TradeSums {
    /// Statistics of a single trade.
    #[must_use]
    pub fn of(trade: &RawTrade) -> Self {
        let price = trade.price();
        let placed = price.map(|price| (trade.token, price));
        Self {
            trade_count: 1,
            base_volume: trade.base_amount.into(),
            counter_volume: trade.counter_amount.into(),
            open: placed,
            low: price,
            high: price,
            close: placed,
            times: Some((trade.closed_at, trade.closed_at)),
        }
    }

    /// Adds the trades of another, disjoint set.
    pub fn merge(&mut self, other: &Self) {
        self.trade_count = self.trade_count.saturating_add(other.trade_count);
        self.base_volume = self.base_volume.saturating_add(other.base_volume);
        self.counter_volume = self.counter_volume.saturating_add(other.counter_volume);
        self.low = chosen(self.low, other.low, |theirs, ours| compare_ratios(*theirs, *ours).is_lt());
        self.high = chosen(self.high, other.high, |theirs, ours| compare_ratios(*theirs, *ours).is_gt());
        self.open = chosen(self.open, other.open, |(theirs, _), (ours, _)| theirs < ours);
        self.close = chosen(self.close, other.close, |(theirs, _), (ours, _)| theirs > ours);
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

    /// Close time of the latest trade, or the Unix epoch without trades.
    #[must_use]
    pub fn latest(&self) -> UnixSeconds {
        self.times.map_or(UnixSeconds::default(), |(_, last)| last)
    }
}

fn chosen<T: Copy>(ours: Option<T>, theirs: Option<T>, wins: impl Fn(&T, &T) -> bool) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if wins(&theirs, &ours) => Some(theirs),
        (ours, theirs) => ours.or(theirs),
    }
}

/// Compares two ratios by value. Both products are below 2^126, so they never saturate.
pub(super) fn compare_ratios((n, d): Ratio, (other_n, other_d): Ratio) -> Ordering {
    let left = i128::from(n).saturating_mul(other_d.into());
    left.cmp(&i128::from(other_n).saturating_mul(d.into()))
}
