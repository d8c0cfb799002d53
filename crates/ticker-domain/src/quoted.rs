//! Statistics in the orientation of new outputs: prices are quote per base.

use super::{
    price::Price,
    trade_stats::{Prices, TradeStats},
};

/// First, highest, lowest and last price of a set of trades, quote per base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedPrices {
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
}

/// Statistics of a set of trades, quote per base. Volumes are in stroops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotedStats {
    /// Clean prices. A set without clean trades has its raw prices. `None` if no trade has a price.
    pub prices: Option<QuotedPrices>,
    /// Prices of all trades, dust included.
    pub raw_prices: Option<QuotedPrices>,
    /// Volumes of the clean trades, quote and base: their quotient is the volume-weighted price. `None` without a clean
    /// trade: the amounts of dust are rounded, so their quotient may lie beyond every price.
    pub vwap: Option<(i128, i128)>,
    /// Sum of the base amounts.
    pub base_volume: i128,
    /// Sum of the quote amounts.
    pub quote_volume: i128,
    /// Number of trades.
    pub trade_count: u64,
    /// Number of trades that set clean prices.
    pub clean_count: u64,
    /// Quote volume of the clean trades.
    pub clean_quote_volume: i128,
    /// Base volume whose taker bought the base.
    pub buy_volume: i128,
    /// Base volume whose taker sold the base.
    pub sell_volume: i128,
    /// Base volume of the order book.
    pub book_volume: i128,
    /// Base volume of liquidity pools.
    pub pool_volume: i128,
    /// Quote volume of liquidity pools.
    pub pool_quote_volume: i128,
}

impl QuotedPrices {
    fn of(prices: &Prices, is_flipped: bool) -> Self {
        let oriented = |price: Price| if is_flipped { price.inverse() } else { price };
        // The inverse reverses the order of prices.
        let (high, low) = if is_flipped { (prices.min, prices.max) } else { (prices.max, prices.min) };
        Self {
            open: oriented(prices.open.price),
            high: oriented(high),
            low: oriented(low),
            close: oriented(prices.close.price),
        }
    }

    /// Prices that stayed at one.
    #[must_use]
    pub const fn flat(price: Price) -> Self {
        Self { open: price, high: price, low: price, close: price }
    }

    /// Difference of the last and the first price, as a ratio.
    #[must_use]
    pub fn change(&self) -> (i128, i128) {
        let [open_n, open_d, close_n, close_d] =
            [self.open.n(), self.open.d(), self.close.n(), self.close.d()].map(i128::from);
        (close_n * open_d - open_n * close_d, close_d * open_d)
    }

    /// The same difference in per cent of the first price, as a ratio, exact to all digits that are shown.
    /// `None` if the percentage exceeds 128 bits.
    #[must_use]
    pub fn change_percent(&self) -> Option<(i128, i128)> {
        /// Smallest denominator that can be divided by 128 without a change of a shown digit.
        const LONG: i128 = 1 << 70;
        let [open_n, open_d, close_n, close_d] =
            [self.open.n(), self.open.d(), self.close.n(), self.close.d()].map(i128::from);
        let (before, after) = (open_n * close_d, close_n * open_d);
        let difference = after - before;
        match difference.checked_mul(100) {
            Some(hundredfold) => Some((hundredfold, before)),
            // Amounts of pools fill 63 bits.
            None if before >= LONG => Some((difference / 128 * 100, before / 128)),
            None => {
                let rest = (difference % before * 100 + before / 2) / before;
                Some(((difference / before).checked_mul(100)?.checked_add(rest)?, 1))
            }
        }
    }
}

