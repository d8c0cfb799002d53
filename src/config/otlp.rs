//! Export of traces, from the variables that OpenTelemetry defines for all programs. Without an endpoint nothing is
//! exported.
//!
//! Source of the names, forms and defaults: OpenTelemetry's specification, "Environment Variable Specification" and
//! "OTLP Exporter Configuration". An empty variable counts as unset.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::Environment;
use super::fault::{Fault, FaultKind, ValueError};
use super::parse;
use super::secret::{redact_credentials, shown_malformed_url};
use super::source::Source;
use super::visible;
use crate::domain::conversions::SaturatingFrom;

/// Path of the traces below the endpoint of all signals.
const TRACES_PATH: &str = "/v1/traces";
/// Name of this program among the services of a collector.
const SERVICE: &str = "stellar-ticker";
/// Largest number of spans that wait, whatever is configured. Each takes about a kilobyte.
const QUEUE_MAX: u64 = 65_536;

/// Export of traces to a collector, over OTLP/HTTP with protobuf.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpExport {
    /// URL to which the spans are posted.
    pub url: String,
    /// Headers of each request. They may hold secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time limit for a request.
    pub timeout: Duration,
    /// Longest wait before spans are sent.
    pub delay: Duration,
    /// Most spans that wait; more are dropped.
    pub queue_max: usize,
    /// Most spans in a request.
    pub batch_max: usize,
    /// Selection of the traces.
    pub sampler: Sampler,
    /// Attributes of this process, `service.name` included.
    pub resource: Vec<(String, String)>,
}

/// Selection of traces. All spans of a trace are exported, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// All traces.
    All,
    /// No trace.
    None,
    /// This share of the traces, from 0 to 1, chosen by their ids.
    Ratio(f64),
}

/// Reads the variables. Returns none without an endpoint, or if the export is disabled.
pub(super) fn export(environment: &Environment, faults: &mut Vec<Fault>) -> Option<OtlpExport> {
    let mut reader = Reader { environment, faults };
    if reader.text(&["OTEL_SDK_DISABLED"]).is_some_and(|(_, text)| text.eq_ignore_ascii_case("true")) {
        return None;
    }
    // A list. The variable may belong to other programs as well, so other exporters are none of ours.
    let is_ours = |list: &str| list.split(',').any(|name| name.trim().eq_ignore_ascii_case("otlp"));
    if reader.text(&["OTEL_TRACES_EXPORTER"]).is_some_and(|(_, text)| !is_ours(text)) {
        return None;
    }
    let url = reader.url()?;
    reader.read(
        &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        "http/protobuf",
        |text| if text == "http/protobuf" { Ok(()) } else { Err(ValueError::refused("it is not supported")) },
    );
    let headers = reader.read(
        &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
        "NAME=VALUE,…, percent-encoded",
        |text| pairs(text)?.into_iter().map(header).collect(),
    );
    let timeout = reader.millis(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], 10_000);
    let delay = reader.millis(&["OTEL_BSP_SCHEDULE_DELAY"], 5_000);
    let queue_max = reader.count("OTEL_BSP_MAX_QUEUE_SIZE", 2_048);
    let batch_max = reader.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(queue_max);
    let sampler = reader.sampler();
    let resource = reader.resource();
    Some(OtlpExport {
        url,
        headers: headers.unwrap_or_default(),
        timeout,
        delay,
        queue_max,
        batch_max,
        sampler,
        resource,
    })
}

