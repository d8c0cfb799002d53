//! Candles: statistics of a market by buckets of time.

use std::collections::BTreeMap;

use super::{
    coverage::TimeSpan,
    instant::{DAY, HOUR, MINUTE, UnixSeconds},
    trade_stats::{TradeStats, WindowTrade},
};

/// Weeks begin on Mondays. 1970-01-05 was the first.
const FIRST_MONDAY: i64 = 4 * DAY;

/// Length of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// 1 minute.
    Minute,
    /// 5 minutes.
    FiveMinutes,
    /// 15 minutes.
    Quarter,
    /// 1 hour.
    Hour,
    /// 4 hours.
    FourHours,
    /// 1 day.
    Day,
    /// 1 week, from Monday.
    Week,
}

impl Interval {
    /// All intervals, the shortest first.
    pub const ALL: [Self; 7] =
        [Self::Minute, Self::FiveMinutes, Self::Quarter, Self::Hour, Self::FourHours, Self::Day, Self::Week];

    /// Name in arguments.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
            Self::Week => "1w",
        }
    }

    /// Interval of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.name() == name)
    }

    /// Buckets of this interval, aligned to UTC.
    #[must_use]
    pub const fn buckets(self) -> Buckets {
        let (seconds, offset) = match self {
            Self::Minute => (MINUTE, 0),
            Self::FiveMinutes => (5 * MINUTE, 0),
            Self::Quarter => (15 * MINUTE, 0),
            Self::Hour => (HOUR, 0),
            Self::FourHours => (4 * HOUR, 0),
            Self::Day => (DAY, 0),
            Self::Week => (7 * DAY, FIRST_MONDAY),
        };
        Buckets { seconds, offset }
    }
}

/// Interval of the candles that the database keeps. All others are made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// 1 minute.
    Minute,
    /// 1 hour.
    Hour,
    /// 1 day.
    Day,
}

impl Stored {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }

    /// Its buckets, aligned to UTC.
    #[must_use]
    pub const fn buckets(self) -> Buckets {
        Buckets { seconds: self.seconds(), offset: 0 }
    }
}

/// Days for which candles of a minute are stored.
pub const MINUTE_CANDLE_DAYS: i64 = 30;

/// Division of time into buckets of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Length in seconds, positive.
    pub seconds: i64,
    /// Start of some bucket, in seconds since 1970.
    pub offset: i64,
}

impl Buckets {
    /// Start of the bucket that holds a second.
    #[must_use]
    pub const fn start_of(self, at: UnixSeconds) -> UnixSeconds {
        let within = at.0.saturating_sub(self.offset).rem_euclid(self.seconds);
        UnixSeconds(at.0.saturating_sub(within))
    }

    /// First start of a bucket at or after a second.
    #[must_use]
    pub const fn next_start(self, at: UnixSeconds) -> UnixSeconds {
        let start = self.start_of(at);
        if start.0 == at.0 { start } else { start.plus(self.seconds) }
    }

    /// Statistics of the trades by the start of their bucket. A bucket without trades is absent.
    pub fn fill(self, trades: impl IntoIterator<Item = WindowTrade>) -> BTreeMap<UnixSeconds, TradeStats> {
        let mut buckets: BTreeMap<UnixSeconds, TradeStats> = BTreeMap::new();
        for trade in trades {
            buckets.entry(self.start_of(trade.closed_at)).or_default().add(&trade);
        }
        buckets
    }

    /// Merges the statistics of shorter buckets, given by their starts in ascending order. Each of them must lie within
    /// one of these buckets.
    pub fn merge(
        self,
        parts: impl IntoIterator<Item = (UnixSeconds, TradeStats)>,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        let mut buckets: BTreeMap<UnixSeconds, TradeStats> = BTreeMap::new();
        for (start, stats) in parts {
            buckets.entry(self.start_of(start)).or_default().merge(&stats);
        }
        buckets
    }

