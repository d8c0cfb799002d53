//! TradingView's UDF: the protocol by which its charts read candles.

use std::ops::RangeInclusive;

use serde::Serialize;
use ticker_domain::{
    asset::Asset, candles::Interval, identity::SpelledAsset, instant::UnixSeconds, quoted::QuotedStats,
};

use super::{
    asset::AssetView,
    history::MarketHistory,
    market::{MarketView, price_places},
    own::to_bytes,
    value::{self, Number},
    view::ListingView,
};

/// Resolutions of the protocol, and the intervals that they mean.
pub const RESOLUTIONS: [(&str, Interval); 7] = [
    ("1", Interval::Minute),
    ("5", Interval::FiveMinutes),
    ("15", Interval::Quarter),
    ("60", Interval::Hour),
    ("240", Interval::FourHours),
    ("1D", Interval::Day),
    ("1W", Interval::Week),
];

/// Decimal places of a symbol's prices.
const SCALE_PLACES: RangeInclusive<u32> = 2..=12;

#[derive(Serialize)]
struct Config {
    supported_resolutions: Vec<&'static str>,
    supports_search: bool,
    supports_group_request: bool,
    supports_marks: bool,
    supports_timescale_marks: bool,
    supports_time: bool,
}

#[derive(Serialize)]
struct Symbol {
    name: String,
    ticker: String,
    description: String,
    #[serde(rename = "type")]
    kind: &'static str,
    session: &'static str,
    timezone: &'static str,
    exchange: &'static str,
    listed_exchange: &'static str,
    minmov: u32,
    pricescale: u64,
    has_intraday: bool,
    has_weekly_and_monthly: bool,
    supported_resolutions: Vec<&'static str>,
    volume_precision: u32,
    data_status: &'static str,
}

#[derive(Serialize)]
struct Found {
    symbol: String,
    full_name: String,
    description: String,
    exchange: &'static str,
    ticker: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Names of a market for people.
struct Names {
    /// Codes of base and quote.
    short: String,
    id: String,
    description: String,
}

#[derive(Serialize)]
struct History {
    s: &'static str,
    t: Vec<i64>,
    o: Vec<Number>,
    h: Vec<Number>,
    l: Vec<Number>,
    c: Vec<Number>,
    v: Vec<Number>,
}

#[derive(Serialize)]
struct NoData {
    s: &'static str,
    #[serde(rename = "nextTime", skip_serializing_if = "Option::is_none")]
    next_time: Option<i64>,
}

/// Most bars of an answer. Without `countback` they are the newest ones of the time.
pub const BARS_MAX: usize = 20_000;

/// Question for history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// Length of a bar.
    pub interval: Interval,
    /// Start of the first bar that is held.
    pub held: UnixSeconds,
    /// First second, inclusive.
    pub from: UnixSeconds,
    /// Last second, exclusive.
    pub to: UnixSeconds,
    /// Number of bars that end before `to`. It wins over `from`.
    pub countback: Option<usize>,
}

/// `/udf/config`
#[must_use]
pub fn config() -> Vec<u8> {
    to_bytes(&Config {
        supported_resolutions: resolutions(),
        supports_search: true,
        supports_group_request: false,
        supports_marks: false,
        supports_timescale_marks: false,
        supports_time: true,
    })
}

fn resolutions() -> Vec<&'static str> {
    RESOLUTIONS.iter().map(|(name, _)| *name).collect()
}

/// `/udf/symbols`: one market.
#[must_use]
pub fn symbol(history: &MarketHistory<'_>) -> Vec<u8> {
    let names = Names::of(history);
    to_bytes(&Symbol {
        name: names.short,
        ticker: names.id,
        description: names.description,
        kind: "crypto",
        session: "24x7",
        timezone: "Etc/UTC",
        exchange: "Stellar",
        listed_exchange: "Stellar",
        minmov: 1,
        pricescale: 10_u64.saturating_pow(price_places(history.last(), SCALE_PLACES)),
        has_intraday: true,
        has_weekly_and_monthly: true,
        supported_resolutions: resolutions(),
        volume_precision: 7,
        data_status: "streaming",
    })
}

/// `/udf/search`: markets with a trade in the last 7 days whose names or home domains hold the text, in any case, the
/// most traded first.
#[must_use]
pub fn search(view: &ListingView, query: &str, limit: usize) -> Vec<u8> {
    let wanted = query.to_lowercase();
    let matching = |market: MarketView<'_>| {
        let names = Names::of_market(&market);
        let text = format!("{} {} {}", names.short, names.id, names.description);
        text.to_lowercase().contains(&wanted).then(|| (market.day_volume_usd(), names))
    };
    let mut found: Vec<(Option<i128>, Names)> = view.markets().into_iter().filter_map(matching).collect();
    found.sort_by_key(|(volume, _)| std::cmp::Reverse(*volume));
    to_bytes(&found.into_iter().take(limit).map(|(_, names)| names.found()).collect::<Vec<_>>())
}

/// `/udf/search` for the id of this market.
#[must_use]
pub fn found_by_id(history: &MarketHistory<'_>) -> Vec<u8> {
    to_bytes(&[Names::of(history).found()])
}

