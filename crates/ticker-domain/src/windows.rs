//! Windows of all markets, and their published statistics. Only changed markets are recomputed.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::Arc,
};

use super::{
    candles::Buckets,
    instant::{HOUR, UnixSeconds},
    span::Span,
    trade_stats::{TradeStats, WindowTrade},
    window::{LONGEST_HOURS, MarketWindow, RunningSum, sort_run},
};

/// Maximum number of trades of one market to add to its sums one by one. A larger run is summed from scratch, which
/// costs less.
const ADDED_MAX: usize = 64;

/// Id of a market in the database.
pub type MarketId = i32;

/// Statistics of a market's windows of the spans that every market keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Last 24 hours.
    pub day: TradeStats,
    /// Last 7 days.
    pub week: TradeStats,
}

impl Figures {
    /// Statistics of a span, or `None` for an hour, which no market keeps.
    #[must_use]
    pub const fn kept(&self, span: Span) -> Option<&TradeStats> {
        match span {
            Span::Hour => None,
            Span::Day => Some(&self.day),
            Span::Week => Some(&self.week),
        }
    }

    /// Statistics by span.
    #[must_use]
    pub(crate) const fn by_span(&self) -> [(Span, &TradeStats); Span::KEPT.len()] {
        [(Span::Day, &self.day), (Span::Week, &self.week)]
    }

    const fn by_span_mut(&mut self) -> [(Span, &mut TradeStats); Span::KEPT.len()] {
        [(Span::Day, &mut self.day), (Span::Week, &mut self.week)]
    }

    /// Adds the statistics of other, disjoint sets.
    pub fn merge(&mut self, other: &Self) {
        for ((_, ours), (_, theirs)) in self.by_span_mut().into_iter().zip(other.by_span()) {
            ours.merge(theirs);
        }
    }
}

/// Windows of all markets.
///
/// A new trade is added to its market's statistics. A market is summed from scratch only after a trade expired from one
/// of its windows. The cost of a publication therefore depends on the markets that changed, not on the number of
/// trades.
#[derive(Debug, Default)]
pub struct Windows {
    markets: BTreeMap<MarketId, TrackedMarket>,
    /// Markets that received a trade since `as_of`.
    changed: HashSet<MarketId>,
    /// Markets by the time when they next lose a trade from a window. Outdated entries are harmless: they cause one
    /// needless check.
    expiries: BTreeMap<UnixSeconds, Vec<MarketId>>,
    /// Time of the statistics. Never decreases.
    as_of: UnixSeconds,
}

/// One market with its statistics at the last `as_of` that changed them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MarketWindows {
    window: MarketWindow,
    figures: Figures,
}

/// Market and its pending work.
#[derive(Debug, Default)]
struct TrackedMarket {
    /// Shared with views, and copied before a change while a view exists.
    market: Arc<MarketWindows>,
    /// Earliest entry in `expiries` for this market.
    expires_at: Option<UnixSeconds>,
    /// True if `figures` misses trades, so that the market must be summed from scratch.
    is_stale: bool,
    /// Running sums of the kept spans, for a market with many trades.
    running: Option<Box<[RunningSum; Span::KEPT.len()]>>,
}

impl Windows {
    /// Adds a trade. Ignores a repeat, and a trade too old for any window.
    pub fn add(&mut self, market: MarketId, trade: WindowTrade) {
        self.add_sorted(market, &[trade]);
    }

