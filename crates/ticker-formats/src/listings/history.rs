//! Statistics of a market by buckets of time: from memory for the last 7 days, from stored candles before.

use std::{collections::BTreeMap, ops::Range};

use ticker_domain::{
    asset::Asset,
    candles::{Buckets, Stored},
    conversions::SaturatingFrom,
    coverage::{LAG_MAX, TimeSpan, merge_times},
    instant::{DAY, HOUR, UnixSeconds},
    market::Market,
    price::Price,
    quoted::QuotedStats,
    span::Span,
    trade_stats::TradeStats,
};

use super::{market::MarketView, view::ListingView};

/// Factor by which the time that is summed grows while it has too few buckets.
const SPAN_FACTOR: i64 = 4;

/// Candles of a market that the database holds, in its orientation.
#[derive(Clone, Debug, Default)]
pub struct StoredPart {
    /// Start and statistics of each candle, the oldest first.
    pub candles: Vec<(UnixSeconds, TradeStats)>,
    /// Times of complete ledgers whose trades are in the candles.
    pub complete: Vec<TimeSpan>,
}

/// History of a market.
#[derive(Clone, Debug)]
pub struct MarketHistory<'a> {
    view: &'a ListingView,
    market: Market,
    recent: Option<MarketView<'a>>,
    stored: &'a StoredPart,
}

/// First second whose trades memory holds.
#[must_use]
pub fn oldest_held(view: &ListingView) -> UnixSeconds {
    Span::Week.edge(view.as_of()).plus(1)
}

/// First start of a candle of this length whose trades memory holds all.
#[must_use]
pub fn held_from(view: &ListingView, stored: Stored) -> UnixSeconds {
    stored.buckets().next_start(oldest_held(view))
}

/// Times of complete ledgers whose trades are in buckets made of these candles, the first of which begins at `from`:
/// those of memory where memory is read, and before that `past`, those of the stored candles.
pub(super) fn complete_times(
    view: &ListingView,
    stored: Stored,
    from: UnixSeconds,
    past: &[TimeSpan],
) -> Vec<TimeSpan> {
    let oldest = oldest_held(view);
    let held_from = if from < oldest { held_from(view, stored) } else { oldest };
    let held = view.coverage().iter().map(TimeSpan::from);
    let held = held.map(|span| TimeSpan { from: span.from.max(held_from), ..span });
    // The database may have newer ledgers by now, whose trades are not in the view.
    let past = past.iter().map(|span| TimeSpan { to: span.to.min(held_from), ..*span });
    merge_times(held.chain(past.filter(|span| span.from <= span.to)).collect())
}

/// Returns true if every ledger that closed in the window is known. `complete` is from [`complete_times`]. A window
/// that is not over counts up to the newest known ledger, which is a few seconds old even if nothing is wrong. If that
/// is older than [`LAG_MAX`], the last ledgers of the window are not known: the source is behind, or nobody trades.
pub(super) fn is_known(view: &ListingView, window: Range<UnixSeconds>, complete: &[TimeSpan]) -> bool {
    let as_of = view.as_of();
    let newest = view.latest_ledger().map_or(as_of, |(_, closed_at)| closed_at);
    let last =
        if window.end <= as_of { window.end.minus(1) } else { newest.clamp(as_of.minus(LAG_MAX), as_of) };
    complete.iter().any(|span| span.from <= window.start && window.start <= span.to && last <= span.to)
}

impl<'a> MarketHistory<'a> {
    /// History of a market. Candles of `stored` count where memory does not hold all of their trades.
    #[must_use]
    pub fn new(view: &'a ListingView, market: Market, stored: &'a StoredPart) -> Self {
        let recent = view.market_of(market.base(), market.counter());
        Self { view, market, recent, stored }
    }

