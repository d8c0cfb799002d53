//! Volume of past windows, by the hour or day: what dashboards sum up.

use std::collections::BTreeMap;

use serde::Serialize;
use ticker_domain::{
    asset::Asset,
    candles::{Interval, Stored},
    coverage::TimeSpan,
    decimal,
    identity::SpelledAsset,
    instant::UnixSeconds,
    market::Market,
    quoted::QuotedStats,
    usd::Rate,
    volume::{QuoteKind, VolumePart, VolumeSums},
};

use super::{
    history::{MarketHistory, StoredPart, complete_times, held_from, is_known},
    own::to_bytes,
    view::ListingView,
};

/// Window of interest: trades that closed from `from` on and before `to`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First second.
    pub from: UnixSeconds,
    /// End, exclusive.
    pub to: UnixSeconds,
    /// Length of a bucket.
    pub interval: Interval,
    /// Length of the stored candles that count before memory.
    pub stored: Stored,
}

impl Window {
    /// Returns true if the bucket of this start lies within the window. Trades of others are counted in part.
    fn holds(&self, start: UnixSeconds) -> bool {
        let end = self.interval.buckets().next_start(start.plus(1));
        self.from <= start && end <= self.to
    }
}

#[derive(Serialize)]
struct Volume {
    as_of: String,
    seq: i64,
    market: Option<String>,
    asset: Option<String>,
    interval: &'static str,
    complete: bool,
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

/// Volumes and candles from the database, of the time before the trades in memory.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Candles of XLM against each anchor.
    pub anchors: Vec<(Market, StoredPart)>,
    /// Candles of the market in question.
    pub market: StoredPart,
    /// Volumes of the markets of the asset in question.
    pub parts: Vec<VolumePart>,
    /// Times of complete ledgers whose trades are in stored candles.
    pub complete: Vec<TimeSpan>,
}

type SumsByStart = BTreeMap<UnixSeconds, VolumeSums>;

/// `/api/v1/volume?market=`: volumes in the quote.
#[must_use]
pub fn of_market(view: &ListingView, market: Market, window: Window, past: &Past) -> Vec<u8> {
    let history = MarketHistory::new(view, market, &past.market);
    let mut sums = SumsByStart::new();
    let (base, quote) = market.quoted();
    let (kind, valued) = QuoteKind::of_market(base, quote, view.anchors());
    for (start, quoted) in filled(&history, window) {
        let (volume, pool, trade_count) = (quoted.quote_volume, quoted.pool_quote_volume, quoted.trade_count);
        let valued_volume = if valued == quote { volume } else { quoted.base_volume };
        let part = VolumePart { start, kind, volume, pool, valued_volume, trade_count };
        sums.entry(start).or_default().add(&part);
    }
    document(view, window, Some(market.name()), None, &sums, past)
}

/// `/api/v1/volume?asset=`: volumes in the asset, over all of its markets.
#[must_use]
pub fn of_asset(view: &ListingView, asset: &Asset, window: Window, past: &Past) -> Vec<u8> {
    let (mut sums, none) = (SumsByStart::new(), StoredPart::default());
    let held_from = held_from(view, window.stored);
    for part in past.parts.iter().filter(|part| part.start < held_from) {
        sums.entry(window.interval.buckets().start_of(part.start)).or_default().add(part);
    }
    let traded = view.find(&SpelledAsset::Classic(*asset));
    for market in traded.map(|traded| view.markets_of(&traded)).unwrap_or_default() {
        let is_base = market.base().asset() == asset;
        let sides = Market::of(*market.base().asset(), *market.quote().asset());
        let Some((sides, _)) = sides else { continue };
        let quote = market.quote().asset();
        let (kind, valued) = QuoteKind::of_market(market.base().asset(), quote, view.anchors());
        for (start, quoted) in filled(&MarketHistory::new(view, sides, &none), window) {
            let (volume, pool) = if is_base {
                (quoted.base_volume, quoted.pool_volume)
            } else {
                (quoted.quote_volume, quoted.pool_quote_volume)
            };
            let valued_volume = if valued == quote { quoted.quote_volume } else { quoted.base_volume };
            let trade_count = quoted.trade_count;
            let part = VolumePart { start, kind, volume, pool, valued_volume, trade_count };
            sums.entry(start).or_default().add(&part);
        }
    }
    document(view, window, None, Some(asset.name()), &sums, past)
}

fn filled(history: &MarketHistory<'_>, window: Window) -> Vec<(UnixSeconds, QuotedStats)> {
    let filled = history.between(window.interval.buckets(), window.stored, window.from, window.to);
    let quoted = |(start, stats)| (start, QuotedStats::of(&stats, history.is_flipped()));
    filled.into_iter().map(quoted).collect()
}

fn document(
    view: &ListingView,
    window: Window,
    market: Option<String>,
    asset: Option<String>,
    sums: &SumsByStart,
    past: &Past,
) -> Vec<u8> {
    let buckets = window.interval.buckets();
    let rates = xlm_rates(view, window, past);
    let complete = complete_times(view, window.stored, window.from, &past.complete);
    let bucket = |(start, sums): (&UnixSeconds, &VolumeSums)| Bucket {
        time: start.to_rfc3339(),
        quote_volume: market.is_some().then(|| decimal::amount(sums.volume)),
        usd_volume: sums.usd(rates.get(start).copied()).map(decimal::amount),
        book_volume: decimal::amount(sums.volume.saturating_sub(sums.pool)),
        pool_volume: decimal::amount(sums.pool),
        trade_count: sums.trade_count,
        complete: window.holds(*start) && buckets.is_complete(*start, &complete),
    };
    let buckets = sums.iter().map(bucket).collect();
    let interval = window.interval.name();
    to_bytes(&Volume {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        market: market.clone(),
        asset,
        interval,
        complete: is_known(view, window.from..window.to, &complete),
        buckets,
    })
}

