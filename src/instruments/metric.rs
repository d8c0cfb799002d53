//! Description of one metric.

/// A metric as Prometheus sees it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with its unit, and with `_total` if it is a counter.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit of its values.
    pub unit: Unit,
    /// Text of `# HELP`: a noun phrase with a full stop.
    pub help: &'static str,
    /// Labels in the order in which they are documented.
    pub labels: &'static [Label],
}

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Whole number that only grows.
    Counter,
    /// Fractional number that only grows. The recorder has none, so [`super::float_counter`] keeps it.
    FloatCounter,
    /// Number that may fall.
    Gauge,
    /// Distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// Unit of a metric, a base unit of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share from 0 to 1.
    Ratio,
    /// 1 for yes, 0 for no.
    Flag,
}

impl Unit {
    /// Returns the unit for readers.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Ratio => "0 to 1",
            Self::Flag => "0 or 1",
        }
    }
}

/// A label and its values. The number of values never depends on data.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Name.
    pub name: &'static str,
    /// All values. Empty if they are known only at start, such as the names of actors.
    pub values: &'static [&'static str],
}

impl Metric {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit: Unit::Count, help, labels: &[] }
    }

    pub(super) const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, help, labels: &[] }
    }

    pub(super) const fn seconds(name: &'static str, buckets: &'static [f64], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram(buckets), unit: Unit::Seconds, help, labels: &[] }
    }

    pub(super) const fn float_counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::FloatCounter, unit: Unit::Seconds, help, labels: &[] }
    }

    pub(super) const fn of(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    pub(super) const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// Returns the labels of every series, or none if they are known only at start.
    #[must_use]
    pub fn series(&self) -> Option<Vec<Vec<(&'static str, &'static str)>>> {
        let mut all = vec![Vec::new()];
        for label in self.labels {
            if label.values.is_empty() {
                return None;
            }
            let longer = |series: &Vec<(&'static str, &'static str)>| {
                let series = series.clone();
                label.values.iter().map(move |value| [series.as_slice(), &[(label.name, *value)]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_a_series_for_each_combination_of_values() {
        const LABELS: &[Label] =
            &[Label { name: "a", values: &["1", "2"] }, Label { name: "b", values: &["x", "y"] }];
        let metric = Metric::counter("ticker_x_total", "X.");
        assert_eq!(metric.series().unwrap(), [[]; 1]);
        let series = metric.by(LABELS).series().unwrap();
        assert_eq!(series.len(), 4);
        assert!(series.contains(&vec![("a", "2"), ("b", "x")]));
        assert!(metric.by(&[Label { name: "actor", values: &[] }]).series().is_none());
    }
}
