//! A record as JSON shows it. Commands read the same shape back.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    context::TraceContext,
    record::{Kind, Record},
    recorder::Moment,
    subject::left_out,
};

/// A text of this program, or one that was read from JSON.
type Text = Cow<'static, str>;

/// A record in `/trace.json`. Ids are lower-case hex as in W3C Trace Context, times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    /// Number of the message or step.
    pub number: u64,
    /// Trace, 32 hex digits.
    pub trace: String,
    /// Span, 16 hex digits.
    pub span: String,
    /// Span that caused it; null at the root of a trace.
    pub parent: Option<String>,
    /// Further causes.
    pub links: Vec<LinkView>,
    /// Number of the causes that are left out.
    pub links_left_out: u64,
    /// Sender.
    pub from: Text,
    /// Receiver.
    pub to: Text,
    /// Type of the message; null for a step.
    #[serde(rename = "type")]
    pub message: Option<Text>,
    /// Name of the step; null for a message.
    pub step: Option<Text>,
    /// Numbers by name, and ids.
    pub subject: Map<String, Value>,
    /// Time of sending.
    pub queued: DateTime<Utc>,
    /// Start of the handling; null if it never started.
    pub began: Option<DateTime<Utc>>,
    /// End.
    pub ended: DateTime<Utc>,
    /// Time in the mailbox in milliseconds, the wait for a slot included.
    pub queued_ms: f64,
    /// Time of the handling in milliseconds.
    pub handled_ms: f64,
    /// `done`, `failed`, `panicked`, `timed_out`, `abandoned` or `refused`.
    pub outcome: Text,
}

/// A cause in `/trace.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// Trace, 32 hex digits.
    pub trace: String,
    /// Span, 16 hex digits.
    pub span: String,
}

/// A message that an actor is handling: in `/actors.json`, and in a crash file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandlingView {
    /// Number of the message.
    pub number: u64,
    /// Type of the message.
    #[serde(rename = "type")]
    pub message: &'static str,
    /// Sender.
    pub from: &'static str,
    /// Trace of the message, 32 hex digits.
    pub trace: String,
    /// Time since handling began, in seconds.
    pub for_s: f64,
}

/// Returns the hex digits of a trace id.
#[must_use]
pub fn trace_hex(id: u128) -> String {
    format!("{id:032x}")
}

/// Returns the hex digits of a span id.
#[must_use]
pub fn span_hex(id: u64) -> String {
    format!("{id:016x}")
}

impl Record {
    /// Returns the record as `/trace.json` shows it.
    #[must_use]
    pub fn view(&self, moment: &Moment) -> RecordView {
        let (message, step) = match self.kind {
            Kind::Message(name) => (Some(name), None),
            Kind::Step(name) => (None, Some(name)),
        };
        let began = self.began.unwrap_or(self.ended);
        let link = |span: &TraceContext| LinkView {
            trace: trace_hex(span.trace_id()),
            span: span_hex(span.span_id()),
        };
        RecordView {
            number: self.number,
            trace: trace_hex(self.trace.trace_id()),
            span: span_hex(self.trace.span_id()),
            parent: self.trace.parent_id().map(span_hex),
            links: self.links.spans().iter().map(link).collect(),
            links_left_out: self.links.left_out(),
            from: self.from.into(),
            to: self.to.into(),
            message: message.map(Text::from),
            step: step.map(Text::from),
            subject: self.subject.to_map(),
            queued: moment.wall(self.queued),
            began: self.began.map(|at| moment.wall(at)),
            ended: moment.wall(self.ended),
            queued_ms: millis(began.saturating_duration_since(self.queued)),
            handled_ms: millis(self.ended.saturating_duration_since(began)),
            outcome: self.outcome.name().into(),
        }
    }
}

impl RecordView {
    /// Type of the message or name of the step.
    #[must_use]
    pub fn name(&self) -> &str {
        self.message.as_deref().or(self.step.as_deref()).unwrap_or_default()
    }

    /// Number of the subject by name.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<i64> {
        self.subject.get(name)?.as_i64()
    }

    /// Returns true if `id` is among the subject's members of this kind, or if so many were left out that it may be.
    #[must_use]
    pub fn may_have_member(&self, name: &str, id: i64) -> bool {
        let ids = self.subject.get(name).and_then(Value::as_array);
        ids.is_some_and(|ids| ids.iter().any(|member| member.as_i64() == Some(id)))
            || self.subject.contains_key(&left_out(name))
    }

    /// Start of the handling, or the end if it never started.
    #[must_use]
    pub fn begin(&self) -> DateTime<Utc> {
        self.began.unwrap_or(self.ended)
    }
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
