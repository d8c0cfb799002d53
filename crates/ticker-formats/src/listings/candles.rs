//! Candles of a market.

use std::{
    collections::btree_map,
    io::{self, Write},
};

use serde::Serialize;
use ticker_domain::{
    candles::{Buckets, Interval},
    conversions::SaturatingFrom,
    decimal,
    instant::UnixSeconds,
    price::Price,
    quoted::QuotedStats,
};

use super::{
    history::{MarketHistory, oldest_held},
    one_by_one::Each,
    own::write_json,
    value,
};

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

impl CandleQuery {
    /// Start of the last bucket.
    fn last(&self, as_of: UnixSeconds) -> UnixSeconds {
        self.interval.buckets().start_of(self.to.min(as_of))
    }
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
    let last = query.last(view.as_of());
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

/// The same question about a later time, if memory holds as many buckets as the answer may have. Then it has no older
/// ones.
#[must_use]
pub fn within_memory(history: &MarketHistory<'_>, query: CandleQuery) -> Option<CandleQuery> {
    let (view, buckets) = (history.view(), query.interval.buckets());
    let (held, last) = (buckets.next_start(oldest_held(view)), query.last(view.as_of()));
    if query.fill {
        let others = i64::saturating_from(query.limit.saturating_sub(1));
        let from = last.minus(others.saturating_mul(buckets.seconds));
        if from < held {
            return None;
        }
        // The price that the first bucket repeats must be in memory as well.
        let priced = history.last_priced(buckets.stored(), from.plus(buckets.seconds))?;
        let known_from = Some(buckets.start_of(priced)).filter(|start| *start >= held)?;
        return Some(CandleQuery { from, known_from: Some(known_from), ..query });
    }
    let filled = history.quoted(buckets, held, last.plus(buckets.seconds));
    let from = *filled.keys().nth(filled.len().checked_sub(query.limit)?)?;
    Some(CandleQuery { from, ..query })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        asset::Asset,
        directory::Directory,
        instant::{DAY, HOUR},
        market::{Market, QUOTE_ASSETS},
        market_snapshot::MarketSnapshot,
        test_support::trade,
        trade_stats::TradeStats,
        windows::Windows,
    };

    use super::*;
    use crate::listings::{ListingView, history::StoredPart};

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// A trade every seven hours of 14 days. Only every third has a price.
    fn history() -> (ListingView, StoredPart) {
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, QUOTE_ASSETS[0].parse().unwrap())]);
        directory.add_markets([(1, 1, 2)]);
        let mut stored = StoredPart::default();
        for number in 0..48_i64 {
            let closed_at = NOW.minus(14 * DAY - number * 7 * HOUR);
            let price = if number % 3 == 1 { (1 + number, 100) } else { (0, 0) };
            let of = trade(1_000 + number, 0, closed_at.0, (10_000 + number, 10_000), price);
            windows.add(1, of);
            stored.candles.push((Interval::Hour.buckets().start_of(closed_at), TradeStats::of(&of)));
        }
        windows.advance(NOW);
        let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
        (ListingView::new(7, snapshot, "Test".into(), &[], &Arc::default()), stored)
    }

    #[test]
    fn memory_alone_gives_the_same_answer() {
        let (view, stored) = history();
        let market = Market::of(Asset::Native, QUOTE_ASSETS[0].parse().unwrap()).unwrap().0;
        let (nothing, mut in_memory) = (StoredPart::default(), 0);
        let (memory, all) =
            (MarketHistory::new(&view, market, &nothing), MarketHistory::new(&view, market, &stored));
        let written = |history: &MarketHistory<'_>, query: CandleQuery| {
            let mut out = Vec::new();
            candles(history, query, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (fill, to, limit) in [false, true].into_iter().flat_map(|fill| {
            let ends = [NOW, NOW.minus(30 * HOUR), NOW.minus(5 * DAY), NOW.minus(8 * DAY)];
            ends.into_iter().flat_map(move |to| (1..190).map(move |limit| (fill, to, limit)))
        }) {
            let from = Interval::Hour.buckets().start_of(NOW.minus(13 * DAY));
            let priced = stored.candles.iter().rfind(|(start, of)| *start < from && of.prices.is_some());
            let known_from = if fill { priced.map(|(start, _)| *start) } else { None };
            let query = CandleQuery { interval: Interval::Hour, from, known_from: None, to, limit, fill };
            let Some(later) = within_memory(&memory, query) else { continue };
            let whole = written(&all, CandleQuery { known_from, ..query });
            assert_eq!(written(&memory, later), whole, "{later:?}");
            assert_eq!(whole.matches("\"time\"").count(), limit);
            in_memory += 1;
        }
        assert!((300..800).contains(&in_memory), "{in_memory}");
    }
}