    /// Adds many trades in any order. Equivalent to adding each, but much cheaper: they are sorted first, so each
    /// market and each packed block is visited once per run.
    pub fn add_run(&mut self, run: &[(MarketId, WindowTrade)]) {
        let mut order: Vec<(MarketId, usize)> =
            run.iter().enumerate().map(|(place, (market, _))| (*market, place)).collect();
        order.sort_unstable();
        let mut trades: Vec<WindowTrade> = Vec::new();
        for group in order.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((market, _)) = group.first() else { continue };
            trades.clear();
            trades.extend(group.iter().filter_map(|(_, place)| run.get(*place)).map(|(_, trade)| *trade));
            sort_run(&mut trades);
            self.add_sorted(*market, &trades);
        }
    }

    /// Adds trades of one market, in the order of [`sort_run`].
    fn add_sorted(&mut self, market: MarketId, trades: &[WindowTrade]) {
        let week_edge = Span::Week.edge(self.as_of);
        // Trades too old for any window come first, because the run is sorted by close time.
        let from = trades.partition_point(|trade| trade.closed_at <= week_edge);
        let reached = trades.get(from..).unwrap_or_default();
        if reached.is_empty() {
            return;
        }
        if self.markets.entry(market).or_default().add(reached, self.as_of) {
            self.changed.insert(market);
        }
    }

    /// Replaces the window of a market. An empty window removes the market.
    pub fn replace(&mut self, market: MarketId, window: MarketWindow) {
        let tracked = self.markets.entry(market).or_default();
        tracked.market = Arc::new(MarketWindows { window, figures: Figures::default() });
        tracked.expires_at = None;
        tracked.running = None;
        tracked.is_stale = true;
        self.changed.insert(market);
    }

    /// Moves the time to `as_of`, never back, and updates the statistics of the markets that changed.
    pub fn advance(&mut self, as_of: UnixSeconds) {
        self.as_of = self.as_of.max(as_of);
        let as_of = self.as_of;
        // Entries up to `as_of` are due. The later ones stay.
        let later = self.expiries.split_off(&as_of.plus(1));
        for market in std::mem::replace(&mut self.expiries, later).into_values().flatten() {
            if let Some(tracked) = self.markets.get_mut(&market) {
                tracked.expires_at = None;
                self.changed.insert(market);
            }
        }
        for market in std::mem::take(&mut self.changed) {
            let Some(tracked) = self.markets.get_mut(&market) else { continue };
            tracked.refresh(as_of);
            // Every trade has expired, so the market is dropped.
            if tracked.market.figures.week.is_empty() {
                self.markets.remove(&market);
            } else if let Some(expires_at) = tracked.next_expiry() {
                self.expiries.entry(expires_at).or_default().push(market);
            }
        }
    }

    /// Time of the statistics.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.as_of
    }

    /// Markets with a trade in the last 7 days and their statistics at `as_of`, sorted by id.
    pub fn figures(&self) -> impl Iterator<Item = (MarketId, &Figures)> {
        self.markets.iter().map(|(market, tracked)| (*market, &tracked.market.figures))
    }

    /// Immutable view at `as_of` for readers on other threads. Costs one pointer per market.
    #[must_use]
    pub fn view(&self) -> WindowsView {
        let markets = self.markets.iter().map(|(id, tracked)| (*id, Arc::clone(&tracked.market)));
        WindowsView { as_of: self.as_of, markets: markets.collect() }
    }

    /// Windows by market. Drops the statistics.
    pub fn into_windows(self) -> impl Iterator<Item = (MarketId, MarketWindow)> {
        self.markets
            .into_iter()
            .map(|(market, tracked)| (market, Arc::unwrap_or_clone(tracked.market).window))
    }

    /// Number of trades in the last 7 days.
    #[must_use]
    pub fn trade_count(&self) -> u64 {
        self.markets.values().map(|tracked| tracked.market.figures.week.trade_count).sum()
    }
}

/// Immutable view of the windows of all markets at one second.
#[derive(Clone, Debug, Default)]
pub struct WindowsView {
    as_of: UnixSeconds,
    /// Markets, sorted by id.
    markets: Vec<(MarketId, Arc<MarketWindows>)>,
}