    pub(super) const fn view(&self) -> &'a ListingView {
        self.view
    }

    /// `<base>_<quote>`, each `XLM` or `CODE-ISSUER`.
    pub(super) fn name(&self) -> String {
        self.market.name()
    }

    /// Base and quote of new outputs.
    pub(super) fn sides(&self) -> (&Asset, &Asset) {
        self.market.quoted()
    }

    /// Last price of the last 7 days, or else of the stored candles.
    pub(super) fn last(&self) -> Option<Price> {
        self.recent.as_ref().and_then(MarketView::last).or_else(|| {
            let is_flipped = self.is_flipped();
            let prices = |(_, stats): &(UnixSeconds, TradeStats)| QuotedStats::of(stats, is_flipped).prices;
            self.stored.candles.iter().rev().find_map(prices).map(|prices| prices.close)
        })
    }

    /// True if this asset is the counter of the normalised market.
    pub(super) fn is_counter(&self, asset: &Asset) -> bool {
        self.market.counter() == asset
    }

    /// Returns true if the market has candles in the database, or trades in memory.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.recent.is_some() || !self.stored.candles.is_empty()
    }

    /// True if the base of new outputs is the counter of the normalised market.
    pub(super) fn is_flipped(&self) -> bool {
        self.market.quoted().0 != self.market.base()
    }

    /// Statistics by the start of the bucket, of trades that closed from `from` on and before `to`. Before memory's
    /// trades, `from` and `to` must be starts of stored candles.
    pub(super) fn between(
        &self,
        buckets: Buckets,
        stored: Stored,
        from: UnixSeconds,
        to: UnixSeconds,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        let (older, first) = self.stored_between(stored, from, to);
        let recent = self.recent.as_ref().map(|recent| recent.by_bucket(buckets, first..to));
        let mut filled = recent.unwrap_or_default();
        add(&mut filled, buckets.merge(older));
        filled
    }

    /// Stored candles from `from` on and before `to`, and the same out of memory. Memory's have clean trades only,
    /// so that their times are those of prices.
    pub(super) fn clean_between(
        &self,
        stored: Stored,
        from: UnixSeconds,
        to: UnixSeconds,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        let (older, first) = self.stored_between(stored, from, to);
        let mut filled: BTreeMap<UnixSeconds, TradeStats> = older.collect();
        let clean = self.recent.iter().flat_map(|recent| recent.raw_trades_since(first.minus(1)));
        let clean = clean.filter(|trade| trade.is_clean() && trade.closed_at < to);
        add(&mut filled, stored.buckets().fill(clean));
        filled
    }

    /// Stored candles from `from` on and before `to` of which memory does not hold everything, and the second
    /// from which on memory's trades follow them.
    fn stored_between(
        &self,
        stored: Stored,
        from: UnixSeconds,
        to: UnixSeconds,
    ) -> (impl Iterator<Item = (UnixSeconds, TradeStats)>, UnixSeconds) {
        // The first second that memory holds, and the first candle of which it holds everything.
        let (oldest, held_from) = (oldest_held(self.view), held_from(self.view, stored));
        let is_wanted = move |start: &UnixSeconds| from < oldest && (from..to.min(held_from)).contains(start);
        let older = self.stored.candles.iter().filter(move |(start, _)| is_wanted(start)).copied();
        (older, if from < oldest { from.max(held_from) } else { from })
    }

    /// Start of the last candle with a price that memory holds before `end`.
    #[must_use]
    pub fn last_priced(&self, stored: Stored, end: UnixSeconds) -> Option<UnixSeconds> {
        let recent = self.recent.as_ref()?;
        let oldest = oldest_held(self.view);
        // In a busy market the last hour has one, and costs little.
        [HOUR, DAY, Span::Week.hours() * HOUR].into_iter().find_map(|seconds| {
            let from = end.minus(seconds).max(oldest);
            let candles = recent.by_bucket(stored.buckets(), from..end);
            candles.into_iter().rfind(|(_, stats)| stats.prices.is_some()).map(|(start, _)| start)
        })
    }

    /// Statistics like those of [`Self::between`], the oldest first, in the orientation of new outputs.
    pub(super) fn quoted(
        &self,
        buckets: Buckets,
        from: UnixSeconds,
        to: UnixSeconds,
    ) -> Vec<(UnixSeconds, QuotedStats)> {
        let is_flipped = self.is_flipped();
        let filled = self.between(buckets, buckets.stored(), from, to).into_iter();
        filled.map(|(start, stats)| (start, QuotedStats::of(&stats, is_flipped))).collect()
    }

    /// Newest buckets of those that [`Self::quoted`] has for the same times, the oldest first. At least `count` of
    /// them are `counted`, if there are as many. The trades of older buckets are not summed.
    pub(super) fn newest(
        &self,
        buckets: Buckets,
        times: Range<UnixSeconds>,
        count: usize,
        counted: impl Fn(&QuotedStats) -> bool,
    ) -> Vec<(UnixSeconds, QuotedStats)> {
        // Only the start of the first attempt depends on this. Trades may be newer than the view, if the network's
        // clock is ahead.
        let end = times.end.min(buckets.start_of(self.view.as_of()).plus(buckets.seconds));
        let mut seconds = i64::saturating_from(count).saturating_mul(buckets.seconds);
        loop {
            let from = end.minus(seconds).max(times.start);
            let filled = self.quoted(buckets, from, times.end);
            let has_all = from == times.start;
            if has_all || filled.iter().filter(|(_, stats)| counted(stats)).count() >= count {
                return filled;
            }
            seconds = seconds.saturating_mul(SPAN_FACTOR);
        }
    }

    /// Times of complete ledgers whose trades are in buckets made of these candles.
    pub(super) fn complete_times(&self, stored: Stored, from: UnixSeconds) -> Vec<TimeSpan> {
        complete_times(self.view, stored, from, &self.stored.complete)
    }
}