/// `/udf/history`: bars with clean prices, the oldest first.
#[must_use]
pub fn history(history: &MarketHistory<'_>, query: HistoryQuery) -> Vec<u8> {
    let bars: Vec<(UnixSeconds, QuotedStats)> = bars(history, query);
    let newest = |count: usize| bars.len().saturating_sub(count);
    let skipped = match query.countback {
        Some(count) => newest(count),
        None => bars.partition_point(|(at, _)| *at < query.from).max(newest(BARS_MAX)),
    };
    let (earlier, wanted) = bars.split_at(skipped.min(bars.len()));
    if wanted.is_empty() {
        return to_bytes(&NoData { s: "no_data", next_time: earlier.last().map(|(at, _)| at.0) });
    }
    let mut history = History {
        s: "ok",
        t: Vec::new(),
        o: Vec::new(),
        h: Vec::new(),
        l: Vec::new(),
        c: Vec::new(),
        v: Vec::new(),
    };
    for (at, stats) in wanted {
        let Some(prices) = stats.prices else { continue };
        history.t.push(at.0);
        history.o.push(Number::or_zero(value::price(Some(prices.open))));
        history.h.push(Number::or_zero(value::price(Some(prices.high))));
        history.l.push(Number::or_zero(value::price(Some(prices.low))));
        history.c.push(Number::or_zero(value::price(Some(prices.close))));
        history.v.push(Number(ticker_domain::decimal::amount(stats.base_volume)));
    }
    to_bytes(&history)
}

/// Number of bars before the end of the question. Those beyond `countback` may not be counted.
#[must_use]
pub fn count(history: &MarketHistory<'_>, query: HistoryQuery) -> usize {
    bars(history, query).len()
}

/// Bars that begin before the end of the question. With `countback`, at least as many of the newest.
fn bars(history: &MarketHistory<'_>, query: HistoryQuery) -> Vec<(UnixSeconds, QuotedStats)> {
    let buckets = query.interval.buckets();
    // The bar that holds the last second is whole.
    let end = buckets.next_start(query.to);
    let mut bars = match query.countback {
        Some(count) => history.newest(buckets, query.held..end, count, |stats| stats.prices.is_some()),
        None => history.quoted(buckets, query.held, end),
    };
    bars.retain(|(at, stats)| *at < query.to && stats.prices.is_some());
    bars
}

impl Names {
    fn of(history: &MarketHistory<'_>) -> Self {
        let (base, quote) = history.sides();
        let known = |asset: &Asset| history.view().find(&SpelledAsset::Classic(*asset));
        Self {
            short: short_name(base, quote),
            id: history.name(),
            description: format!(
                "{} / {}",
                described(base, known(base).as_ref()),
                described(quote, known(quote).as_ref())
            ),
        }
    }

    fn of_market(market: &MarketView<'_>) -> Self {
        let (base, quote) = (market.base(), market.quote());
        Self {
            short: short_name(base.asset(), quote.asset()),
            id: market.name(),
            description: format!(
                "{} / {}",
                described(base.asset(), Some(base)),
                described(quote.asset(), Some(quote))
            ),
        }
    }

    fn found(self) -> Found {
        Found {
            symbol: self.short,
            full_name: self.id.clone(),
            description: self.description,
            exchange: "Stellar",
            ticker: self.id,
            kind: "crypto",
        }
    }
}

fn short_name(base: &Asset, quote: &Asset) -> String {
    format!("{}/{}", base.code(), quote.code())
}

/// Code with the home domain that confirms the asset, or else the full name.
fn described(asset: &Asset, known: Option<&AssetView<'_>>) -> String {
    match known.and_then(AssetView::confirmed_domain) {
        Some(domain) => format!("{} ({domain})", asset.code()),
        None => asset.name(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        asset::Asset,
        directory::Directory,
        instant::{DAY, MINUTE},
        market::{Market, QUOTE_ASSETS},
        market_snapshot::MarketSnapshot,
        test_support::{MERGES, trade},
        trade_stats::TradeStats,
        windows::Windows,
    };

    use super::*;
    use crate::listings::history::StoredPart;

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// Times of the bars, of a trade each minute of the last 20 days, and the merges that they cost.
    fn times(countback: Option<usize>, from: UnixSeconds) -> (Vec<i64>, u64) {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, usdc)]);
        directory.add_markets([(1, 1, 2)]);
        let (minute, mut stored) = (Interval::Minute.buckets(), StoredPart::default());
        for ago in (0..20 * DAY / MINUTE).rev() {
            let of = trade(100_000 - ago, 0, NOW.0 - ago * MINUTE, (10_000, 10_000), (1, 1));
            windows.add(1, of);
            stored.candles.push((minute.start_of(of.closed_at), TradeStats::of(&of)));
        }
        windows.advance(NOW);
        let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
        let view = ListingView::new(7, snapshot, "Test".into(), &[], &Arc::default());
        let market = Market::of(Asset::Native, usdc).unwrap().0;
        let held = minute.next_start(NOW.minus(30 * DAY));
        let query =
            HistoryQuery { interval: Interval::Minute, held, from, to: UnixSeconds(i64::MAX), countback };
        let market = MarketHistory::new(&view, market, &stored);
        let before = MERGES.get();
        let answer = history(&market, query);
        let merges = MERGES.get() - before;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        (answer["t"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap()).collect(), merges)
    }

    #[test]
    fn an_answer_has_the_newest_bars_up_to_the_limit() {
        let last = Interval::Minute.buckets().start_of(NOW).0;
        for (countback, from, count, merges_max) in [
            (None, UnixSeconds(0), BARS_MAX, u64::MAX),
            (None, NOW.minus(2 * DAY), 2_880, u64::MAX),
            // The trades of earlier bars are not summed.
            (Some(3), UnixSeconds(0), 3, 20),
        ] {
            let (times, merges) = times(countback, from);
            assert!(merges <= merges_max, "{merges} merges, {countback:?}");
            assert_eq!((times.len(), times.last()), (count, Some(&last)), "{countback:?} {from:?}");
        }
    }
}
