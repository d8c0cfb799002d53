//! All metrics, by subject.

mod actors;
mod data;
mod http;
mod process;
mod upstream;

use super::metric::Metric;
pub use actors::{CHECKS, OWN_CHECKS, PART_CHECKS};

/// Subjects in the order of the document, each with its heading.
pub const SUBJECTS: [(&str, &[Metric]); 5] = [
    ("Data", data::METRICS),
    ("Horizon and stellar.toml", upstream::METRICS),
    ("Actors, readiness and leadership", actors::METRICS),
    ("HTTP", http::METRICS),
    ("Process, database connections and disk", process::METRICS),
];

/// Returns all metrics.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SUBJECTS.iter().flat_map(|(_, metrics)| metrics.iter())
}

/// Buckets of work that takes milliseconds to seconds.
pub(super) const WORK: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of waits and handlers, which are mostly shorter than a millisecond.
pub(super) const SHORT: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 4.0, 5.0, 30.0];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::instruments::{Kind, Unit};

    /// Most series of one metric.
    const SERIES_MAX: usize = 72;

    #[test]
    fn names_are_unique_and_follow_the_rules_of_prometheus() {
        let mut names = BTreeSet::new();
        for metric in all() {
            let name = metric.name;
            assert!(names.insert(name), "{name} is in the table twice");
            assert!(name.starts_with("ticker_") || name.starts_with("process_"), "{name}");
            let counts = matches!(metric.kind, Kind::Counter | Kind::FloatCounter);
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            let stem = name.trim_end_matches("_total");
            let is_named = match metric.unit {
                Unit::Seconds => stem.ends_with("_seconds"),
                Unit::Bytes => stem.ends_with("_bytes"),
                Unit::Ratio => stem.ends_with("_ratio"),
                Unit::Count | Unit::Flag => true,
            };
            assert!(is_named, "{name} does not name its unit");
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}: {}", metric.help);
        }
    }

    #[test]
    fn no_metric_has_many_series() {
        for metric in all() {
            let count = metric.series().map_or(0, |series| series.len());
            assert!(count <= SERIES_MAX, "{} has {count} series", metric.name);
        }
    }
}
