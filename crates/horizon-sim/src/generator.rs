//! Generator of the network, a pure function from a ledger number to its trades.

use super::config::{Burst, SimConfig};
use super::layout::{Layout, Layouts};
use super::markets::{Markets, SimMarket};
use super::model::{SimSide, SimTrade, TradeId, TradeKind};
use super::num::{below, hash3, high, low, mix, round_i64, to_f64, unit};
use super::protocol::POOL_FEE_BP;
use super::timeline::Timeline;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// 32-bit random words per trade. One ChaCha block, so that a seek reaches any trade.
const WORDS_PER_TRADE: u128 = 16;
/// Smallest synthetic offer id. Such an id means that the taker had no offer of its own.
pub(crate) const SYNTHETIC_OFFERS: i64 = 1 << 62;
/// Generated network.
#[derive(Debug)]
pub(crate) struct Network {
    seed: u64,
    pub(crate) markets: Markets,
    pub(crate) timeline: Timeline,
    layouts: Layouts,
    /// Mean number of trades per ledger, in millionths.
    per_ledger_micro: i64,
    burst: Option<Burst>,
    has_pools: bool,
    has_unpriced_trades: bool,
    rng: ChaCha8Rng,
}

/// Generated trade with its parties, ready to render.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawTrade<'a> {
    pub(crate) id: TradeId,
    pub(crate) market: &'a SimMarket,
    pub(crate) maker: &'a str,
    pub(crate) taker: &'a str,
    pub(crate) maker_offer: i64,
    pub(crate) is_pool: bool,
    pub(crate) base_is_seller: bool,
    pub(crate) base_amount: i64,
    pub(crate) counter_amount: i64,
    pub(crate) price_n: i64,
    pub(crate) price_d: i64,
}

