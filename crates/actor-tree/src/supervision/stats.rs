//! Handling times of a child, by message type.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest recorded time, an hour in microseconds. Longer times are recorded as this.
const LONGEST_US: u64 = 3_600_000_000;
/// Precision of the histograms: two significant digits, within 1 %.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Histograms by the short name of the message type; none if a histogram could not be created.
#[derive(Debug, Default)]
pub(crate) struct Stats(BTreeMap<&'static str, Option<Histogram<u64>>>);

/// Handling times of one message type in `/actors.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MessageView {
    /// Messages handled since the start of the process, failed ones included.
    pub count: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Maximum, in milliseconds.
    pub max_ms: f64,
}

impl Stats {
    /// Records a message of the type `name` that took `took`.
    pub(crate) fn record(&mut self, name: &'static str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let times = self.0.entry(name).or_insert_with(|| {
            // The bounds are constants that a test has shown to be valid. A failure would only cost the figures.
            Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS).ok()
        });
        if let Some(times) = times {
            times.saturating_record(micros);
        }
    }

    /// Returns the figures of each type.
    pub(crate) fn view(&self) -> BTreeMap<&'static str, MessageView> {
        self.0.iter().filter_map(|(name, times)| Some((*name, view(times.as_ref()?)))).collect()
    }
}

fn view(times: &Histogram<u64>) -> MessageView {
    MessageView {
        count: times.len(),
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
        let mut stats = Stats::default();
        for ms in 1..=100 {
            stats.record("Slow", Duration::from_millis(ms));
        }
        stats.record("Quick", Duration::ZERO);
        stats.record("Endless", Duration::MAX);

        let view = stats.view();
        let slow = view["Slow"];
        assert_eq!(slow.count, 100);
        assert!((49.0..=51.5).contains(&slow.p50_ms), "{slow:?}");
        assert!((98.0..=101.0).contains(&slow.p99_ms), "{slow:?}");
        assert!((99.0..=101.0).contains(&slow.max_ms), "{slow:?}");
        assert_eq!(view["Quick"].count, 1);
        assert_eq!(view["Endless"].count, 1);
    }
}
