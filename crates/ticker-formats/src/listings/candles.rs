//! Candles of a market.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use ticker_domain::{
    candles::{Buckets, Interval},
    conversions::SaturatingFrom,
    decimal,
    instant::UnixSeconds,
    price::Price,
    quoted::{QuotedPrices, QuotedStats},
};

use super::{
    history::{MarketHistory, oldest_held},
    one_by_one::Each,
    own::write_json,
    value::{self, PriceTexts},
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

    /// Start of the first bucket of an answer without gaps that has as many as it may.
    fn first_of_limit(&self, as_of: UnixSeconds) -> UnixSeconds {
        let others = i64::saturating_from(self.limit.saturating_sub(1));
        self.last(as_of).minus(others.saturating_mul(self.interval.buckets().seconds))
    }

    /// Returns true if the answer is filled and `from` is too early for its limit.
    #[must_use]
    pub fn is_cut(&self, as_of: UnixSeconds) -> bool {
        self.fill && self.from < self.first_of_limit(as_of)
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
struct Candle<'a> {
    time: String,
    open: Option<&'a str>,
    high: Option<&'a str>,
    low: Option<&'a str>,
    close: Option<&'a str>,
    open_raw: Option<&'a str>,
    high_raw: Option<&'a str>,
    low_raw: Option<&'a str>,
    close_raw: Option<&'a str>,
    vwap: Option<String>,
    base_volume: String,
    quote_volume: String,
    buy_volume: String,
    pool_volume: String,
    trade_count: u64,
    complete: bool,
}

/// Bucket of an answer, printed as a [`Candle`].
struct Bucket {
    start: UnixSeconds,
    stats: QuotedStats,
    /// Last close before the bucket, which a bucket without trades repeats.
    previous: Option<Price>,
    is_complete: bool,
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
    let (filled, starts) = if query.fill {
        let filled = history.quoted(buckets, known_from, last.plus(buckets.seconds));
        let first = filled.first().map(|(first, _)| query.from.max(*first));
        (filled, all_starts(buckets, first, last))
    } else {
        let end = last.plus(buckets.seconds);
        let filled = history.newest(buckets, query.from..end, query.limit, |_| true);
        let starts = filled.iter().map(|(start, _)| *start).collect();
        (filled, starts)
    };
    let wanted = starts.get(starts.len().saturating_sub(query.limit)..).unwrap_or_default();
    let earlier = wanted.first().map_or(0, |first| filled.partition_point(|(start, _)| start < first));
    let (earlier, own) = filled.split_at(earlier);
    let before = last_close(earlier);
    let complete = &history.complete_times(buckets.stored(), known_from);
    let candles = || {
        let (mut own, mut previous) = (own.iter().peekable(), before);
        wanted.iter().map(move |start| {
            let stats = own.next_if(|(at, _)| at == start).map(|(_, stats)| *stats).unwrap_or_default();
            let is_complete = buckets.is_complete(*start, complete);
            let bucket = Bucket { start: *start, stats, previous, is_complete };
            previous = stats.prices.map(|prices| prices.close).or(previous);
            bucket
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
        let from = query.first_of_limit(view.as_of());
        if from < held.max(query.from) {
            return None;
        }
        // The price that the first bucket repeats must be in memory as well.
        let priced = history.last_priced(buckets.stored(), from.plus(buckets.seconds))?;
        let known_from = Some(buckets.start_of(priced)).filter(|start| *start >= held)?;
        return Some(CandleQuery { from, known_from: Some(known_from), ..query });
    }
    let times = held.max(query.from)..last.plus(buckets.seconds);
    let filled = history.newest(buckets, times, query.limit, |_| true);
    let (from, _) = *filled.get(filled.len().checked_sub(query.limit)?)?;
    Some(CandleQuery { from, ..query })
}

fn all_starts(buckets: Buckets, first: Option<UnixSeconds>, last: UnixSeconds) -> Vec<UnixSeconds> {
    let first = first.filter(|first| *first <= last);
    let next = |start: &UnixSeconds| Some(start.plus(buckets.seconds)).filter(|next| *next <= last);
    std::iter::successors(first, next).collect()
}

/// Closing price of the last of these buckets that has one.
fn last_close(filled: &[(UnixSeconds, QuotedStats)]) -> Option<Price> {
    filled.iter().rev().find_map(|(_, stats)| stats.prices).map(|prices| prices.close)
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (stats, raw) = (&self.stats, self.stats.raw_prices);
        let previous = self.previous.filter(|_| stats.trade_count == 0);
        let clean = stats.prices.or(previous.map(QuotedPrices::flat));
        let clean_texts = PriceTexts::of(clean);
        // Without dust the raw prices are the clean ones.
        let own_raw = (raw != clean).then(|| PriceTexts::of(raw));
        let raw_texts = own_raw.as_ref().unwrap_or(&clean_texts);
        let candle = Candle {
            time: self.start.to_rfc3339(),
            open: clean_texts.open.as_deref(),
            high: clean_texts.high.as_deref(),
            low: clean_texts.low.as_deref(),
            close: clean_texts.close.as_deref(),
            open_raw: raw_texts.open.as_deref(),
            high_raw: raw_texts.high.as_deref(),
            low_raw: raw_texts.low.as_deref(),
            close_raw: raw_texts.close.as_deref(),
            vwap: value::ratio(stats.vwap),
            base_volume: decimal::amount(stats.base_volume),
            quote_volume: decimal::amount(stats.quote_volume),
            buy_volume: decimal::amount(stats.buy_volume),
            pool_volume: decimal::amount(stats.pool_volume),
            trade_count: stats.trade_count,
            complete: self.is_complete,
        };
        candle.serialize(serializer)
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
        test_support::{MERGES, trade},
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
        let nothing = StoredPart::default();
        let (memory, all) =
            (MarketHistory::new(&view, market, &nothing), MarketHistory::new(&view, market, &stored));
        let in_memory = |days: i64, fill: bool, to: UnixSeconds, limit: usize| {
            let from = Interval::Hour.buckets().start_of(NOW.minus(days * DAY));
            let priced = stored.candles.iter().rfind(|(start, of)| *start < from && of.prices.is_some());
            let known_from = if fill { priced.map(|(start, _)| *start) } else { None };
            let query = CandleQuery { interval: Interval::Hour, from, known_from: None, to, limit, fill };
            let Some(later) = within_memory(&memory, query) else { return false };
            let whole = written(&all, CandleQuery { known_from, ..query });
            assert_eq!(written(&memory, later), whole, "{later:?}");
            assert_eq!(whole.matches("\"time\"").count(), limit);
            true
        };
        // The answer begins before memory does, or within it.
        for (days, expected) in [(13, 384), (4, 186)] {
            let mut count = 0;
            for fill in [false, true] {
                for to in [NOW, NOW.minus(30 * HOUR), NOW.minus(5 * DAY), NOW.minus(8 * DAY)] {
                    count += (1..190).filter(|limit| in_memory(days, fill, to, *limit)).count();
                }
            }
            assert_eq!(count, expected, "from {days} days ago");
        }
    }

    #[test]
    fn buckets_that_the_limit_cuts_are_not_summed() {
        let (view, _) = history();
        let market = Market::of(Asset::Native, QUOTE_ASSETS[0].parse().unwrap()).unwrap().0;
        let nothing = StoredPart::default();
        let history = MarketHistory::new(&view, market, &nothing);
        let from = Interval::Hour.buckets().start_of(NOW.minus(6 * DAY));
        let query =
            CandleQuery { interval: Interval::Hour, from, known_from: None, to: NOW, limit: 2, fill: false };
        let before = MERGES.get();
        let json = written(&history, query);
        assert_eq!(json.matches("\"time\"").count(), 2);
        // Memory holds 20 trades since then, each in a bucket of its own.
        assert!(MERGES.get() - before < 20, "{} merges", MERGES.get() - before);
        let filled = CandleQuery { fill: true, ..query };
        assert!(filled.is_cut(NOW) && !CandleQuery { limit: 145, ..filled }.is_cut(NOW));
        assert!(!query.is_cut(NOW), "only an answer without gaps has a known start");
    }

    /// Equal prices share a text, so each of the eight is compared with a quotient of its own.
    #[test]
    fn every_price_of_a_candle_is_that_of_its_trades() {
        let price = |n: i64| Price::new(n, 3).unwrap();
        let prices = |[open, high, low, close]: [i64; 4]| QuotedPrices {
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
        };
        let clean = prices([5, 7, 2, 4]);
        for (clean, raw, previous, count) in [
            (Some(clean), Some(clean), Some(price(1)), 3),
            (Some(clean), Some(prices([5, 90, 1, 4])), None, 3),
            (Some(prices([2, 2, 2, 2])), Some(prices([2, 2, 2, 2])), None, 1),
            (None, None, Some(price(8)), 0),
            (None, None, Some(price(8)), 1),
            (None, None, None, 0),
        ] {
            let stats =
                QuotedStats { prices: clean, raw_prices: raw, trade_count: count, ..QuotedStats::default() };
            let bucket = Bucket { start: NOW, stats, previous, is_complete: true };
            let json = serde_json::to_value(&bucket).unwrap();
            let repeated = previous.filter(|_| count == 0).map(QuotedPrices::flat);
            for (suffix, prices) in [("", clean.or(repeated)), ("_raw", raw)] {
                let is = |name: &str, pick: fn(QuotedPrices) -> Price| {
                    let expected = value::price(prices.map(pick));
                    assert_eq!(json[format!("{name}{suffix}")].as_str(), expected.as_deref(), "{json}");
                };
                is("open", |prices| prices.open);
                is("high", |prices| prices.high);
                is("low", |prices| prices.low);
                is("close", |prices| prices.close);
            }
        }
    }

    fn written(history: &MarketHistory<'_>, query: CandleQuery) -> String {
        let mut out = Vec::new();
        candles(history, query, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
