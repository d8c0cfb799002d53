//! Prices in US dollars, out of the trades of one snapshot.
//!
//! Only anchors count as dollars, and only by their identity. XLM has the weighted median of its minutes against the
//! anchors. Every other asset has the price of one market against an anchor or XLM. Where neither is liquid enough,
//! there is no price: null is better than a guess.

mod at;
mod legs;
mod median;
mod xlm;

use std::collections::BTreeMap;

use super::{
    asset::Asset, asset_names::AssetId, instant::UnixSeconds, market_snapshot::MarketSnapshot,
    windows::MarketId,
};

pub use at::{PastLeg, PastMarket, PastMarkets, PastPrice};
pub use legs::{Leg, Method};
pub use xlm::XlmPrice;

/// Bits of the numerator and of the denominator of a rate.
const RATE_BITS: u32 = 63;

/// Price of a unit in units of another, as numerator and denominator, both positive and below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Numerator.
    pub n: i128,
    /// Denominator.
    pub d: i128,
}

/// Degree of trust in a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Little volume, or old trades.
    Low,
    /// Some volume within the last hours.
    Medium,
    /// Much volume within the last hour.
    High,
}

impl Confidence {
    /// Name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Price of an asset in dollars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdPrice {
    /// Dollars per unit.
    pub rate: Rate,
    /// Way by which the price came about.
    pub method: Method,
    /// Markets that led from the asset to the dollar. None for an anchor.
    pub legs: Vec<Leg>,
    /// Degree of trust.
    pub confidence: Confidence,
}

/// Prices in dollars of all assets that have one, at the time of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct UsdPrices {
    xlm: Option<XlmPrice>,
    by_asset: BTreeMap<AssetId, UsdPrice>,
}

impl UsdPrice {
    /// Price of an asset that counts as one dollar.
    #[must_use]
    pub const fn of_anchor() -> Self {
        Self {
            rate: Rate { n: 1, d: 1 },
            method: Method::Anchor,
            legs: Vec::new(),
            confidence: Confidence::High,
        }
    }
}

impl Rate {
    /// Rate of two positive numbers. Larger ones are replaced by the nearest rate of numbers below 2^63, far below any
    /// printed digit. `None` if either is not positive, or if one is 2^63 times the other.
    #[must_use]
    pub fn new(n: i128, d: i128) -> Option<Self> {
        if n <= 0 || d <= 0 {
            return None;
        }
        if n.max(d) < 1 << RATE_BITS {
            return Some(Self { n, d });
        }
        let reduced = if n >= d { reduced(n, d) } else { reduced(d, n).map(|(d, n)| (n, d)) };
        reduced.map(|(n, d)| Self { n, d })
    }

    /// Product of two rates.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        Self::new(self.n.checked_mul(other.n)?, self.d.checked_mul(other.d)?)
    }

    /// Rate in the other direction.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self { n: self.d, d: self.n }
    }

    /// Worth of an amount at this rate, rounded down.
    #[must_use]
    pub fn worth(self, amount: i128) -> i128 {
        match amount.checked_mul(self.n) {
            Some(product) => product.checked_div(self.d).unwrap_or_default(),
            // Numerator and remainder are below 2^63 each.
            None => {
                let (whole, rest) = (amount / self.d, amount % self.d);
                whole.saturating_mul(self.n).saturating_add(rest * self.n / self.d)
            }
        }
    }

    /// Compares by value. Both products are below 2^126.
    fn compare(self, other: Self) -> std::cmp::Ordering {
        (self.n * other.d).cmp(&(other.n * self.d))
    }
}

/// Two numbers below 2^63 with nearly the quotient of these, of which the first is larger.
fn reduced(larger: i128, smaller: i128) -> Option<(i128, i128)> {
    // 64 bits of the smaller one are enough, and keep the product below within 128 bits.
    let bits = i128::BITS - smaller.leading_zeros();
    let shift = bits.saturating_sub(64);
    let (larger, smaller) = (larger >> shift, smaller >> shift);
    // The largest divisor with which the quotient fits. Rounding it then costs 2^-62 of it.
    let divisor = (smaller << (RATE_BITS - 1)) / larger;
    let divisor = divisor.max(1);
    let quotient = (larger * divisor + smaller / 2) / smaller;
    (quotient < 1 << RATE_BITS).then_some((quotient, divisor))
}

impl UsdPrices {
    /// Prices at the time of the snapshot. `anchors` are the assets that count as one dollar.
    #[must_use]
    pub fn of(snapshot: &MarketSnapshot, anchors: &[Asset]) -> Self {
        let names = snapshot.directory().names();
        let known = |asset: &Asset| names.id_of(asset);
        let anchors: Vec<AssetId> = anchors.iter().filter_map(known).collect();
        let native = known(&Asset::Native);
        let xlm = native.and_then(|native| xlm::price(snapshot, native, &anchors));
        let by_asset = legs::prices(snapshot, native, &anchors, xlm.as_ref());
        Self { xlm, by_asset }
    }

    /// Price of XLM alone, without the prices of all other assets.
    #[must_use]
    pub fn of_xlm(snapshot: &MarketSnapshot, anchors: &[AssetId]) -> Option<XlmPrice> {
        let native = snapshot.directory().names().id_of(&Asset::Native)?;
        xlm::price(snapshot, native, anchors)
    }

    /// Price of an asset, or `None` if no rule gives one.
    #[must_use]
    pub fn price(&self, asset: AssetId) -> Option<&UsdPrice> {
        self.by_asset.get(&asset)
    }

    /// Price of XLM with its constituents.
    #[must_use]
    pub const fn xlm(&self) -> Option<&XlmPrice> {
        self.xlm.as_ref()
    }

    /// Worth in dollars, in stroops (1/10,000,000), of an amount of an asset.
    #[must_use]
    pub fn worth(&self, asset: AssetId, stroops: i128) -> Option<i128> {
        self.price(asset).map(|price| price.rate.worth(stroops))
    }
}

/// Market of two assets, and its counter-per-base rate turned so that it is units of `to` per unit of `from`.
fn market_of(snapshot: &MarketSnapshot, from: AssetId, to: AssetId) -> Option<(MarketId, bool)> {
    let market = snapshot.directory().market_between(from, to)?;
    let (base, _) = snapshot.directory().sides(market)?;
    Some((market, base != from))
}

/// An issuer can trade its own two assets at any price.
fn has_one_issuer(one: &Asset, other: &Asset) -> bool {
    matches!((one, other), (Asset::Issued { issuer: one, .. }, Asset::Issued { issuer: other, .. }) if one == other)
}

/// Seconds between a moment and the snapshot's time. The network's clock may be ahead of ours.
fn age(as_of: UnixSeconds, at: UnixSeconds) -> i64 {
    as_of.0.saturating_sub(at.0).max(0)
}

#[cfg(test)]
mod tests;
