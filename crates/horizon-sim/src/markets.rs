//! Simulated markets: their pairs, activity and prices.

use super::asset_json::AssetJson;
use super::catalog::{Asset, Catalog, entries::ENTRIES};
use super::num::{hash3, noise, unit};
use super::protocol;
use std::collections::HashMap;

/// Market in the server's own orientation.
#[derive(Debug)]
pub(crate) struct SimMarket {
    /// Index of the base in the catalog.
    pub(crate) base: usize,
    /// Index of the counter in the catalog.
    pub(crate) counter: usize,
    pub(crate) pool: String,
    pub(crate) seed: u64,
    pub(crate) base_json: AssetJson,
    pub(crate) counter_json: AssetJson,
}

/// All markets and their assets.
#[derive(Debug)]
pub(crate) struct Markets {
    pub(crate) catalog: Catalog,
    pub(crate) list: Vec<SimMarket>,
    /// Cumulative weights of the markets. A market's weight falls with its rank.
    weights: Vec<u64>,
    by_keys: HashMap<(String, String), usize>,
}

/// Values of a market at one ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quote {
    /// Price, counter per base.
    pub(crate) price: f64,
    /// Price of the base, in dollars.
    pub(crate) base_usd: f64,
}

/// First pairs of the list: XLM with each quote asset, then USDC with the others.
const CORE: [(usize, usize); 9] = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4), (1, 5)];

impl Markets {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let natural = CORE.len() + 2 * (ENTRIES.len() - 6);
        let catalog = Catalog::new(seed, count.saturating_sub(natural).div_ceil(2));
        let others = 6..catalog.assets.len();
        let named = 6..ENTRIES.len();
        let pairs = CORE
            .into_iter()
            .chain(named.map(|asset| (0, asset)))
            .chain(others.clone().map(|asset| (1, asset)))
            .chain(others.skip(ENTRIES.len() - 6).map(|asset| (0, asset)))
            .take(count);
        let list: Vec<SimMarket> =
            (0u64..).zip(pairs).filter_map(|(rank, pair)| market(seed, &catalog, rank, pair)).collect();
        let mut sum = 0;
        let weights = (0u64..).zip(&list).map(|(rank, _)| {
            sum += 1_000_000_000 / (rank + 2);
            sum
        });
        let weights = weights.collect();
        let key = |asset: usize| catalog.assets.get(asset).map(Asset::key).unwrap_or_default();
        let by_keys = list.iter().enumerate().map(|(i, m)| ((key(m.base), key(m.counter)), i)).collect();
        Self { catalog, list, weights, by_keys }
    }

    /// Selects a market by a random number, busy ones more often.
    pub(crate) fn pick(&self, word: u64) -> usize {
        let total = self.weights.last().copied().unwrap_or(1);
        let point = word % total;
        self.weights.partition_point(|sum| *sum <= point)
    }

    /// Finds a market by its two keys. True if they are in the server's orientation.
    pub(crate) fn find(&self, selling: &str, buying: &str) -> Option<(usize, bool)> {
        let find = |a: &str, b: &str| self.by_keys.get(&(a.to_owned(), b.to_owned())).copied();
        find(selling, buying)
            .map(|index| (index, true))
            .or_else(|| find(buying, selling).map(|index| (index, false)))
    }

    pub(crate) fn quote(&self, market: &SimMarket, ledger: u32) -> Option<Quote> {
        let base_usd = self.catalog.assets.get(market.base)?.usd_at(ledger);
        let counter_usd = self.catalog.assets.get(market.counter)?.usd_at(ledger);
        let own = 1.0 + 0.002 * noise(market.seed, ledger, 400);
        Some(Quote { price: base_usd / counter_usd * own, base_usd })
    }
}

fn market(seed: u64, catalog: &Catalog, rank: u64, (one, other): (usize, usize)) -> Option<SimMarket> {
    let own = hash3(seed, 0x6d61_726b, rank);
    // Horizon orients a market by internal ids, so the orientation is random for a client.
    let (base, counter) = if unit(own) < 0.5 { (one, other) } else { (other, one) };
    Some(SimMarket {
        base,
        counter,
        pool: protocol::pool_id(&catalog.assets.get(base)?.key(), &catalog.assets.get(counter)?.key())?,
        seed: own,
        base_json: AssetJson::new("base", catalog.assets.get(base)?),
        counter_json: AssetJson::new("counter", catalog.assets.get(counter)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_any_number_of_distinct_markets_in_both_orientations() {
        for count in [1, 9, 60, 500] {
            let markets = Markets::new(3, count);
            assert_eq!(markets.list.len(), count);
            assert_eq!(markets.by_keys.len(), count);
            let xlm_is_base = markets.list.iter().filter(|m| m.base == 0).count();
            let xlm_is_counter = markets.list.iter().filter(|m| m.counter == 0).count();
            assert!(count < 60 || (xlm_is_base > 5 && xlm_is_counter > 5));
            assert!((0..1000).all(|i| markets.pick(crate::num::mix(i)) < count));
        }
    }

    #[test]
    fn prices_stay_positive_and_move_slowly() {
        let markets = Markets::new(3, 200);
        for market in &markets.list {
            let mut last = markets.quote(market, 58_000_000).unwrap().price;
            for ledger in 58_000_001..58_000_200 {
                let price = markets.quote(market, ledger).unwrap().price;
                assert!(price > 0.0 && (price / last - 1.0).abs() < 0.02);
                last = price;
            }
        }
    }
}