struct Reader<'a> {
    environment: &'a Environment,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    /// Returns the first of these variables that is set, and its text.
    fn text(&self, variables: &[&'static str]) -> Option<(&'static str, &str)> {
        variables.iter().find_map(|variable| {
            let text = self.environment.get(*variable)?.trim();
            (!text.is_empty()).then_some((*variable, text))
        })
    }

    /// Parses the first of these variables that is set.
    fn read<T>(
        &mut self,
        variables: &[&'static str],
        allowed: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let (variable, text) = self.text(variables)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                // Headers hold keys of collectors.
                let shown = if variable.ends_with("HEADERS") {
                    "***".to_owned()
                } else if variable.ends_with("ENDPOINT") && error.kind == FaultKind::Unparsable {
                    visible::shortened(visible::on_one_line(&shown_malformed_url(text)))
                } else {
                    visible::shortened(visible::on_one_line(&redact_credentials(text)))
                };
                self.faults.push(Fault::Value {
                    setting: variable,
                    shown,
                    source: Source::Environment { variable: variable.to_owned() },
                    kind: error.kind,
                    detail: error.detail,
                    allowed,
                });
                None
            }
        }
    }

    /// The endpoint of traces is used as it is; that of all signals is a base.
    fn url(&mut self) -> Option<String> {
        let (of_traces, of_all) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
        if self.text(&[of_traces]).is_some() {
            return self.read(&[of_traces], "an http or https URL without user or fragment", parse::http_url);
        }
        let allowed = "an http or https URL without user, query or fragment";
        Some(self.read(&[of_all], allowed, parse::http_base)? + TRACES_PATH)
    }

    fn millis(&mut self, variables: &[&'static str], default: u64) -> Duration {
        let parse = |text: &str| match text.parse() {
            Ok(millis @ 1..=3_600_000) => Ok(millis),
            _ => Err(ValueError::UNPARSABLE),
        };
        let millis = self.read(variables, "milliseconds, from 1 to 3600000", parse);
        Duration::from_millis(millis.unwrap_or(default))
    }

    fn count(&mut self, variable: &'static str, default: u64) -> usize {
        let parse = |text: &str| match text.parse() {
            Ok(count @ 1..=QUEUE_MAX) => Ok(count),
            _ => Err(ValueError::UNPARSABLE),
        };
        let count = self.read(&[variable], "a number of spans, from 1 to 65536", parse).unwrap_or(default);
        usize::saturating_from(count)
    }

    fn sampler(&mut self) -> Sampler {
        let ratio = self.read(&["OTEL_TRACES_SAMPLER_ARG"], "a number from 0 to 1", |text| {
            let ratio: Result<f64, _> = text.parse();
            ratio.ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or(ValueError::UNPARSABLE)
        });
        let allowed = "always_on, always_off, traceidratio, or one of them with parentbased_ in front";
        let sampler = self.read(&["OTEL_TRACES_SAMPLER"], allowed, |text| {
            // Every trace begins here, so the parent's decision is this program's own.
            match text.strip_prefix("parentbased_").unwrap_or(text) {
                "always_on" => Ok(Sampler::All),
                "always_off" => Ok(Sampler::None),
                "traceidratio" => Ok(Sampler::Ratio(ratio.unwrap_or(1.0))),
                _ => Err(ValueError::UNPARSABLE),
            }
        });
        sampler.unwrap_or(Sampler::All)
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let attributes = self
            .read(&["OTEL_RESOURCE_ATTRIBUTES"], "NAME=VALUE,…, percent-encoded", pairs)
            .unwrap_or_default();
        let of_attributes = attributes.iter().find(|(name, _)| name == "service.name");
        let service = self.text(&["OTEL_SERVICE_NAME"]).map(|(_, text)| text.to_owned());
        let service = service.or_else(|| of_attributes.map(|(_, value)| value.clone()));
        let mut resource = vec![
            ("service.name".to_owned(), service.unwrap_or_else(|| SERVICE.to_owned())),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        for (name, value) in attributes {
            match resource.iter_mut().find(|(other, _)| *other == name) {
                None => resource.push((name, value)),
                Some(known) if name != "service.name" => known.1 = value,
                Some(_) => {}
            }
        }
        resource
    }
}

/// Parses `NAME=VALUE,NAME=VALUE`; values are percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, ValueError> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    };
    let given = text.split(',').map(str::trim).filter(|given| !given.is_empty());
    given.map(|given| pair(given).ok_or(ValueError::UNPARSABLE)).collect()
}

fn header((name, value): (String, String)) -> Result<(HeaderName, HeaderValue), ValueError> {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(ValueError::refused("a name or a value cannot stand in a header")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<OtlpExport>, Vec<String>) {
        let environment = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let mut faults = Vec::new();
        let export = export(&environment, &mut faults);
        (export, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported() {
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "x")]), (None, vec![]));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), (None, vec![]));
        let disabled = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "true")];
        assert_eq!(read(&disabled), (None, vec![]));
    }

    #[test]
    fn a_list_of_exporters_without_otlp_disables_the_export() {
        let with = |exporter| {
            read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_TRACES_EXPORTER", exporter)])
        };
        for others in ["none", "zipkin", "console, zipkin"] {
            assert_eq!(with(others), (None, vec![]), "{others}");
        }
        for ours in ["otlp", "OTLP", "console, otlp"] {
            let (export, faults) = with(ours);
            assert_eq!((export.is_some(), faults), (true, vec![]), "{ours}");
        }
    }

    #[test]
    fn the_endpoint_of_traces_is_used_as_it_is() {
        for url in ["https://c.example/v1/traces/", "http://c:4318/?tenant=1&x=/", "http://c:4318"] {
            let (export, faults) = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]);
            assert_eq!(export.map(|export| export.url).as_deref(), Some(url), "{faults:?}");
        }
        for url in ["ftp://c", "http://u:p@c", "http://c:4318/#a"] {
            assert_eq!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]).1.len(), 1, "{url}");
        }
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/?tenant=1")]).1.len(), 1);
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let (export, faults) = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")]);
        let export = export.unwrap();
        assert_eq!((export.url.as_str(), faults), ("http://c:4318/v1/traces", vec![]));
        assert_eq!((export.timeout.as_secs(), export.delay.as_secs()), (10, 5));
        assert_eq!((export.queue_max, export.batch_max, export.sampler), (2_048, 512, Sampler::All));
        assert_eq!(export.resource[0], ("service.name".into(), "stellar-ticker".into()));
    }

    #[test]
    fn variables_of_traces_win_over_those_of_all_signals() {
        let (export, _) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/own"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=a%20b, x = 2"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=lost,deployment.environment=a%2Cb"),
            ("OTEL_SERVICE_NAME", "won"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ]);
        let export = export.unwrap();
        assert_eq!(export.url, "https://traces/own");
        let headers: Vec<_> =
            export.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("api-key", "a b"), ("x", "2")]);
        assert_eq!((export.sampler, export.batch_max), (Sampler::Ratio(0.25), 100));
        assert_eq!(export.resource[0].1, "won");
        assert_eq!(export.resource[2], ("deployment.environment".into(), "a,b".into()));
    }

    #[test]
    fn each_fault_names_its_variable_and_hides_keys() {
        let (_, faults) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ]);
        assert_eq!(faults.len(), 6, "{faults:#?}");
        for variable in ["PROTOCOL", "HEADERS", "TIMEOUT", "SAMPLER:", "SAMPLER_ARG", "QUEUE_SIZE"] {
            assert!(faults.iter().any(|fault| fault.contains(variable)), "{variable}: {faults:#?}");
        }
        assert!(!faults.iter().any(|fault| fault.contains("secret")));
        let (_, faults) = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c")]);
        assert_eq!(faults.len(), 1);
    }
}
