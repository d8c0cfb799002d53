//! Counts, waiting and handling times of a child, by message type.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::trace::rates::{RateSpan, Rates};

/// Longest recorded time, an hour in microseconds. Longer times are recorded as this.
const LONGEST_US: u64 = 3_600_000_000;
/// Precision of the histograms: two significant digits, within 1 %.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Figures by the short name of the message type.
#[derive(Debug, Default)]
pub(crate) struct Stats(BTreeMap<&'static str, MessageStats>);

/// Figures of one message type. A histogram is none if it could not be created.
#[derive(Debug)]
struct MessageStats {
    queueing: Option<Histogram<u64>>,
    handling: Option<Histogram<u64>>,
    rate: Rates,
}

/// One message type in `/actors.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MessageView {
    /// Messages handled since the start of the process, failed ones included.
    pub count: u64,
    /// Messages per second over the last minute.
    pub rate: f64,
    /// Handling times, as in `handling`.
    #[serde(flatten)]
    pub times: TimesView,
    /// Times from sending to the start of the handling.
    pub queueing: TimesView,
    /// Times from the start to the end of the handling.
    pub handling: TimesView,
}

/// Percentiles in `/actors.json`, within 1 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimesView {
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Maximum, in milliseconds.
    pub max_ms: f64,
}

impl Default for MessageStats {
    fn default() -> Self {
        // The bounds are constants that a test has shown to be valid. A failure would only cost the figures.
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS).ok();
        Self { queueing: histogram(), handling: histogram(), rate: Rates::default() }
    }
}

impl Stats {
    /// Records a message of the type `name` that waited and took so long.
    pub(crate) fn record(
        &mut self,
        name: &'static str,
        since_start: Duration,
        waited: Duration,
        took: Duration,
    ) {
        let stats = self.0.entry(name).or_default();
        stats.rate.add(since_start, 1);
        for (times, time) in [(&mut stats.queueing, waited), (&mut stats.handling, took)] {
            if let Some(times) = times {
                times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }

    /// Returns the figures of each type.
    pub(crate) fn view(&self, since_start: Duration) -> BTreeMap<&'static str, MessageView> {
        self.0.iter().map(|(name, stats)| (*name, stats.view(since_start))).collect()
    }
}

impl MessageStats {
    fn view(&self, since_start: Duration) -> MessageView {
        let times =
            |times: &Option<Histogram<u64>>| times.as_ref().map_or_else(TimesView::default, percentiles);
        let handling = times(&self.handling);
        MessageView {
            count: self.handling.as_ref().map_or(0, Histogram::len),
            rate: self.rate.per_second(since_start, RateSpan::Minute),
            times: handling,
            queueing: times(&self.queueing),
            handling,
        }
    }
}

fn percentiles(times: &Histogram<u64>) -> TimesView {
    TimesView {
        p50_ms: millis(times.value_at_quantile(0.5)),
        p99_ms: millis(times.value_at_quantile(0.99)),
        max_ms: millis(times.max()),
    }
}

fn millis(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}

/// Returns the last path segment of a type's name, without type arguments.
pub(crate) fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let without_arguments = full.split('<').next().unwrap_or(full);
    without_arguments.rsplit("::").next().unwrap_or(without_arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_type_by_its_last_segment() {
        assert_eq!(short_type_name::<std::collections::HashMap<String, Vec<u8>>>(), "HashMap");
        assert_eq!(short_type_name::<super::super::messages::Ping>(), "Ping");
        assert_eq!(short_type_name::<u8>(), "u8");
    }

    #[test]
    fn counts_each_type_and_knows_its_percentiles() {
        let (mut stats, zero) = (Stats::default(), Duration::ZERO);
        for ms in 1..=100 {
            stats.record("Slow", zero, Duration::from_millis(1), Duration::from_millis(ms));
        }
        stats.record("Quick", zero, zero, zero);
        stats.record("Endless", zero, Duration::MAX, Duration::MAX);

        let view = stats.view(Duration::from_secs(10));
        let slow = view["Slow"];
        assert!((slow.rate - 10.0).abs() < 1e-9, "{slow:?}");
        assert!((0.9..=1.1).contains(&slow.queueing.max_ms), "{slow:?}");
        assert_eq!(slow.times, slow.handling);
        let times = slow.handling;
        assert_eq!(slow.count, 100);
        assert!((49.0..=51.5).contains(&times.p50_ms), "{slow:?}");
        assert!((98.0..=101.0).contains(&times.p99_ms), "{slow:?}");
        assert!((99.0..=101.0).contains(&times.max_ms), "{slow:?}");
        assert_eq!(view["Quick"].count, 1);
        assert_eq!(view["Endless"].count, 1);
    }
}
