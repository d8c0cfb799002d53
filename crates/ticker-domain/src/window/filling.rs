//! Statistics of a window by buckets of time.

use std::{collections::BTreeMap, ops::Range};

use super::super::{
    candles::Buckets,
    instant::UnixSeconds,
    trade_stats::{TradeStats, WindowTrade},
};

/// Buckets that are being filled in the order of close times. Looks a bucket up once, not for each of its trades.
pub(super) struct Filling {
    buckets: Buckets,
    /// Times of the trades that count.
    times: Range<UnixSeconds>,
    filled: BTreeMap<UnixSeconds, TradeStats>,
    /// Bucket of the last trades, not yet among `filled`.
    open: Range<UnixSeconds>,
    stats: TradeStats,
}

impl Filling {
    pub(super) fn new(buckets: Buckets, times: Range<UnixSeconds>) -> Self {
        let nothing = times.start..times.start;
        Self { buckets, times, filled: BTreeMap::new(), open: nothing, stats: TradeStats::default() }
    }

    /// Adds a whole set by its sum, if all its trades lie in one bucket or none of them counts. Returns false for any
    /// other set: its parts must be added.
    pub(super) fn add_whole(&mut self, sum: &TradeStats) -> bool {
        let Some((first, last)) = sum.times else { return true };
        if last < self.times.start || self.times.end <= first {
            return true;
        }
        if !self.times.contains(&first) || !self.times.contains(&last) {
            return false;
        }
        if self.buckets.start_of(first) != self.buckets.start_of(last) {
            return false;
        }
        self.open_at(first);
        self.stats.merge(sum);
        true
    }

    pub(super) fn add(&mut self, trade: &WindowTrade) {
        if self.times.contains(&trade.closed_at) {
            self.open_at(trade.closed_at);
            self.stats.add(trade);
        }
    }

    fn open_at(&mut self, at: UnixSeconds) {
        if !self.open.contains(&at) {
            self.close();
            let start = self.buckets.start_of(at);
            self.open = start..start.plus(self.buckets.seconds);
        }
    }

    fn close(&mut self) {
        let stats = std::mem::take(&mut self.stats);
        if !stats.is_empty() {
            self.filled.entry(self.open.start).or_default().merge(&stats);
        }
    }

    /// Statistics by the start of their bucket. A bucket without trades is absent.
    pub(super) fn finish(mut self) -> BTreeMap<UnixSeconds, TradeStats> {
        self.close();
        self.filled
    }
}
