//! The page `/trace`: the form, the parts of a trade's way, and records as a tree with a waterfall.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actor_tree::trace::view::RecordView;
use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    AdminState,
    page::{BAR, html, short, shown},
    trace::{TraceAnswer, answer, pairs},
};
use crate::{
    domain::conversions::Integer,
    http::problem::problem,
    steps,
    traces::{
        journey::Part,
        query::NAMES,
        tree::{Node, tree},
    },
};

/// Width of a level of causes, in pixels.
const INDENT: usize = 16;
/// Width of a part outside the ticker, at either end of the bars. Drawn to scale, Horizon's share or a late reader
/// would leave slivers of the ticker's own parts.
const OUTSIDE: f64 = 5.0;
/// Class of the bars of time outside the ticker.
const FOREIGN: &str = "foreign";
/// Part of the way before the trade arrives.
const HORIZON: &str = "horizon";

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    now: String,
    is_recorded: bool,
    is_live: bool,
    inputs: Vec<Input>,
    total: Option<String>,
    /// Total by the kinds of parts, which is the legend of their bars too.
    split: String,
    parts: Vec<PartRow>,
    origin: Vec<String>,
    rows: Vec<RecordRow>,
    left_out: usize,
    dropped: u64,
}

struct Input {
    label: &'static str,
    name: &'static str,
    value: String,
    example: &'static str,
}

struct PartRow {
    name: String,
    ms: String,
    kind: &'static str,
    start: String,
    width: String,
}

struct RecordRow {
    at: String,
    trace: String,
    name: String,
    indent: usize,
    links: Vec<String>,
    from: String,
    to: String,
    queued_ms: String,
    handled_ms: String,
    start: String,
    wait: String,
    work_start: String,
    work: String,
    is_foreign: bool,
    outcome: String,
    subject: String,
}

pub(super) async fn trace(request: HttpRequest, state: web::Data<AdminState>) -> HttpResponse {
    let given = match pairs(&request) {
        Ok(given) => given,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, &reason),
    };
    // The form sends empty fields too. They select nothing.
    let asked: Vec<&(String, String)> = given.iter().filter(|(_, value)| !value.is_empty()).collect();
    let answer = match answer(&asked, &state).await {
        Ok(answer) => answer,
        Err(refused) => return refused,
    };
    let value = |name: &str| asked.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let inputs = INPUTS.map(|(name, label, example)| Input {
        label,
        name,
        value: value(name).unwrap_or_default(),
        example,
    });
    let nodes = tree(&answer.records);
    let axis = TimeAxis::of(&answer.records);
    html(&TracePage {
        now: shown(state.recorder.moment().now()),
        is_recorded: state.recorder.is_on(),
        is_live: value("trade").is_none() && value("trace").is_none(),
        inputs: inputs.into(),
        total: total(&answer).map(short),
        split: answer.trade.as_ref().map_or_else(String::new, |(journey, _)| split(&journey.parts)),
        parts: answer.trade.as_ref().map_or_else(Vec::new, |(journey, _)| part_rows(&journey.parts)),
        origin: origin(&answer),
        rows: nodes.iter().map(|node| record_row(node, &axis)).collect(),
        left_out: answer.left_out,
        dropped: answer.dropped,
    })
}

/// Fields of the form: every parameter of `/trace.json`, its label and an example.
const INPUTS: [(&str, &str, &str); NAMES.len()] = [
    ("trade", "Trade", "12345-0"),
    ("market", "Market", "XLM_CODE-ISSUER"),
    ("ledger", "Ledger", "12345678"),
    ("seq", "Batch (seq)", "42"),
    ("trace", "Trace", "32 hex digits"),
    ("actor", "Actor", "aggregator"),
    ("type", "Message or step", "TradesCommitted"),
    ("outcome", "Outcome", "panicked"),
    ("min_ms", "At least, ms", "100"),
    ("since", "Ended since", "2026-01-31T12:00:00Z"),
    ("limit", "Most records", "500"),
];

fn total(answer: &TraceAnswer) -> Option<f64> {
    answer.trade.as_ref().and_then(|(journey, _)| journey.total_ms())
}

/// Traces of a trade in the database, in sentences.
fn origin(answer: &TraceAnswer) -> Vec<String> {
    let Some((_, origin)) = &answer.trade else { return Vec::new() };
    let Some(origin) = origin else { return vec!["The database does not answer.".into()] };
    let stored = match &origin.stored {
        Some(trade) => format!(
            "Stored: its ledger closed at {}, base {} stroops, counter {} stroops, price {}/{}.",
            shown(trade.ledger_close_time),
            trade.base_stroops,
            trade.counter_stroops,
            trade.price_n,
            trade.price_d
        ),
        None => "Not stored.".into(),
    };
    let batches = origin.batches.iter().map(|batch| {
        format!("Batch {} ({}) was committed at {}.", batch.seq, batch.kind, shown(batch.committed_at))
    });
    let refused = origin.quarantine.iter().map(|entry| {
        format!(
            "In quarantine since {}: {}.",
            shown(entry.seen_at),
            crate::domain::plain_text::shown(&entry.reason)
        )
    });
    [stored].into_iter().chain(batches).chain(refused).collect()
}

/// Class of a part's bar: time outside of the ticker, a wait, or work.
fn kind(part: &Part) -> &'static str {
    match part.name.as_str() {
        HORIZON | "first_answer" => FOREIGN,
        "queue" | "wait_for_publication" => "wait",
        _ => "work",
    }
}