impl WindowsView {
    /// Time of the statistics.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.as_of
    }

    /// Markets with a trade in the last 7 days and their statistics, sorted by id.
    pub fn figures(&self) -> impl Iterator<Item = (MarketId, &Figures)> {
        self.markets.iter().map(|(id, market)| (*id, &market.figures))
    }

    /// Markets with a trade in the last 7 days, sorted by id. An unchanged market is shared with other views.
    pub(super) fn markets(&self) -> &[(MarketId, Arc<MarketWindows>)] {
        &self.markets
    }

    /// Markets with a trade in the last 7 days, sorted by id, each with an identity of its windows: views with the same
    /// identity share the windows, which are then equal.
    pub(super) fn shared(&self) -> impl Iterator<Item = (MarketId, *const MarketWindows)> {
        self.markets.iter().map(|(id, market)| (*id, Arc::as_ptr(market)))
    }

    /// Number of markets with a trade in the last 7 days.
    #[must_use]
    pub fn market_count(&self) -> usize {
        self.markets.len()
    }

    /// Statistics of a market.
    #[must_use]
    pub fn figures_of(&self, id: MarketId) -> Option<&Figures> {
        self.market(id).map(|market| &market.figures)
    }

    /// Trades of a market: those of the last 7 days, and some older ones.
    pub fn trades_of(&self, id: MarketId) -> impl Iterator<Item = WindowTrade> {
        self.market(id).into_iter().flat_map(|market| market.window.trades())
    }

    /// Trades of a market that closed after `edge`. Decodes only the blocks that hold them.
    pub fn trades_since(&self, id: MarketId, edge: UnixSeconds) -> impl Iterator<Item = WindowTrade> {
        self.market(id).into_iter().flat_map(move |market| market.window.trades_since(edge))
    }

    /// Statistics of a market by the start of their bucket, of trades that closed at `times`.
    /// A bucket without trades is absent.
    #[must_use]
    pub fn by_bucket(
        &self,
        id: MarketId,
        buckets: Buckets,
        times: Range<UnixSeconds>,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        self.market(id).map(|market| market.window.by_bucket(buckets, times)).unwrap_or_default()
    }

    /// Statistics of the trades of a market that closed after `edge`.
    #[must_use]
    pub fn since(&self, id: MarketId, edge: UnixSeconds) -> TradeStats {
        self.market(id).map(|market| market.window.since(edge)).unwrap_or_default()
    }

    fn market(&self, id: MarketId) -> Option<&MarketWindows> {
        let place = self.markets.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.markets.get(place).map(|(_, market)| market.as_ref())
    }

    /// Statistics of a market over a span. The cost hardly depends on the number of trades.
    #[must_use]
    pub fn stats(&self, id: MarketId, span: Span) -> TradeStats {
        self.last_hours(id, span.hours())
    }

    /// Statistics of a market over the last `hours` hours (1 to 168). The cost hardly depends on the number of trades.
    #[must_use]
    pub(crate) fn last_hours(&self, id: MarketId, hours: i64) -> TradeStats {
        let Some(market) = self.market(id) else { return TradeStats::default() };
        match hours {
            _ if hours == Span::Day.hours() => market.figures.day,
            LONGEST_HOURS => market.figures.week,
            _ => market.window.since(self.as_of.minus(hours.clamp(0, LONGEST_HOURS) * HOUR)),
        }
    }
}

impl TrackedMarket {
    /// Adds ordered trades to the window and to the statistics at `as_of`. Returns true if any trade was new.
    fn add(&mut self, trades: &[WindowTrade], as_of: UnixSeconds) -> bool {
        // Summing many trades from scratch costs less than adding each.
        self.is_stale |= trades.len() > ADDED_MAX;
        let Self { market, is_stale, running, .. } = self;
        let MarketWindows { window, figures } = Arc::make_mut(market);
        let mut any_new = false;
        window.add_run(trades, &mut |trade| {
            any_new = true;
            if let Some(running) = running {
                running.iter_mut().for_each(|running| running.add(trade));
            }
            if !*is_stale {
                for (span, sum) in figures.by_span_mut() {
                    if trade.closed_at > span.edge(as_of) {
                        sum.add(trade);
                    }
                }
            }
        });
        any_new
    }

