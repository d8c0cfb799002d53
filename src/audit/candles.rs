//! Recomputation of candles from the raw rows, in the simplest way and independent of [`TradeStats`].

use super::{
    parts::PartSums,
    sums::{Ratio, RawTrade, TradeSums, compare_ratios},
};
use crate::domain::{
    cursor::PagingToken,
    price::Price,
    trade_stats::{PricedAt, Prices, TradeStats},
};

/// Figures of the trades of a candle.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandleSums {
    sums: TradeSums,
    parts: PartSums,
}

/// Prices as base per counter. Equal ones may have other numerators and denominators.
type FourPrices = Option<((PagingToken, Ratio), Ratio, Ratio, (PagingToken, Ratio))>;

impl CandleSums {
    /// Adds a row.
    pub fn add(&mut self, trade: &RawTrade) {
        self.sums.merge(&TradeSums::of(trade));
        self.parts.add(trade);
    }

    /// Returns the name of a figure in which a stored candle differs, or `None` if it agrees.
    #[must_use]
    pub fn difference(&self, stored: &TradeStats) -> Option<&'static str> {
        let (sums, parts) = (&self.sums, &self.parts);
        let open_to_close = |open, low, high, close| Some((open?, low?, high?, close?));
        let prices = open_to_close(sums.open, sums.low, sums.high, sums.close);
        let clean = parts.prices.map(|prices| (prices.open, prices.low, prices.high, prices.close));
        let checks = [
            ("trade_count", i128::from(stored.trade_count) == i128::from(sums.trade_count)),
            ("base_volume", stored.base_volume == sums.base_volume),
            ("counter_volume", stored.counter_volume == sums.counter_volume),
            ("times", stored.times == sums.times),
            ("prices", are_equal(turned(stored.prices.as_ref()), prices)),
            ("clean_count", i128::from(stored.clean.trade_count) == parts.clean_count),
            ("clean_volume", [stored.clean.volume.base, stored.clean.volume.counter] == parts.clean),
            ("clean_prices", are_equal(turned(stored.clean.prices.as_ref()), clean)),
            ("bought_volume", [stored.bought.base, stored.bought.counter] == parts.bought),
            ("pool_volume", [stored.pool.base, stored.pool.counter] == parts.pool),
        ];
        checks.into_iter().find(|(_, agrees)| !agrees).map(|(name, _)| name)
    }
}

/// Prices in the orientation of the recomputation, where the highest is the lowest.
fn turned(prices: Option<&Prices>) -> FourPrices {
    let ratio = |price: Price| (price.d(), price.n());
    let placed = |at: PricedAt| (at.token, ratio(at.price));
    prices.map(|of| (placed(of.open), ratio(of.max), ratio(of.min), placed(of.close)))
}

fn are_equal(ours: FourPrices, theirs: FourPrices) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return ours.is_none() && theirs.is_none() };
    let is_same = |one: Ratio, other: Ratio| compare_ratios(one, other).is_eq();
    let is_placed =
        |one: (PagingToken, Ratio), other: (PagingToken, Ratio)| one.0 == other.0 && is_same(one.1, other.1);
    is_placed(ours.0, theirs.0)
        && is_same(ours.1, theirs.1)
        && is_same(ours.2, theirs.2)
        && is_placed(ours.3, theirs.3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::test_support::any_trade;
    use proptest::prelude::*;

    /// Name of a figure, and a change of it.
    type Spoil = (&'static str, fn(&mut TradeStats));

    proptest! {
        #[test]
        fn agrees_with_the_windows_and_finds_every_wrong_figure(
            trades in prop::collection::vec(any_trade(), 1..40),
        ) {
            let mut trades = trades;
            trades.sort_by_key(|trade| trade.token);
            trades.dedup_by_key(|trade| trade.token);
            let mut sums = CandleSums::default();
            trades.iter().for_each(|trade| sums.add(&RawTrade::from(trade)));
            let right: TradeStats = trades.iter().collect();
            prop_assert_eq!(sums.difference(&right), None);
            let wrong: [Spoil; 7] = [
                ("trade_count", |stats| stats.trade_count += 1),
                ("base_volume", |stats| stats.base_volume += 1),
                ("counter_volume", |stats| stats.counter_volume += 1),
                ("times", |stats| stats.times = None),
                ("clean_count", |stats| stats.clean.trade_count += 1),
                ("bought_volume", |stats| stats.bought.base += 1),
                ("pool_volume", |stats| stats.pool.counter += 1),
            ];
            for (name, spoil) in wrong {
                let mut stats = right;
                spoil(&mut stats);
                prop_assert_eq!(sums.difference(&stats), Some(name));
            }
            if let Some(prices) = right.prices {
                let max = Price::new(prices.max.n().saturating_add(1), prices.max.d()).unwrap();
                let stats = TradeStats { prices: Some(Prices { max, ..prices }), ..right };
                if max != prices.max {
                    prop_assert_eq!(sums.difference(&stats), Some("prices"));
                }
            }
        }
    }
}