    /// Longest stored interval of which these buckets are made up.
    #[must_use]
    pub fn stored(self) -> Stored {
        let is_made_of =
            |stored: &Stored| self.seconds % stored.seconds() == 0 && self.offset % stored.seconds() == 0;
        [Stored::Day, Stored::Hour].into_iter().find(is_made_of).unwrap_or(Stored::Minute)
    }

    /// Returns true if every ledger that closed in the bucket is known. `complete` holds
    /// merged spans of complete ledgers.
    #[must_use]
    pub fn is_complete(self, start: UnixSeconds, complete: &[TimeSpan]) -> bool {
        let last = start.plus(self.seconds - 1);
        complete.iter().any(|span| span.from <= start && last <= span.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::any_trade;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_aligned_to_utc_and_weeks_to_monday() {
        let at = UnixSeconds::parse("2026-11-27T13:47:11Z").unwrap();
        let start = |interval: Interval| interval.buckets().start_of(at).to_rfc3339();
        assert_eq!(
            Interval::ALL.map(start),
            [
                "2026-11-27T13:47:00Z",
                "2026-11-27T13:45:00Z",
                "2026-11-27T13:45:00Z",
                "2026-11-27T13:00:00Z",
                "2026-11-27T12:00:00Z",
                "2026-11-27T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ]
        );
        for interval in Interval::ALL {
            assert_eq!(Interval::named(interval.name()), Some(interval));
            let buckets = interval.buckets();
            assert_eq!(buckets.next_start(buckets.start_of(at)), buckets.start_of(at));
            assert_eq!(buckets.next_start(at), buckets.start_of(at).plus(buckets.seconds));
        }
    }

    #[test]
    fn every_interval_is_made_of_the_longest_stored_one_that_fits() {
        let stored = |interval: Interval| interval.buckets().stored();
        use Stored::{Day, Hour, Minute};
        assert_eq!(Interval::ALL.map(stored), [Minute, Minute, Minute, Hour, Hour, Day, Day]);
        // Days of another time zone, as Horizon's offset makes them.
        assert_eq!(Buckets { seconds: DAY, offset: 3 * HOUR }.stored(), Hour);
        assert_eq!(Buckets { seconds: 5 * MINUTE, offset: HOUR }.stored(), Minute);
    }

    #[test]
    fn a_bucket_is_complete_if_one_span_holds_all_of_it() {
        let span = |from, to| TimeSpan { from: UnixSeconds(from), to: UnixSeconds(to) };
        let minute = Interval::Minute.buckets();
        assert!(minute.is_complete(UnixSeconds(60), &[span(0, 10), span(60, 119)]));
        assert!(!minute.is_complete(UnixSeconds(60), &[span(0, 100), span(101, 300)]));
        assert!(!minute.is_complete(UnixSeconds(60), &[span(61, 300)]));
        assert!(!minute.is_complete(UnixSeconds(60), &[]));
    }

    proptest! {
        /// Each trade counts in exactly one bucket, and a longer interval is the sum of shorter ones.
        #[test]
        fn candles_equal_a_recomputation_from_the_trades(trades in prop::collection::vec(any_trade(), 0..60)) {
            let mut trades = trades;
            trades.sort_by_key(|trade| trade.token);
            trades.dedup_by_key(|trade| trade.token);
            for interval in Interval::ALL {
                let buckets = interval.buckets();
                for (start, stats) in buckets.fill(trades.iter().copied()) {
                    let end = start.plus(buckets.seconds);
                    let own = trades.iter().filter(|trade| (start..end).contains(&trade.closed_at));
                    prop_assert_eq!(stats, own.collect::<TradeStats>());
                }
            }
            for interval in Interval::ALL {
                let buckets = interval.buckets();
                let parts = buckets.stored().buckets().fill(trades.iter().copied());
                prop_assert_eq!(buckets.merge(parts), buckets.fill(trades.iter().copied()));
            }
            let day: u64 = Interval::Day.buckets().fill(trades.iter().copied()).values().map(|of| of.trade_count).sum();
            prop_assert_eq!(day, u64::try_from(trades.len()).unwrap());
        }
    }
}
