//! Simulated order books around the current price.

use super::generator::ratio;
use super::markets::{Markets, SimMarket};
use super::num::{hash3, low, round_i64, unit};
use super::render::amount;
use serde_json::{Value, json};

/// Number of ledgers for which a book stays the same.
const LEDGERS_PER_BOOK: u32 = 10;
/// Maximum levels of a side. More than a request may ask for.
const LEVELS_MAX: u32 = 260;

/// Number of busiest markets, by rank, that always have both sides.
const ALWAYS_BOTH_SIDES: usize = 20;
/// Minimum levels of a side in those markets.
const BUSY_LEVELS_MIN: u32 = 30;

/// Level in the server's orientation.
struct Level {
    n: i64,
    d: i64,
    amount: i64,
}

/// Bids and asks of a market as JSON. As in Horizon, asks have amounts in base, and bids in counter. Empty for an
/// unknown pair.
pub(crate) fn sides(
    markets: &Markets,
    selling: &str,
    buying: &str,
    ledger: u32,
    limit: usize,
) -> (Value, Value) {
    let Some((index, is_same_orientation)) = markets.find(selling, buying) else {
        return (json!([]), json!([]));
    };
    let Some(market) = markets.list.get(index) else { return (json!([]), json!([])) };
    let step = ledger / LEDGERS_PER_BOOK;
    let is_busy = index < ALWAYS_BOTH_SIDES;
    let asks = side(markets, market, step, true, is_busy);
    let bids = side(markets, market, step, false, is_busy);
    // In the inverse orientation, every bid is an ask at the inverse price, with the same amount of the same asset.
    if is_same_orientation {
        (levels(&bids, true, limit), levels(&asks, true, limit))
    } else {
        (levels(&asks, false, limit), levels(&bids, false, limit))
    }
}

fn levels(levels: &[Level], is_same_orientation: bool, limit: usize) -> Value {
    let record = |level: &Level| {
        let (n, d) = if is_same_orientation { (level.n, level.d) } else { (level.d, level.n) };
        json!({"price_r": {"n": n, "d": d}, "price": price(n, d), "amount": amount(level.amount)})
    };
    Value::Array(levels.iter().take(limit).map(record).collect())
}

/// n/d, rounded to seven places.
fn price(n: i64, d: i64) -> String {
    let (n, d) = (i128::from(n), i128::from(d.max(1)));
    amount(i64::try_from((n * 10_000_000 + d / 2) / d).unwrap_or(i64::MAX))
}

fn side(markets: &Markets, market: &SimMarket, step: u32, is_ask: bool, is_busy: bool) -> Vec<Level> {
    let Some(quote) = markets.quote(market, step.saturating_mul(LEDGERS_PER_BOOK)) else { return Vec::new() };
    let seed = market.seed ^ u64::from(is_ask);
    let depth = match (is_busy, seed % 17) {
        (true, _) => BUSY_LEVELS_MIN + low(seed) % (LEVELS_MAX - BUSY_LEVELS_MIN),
        // A few markets have an empty side.
        (false, 3) => 0,
        (false, _) => 1 + low(seed) % LEVELS_MAX,
    };
    let sign: f64 = if is_ask { 1.0 } else { -1.0 };
    let level = |number: u32| {
        let hash = hash3(seed, u64::from(step), u64::from(number));
        // Each level is at least a tenth of a step further from the middle than the one before.
        let distance = 0.0015 * (f64::from(number) + 0.9 * unit(hash)) + 0.001;
        let price = quote.price * sign.mul_add(distance, 1.0);
        let (n, d) = ratio(price);
        let base_units = (5.0 + 2_000.0 * unit(hash3(seed, 7, hash)).powi(3)) / quote.base_usd;
        let units = if is_ask { base_units } else { base_units * price };
        Level { n, d, amount: round_i64(units * 1e7).max(1) }
    };
    (0..depth).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio_of(level: &Value) -> f64 {
        level["price_r"]["n"].as_f64().unwrap() / level["price_r"]["d"].as_f64().unwrap()
    }

    #[test]
    fn some_quiet_market_has_an_empty_side_and_no_busy_one() {
        let markets = Markets::new(1, 80);
        let empty = |index: usize| {
            let market = &markets.list[index];
            [true, false].iter().any(|asks| side(&markets, market, 5_800_000, *asks, index < 20).is_empty())
        };
        assert!((20..80).any(empty) && !(0..20).any(empty));
    }

    #[test]
    fn the_inverse_book_is_the_same_book_and_sides_do_not_cross() {
        let markets = Markets::new(1, 60);
        let usdc = markets.catalog.assets[1].key();
        let (bids, asks) = sides(&markets, "native", &usdc, 58_000_000, 200);
        let (inverse_bids, inverse_asks) = sides(&markets, &usdc, "native", 58_000_000, 200);
        assert_eq!(bids.as_array().unwrap().len(), inverse_asks.as_array().unwrap().len());
        assert_eq!(bids[0]["amount"], inverse_asks[0]["amount"]);
        assert_eq!(asks[0]["price_r"]["n"], inverse_bids[0]["price_r"]["d"]);
        assert!(ratio_of(&bids[0]) < ratio_of(&asks[0]));
        let prices: Vec<f64> = asks.as_array().unwrap().iter().map(ratio_of).collect();
        assert!(prices.is_sorted(), "asks rise");
        assert!(sides(&markets, "native", "NO:ONE", 58_000_000, 20).0.as_array().unwrap().is_empty());
    }
}
