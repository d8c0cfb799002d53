//! Parts of a set of trades: those that set clean prices, and the volumes by taker and by maker. Computed in the
//! simplest way, independent of the windows.

use super::sums::{Ratio, RawTrade, compare_ratios};
use crate::domain::cursor::PagingToken;

/// Prices of the trades that are no dust, as base per counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CleanPrices {
    pub(super) open: (PagingToken, Ratio),
    pub(super) low: Ratio,
    pub(super) high: Ratio,
    pub(super) close: (PagingToken, Ratio),
}

/// Sums of the parts. Each pair of sums is base and counter, in stroops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartSums {
    pub(super) clean_count: i128,
    pub(super) clean: [i128; 2],
    /// Trades whose taker bought the base.
    pub(super) bought: [i128; 2],
    /// Trades with liquidity pools.
    pub(super) pool: [i128; 2],
    pub(super) prices: Option<CleanPrices>,
}

impl PartSums {
    /// Adds a row.
    pub(super) fn add(&mut self, trade: &RawTrade) {
        let amounts = [trade.base_amount, trade.counter_amount].map(i128::from);
        let add = |sums: &mut [i128; 2]| {
            sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum = sum.saturating_add(amount));
        };
        if trade.is_buy {
            add(&mut self.bought);
        }
        if trade.is_pool {
            add(&mut self.pool);
        }
        let Some(price) = trade.price().filter(|_| !is_dust(amounts)) else { return };
        self.clean_count += 1;
        add(&mut self.clean);
        let placed = (trade.token, price);
        self.prices = Some(self.prices.map_or(
            CleanPrices { open: placed, low: price, high: price, close: placed },
            |prices| CleanPrices {
                open: if placed.0 < prices.open.0 { placed } else { prices.open },
                low: if compare_ratios(price, prices.low).is_lt() { price } else { prices.low },
                high: if compare_ratios(price, prices.high).is_gt() { price } else { prices.high },
                close: if placed.0 > prices.close.0 { placed } else { prices.close },
            },
        ));
    }

    /// Figures by name, as text. Equal prices have the same text, whatever ratio set them.
    pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
        let [clean, bought, pool] =
            [self.clean, self.bought, self.pool].map(|[base, counter]| format!("{base} {counter}"));
        let price = |pick: fn(&CleanPrices) -> Ratio| {
            self.prices.as_ref().map(pick).map_or_else(|| "none".to_owned(), reduced)
        };
        vec![
            ("clean_count", self.clean_count.to_string()),
            ("clean_volume", clean),
            ("bought_volume", bought),
            ("pool_volume", pool),
            ("clean_open", price(|prices| prices.open.1)),
            ("clean_low", price(|prices| prices.low)),
            ("clean_high", price(|prices| prices.high)),
            ("clean_close", price(|prices| prices.close.1)),
        ]
    }
}

/// True if one stroop on each side together is more than a thousandth: 1 / base + 1 / counter > 1 / 1,000.
pub(super) fn is_dust([base, counter]: [i128; 2]) -> bool {
    base <= 0 || counter <= 0 || (base + counter).saturating_mul(1_000) > base.saturating_mul(counter)
}

/// Ratio in lowest terms.
fn reduced((n, d): Ratio) -> String {
    let (mut one, mut other) = (n, d);
    while other != 0 {
        (one, other) = (other, one.checked_rem(other).unwrap_or_default());
    }
    let divided = |number: i64| number.checked_div(one).unwrap_or(number);
    format!("{}/{}", divided(n), divided(d))
}