impl Network {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let timeline = Timeline::new(config);
        let per_second_milli = round_i64(config.trades_per_second * 1000.0);
        Self {
            seed: config.seed,
            markets: Markets::new(config.seed, config.markets),
            per_ledger_micro: per_second_milli.saturating_mul(timeline.ledger_ms()),
            timeline,
            layouts: Layouts::new(),
            burst: config.burst,
            has_pools: !config.legacy_shapes,
            has_unpriced_trades: config.unpriced_trades,
            rng: ChaCha8Rng::seed_from_u64(config.seed),
        }
    }

    /// Number of trades in a ledger. Costs one hash.
    pub(crate) fn count(&self, ledger: u32) -> u32 {
        if let Some(burst) = self.burst.filter(|burst| ledger.is_multiple_of(burst.every_ledgers)) {
            return burst.trades;
        }
        let hash = hash3(self.seed, 0x636f_756e, u64::from(ledger));
        let permille = 400 + i64::from(high(hash) % 1201);
        let micro = self.per_ledger_micro.saturating_mul(permille) / 1000;
        // The random remainder keeps the mean correct even below one trade per ledger.
        u32::try_from((micro + i64::from(low(hash) % 1_000_000)) / 1_000_000).unwrap_or(0)
    }

    pub(crate) fn layout(&self, ledger: u32) -> Layout<'_> {
        self.layouts.of(self.seed, ledger)
    }

    /// Trades of a ledger by index, in order.
    pub(crate) fn trades(
        &self,
        ledger: u32,
        range: std::ops::Range<u32>,
    ) -> impl Iterator<Item = RawTrade<'_>> {
        let mut rng = self.rng.clone();
        rng.set_stream(u64::from(ledger));
        // Every trade has its own block of random words, so a range needs no words of earlier trades.
        rng.set_word_pos(u128::from(range.start) * WORDS_PER_TRADE);
        let layout = self.layout(ledger);
        range.filter_map(move |index| {
            let words = std::array::from_fn(|_| rng.next_u64());
            self.trade(layout.id(index), words)
        })
    }

    fn trade(&self, id: TradeId, words: [u64; 8]) -> Option<RawTrade<'_>> {
        let [pick, kind, size, accounts, jitter, offer, amount_side, dust] = words;
        let market = self.markets.list.get(self.markets.pick(pick))?;
        let quote = self.markets.quote(market, id.ledger())?;
        let price = quote.price * 0.004f64.mul_add(unit(jitter) - 0.5, 1.0);
        let is_pool = self.has_pools && kind % 100 < 35;
        // 5 cents to about 5,000 dollars, small amounts more often.
        let usd = 0.05 * (1.0 + 100_000.0 * unit(size).powi(6));
        let mut base_amount = round_i64(usd / quote.base_usd * 1e7).max(1);
        if high(kind).is_multiple_of(50) {
            base_amount = 1 + i64::from(high(dust) % 20);
        }
        let (mut price_n, mut price_d) = ratio(price);
        let mut counter_amount = if is_pool {
            round_i64(to_f64(base_amount) * price).max(1)
        } else {
            scale(base_amount, price_n, price_d, amount_side)
        };
        if self.has_unpriced_trades && low(dust).is_multiple_of(4000) && !is_pool {
            (price_n, price_d) = (0, 0);
        }
        // Rounding leaves an amount of 0 on the side of the dearer asset.
        if (1..=8).contains(&(low(dust) % 4000)) && price_n != price_d {
            (base_amount, counter_amount) = if price_n > price_d { (0, 1) } else { (1, 0) };
        }
        // A trade with a pool has the ratio of its amounts as the price.
        if is_pool {
            (price_n, price_d) = (counter_amount, base_amount);
        }
        let parties = &self.markets.catalog.accounts;
        let taker = mix(self.seed ^ id.toid.unsigned_abs());
        Some(RawTrade {
            id,
            market,
            maker: parties.get(below(accounts, parties.len()))?,
            taker: parties.get(below(taker, parties.len()))?,
            maker_offer: 1_500_000_000 + i64::from(high(offer) % 300_000_000),
            is_pool,
            base_is_seller: amount_side & 1 == 0,
            base_amount,
            counter_amount,
            price_n,
            price_d,
        })
    }

    /// Converts a raw trade to typed data.
    pub(crate) fn typed(&self, raw: &RawTrade<'_>) -> SimTrade {
        let side = |asset: usize, amount: i64, seller: bool| {
            let pool = raw.is_pool && seller;
            let offer = if seller { raw.maker_offer } else { SYNTHETIC_OFFERS | raw.id.toid };
            SimSide {
                asset: self.markets.catalog.assets.get(asset).map(|a| a.key()).unwrap_or_default(),
                amount,
                account: (!pool).then(|| if seller { raw.maker } else { raw.taker }.to_owned()),
                pool: pool.then(|| raw.market.pool.clone()),
                offer_id: (!pool).then_some(offer),
            }
        };
        SimTrade {
            id: raw.id,
            closed_at: self.timeline.closed_at(raw.id.ledger()),
            kind: if raw.is_pool {
                TradeKind::LiquidityPool { fee_bp: POOL_FEE_BP }
            } else {
                TradeKind::Orderbook
            },
            base: side(raw.market.base, raw.base_amount, raw.base_is_seller),
            counter: side(raw.market.counter, raw.counter_amount, !raw.base_is_seller),
            price_n: raw.price_n,
            price_d: raw.price_d,
            base_is_seller: raw.base_is_seller,
        }
    }
}

/// Positive price as n/d, both within int32 as in an offer.
pub(crate) fn ratio(price: f64) -> (i64, i64) {
    let big = i64::from(i32::MAX);
    let mut unit = 10_000_000;
    let value = if price >= 1.0 { price } else { 1.0 / price };
    while unit > 1 && value * to_f64(unit) > to_f64(big) {
        unit /= 10;
    }
    let scaled = round_i64(value * to_f64(unit)).clamp(1, big);
    if price >= 1.0 { (scaled, unit) } else { (unit, scaled) }
}

/// `amount` x n/d, rounded up or down at random, as the protocol rounds by side. Never negative.
fn scale(amount: i64, n: i64, d: i64, chance: u64) -> i64 {
    let product = i128::from(amount) * i128::from(n);
    let up = if chance & 2 == 0 { 0 } else { i128::from(d) - 1 };
    i64::try_from((product + up) / i128::from(d.max(1))).unwrap_or(i64::MAX)
}
