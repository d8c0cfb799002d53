//! Prices of assets that are neither anchors nor XLM: through a market against an anchor, or one against XLM.

use std::collections::BTreeMap;

use super::{Confidence, Rate, UsdPrice, XlmPrice, age, has_one_issuer, market_of};
use crate::{
    asset_names::AssetId,
    instant::{DAY, HOUR, UnixSeconds},
    market_snapshot::MarketSnapshot,
    quoted::QuotedStats,
    span::Span,
    windows::MarketId,
};

/// Smallest clean volume of 24 hours of a leg: 100 dollars, in stroops.
pub(super) const FLOOR: i128 = 100 * 10_000_000;
/// Volumes for medium and high [`Confidence`], in stroops of dollars.
const MEDIUM_VOLUME: i128 = 1_000 * 10_000_000;
const HIGH_VOLUME: i128 = 25_000 * 10_000_000;

/// Way from an asset to the dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The asset counts as one dollar.
    Anchor,
    /// XLM's median of minutes against the anchors.
    XlmMedian,
    /// A market against an anchor.
    Direct,
    /// A market against XLM.
    ThroughXlm,
}

impl Method {
    /// Name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::XlmMedian => "xlm_median",
            Self::Direct => "direct",
            Self::ThroughXlm => "through_xlm",
        }
    }
}

/// Market on the way to the dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The market.
    pub market: MarketId,
    /// Its volume-weighted clean price of the last UTC hour with trades: units of the next
    /// asset for one unit of this one.
    pub rate: Rate,
    /// Its clean volume of the last 24 hours, in stroops of dollars.
    pub volume: i128,
    /// Seconds since the last clean trade.
    pub age_s: i64,
}

/// Prices of all assets that have one.
pub(super) fn prices(
    snapshot: &MarketSnapshot,
    native: Option<AssetId>,
    anchors: &[AssetId],
    xlm: Option<&XlmPrice>,
) -> BTreeMap<AssetId, UsdPrice> {
    let mut prices = BTreeMap::new();
    // An anchor that has lost the dollar has a price like any other asset, and no other asset has one through it.
    let has_dollar = |anchor: &&AssetId| xlm.is_none_or(|xlm| !xlm.depegged.contains(anchor));
    let anchors: Vec<AssetId> = anchors.iter().filter(has_dollar).copied().collect();
    for anchor in &anchors {
        prices.insert(*anchor, UsdPrice::of_anchor());
    }
    let xlm = native.zip(xlm);
    if let Some((native, xlm)) = xlm {
        let of_xlm = UsdPrice {
            rate: xlm.rate,
            method: Method::XlmMedian,
            legs: Vec::new(),
            confidence: confidence(xlm.volume, xlm.age_s),
        };
        prices.insert(native, of_xlm);
    }
    let others = snapshot.directory().names().iter().map(|(id, _)| id);
    for asset in others.filter(|id| Some(*id) != native && !anchors.contains(id)) {
        if let Some(price) = direct(snapshot, asset, &anchors).or_else(|| through_xlm(snapshot, asset, xlm?))
        {
            prices.insert(asset, price);
        }
    }
    prices
}

/// Price by the most liquid market against an anchor.
fn direct(snapshot: &MarketSnapshot, asset: AssetId, anchors: &[AssetId]) -> Option<UsdPrice> {
    let is_other_issuer = |anchor: &&AssetId| !has_same_issuer(snapshot, asset, **anchor);
    let legs =
        anchors.iter().filter(is_other_issuer).filter_map(|anchor| leg(snapshot, asset, *anchor, None));
    // Of equal volumes the first anchor's, as in prices of the past: ids of markets differ between databases.
    let best = legs.reduce(|best, leg| if leg.volume > best.volume { leg } else { best })?;
    Some(UsdPrice {
        rate: best.rate,
        method: Method::Direct,
        confidence: confidence(best.volume, best.age_s),
        legs: vec![best],
    })
}

fn through_xlm(
    snapshot: &MarketSnapshot,
    asset: AssetId,
    (native, xlm): (AssetId, &XlmPrice),
) -> Option<UsdPrice> {
    let leg = leg(snapshot, asset, native, Some(xlm.rate))?;
    Some(UsdPrice {
        rate: leg.rate.times(xlm.rate)?,
        method: Method::ThroughXlm,
        confidence: confidence(leg.volume, leg.age_s).min(confidence(xlm.volume, xlm.age_s)),
        legs: vec![leg],
    })
}

/// The market as a leg, or `None` if it is not liquid enough. `dollars` is the price of `to`, `None` for an anchor.
fn leg(snapshot: &MarketSnapshot, from: AssetId, to: AssetId, dollars: Option<Rate>) -> Option<Leg> {
    let (market, is_flipped) = market_of(snapshot, from, to)?;
    let windows = snapshot.windows();
    let day = QuotedStats::of(&windows.stats(market, Span::Day), is_flipped);
    if day.clean_count == 0 {
        return None;
    }
    let volume = dollars.map_or(day.clean_quote_volume, |rate| rate.worth(day.clean_quote_volume));
    if volume < FLOOR {
        return None;
    }
    let as_of = snapshot.as_of();
    let this_hour = as_of.0 - as_of.0.rem_euclid(HOUR);
    // The newest UTC hour with a clean trade, not older than 24 hours.
    let hours = (0..=DAY / HOUR).map(|back| this_hour - back * HOUR);
    let (edge, stats) = hours.into_iter().find_map(|begins| {
        let edge = UnixSeconds(begins - 1).max(as_of.minus(DAY));
        let stats = QuotedStats::of(&windows.since(market, edge), is_flipped);
        (stats.clean_count > 0).then_some((edge, stats))
    })?;
    let (quote, base) = stats.vwap?;
    let clean = windows.trades_since(market, edge).filter(|trade| trade.is_clean());
    let last_at = clean.map(|trade| trade.closed_at).max()?;
    Some(Leg { market, rate: Rate::new(quote, base)?, volume, age_s: age(as_of, last_at) })
}

fn has_same_issuer(snapshot: &MarketSnapshot, one: AssetId, other: AssetId) -> bool {
    let names = snapshot.directory().names();
    names.asset(one).zip(names.asset(other)).is_some_and(|(one, other)| has_one_issuer(one, other))
}

pub(super) fn confidence(volume: i128, age_s: i64) -> Confidence {
    if volume >= HIGH_VOLUME && age_s <= HOUR {
        Confidence::High
    } else if volume >= MEDIUM_VOLUME && age_s <= 6 * HOUR {
        Confidence::Medium
    } else {
        Confidence::Low
    }
}