fn add(
    filled: &mut BTreeMap<UnixSeconds, TradeStats>,
    others: impl IntoIterator<Item = (UnixSeconds, TradeStats)>,
) {
    for (start, stats) in others {
        filled.entry(start).or_default().merge(&stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use ticker_domain::{
        coverage::LedgerRange, directory::Directory, market_snapshot::MarketSnapshot, windows::Windows,
    };

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// No trade, but all ledgers of the last 20 days.
    fn view() -> ListingView {
        view_until(NOW)
    }

    /// The same with ledgers up to then.
    fn view_until(to_time: UnixSeconds) -> ListingView {
        let mut windows = Windows::default();
        windows.advance(NOW);
        let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
        let range = LedgerRange { from: 1, to: 1_000, from_time: NOW.minus(20 * DAY), to_time };
        let snapshot = Arc::new(snapshot.with_coverage(Arc::new(vec![range])));
        ListingView::new(7, snapshot, "Test".into(), &[], &Arc::default())
    }

    #[test]
    fn before_memory_only_ledgers_whose_trades_are_in_candles_are_complete() {
        let view = view();
        let day = |ago: i64| Stored::Day.buckets().start_of(NOW.minus(ago * DAY));
        let is_complete = |past: &[TimeSpan], ago: i64| {
            let complete = complete_times(&view, Stored::Day, day(ago), past);
            Stored::Day.buckets().is_complete(day(ago), &complete)
        };
        assert!(is_complete(&[], 2), "memory holds its trades");
        assert!(!is_complete(&[], 10), "its trades are in no candle yet");
        let past = [TimeSpan { from: NOW.minus(20 * DAY), to: NOW }];
        assert!(is_complete(&past, 10) && is_complete(&past, 2));
        assert!(!is_complete(&past, 21));
        let old = view_until(NOW.minus(3 * DAY));
        let complete = complete_times(&old, Stored::Day, day(10), &past);
        let is_complete = |ago| Stored::Day.buckets().is_complete(day(ago), &complete);
        assert!(is_complete(10) && is_complete(5) && !is_complete(2), "the view has no trade of that day");
        // A window within memory need not begin with a candle.
        let from = oldest_held(&view).plus(7);
        let complete = complete_times(&view, Stored::Minute, from, &[]);
        assert!(complete.iter().any(|span| span.from <= from));
    }
}
