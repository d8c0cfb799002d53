//! Candles of a market.

use std::{
    collections::btree_map,
    io::{self, Write},
};

use serde::Serialize;
use ticker_domain::{
    candles::{Buckets, Interval},
    decimal,
    instant::UnixSeconds,
    price::Price,
    quoted::QuotedStats,
};

use super::{history::MarketHistory, one_by_one::Each, own::write_json, value};

/// Selection of candles.
#[derive(Clone, Copy, Debug)]
pub struct CandleQuery {
    /// Length of a candle.
    pub interval: Interval,
    /// Start of the first bucket.
    pub from: UnixSeconds,
    /// Start of the last bucket with a price before `from`, if the answer is filled and there is one.
    pub known_from: Option<UnixSeconds>,
    /// Last second of interest.
    pub to: UnixSeconds,
    /// Most candles, the newest ones.
    pub limit: usize,
    /// True to add candles without trades, at the last price before them.
    pub fill: bool,
}

#[derive(Serialize)]
struct Candles<T> {
    as_of: String,
    seq: i64,
    market: String,
    interval: &'static str,
    candles: T,
}

#[derive(Serialize)]
struct Candle {
    time: String,
    open: Option<String>,
    high: Option<String>,
    low: Option<String>,
    close: Option<String>,
    open_raw: Option<String>,
    high_raw: Option<String>,
    low_raw: Option<String>,
    close_raw: Option<String>,
    vwap: Option<String>,
    base_volume: String,
    quote_volume: String,
    buy_volume: String,
    pool_volume: String,
    trade_count: u64,
    complete: bool,
}

/// Writes `/api/v1/markets/{market}/candles`, the oldest first.
///
/// # Errors
///
/// Errors of the writer.
pub fn candles(history: &MarketHistory<'_>, query: CandleQuery, out: &mut dyn Write) -> io::Result<()> {
    let view = history.view();
    let buckets = query.interval.buckets();
    let last = buckets.start_of(query.to.min(view.as_of()));
    let known_from = query.known_from.unwrap_or(query.from);
    let filled = history.quoted(buckets, known_from, last.plus(buckets.seconds));
    let starts: Vec<UnixSeconds> = if query.fill {
        let first = filled.keys().next().map(|first| query.from.max(*first));
        all_starts(buckets, first, last)
    } else {
        filled.keys().copied().collect()
    };
    let wanted = starts.get(starts.len().saturating_sub(query.limit)..).unwrap_or_default();
    let before = wanted.first().and_then(|first| last_close(filled.range(..first)));
    let filled = &filled;
    let complete = &history.complete_times(buckets.stored(), known_from);
    let candles = || {
        let mut previous = before;
        wanted.iter().map(move |start| {
            let stats = filled.get(start).copied().unwrap_or_default();
            let is_complete = buckets.is_complete(*start, complete);
            let candle = candle(*start, &stats, previous, is_complete);
            previous = stats.prices.map(|prices| prices.close).or(previous);
            candle
        })
    };
    let document = Candles {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        market: history.name(),
        interval: query.interval.name(),
        candles: Each(candles),
    };
    write_json(out, &document)
}

fn all_starts(buckets: Buckets, first: Option<UnixSeconds>, last: UnixSeconds) -> Vec<UnixSeconds> {
    let first = first.filter(|first| *first <= last);
    let next = |start: &UnixSeconds| Some(start.plus(buckets.seconds)).filter(|next| *next <= last);
    std::iter::successors(first, next).collect()
}

/// Closing price of the last of these buckets that has one.
fn last_close(filled: btree_map::Range<'_, UnixSeconds, QuotedStats>) -> Option<Price> {
    filled.rev().find_map(|(_, stats)| stats.prices).map(|prices| prices.close)
}

/// One candle. Without trades it stays at the last close before it.
fn candle(start: UnixSeconds, stats: &QuotedStats, previous: Option<Price>, complete: bool) -> Candle {
    let (clean, raw) = (stats.prices, stats.raw_prices);
    let previous = previous.filter(|_| stats.trade_count == 0);
    let clean_price = |price: Option<Price>| value::price(price.or(previous));
    Candle {
        time: start.to_rfc3339(),
        open: clean_price(clean.map(|prices| prices.open)),
        high: clean_price(clean.map(|prices| prices.high)),
        low: clean_price(clean.map(|prices| prices.low)),
        close: clean_price(clean.map(|prices| prices.close)),
        open_raw: value::price(raw.map(|prices| prices.open)),
        high_raw: value::price(raw.map(|prices| prices.high)),
        low_raw: value::price(raw.map(|prices| prices.low)),
        close_raw: value::price(raw.map(|prices| prices.close)),
        vwap: value::ratio(stats.vwap),
        base_volume: decimal::amount(stats.base_volume),
        quote_volume: decimal::amount(stats.quote_volume),
        buy_volume: decimal::amount(stats.buy_volume),
        pool_volume: decimal::amount(stats.pool_volume),
        trade_count: stats.trade_count,
        complete,
    }
}
