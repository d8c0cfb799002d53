//! Records as spans of OpenTelemetry. Pure.
//!
//! A message is a span of the kind `CONSUMER`, from its sending to its end; the event `handling begins` ends
//! its wait. A sender that stopped waiting is a span of the kind `PRODUCER`, beside that of the message, which may be
//! handled later. A step is a span of the kind `INTERNAL`. Names follow OpenTelemetry's conventions for messaging.

use actor_tree::trace::{
    context::TraceContext,
    record::{Kind, Outcome, Record},
    recorder::Moment,
};
use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link, SpanKind},
        status::StatusCode,
    },
};

use crate::config::Sampler;

/// Returns true if the trace of a record is exported.
#[must_use]
pub fn is_sampled(sampler: Sampler, record: &Record) -> bool {
    match sampler {
        Sampler::All => true,
        Sampler::None => false,
        // Ids are random, so their lowest 32 bits are as good as a draw, and the same for all spans of a trace.
        Sampler::Ratio(ratio) => {
            let low = u32::try_from(record.trace.trace_id() & u128::from(u32::MAX)).unwrap_or(u32::MAX);
            f64::from(low) < ratio * (f64::from(u32::MAX) + 1.0)
        }
    }
}

/// Returns the request that exports these records. `resource` holds the attributes of the process.
#[must_use]
pub fn request<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    resource: &[(String, String)],
    moment: &Moment,
) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "actor-tree".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let spans = records.into_iter().map(|record| span(record, moment)).collect();
    let attributes = resource.iter().map(|(name, value)| text(name, value.clone())).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// Returns true for the end of the wait of a sender. The message itself may have a record of its own.
fn is_of_sender(record: &Record) -> bool {
    record.outcome == Outcome::TimedOut
}

/// Returns the id of a record's span. A sender's derives from that of the message: a span that is sent again keeps it.
fn span_id(record: &Record) -> u64 {
    let id = record.trace.span_id();
    if is_of_sender(record) { (!id).max(1) } else { id }
}

/// Returns the links of a record's causes. A sender's span links to that of the message.
fn links(record: &Record) -> Vec<Link> {
    let message = is_of_sender(record).then_some(&record.trace);
    let spans = record.links.spans().iter().chain(message);
    let link = |cause: &TraceContext| Link {
        trace_id: cause.trace_id().to_be_bytes().to_vec(),
        span_id: cause.span_id().to_be_bytes().to_vec(),
        ..Link::default()
    };
    spans.map(link).collect()
}

fn span(record: &Record, moment: &Moment) -> Span {
    let (verb, message_kind) =
        if is_of_sender(record) { ("send", SpanKind::Producer) } else { ("process", SpanKind::Consumer) };
    let (name, kind, mut attributes) = match record.kind {
        Kind::Message(message) => (
            format!("{verb} {message}"),
            message_kind,
            vec![
                text("messaging.system", "actix".into()),
                text("messaging.operation.type", verb.into()),
                text("messaging.operation.name", verb.into()),
                text("messaging.destination.name", record.to.into()),
                text("messaging.message.id", record.number.to_string()),
                text("ticker.message.type", message.into()),
                text("ticker.message.sender", record.from.into()),
            ],
        ),
        Kind::Step(step) => {
            (step.to_owned(), SpanKind::Internal, vec![text("ticker.actor", record.from.into())])
        }
    };
    attributes.push(text("ticker.outcome", record.outcome.name().into()));
    let subject = record.subject.to_map();
    attributes.extend(subject.iter().filter_map(|(name, value)| {
        Some(KeyValue {
            key: format!("ticker.subject.{name}"),
            value: Some(AnyValue { value: Some(number_or_numbers(value)?) }),
            ..KeyValue::default()
        })
    }));
    let begins = record.began.map(|at| Event {
        time_unix_nano: nanos(moment.wall(at)),
        name: "handling begins".into(),
        ..Event::default()
    });
    let (code, message) = match record.outcome {
        Outcome::Done => (StatusCode::Unset, String::new()),
        outcome => (StatusCode::Error, outcome.name().to_owned()),
    };
    Span {
        trace_id: record.trace.trace_id().to_be_bytes().to_vec(),
        span_id: span_id(record).to_be_bytes().to_vec(),
        parent_span_id: record.trace.parent_id().map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name,
        kind: kind.into(),
        start_time_unix_nano: nanos(moment.wall(record.queued)),
        end_time_unix_nano: nanos(moment.wall(record.ended)),
        attributes,
        events: begins.into_iter().collect(),
        links: links(record),
        dropped_links_count: u32::try_from(record.links.left_out()).unwrap_or(u32::MAX),
        status: Some(Status { message, code: code.into() }),
        ..Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    }
}

fn number_or_numbers(value: &serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::Array(values) => {
            let values = values.iter().map(|value| AnyValue { value: number_or_numbers(value) }).collect();
            Some(Value::ArrayValue(ArrayValue { values }))
        }
        _ => value.as_i64().map(Value::IntValue),
    }
}

/// Returns nanoseconds since 1970.
fn nanos(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use actor_tree::trace::{record::Links, subject::Subject};

    use super::*;

    #[test]
    fn a_sender_that_stopped_waiting_has_a_span_of_its_own() {
        let now = Instant::now();
        let handled = Record {
            number: 1,
            trace: TraceContext::root(),
            links: Links::default(),
            from: "one",
            to: "other",
            kind: Kind::Message("Ask"),
            subject: Subject::none(),
            queued: now,
            began: Some(now),
            ended: now,
            outcome: Outcome::Done,
        };
        let timed_out = Record { outcome: Outcome::TimedOut, began: None, ..handled.clone() };
        assert_eq!(span_id(&handled), handled.trace.span_id());
        assert_ne!(span_id(&timed_out), span_id(&handled));
        assert_eq!(links(&handled), []);
        let linked: Vec<Vec<u8>> = links(&timed_out).into_iter().map(|link| link.span_id).collect();
        assert_eq!(linked, [handled.trace.span_id().to_be_bytes()]);
    }
}