/// Dollars per XLM in each bucket: the clean volume-weighted price of XLM against all anchors.
fn xlm_rates(view: &ListingView, window: Window, past: &Past) -> BTreeMap<UnixSeconds, Rate> {
    let mut sums: BTreeMap<UnixSeconds, (i128, i128)> = BTreeMap::new();
    for (market, stored) in &past.anchors {
        let history = MarketHistory::new(view, *market, stored);
        let (interval, from, to) = (window.interval.buckets(), window.from, window.to);
        for (start, stats) in history.between(interval, window.stored, from, to) {
            // XLM is the base of every market in the orientation of the database.
            let (xlm, dollars) = sums.entry(start).or_default();
            *xlm = xlm.saturating_add(stats.clean.volume.base);
            *dollars = dollars.saturating_add(stats.clean.volume.counter);
        }
    }
    let rate = |(start, (xlm, dollars))| Some((start, Rate::new(dollars, xlm)?));
    sums.into_iter().filter_map(rate).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        coverage::{LAG_MAX, LedgerRange},
        directory::Directory,
        instant::{DAY, HOUR},
        market::QUOTE_ASSETS,
        market_snapshot::MarketSnapshot,
        test_support::trade,
        windows::Windows,
    };

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// A trade every ten minutes before the running hour, and all ledgers of two days up to `known`.
    fn view(known: UnixSeconds) -> ListingView {
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, QUOTE_ASSETS[0].parse().unwrap())]);
        directory.add_markets([(1, 1, 2)]);
        let hour = Interval::Hour.buckets().start_of(NOW);
        for back in 0..100 {
            windows.add(1, trade(1_000 - back, 0, hour.0 - 600 * back - 1, (10_000, 10_000), (1, 1)));
        }
        windows.advance(NOW);
        let range = LedgerRange { from: 1, to: 1_000, from_time: NOW.minus(2 * DAY), to_time: known };
        let snapshot = MarketSnapshot::new(windows.view(), directory).with_coverage(Arc::new(vec![range]));
        ListingView::new(7, Arc::new(snapshot), "Test".into(), &[], &Arc::default())
    }

    /// Volume of a window, the same of the market and of its quote.
    fn volume(view: &ListingView, from: UnixSeconds, to: UnixSeconds) -> serde_json::Value {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let market = Market::of(Asset::Native, usdc).unwrap().0;
        let window = Window { from, to, interval: Interval::Hour, stored: Stored::Hour };
        let of_market = of_market(view, market, window, &Past::default());
        let of_asset = of_asset(view, &usdc, window, &Past::default());
        let [of_market, of_asset] = [of_market, of_asset]
            .map(|document| serde_json::from_slice::<serde_json::Value>(&document).unwrap());
        assert_eq!(of_market["complete"], of_asset["complete"]);
        assert_eq!(flags(&of_market), flags(&of_asset));
        of_market
    }

    fn flags(volume: &serde_json::Value) -> Vec<bool> {
        let buckets = volume["buckets"].as_array().unwrap();
        buckets.iter().map(|bucket| bucket["complete"].as_bool().unwrap()).collect()
    }

    #[test]
    fn an_empty_answer_says_whether_its_time_is_known() {
        let known = NOW.minus(100);
        let view = view(known);
        let is_complete = |from: UnixSeconds, to: UnixSeconds| volume(&view, from, to)["complete"] == true;
        let days = |days: i64| NOW.minus(days * DAY);
        assert!(is_complete(days(2), days(1)) && is_complete(days(1), known.plus(1)));
        assert!(!is_complete(days(3), days(1)), "history begins within the window");
        assert!(!is_complete(days(1), NOW), "the window is over, and its last ledgers are not known");
        assert!(is_complete(days(1), NOW.plus(1)), "up to the newest known ledger");
        assert!(!is_complete(NOW.minus(50), NOW.plus(1)) && !is_complete(NOW.plus(60), NOW.plus(HOUR)));
        let stopped = |ago| volume(&self::view(NOW.minus(ago)), days(1), NOW.plus(1))["complete"] == true;
        assert!(stopped(LAG_MAX) && !stopped(LAG_MAX + 1), "no ledger has arrived for too long");
        let without_trades = volume(&view, days(2), days(2).plus(HOUR));
        assert_eq!((flags(&without_trades).len(), &without_trades["complete"]), (0, &true.into()));
    }

    #[test]
    fn a_bucket_that_the_window_cuts_is_not_complete() {
        let (view, hour) = (view(NOW), Interval::Hour.buckets().start_of(NOW));
        let complete = |from: UnixSeconds, to: UnixSeconds| flags(&volume(&view, from, to));
        let (from, to) = (hour.minus(4 * HOUR), hour.minus(HOUR));
        assert_eq!(complete(from, to), [true, true, true]);
        assert_eq!(complete(from.plus(1_800), to.plus(1_800)), [false, true, true, false]);
        assert_eq!(complete(from.plus(1), to.minus(1)), [false, true, false]);
    }
}