impl QuotedStats {
    /// Statistics of a market's trades. `is_flipped` says that the market's counter is the base of new outputs.
    #[must_use]
    pub fn of(stats: &TradeStats, is_flipped: bool) -> Self {
        let oriented = |base: i128, counter: i128| if is_flipped { (counter, base) } else { (base, counter) };
        let (base_volume, quote_volume) = oriented(stats.base_volume, stats.counter_volume);
        let clean = oriented(stats.clean.volume.base, stats.clean.volume.counter);
        let (bought, _) = oriented(stats.bought.base, stats.bought.counter);
        let (pool_volume, pool_quote_volume) = oriented(stats.pool.base, stats.pool.counter);
        let raw_prices = stats.prices.as_ref().map(|prices| QuotedPrices::of(prices, is_flipped));
        let clean_prices = stats.clean.prices.as_ref().map(|prices| QuotedPrices::of(prices, is_flipped));
        // In a flipped market, a trade that buys the market's base sells the base of the new outputs.
        let buy_volume = if is_flipped { base_volume.saturating_sub(bought) } else { bought };
        Self {
            prices: clean_prices.or(raw_prices),
            raw_prices,
            vwap: (stats.clean.trade_count > 0 && clean.0 > 0).then_some((clean.1, clean.0)),
            base_volume,
            quote_volume,
            trade_count: stats.trade_count,
            clean_count: stats.clean.trade_count,
            clean_quote_volume: clean.1,
            buy_volume,
            sell_volume: base_volume.saturating_sub(buy_volume),
            book_volume: base_volume.saturating_sub(pool_volume),
            pool_volume,
            pool_quote_volume,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decimal,
        test_support::{any_trade, trade},
        trade_stats::WindowTrade,
    };
    use proptest::prelude::*;

    /// The same trade in the other orientation.
    fn flipped(trade: &WindowTrade) -> WindowTrade {
        WindowTrade {
            base_amount: trade.counter_amount,
            counter_amount: trade.base_amount,
            price: trade.price.map(Price::inverse),
            is_buy: !trade.is_buy,
            ..*trade
        }
    }

    #[test]
    fn dust_moves_raw_prices_only() {
        let large = trade(1, 0, 1, (10_000, 20_000), (2, 1));
        let dust = trade(2, 0, 2, (1, 900), (900, 1));
        let stats = QuotedStats::of(&[large, dust].iter().collect(), false);
        let (clean, raw) = (stats.prices.unwrap(), stats.raw_prices.unwrap());
        assert_eq!((clean.close, clean.high), (Price::new(2, 1).unwrap(), Price::new(2, 1).unwrap()));
        assert_eq!((raw.close, raw.high), (Price::new(900, 1).unwrap(), Price::new(900, 1).unwrap()));
        assert_eq!(stats.vwap, Some((20_000, 10_000)));
        let only_dust = QuotedStats::of(&[dust].iter().collect(), false);
        assert_eq!(only_dust.prices, only_dust.raw_prices);
        assert_eq!(only_dust.vwap, None);
    }

    #[test]
    fn without_a_price_there_is_no_average() {
        assert_eq!(QuotedStats::of(&TradeStats::default(), false), QuotedStats::default());
        let unpriced = WindowTrade { price: None, ..trade(1, 0, 1, (10_000, 20_000), (2, 1)) };
        let stats = QuotedStats::of(&TradeStats::of(&unpriced), false);
        assert_eq!((stats.vwap, stats.base_volume, stats.trade_count), (None, 10_000, 1));
        let dust = trade(2, 0, 2, (1, 900), (900, 1));
        let stats = QuotedStats::of(&[unpriced, dust].iter().collect(), false);
        assert!(stats.prices.is_some() && stats.vwap.is_none(), "2.09, far below the only price");
    }

    #[test]
    fn a_change_is_that_of_the_last_against_the_first_price() {
        let trades = [trade(1, 0, 1, (10_000, 15_000), (3, 2)), trade(2, 0, 2, (10_000, 22_500), (9, 4))];
        let prices = QuotedStats::of(&trades.iter().collect(), false).prices.unwrap();
        let (n, d) = prices.change();
        assert_eq!(decimal::quotient(n, d).unwrap(), "0.75");
        let (n, d) = prices.change_percent().unwrap();
        assert_eq!(decimal::quotient(n, d).unwrap(), "50");
    }

    #[test]
    fn a_change_between_prices_of_63_bits_is_known_to_all_digits() {
        const MAX: i64 = i64::MAX;
        for (open, close, text) in [
            ((MAX - 2, MAX - 6), (MAX - 4, 3_000_000_000_000_000_001), "207.445734561826"),
            ((MAX - 4, 3_000_000_000_000_000_001), (MAX - 2, MAX - 6), "-67.4739348254349"),
            ((MAX - 1, MAX), (MAX, MAX - 1), "0.0000000000000000216840434497101"),
            ((MAX, 1), (1, MAX), "-100"),
            ((3, MAX), (MAX, 70_000), "40509805585826007546379479897253472"),
        ] {
            let price = |(n, d)| Price::new(n, d).unwrap();
            let (open, close) = (price(open), price(close));
            let prices = QuotedPrices { open, high: open, low: open, close };
            let percent = prices.change_percent().and_then(|(n, d)| decimal::quotient(n, d));
            assert_eq!(percent.as_deref(), Some(text), "{open:?} {close:?}");
        }
        let (lowest, highest) = (Price::new(1, MAX).unwrap(), Price::new(MAX, 1).unwrap());
        let beyond = QuotedPrices { open: lowest, high: highest, low: lowest, close: highest };
        assert_eq!(beyond.change_percent(), None, "more than 128 bits");
    }

    proptest! {
        #[test]
        fn flipping_the_market_equals_flipping_each_trade(trades in prop::collection::vec(any_trade(), 0..30)) {
            let other: Vec<_> = trades.iter().map(flipped).collect();
            let (mut one, other) =
                (QuotedStats::of(&trades.iter().collect(), true), QuotedStats::of(&other.iter().collect(), false));
            // Two trades may share a token here. Then the orientation decides which of them opens and closes.
            let mut tokens: Vec<_> = trades.iter().map(|trade| trade.token).collect();
            tokens.sort_unstable();
            tokens.dedup();
            if tokens.len() < trades.len() {
                one = QuotedStats { prices: other.prices, raw_prices: other.raw_prices, ..one };
            }
            prop_assert_eq!(one, other);
        }
    }
}