    /// Updates the statistics to `as_of`. Sums nothing if no trade expired, because new trades are added on arrival.
    fn refresh(&mut self, as_of: UnixSeconds) {
        // A stale sum is recomputed even if no trade expired.
        let is_stale = std::mem::take(&mut self.is_stale);
        let has_expired = |span: Span, sum: &TradeStats| {
            is_stale || sum.times.is_some_and(|(first, _)| first <= span.edge(as_of))
        };
        if !self.market.figures.by_span().into_iter().any(|(span, sum)| has_expired(span, sum)) {
            return;
        }
        let MarketWindows { window, figures } = Arc::make_mut(&mut self.market);
        window.drop_expired(as_of);
        if !window.is_large() {
            self.running = None;
        } else if self.running.is_none() {
            self.running = Some(Box::default());
        }
        let mut running = self.running.as_deref_mut().map(|running| running.iter_mut());
        for (span, sum) in figures.by_span_mut() {
            let running = running.as_mut().and_then(Iterator::next);
            if has_expired(span, sum) {
                *sum = match running {
                    Some(running) => window.since_running(span.edge(as_of), running),
                    None => window.since(span.edge(as_of)),
                };
            }
        }
    }

    /// Time when the next trade expires from a window, unless `expiries` already has an entry at or before it.
    fn next_expiry(&mut self) -> Option<UnixSeconds> {
        let leaves =
            |(span, sum): (Span, &TradeStats)| sum.times.map(|(first, _)| first.plus(span.seconds()));
        let next = self.market.figures.by_span().into_iter().filter_map(leaves).min()?;
        if self.expires_at.is_some_and(|expires_at| expires_at <= next) {
            return None;
        }
        self.expires_at = Some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instant::DAY,
        test_support::{any_trade, trade},
    };
    use proptest::prelude::*;

    #[test]
    fn a_trade_expires_as_time_passes() {
        let mut windows = Windows::default();
        windows.add(1, trade(1, 0, 1_000, (5, 7), (1, 1)));
        windows.advance(UnixSeconds(1_000 + DAY - 1));
        assert_eq!(windows.figures().next().unwrap().1.day.trade_count, 1);
        windows.advance(UnixSeconds(1_000 + DAY));
        let figures = *windows.figures().next().unwrap().1;
        assert_eq!((figures.day.trade_count, figures.week.trade_count), (0, 1));
        windows.advance(UnixSeconds(1_000 + LONGEST_HOURS * HOUR));
        assert_eq!(windows.figures().count(), 0);
    }

    #[test]
    fn a_view_keeps_its_state() {
        let mut windows = Windows::default();
        windows.add(1, trade(1, 0, 1_000, (5, 7), (1, 1)));
        windows.advance(UnixSeconds(2_000));
        let view = windows.view();
        windows.add(1, trade(2, 0, 1_001, (5, 7), (1, 1)));
        windows.add(2, trade(3, 0, 1_001, (5, 7), (1, 1)));
        windows.advance(UnixSeconds(1_000 + LONGEST_HOURS * HOUR));
        let counts = |hours| [1, 2].map(|market| view.last_hours(market, hours).trade_count);
        assert_eq!([24, 12, LONGEST_HOURS].map(counts), [[1, 0]; 3]);
        assert_eq!((view.as_of(), view.figures().count()), (UnixSeconds(2_000), 1));
    }

