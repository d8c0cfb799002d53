//! Horizon's `/trade_aggregations`: its records. Prices and volumes are raw.
//!
//! Source: Horizon's `trade_aggregations` resource. Horizon also leaves out trades whose rounding cost more than 10 %,
//! which cannot be known here.

use serde::Serialize;
use ticker_domain::{
    asset::Asset, candles::Buckets, decimal, instant::UnixSeconds, price::Price, quoted::QuotedStats,
};

use super::{history::MarketHistory, own::to_bytes};

/// Milliseconds in a second.
const MILLIS: i64 = 1_000;

/// Question of a reader of Horizon. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct AggregationQuery {
    /// Buckets of the answer.
    pub buckets: Buckets,
    /// First time, inclusive. Rounded up to the start of a bucket.
    pub start_time: Option<i64>,
    /// Last time, exclusive. Rounded down to the start of a bucket.
    pub end_time: Option<i64>,
    /// Most records.
    pub limit: usize,
    /// The newest first.
    pub descending: bool,
    /// Address of the request, without `start_time` and `end_time`.
    pub address: String,
}

#[derive(Serialize)]
struct Page {
    #[serde(rename = "_links")]
    links: Links,
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    own: Link,
    next: Link,
    prev: Link,
}

#[derive(Serialize)]
struct Link {
    href: String,
}

#[derive(Serialize)]
struct Embedded {
    records: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    timestamp: String,
    trade_count: String,
    base_volume: String,
    counter_volume: String,
    avg: String,
    high: String,
    high_r: PriceRatio,
    low: String,
    low_r: PriceRatio,
    open: String,
    open_r: PriceRatio,
    close: String,
    close_r: PriceRatio,
}

#[derive(Serialize)]
struct PriceRatio {
    n: String,
    d: String,
}

impl AggregationQuery {
    /// First start of a bucket of the answer, or `None` if the reader wants all.
    #[must_use]
    pub fn first(&self) -> Option<UnixSeconds> {
        self.start_time.map(|millis| self.buckets.next_start(seconds_up(millis)))
    }

    /// End of the starts of buckets, exclusive.
    #[must_use]
    pub fn end(&self) -> UnixSeconds {
        let end = |millis: i64| self.buckets.start_of(UnixSeconds(millis.div_euclid(MILLIS)));
        self.end_time.map_or(UnixSeconds(i64::MAX), end)
    }
}

/// The answer for a market, with `base` as the base. `from` is the first start of a bucket.
#[must_use]
pub fn trade_aggregations(
    history: &MarketHistory<'_>,
    base: &Asset,
    from: UnixSeconds,
    query: &AggregationQuery,
) -> Vec<u8> {
    let is_flipped = history.is_counter(base);
    let filled = history.between(query.buckets, query.buckets.stored(), from, query.end());
    let records = filled.into_iter().filter_map(|(at, stats)| {
        let stats = QuotedStats::of(&stats, is_flipped);
        record(at, &stats).map(|record| (at, record))
    });
    page(records.collect(), query)
}

/// Number of records between `from` and the end of the question, whatever its limit is.
#[must_use]
pub fn count(history: &MarketHistory<'_>, from: UnixSeconds, query: &AggregationQuery) -> usize {
    let filled = history.between(query.buckets, query.buckets.stored(), from, query.end());
    filled.values().filter(|stats| stats.prices.is_some()).count()
}

/// The answer for assets that never met: no records.
#[must_use]
pub fn none(query: &AggregationQuery) -> Vec<u8> {
    page(Vec::new(), query)
}

fn page(mut records: Vec<(UnixSeconds, Record)>, query: &AggregationQuery) -> Vec<u8> {
    if query.descending {
        records.reverse();
    }
    records.truncate(query.limit);
    let next = match records.last() {
        Some((last, _)) if query.descending => (query.start_time, Some(last.0 * MILLIS)),
        Some((last, _)) => (Some((last.0 + query.buckets.seconds) * MILLIS), query.end_time),
        None => (query.start_time, query.end_time),
    };
    let link = |(start, end): (Option<i64>, Option<i64>)| {
        let time =
            |name: &str, time: Option<i64>| time.map(|time| format!("&{name}={time}")).unwrap_or_default();
        Link { href: format!("{}{}{}", query.address, time("start_time", start), time("end_time", end)) }
    };
    to_bytes(&Page {
        links: Links {
            own: link((query.start_time, query.end_time)),
            next: link(next),
            prev: Link { href: String::new() },
        },
        embedded: Embedded { records: records.into_iter().map(|(_, record)| record).collect() },
    })
}

fn seconds_up(millis: i64) -> UnixSeconds {
    UnixSeconds(millis.saturating_add(MILLIS - 1).div_euclid(MILLIS))
}

/// Record of a bucket, or `None` if no trade of it has a price.
fn record(at: UnixSeconds, stats: &QuotedStats) -> Option<Record> {
    let prices = stats.raw_prices?;
    let ratio = |price: Price| PriceRatio { n: price.n().to_string(), d: price.d().to_string() };
    Some(Record {
        timestamp: at.0.saturating_mul(MILLIS).to_string(),
        trade_count: stats.trade_count.to_string(),
        base_volume: decimal::amount(stats.base_volume),
        counter_volume: decimal::amount(stats.quote_volume),
        avg: seven_places(stats.quote_volume, stats.base_volume),
        high: of_price(prices.high),
        high_r: ratio(prices.high),
        low: of_price(prices.low),
        low_r: ratio(prices.low),
        open: of_price(prices.open),
        open_r: ratio(prices.open),
        close: of_price(prices.close),
        close_r: ratio(prices.close),
    })
}

fn of_price(price: Price) -> String {
    seven_places(price.n().into(), price.d().into())
}

/// Quotient with seven places, rounded half up, as Horizon prints prices.
fn seven_places(n: i128, d: i128) -> String {
    const UNIT: i128 = 10_000_000;
    let rounded =
        n.checked_mul(2 * UNIT).and_then(|n| n.checked_add(d)).and_then(|n| n.checked_div(d.checked_mul(2)?));
    decimal::amount(rounded.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_seven_places() {
        for (n, d, text) in
            [(1, 3, "0.3333333"), (2, 3, "0.6666667"), (7, 1, "7.0000000"), (1, 0, "0.0000000")]
        {
            assert_eq!(seven_places(n, d), text);
        }
        assert_eq!(seconds_up(1), UnixSeconds(1));
        assert_eq!(seconds_up(2_000), UnixSeconds(2));
    }
}
