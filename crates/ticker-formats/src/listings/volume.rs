//! Volume of past windows, by the hour or day: what dashboards sum up.

use std::collections::BTreeMap;

use serde::Serialize;
use ticker_domain::{
    asset::Asset,
    candles::{Buckets, Interval},
    decimal,
    instant::UnixSeconds,
    quoted::QuotedStats,
    trade_stats::TradeStats,
    usd::Rate,
};

use super::{asset::AssetView, market::MarketView, own::to_bytes, view::ListingView};

/// Window of interest: trades that closed from `from` on and before `to`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First second.
    pub from: UnixSeconds,
    /// End, exclusive.
    pub to: UnixSeconds,
    /// Length of a bucket.
    pub interval: Interval,
}

#[derive(Serialize)]
struct Volume {
    as_of: String,
    seq: i64,
    market: Option<String>,
    asset: Option<String>,
    interval: &'static str,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    time: String,
    quote_volume: Option<String>,
    usd_volume: Option<String>,
    book_volume: String,
    pool_volume: String,
    trade_count: u64,
    complete: bool,
}

/// Sums of a bucket, in stroops.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Volume in the quote of the market, or of the asset itself.
    volume: i128,
    /// The part of it with liquidity pools.
    pool: i128,
    /// In dollars. `None` if some part has no honest price.
    usd: Option<i128>,
    trade_count: u64,
}

type SumsByStart = BTreeMap<UnixSeconds, Sums>;

/// `/api/v1/volume?market=`: volumes in the quote.
#[must_use]
pub fn of_market(market: &MarketView<'_>, window: Window) -> Vec<u8> {
    let rates = Rates::of(market.view(), window);
    let buckets = filled(market, window).into_iter().map(|(start, stats)| {
        let quoted = QuotedStats::of(&stats, market.is_flipped());
        let (volume, pool) = (quoted.quote_volume, quoted.pool_quote_volume);
        let usd = rates.of_quote(market, start).map(|rate| rate.worth(volume));
        (start, Sums { volume, pool, usd, trade_count: stats.trade_count })
    });
    document(market.view(), window, Some(market.name()), None, buckets.collect())
}

/// `/api/v1/volume?asset=`: volumes in the asset, over all of its markets.
#[must_use]
pub fn of_asset(asset: &AssetView<'_>, view: &ListingView, window: Window) -> Vec<u8> {
    let rates = Rates::of(view, window);
    let mut sums = SumsByStart::new();
    for market in view.markets_of(asset) {
        let is_base = market.base().id() == asset.id();
        for (start, stats) in filled(&market, window) {
            let quoted = QuotedStats::of(&stats, market.is_flipped());
            let (volume, pool) = if is_base {
                (quoted.base_volume, quoted.pool_volume)
            } else {
                (quoted.quote_volume, quoted.pool_quote_volume)
            };
            let usd = rates.of_quote(&market, start).map(|rate| rate.worth(quoted.quote_volume));
            sums.entry(start)
                .and_modify(|sums| sums.add(volume, pool, usd, stats.trade_count))
                .or_insert(Sums { volume, pool, usd, trade_count: stats.trade_count });
        }
    }
    document(view, window, None, Some(asset.name()), sums)
}

impl Sums {
    fn add(&mut self, volume: i128, pool: i128, usd: Option<i128>, trade_count: u64) {
        self.volume = self.volume.saturating_add(volume);
        self.pool = self.pool.saturating_add(pool);
        self.usd = self.usd.zip(usd).map(|(sum, usd)| sum.saturating_add(usd));
        self.trade_count = self.trade_count.saturating_add(trade_count);
    }
}

fn filled(market: &MarketView<'_>, window: Window) -> BTreeMap<UnixSeconds, TradeStats> {
    let trades = market.raw_trades_since(window.from.minus(1));
    let within = trades.filter(|trade| (window.from..window.to).contains(&trade.closed_at));
    window.interval.buckets().fill(within)
}

fn document(
    view: &ListingView,
    window: Window,
    market: Option<String>,
    asset: Option<String>,
    sums: SumsByStart,
) -> Vec<u8> {
    let buckets: Buckets = window.interval.buckets();
    let bucket = |(start, sums): (UnixSeconds, Sums)| Bucket {
        time: start.to_rfc3339(),
        quote_volume: market.is_some().then(|| decimal::amount(sums.volume)),
        usd_volume: sums.usd.map(decimal::amount),
        book_volume: decimal::amount(sums.volume.saturating_sub(sums.pool)),
        pool_volume: decimal::amount(sums.pool),
        trade_count: sums.trade_count,
        complete: buckets.is_complete(start, view.coverage()),
    };
    let buckets = sums.into_iter().map(bucket).collect();
    let interval = window.interval.name();
    to_bytes(&Volume {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        market: market.clone(),
        asset,
        interval,
        buckets,
    })
}

/// Dollars per XLM in each bucket: the clean volume-weighted price of XLM against all anchors.
struct Rates<'a> {
    anchors: &'a [Asset],
    xlm: BTreeMap<UnixSeconds, Rate>,
}

impl<'a> Rates<'a> {
    fn of(view: &'a ListingView, window: Window) -> Self {
        let anchors = view.anchors();
        let mut sums: BTreeMap<UnixSeconds, (i128, i128)> = BTreeMap::new();
        for anchor in anchors {
            let Some(market) = view.market_with_xlm(anchor) else { continue };
            for (start, stats) in filled(&market, window) {
                let clean = stats.clean.volume;
                let (xlm, dollars) = if market.is_flipped() {
                    (clean.counter, clean.base)
                } else {
                    (clean.base, clean.counter)
                };
                let (sum_xlm, sum_dollars) = sums.entry(start).or_default();
                *sum_xlm = sum_xlm.saturating_add(xlm);
                *sum_dollars = sum_dollars.saturating_add(dollars);
            }
        }
        let rate = |(start, (xlm, dollars))| Some((start, Rate::new(dollars, xlm)?));
        Self { anchors, xlm: sums.into_iter().filter_map(rate).collect() }
    }

    /// Dollars per unit of a market's quote in a bucket, or `None` if the quote is neither an anchor nor XLM, or XLM did
    /// not trade against an anchor then.
    fn of_quote(&self, market: &MarketView<'_>, start: UnixSeconds) -> Option<Rate> {
        let quote = market.quote().asset();
        match quote {
            quote if self.anchors.contains(quote) => Rate::new(1, 1),
            Asset::Native => self.xlm.get(&start).copied(),
            Asset::Issued { .. } => None,
        }
    }
}