/// Time of all parts by their kinds, in a line.
fn split(parts: &[Part]) -> String {
    let ms = |of: &str| short(parts.iter().filter(|part| kind(part) == of).map(|part| part.ms).sum());
    format!(
        "Outside the ticker (thin, not to scale): {} ms. Queueing (hatched): {} ms. Handling (solid): {} ms.",
        ms(FOREIGN),
        ms("wait"),
        ms("work")
    )
}

/// Bars of the parts: the ticker's own ones to scale, those outside of it at the ends.
fn part_rows(parts: &[Part]) -> Vec<PartRow> {
    let own: f64 = parts.iter().filter(|part| kind(part) != FOREIGN).map(|part| part.ms).sum();
    let scale = (BAR - 2.0 * OUTSIDE) / own.max(f64::MIN_POSITIVE);
    let mut own_start = OUTSIDE;
    let row = |part: &Part| {
        let (start, width) = match (kind(part), part.name.as_str()) {
            (FOREIGN, HORIZON) => (0.0, OUTSIDE),
            (FOREIGN, _) => (BAR - OUTSIDE, OUTSIDE),
            _ => {
                let start = own_start;
                own_start += part.ms * scale;
                (start, part.ms * scale)
            }
        };
        PartRow {
            name: part.name.replace('_', " "),
            ms: short(part.ms),
            kind: kind(part),
            start: format!("{start:.2}"),
            width: format!("{width:.2}"),
        }
    };
    parts.iter().map(row).collect()
}

/// Time that the bars of the records share.
struct TimeAxis {
    from: DateTime<Utc>,
    /// Length in milliseconds, more than 0.
    ms: f64,
}

impl TimeAxis {
    /// Axis of these records. It ends before the reader who came first, if anything else is recorded: that may be
    /// much later.
    fn of(records: &[RecordView]) -> Self {
        let from = records.iter().map(|record| record.queued).min().unwrap_or_default();
        let own = records.iter().filter(|record| !is_foreign(record)).map(|record| record.ended).max();
        let to = own.or(records.iter().map(|record| record.ended).max()).unwrap_or_default();
        Self { from, ms: millis(from, to).max(0.001) }
    }

    /// Place of a time on the bar.
    fn place(&self, at: DateTime<Utc>) -> f64 {
        (millis(self.from, at) / self.ms * BAR).min(BAR)
    }
}

/// Returns true for a wait outside the ticker: for a reader.
fn is_foreign(record: &RecordView) -> bool {
    record.name() == steps::FIRST_ANSWER.0
}

fn record_row(node: &Node<'_>, axis: &TimeAxis) -> RecordRow {
    let record = node.record;
    let [sent, began, ended] = [record.queued, record.begin(), record.ended].map(|at| axis.place(at));
    let subject = record.subject.iter().map(|(name, value)| match value {
        Value::Array(ids) => format!("{name}={}", ids.len()),
        other => format!("{name}={other}"),
    });
    RecordRow {
        at: record.queued.format("%H:%M:%S%.3f").to_string(),
        trace: record.trace.clone(),
        name: record.name().to_owned(),
        indent: node.depth.saturating_mul(INDENT).max(1),
        links: record.links.iter().map(|link| link.trace.clone()).collect(),
        from: record.from.to_string(),
        to: record.to.to_string(),
        queued_ms: short(record.queued_ms),
        handled_ms: short(record.handled_ms),
        start: format!("{sent:.2}"),
        wait: format!("{:.2}", began - sent),
        work_start: format!("{began:.2}"),
        work: format!("{:.2}", (ended - began).max(0.3)),
        is_foreign: is_foreign(record),
        outcome: record.outcome.to_string(),
        subject: subject.collect::<Vec<_>>().join(" "),
    }
}

fn millis(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let micros = (to - from).num_microseconds().unwrap_or(i64::MAX);
    micros.to_f64() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_trade_is_split_into_what_is_not_ours_queueing_and_handling() {
        let part = |(name, ms): (&str, f64)| Part { name: name.to_owned(), ms };
        let parts = [
            ("horizon", 868.0),
            ("collect", 5.5),
            ("queue", 3.25),
            ("transaction", 22.0),
            ("wait_for_publication", 61.0),
            ("first_answer", 113.0),
        ];
        assert_eq!(
            split(&parts.map(part)),
            "Outside the ticker (thin, not to scale): 981 ms. Queueing (hatched): 64.25 ms. Handling (solid): 27.50 ms."
        );
    }

    #[test]
    fn the_form_has_a_field_for_every_parameter() {
        assert!(NAMES.iter().all(|name| INPUTS.iter().any(|(input, ..)| input == name)));
    }

    #[test]
    fn own_parts_fill_the_bar_whatever_the_time_outside_is() {
        let part = |(name, ms): (&str, f64)| Part { name: name.to_owned(), ms };
        let parts =
            [("horizon", 5_000.0), ("collect", 60.0), ("queue", 30.0), ("first_answer", 60_000.0)].map(part);
        let bars: Vec<_> = part_rows(&parts).into_iter().map(|row| (row.start, row.width)).collect();
        let expected = [("0.00", "5.00"), ("5.00", "60.00"), ("65.00", "30.00"), ("95.00", "5.00")];
        assert_eq!(bars, expected.map(|(start, width)| (start.to_owned(), width.to_owned())));
    }
}