    #[test]
    fn time_never_goes_back() {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(500));
        windows.advance(UnixSeconds(400));
        assert_eq!(windows.as_of(), UnixSeconds(500));
    }

    #[test]
    fn only_changed_markets_are_summed_again() {
        let mut windows = Windows::default();
        for market in 0..100 {
            windows.add(market, trade(i64::from(market), 0, 1_000, (1, 1), (1, 1)));
        }
        windows.advance(UnixSeconds(2_000));
        windows.add(7, trade(200, 0, 1_500, (1, 1), (1, 1)));
        assert_eq!(windows.changed.len(), 1);
        windows.advance(UnixSeconds(2_001));
        assert!(windows.changed.is_empty());
        assert!(
            windows.expiries.values().map(Vec::len).sum::<usize>() <= 101,
            "one entry per market and change"
        );
    }

    /// A market with enough trades for running sums, some of which arrive late.
    #[test]
    fn a_busy_market_equals_a_recomputation_while_time_passes() {
        let late = |number: i64| if number % 50 == 0 { 3_000 } else { 0 };
        let trades: Vec<_> = (0..6_000_i64)
            .map(|number| trade(number, 0, number * 150 - late(number), (number, 7), (1 + number % 9, 3)))
            .collect();
        let (mut windows, mut fed) = (Windows::default(), 0);
        let mut was_kept = false;
        for step in 0..2_000_i64 {
            let as_of = UnixSeconds(step * 600);
            while let Some(new) = trades.get(fed).filter(|trade| trade.closed_at < as_of) {
                windows.add(1, *new);
                fed += 1;
            }
            windows.advance(as_of);
            was_kept |= windows.markets.get(&1).is_some_and(|tracked| tracked.running.is_some());
            let sum = |edge: UnixSeconds| -> TradeStats {
                trades[..fed].iter().filter(|trade| trade.closed_at > edge).collect()
            };
            let [day, week] = Span::KEPT.map(|span| span.edge(as_of)).map(sum);
            let right = (!week.is_empty()).then_some(Figures { day, week });
            assert_eq!(windows.figures().next().map(|(_, figures)| *figures), right, "at {as_of:?}");
        }
        assert!(was_kept && fed == trades.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn published_figures_equal_a_recomputation_at_every_step(
            trades in prop::collection::vec((0..5_i32, any_trade()), 0..300),
            waits in prop::collection::vec(prop_oneof![0..3_i64, 0..100_000_i64], 1..15),
            hours in 1..=LONGEST_HOURS,
        ) {
            let mut seen = HashSet::new();
            let trades: Vec<_> = trades.into_iter().filter(|(_, trade)| seen.insert(trade.token)).collect();
            let mut windows = Windows::default();
            let mut as_of = UnixSeconds(1_000_000);
            for (step, wait) in waits.iter().enumerate() {
                let fed = trades.len() * (step + 1) / waits.len();
                // Repeat most of them.
                if step % 2 == 0 {
                    windows.add_run(&trades[..fed]);
                } else {
                    trades[..fed].iter().for_each(|(market, trade)| windows.add(*market, *trade));
                }
                as_of = as_of.plus(*wait);
                windows.advance(as_of);
                let published: BTreeMap<_, _> = windows.figures().map(|(market, figures)| (market, *figures)).collect();
                let mut scratch: BTreeMap<MarketId, Figures> = BTreeMap::new();
                let [day, week] = Span::KEPT.map(|span| span.edge(as_of));
                for (market, trade) in trades[..fed].iter().filter(|(_, trade)| trade.closed_at > week) {
                    let figures = scratch.entry(*market).or_default();
                    figures.week.add(trade);
                    if trade.closed_at > day {
                        figures.day.add(trade);
                    }
                }
                prop_assert_eq!(published, scratch);
                let view = windows.view();
                for market in 0..5 {
                    let edge = as_of.minus(hours * HOUR);
                    let of_it = trades[..fed].iter().filter(|(of, trade)| *of == market && trade.closed_at > edge);
                    let scratch: TradeStats = of_it.map(|(_, trade)| trade).collect();
                    prop_assert_eq!(view.last_hours(market, hours), scratch);
                }
            }
        }
    }
}
