//! `docs/metrics.md`, made from the table.

use std::fmt::Write as _;

use super::{
    metric::{Kind, Metric},
    table::SUBJECTS,
};

const HEAD: &str = "# Metrics

`/metrics` on the admin listener is in Prometheus' text format. This document is made from the table in `src/instruments`; after
a change of the table run `TICKER_UPDATE_DOCS=1 cargo test --test documents metrics`.

* Every series is there from the start, except for some statuses of `ticker_http_requests_total`. Counters begin at 0
  and start again with the process: use `rate` and `increase`.
* A distribution is a histogram: `histogram_quantile(0.99, sum by (le) (rate(ticker_publication_seconds_bucket[5m])))`.
* No label grows with assets or markets. `actor`, `message` and `path` have the names of actors, message types and routes.
* [runbook.md](runbook.md) explains the alerts of `deploy/prometheus/alerts.yml`. `deploy/grafana` has two dashboards.
";

/// Returns the document.
#[must_use]
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for (heading, metrics) in SUBJECTS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {heading}\n\n| metric | kind | unit | meaning |\n|---|---|---|---|\n");
        for metric in metrics {
            let _ = writeln!(text, "{}", row(metric));
        }
    }
    text
}

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter | Kind::FloatCounter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let names: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
    let labels = if names.is_empty() { String::new() } else { format!("{{{}}}", names.join(",")) };
    let values: String = metric.labels.iter().filter(|label| label.values.len() > 1).map(values).collect();
    format!("| `{}{labels}` | {kind} | {} | {}{values} |", metric.name, metric.unit.text(), metric.help)
}

fn values(label: &super::Label) -> String {
    let values: Vec<String> = label.values.iter().map(|value| format!("`{value}`")).collect();
    format!(" `{}`: {}.", label.name, values.join(", "))
}
