//! The recorder, and the text for Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
};

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::{
    metric::{Kind, Metric},
    process::ProcessFigures,
    table,
};

/// Value of a float counter by the value of its label; the empty string stands for no label.
type Values = BTreeMap<&'static str, f64>;

/// Float counters by name. The recorder has only whole counters, and seconds on a core are not whole.
static FLOATS: Mutex<BTreeMap<&'static str, Values>> = Mutex::new(BTreeMap::new());

/// The installed recorder. Cheap to clone.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

/// Error of installing the recorder.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("metrics cannot be recorded: another recorder is installed")]
pub struct InstallError;

impl Exposition {
    /// Installs the recorder and begins every series with 0. Later calls return the same recorder.
    ///
    /// # Errors
    ///
    /// Another recorder is installed.
    pub fn install() -> Result<Self, InstallError> {
        static RECORDER: OnceLock<Option<Exposition>> = OnceLock::new();
        let exposition = RECORDER.get_or_init(|| {
            let handle = builder().ok()?.install_recorder().ok()?;
            table::all().for_each(begin);
            gauge!("ticker_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(Self(handle))
        });
        exposition.clone().ok_or(InstallError)
    }

    /// Moves the samples of histograms into their buckets. Without it they pile up until a scrape, which may never
    /// come.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }

    /// Returns all metrics in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        publish(&ProcessFigures::read());
        let mut text = self.0.render();
        render_floats(&mut text);
        text
    }
}

/// Sets a float counter, which has at most one label. It never falls: a smaller value changes nothing.
pub fn float_counter(name: &'static str, label: Option<&'static str>, value: f64) {
    let mut floats = FLOATS.lock().unwrap_or_else(PoisonError::into_inner);
    let held = floats.entry(name).or_default().entry(label.unwrap_or_default()).or_default();
    *held = held.max(value);
}

/// Returns a recorder with the buckets of the table.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    let histograms = table::all().filter_map(|metric| match metric.kind {
        Kind::Histogram(buckets) => Some((metric.name, buckets)),
        _ => None,
    });
    histograms.into_iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    })
}

/// Describes a metric, and begins its series if the table knows them. Rates of a counter that appears only with its
/// first event miss that event.
fn begin(metric: &'static Metric) {
    let (name, help) = (metric.name, metric.help);
    match metric.kind {
        Kind::Counter => describe_counter!(name, help),
        Kind::Gauge => describe_gauge!(name, help),
        Kind::Histogram(_) => describe_histogram!(name, help),
        Kind::FloatCounter => {}
    }
    for series in metric.series().unwrap_or_default() {
        let labels: Vec<Label> = series.iter().map(|(key, value)| Label::new(*key, *value)).collect();
        match metric.kind {
            Kind::Counter => counter!(name, labels).increment(0),
            Kind::Gauge => gauge!(name, labels).increment(0.0),
            Kind::Histogram(_) => drop(histogram!(name, labels)),
            Kind::FloatCounter => float_counter(name, None, 0.0),
        }
    }
}

#[expect(clippy::as_conversions, reason = "gauges are doubles")]
fn publish(figures: &ProcessFigures) {
    float_counter("process_cpu_seconds_total", None, figures.cpu.as_secs_f64());
    gauge!("process_resident_memory_bytes").set(figures.resident_bytes as f64);
    gauge!("process_virtual_memory_bytes").set(figures.virtual_bytes as f64);
    gauge!("process_threads").set(figures.threads as f64);
    gauge!("process_open_fds").set(figures.open_files as f64);
    gauge!("process_max_fds").set(figures.open_files_max as f64);
}

fn render_floats(text: &mut String) {
    let floats = FLOATS.lock().unwrap_or_else(PoisonError::into_inner);
    for metric in table::all().filter(|metric| metric.kind == Kind::FloatCounter) {
        let Some(values) = floats.get(metric.name) else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} counter", metric.name, metric.help);
        for (value_of_label, value) in values {
            let labels = metric
                .labels
                .first()
                .map_or_else(String::new, |label| format!("{{{}=\"{value_of_label}\"}}", label.name));
            let _ = writeln!(text, "{}{labels} {value}", metric.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_counter_never_falls() {
        const NAME: &str = "a_float_counter";
        for (value, held) in [(0.0, 0.0), (5.0, 5.0), (0.0, 5.0), (5.5, 5.5)] {
            float_counter(NAME, Some("a"), value);
            let floats = FLOATS.lock().unwrap();
            assert!((floats[NAME]["a"] - held).abs() < 1e-9, "{value} {:?}", floats[NAME]);
        }
    }

    #[test]
    fn every_metric_is_there_from_the_start() {
        let text = Exposition::install().unwrap().render();
        for metric in table::all() {
            let Some(series) = metric.series() else { continue };
            let type_line = format!("# TYPE {} ", metric.name);
            assert!(text.contains(&type_line), "{type_line} is missing in\n{text}");
            for labels in series {
                let labels: Vec<String> =
                    labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
                let (mut suffix, mut braces) = ("", String::new());
                if matches!(metric.kind, Kind::Histogram(_)) {
                    suffix = "_count";
                }
                if !labels.is_empty() {
                    braces = format!("{{{}}}", labels.join(","));
                }
                let line = format!("\n{}{suffix}{braces} ", metric.name);
                assert!(text.contains(&line), "{line:?} is missing in\n{text}");
            }
        }
    }
}
