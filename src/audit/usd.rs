//! Self-audit of prices in dollars: those of a publication, compared with prices out of the raw trades of the 24
//! hours before it.
//!
//! The minutes are summed here, without the windows. They become prices by the rules for past moments.

use std::collections::{BTreeMap, BTreeSet};

use super::{Comparison, parts::is_dust, sums::RawTrade};
use crate::domain::{
    asset::Asset,
    candles::Stored,
    directory::{AssetId, Directory},
    instant::UnixSeconds,
    market::Market,
    market_snapshot::MarketSnapshot,
    trade_stats::TradeStats,
    usd::{PastMarket, PastMarkets, PastPrice, Rate, UsdPrice, UsdPrices},
    windows::MarketId,
};

/// Compared figures of a price, as in the market API.
const FIELDS: [&str; 4] = ["usd", "method", "confidence", "legs"];

/// Sums of the clean trades of some markets, by minute. The trades are those of the 24 hours before a publication.
#[derive(Clone, Debug, Default)]
pub struct CleanMinutes(BTreeMap<MarketId, BTreeMap<UnixSeconds, TradeStats>>);

impl CleanMinutes {
    /// Adds a row. Ignores dust and trades without a price: they set no price in dollars.
    pub fn add(&mut self, market: MarketId, trade: &RawTrade) {
        let [base, counter] = [trade.base_amount, trade.counter_amount].map(i128::from);
        if trade.price().is_none() || is_dust([base, counter]) {
            return;
        }
        let minute = Stored::Minute.buckets().start_of(trade.closed_at);
        let sums = self.0.entry(market).or_default().entry(minute).or_default();
        sums.clean.trade_count = sums.clean.trade_count.saturating_add(1);
        sums.clean.volume.base = sums.clean.volume.base.saturating_add(base);
        sums.clean.volume.counter = sums.clean.volume.counter.saturating_add(counter);
        let (first, last) = sums.times.unwrap_or((trade.closed_at, trade.closed_at));
        sums.times = Some((first.min(trade.closed_at), last.max(trade.closed_at)));
    }
}

/// Assets whose prices a pass compares: XLM, one asset for each way through a market, and one without a price that was
/// traded within 24 hours against an anchor or XLM. `turn` says which one, so that all of them have their turn.
#[must_use]
pub fn choose(snapshot: &MarketSnapshot, prices: &UsdPrices, anchors: &[Asset], turn: usize) -> Vec<Asset> {
    let (directory, windows) = (snapshot.directory(), snapshot.windows());
    let dollars = dollars(directory, anchors);
    let was_traded = |asset: AssetId| {
        let mut markets = dollars.iter().filter_map(|dollar| directory.market_between(asset, *dollar));
        markets.any(|market| windows.figures_of(market).is_some_and(|figures| figures.day.trade_count > 0))
    };
    let mut by_way: BTreeMap<&str, Vec<Asset>> = BTreeMap::new();
    for (id, asset) in directory.names().iter().filter(|(_, asset)| **asset != Asset::Native) {
        let way = match prices.price(id) {
            Some(price) if price.legs.is_empty() => continue, // an anchor
            Some(price) => price.method.name(),
            None if was_traded(id) => "none",
            None => continue,
        };
        by_way.entry(way).or_default().push(*asset);
    }
    let of_turn = |mut assets: Vec<Asset>| {
        assets.sort_unstable();
        assets.get(turn.checked_rem(assets.len())?).copied()
    };
    std::iter::once(Asset::Native).chain(by_way.into_values().filter_map(of_turn)).collect()
}

/// Markets that the prices of these assets and of XLM may come from.
#[must_use]
pub fn markets_of(directory: &Directory, anchors: &[Asset], assets: &[Asset]) -> Vec<MarketId> {
    let dollars = dollars(directory, anchors);
    let priced = assets.iter().chain([&Asset::Native]).filter_map(|asset| directory.names().id_of(asset));
    let between = |asset: AssetId| {
        let others = dollars.iter().filter(move |other| **other != asset);
        others.filter_map(move |other| directory.market_between(asset, *other))
    };
    let markets: BTreeSet<MarketId> = priced.flat_map(between).collect();
    markets.into_iter().collect()
}

/// Anchors and XLM, whose markets may set the price of another asset.
fn dollars(directory: &Directory, anchors: &[Asset]) -> Vec<AssetId> {
    let names = directory.names();
    anchors.iter().chain([&Asset::Native]).filter_map(|asset| names.id_of(asset)).collect()
}

/// Compares the prices of some assets with those of the rows. `prices` and `minutes` must be as of the snapshot.
#[must_use]
pub fn compare(
    snapshot: &MarketSnapshot,
    prices: &UsdPrices,
    anchors: &[Asset],
    assets: &[Asset],
    minutes: &CleanMinutes,
) -> Comparison {
    let directory = snapshot.directory();
    let markets = minutes.0.iter().filter_map(|(market, candles)| {
        Some(PastMarket { market: market_named(directory, *market)?, candles: candles.clone() })
    });
    let markets: Vec<PastMarket> = markets.collect();
    let past = PastMarkets { as_of: snapshot.as_of(), stored: Stored::Minute, anchors, markets: &markets };
    let mut comparison = Comparison::default();
    let none = || vec!["none".to_owned(); FIELDS.len()];
    for asset in assets {
        let held = directory.names().id_of(asset).and_then(|id| prices.price(id)).map_or_else(none, of_view);
        let (expected, _) = past.price(asset);
        let expected = expected.as_ref().map_or_else(none, of_rows);
        for (field, (held, expected)) in FIELDS.iter().zip(held.iter().zip(&expected)) {
            comparison.record(held == expected, &asset.name(), field, held, expected);
        }
    }
    comparison
}

/// Identity of a market, in the orientation of its rows.
fn market_named(directory: &Directory, market: MarketId) -> Option<Market> {
    let (base, counter) = directory.sides(market)?;
    let names = directory.names();
    let (market, is_swapped) = Market::of(*names.asset(base)?, *names.asset(counter)?)?;
    (!is_swapped).then_some(market)
}

/// Figures of a published price, in the order of [`FIELDS`].
fn of_view(price: &UsdPrice) -> Vec<String> {
    let legs: String = price.legs.iter().map(|leg| shown_leg(leg.rate, leg.volume, leg.age_s)).collect();
    vec![shown(price.rate), price.method.name().to_owned(), price.confidence.name().to_owned(), legs]
}

/// The same of a recomputed price.
fn of_rows(price: &PastPrice) -> Vec<String> {
    let legs: String = price.legs.iter().map(|leg| shown_leg(leg.rate, leg.volume, leg.age_s)).collect();
    vec![shown(price.usd), price.method.to_owned(), price.confidence.name().to_owned(), legs]
}

fn shown(rate: Rate) -> String {
    format!("{}/{}", rate.n, rate.d)
}

fn shown_leg(rate: Rate, volume: i128, age_s: i64) -> String {
    format!("vwap {} volume {volume} age {age_s}", shown(rate))
}

#[cfg(test)]
mod tests;
