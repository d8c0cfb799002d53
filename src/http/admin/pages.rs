//! The pages `/actors` and `/trace`. They work without script, and follow the daemon with it.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use actor_tree::{
    supervision::{
        report::{ActorView, ExitView},
        stats::TimesView,
    },
    trace::view::RecordView,
};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::{
    AdminState,
    graph::{Actor, Graph},
    trace::{Answer, answer, pairs},
};
use crate::{
    domain::conversions::{Integer, SaturatingFrom},
    http::problem::problem,
    traces::{
        journey::Part,
        tree::{Node, tree},
    },
};

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Width of a bar, in units of its picture.
const BAR: f64 = 100.0;
/// Width of a level of causes, in pixels.
const INDENT: usize = 16;
/// Time in a mailbox after which an actor needs attention, in seconds.
const OLDEST_MAX_S: f64 = 1.0;
/// Busy share from which on an actor needs attention.
const BUSY_MAX: f64 = 0.9;

#[derive(Template)]
#[template(path = "actors.html")]
struct ActorsPage {
    now: String,
    is_recorded: bool,
    rate: String,
    attention: Vec<Attention>,
    graph: Graph,
    actors: Vec<ActorRow>,
    flow: Vec<FlowRow>,
    exits: Vec<ExitRow>,
}

struct Attention {
    text: String,
    trace: Option<String>,
}

struct ActorRow {
    name: String,
    state: String,
    uptime_s: u64,
    restarts: u64,
    depth: usize,
    capacity: usize,
    high_water: usize,
    depth_share: String,
    peak_share: String,
    oldest_s: String,
    busy_1m: String,
    busy_15m: String,
}

struct FlowRow {
    from: &'static str,
    to: &'static str,
    message: &'static str,
    count: u64,
    per_s_1m: String,
    per_s_15m: String,
    queueing_p99: String,
    handling_p99: String,
    handling_max: String,
}

struct ExitRow {
    at: String,
    actor: String,
    reason: String,
    message: String,
    trace: Option<String>,
    crash_file: String,
}

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
    outcome: String,
    subject: String,
}

pub(super) async fn actors(state: web::Data<AdminState>) -> HttpResponse {
    let tree = (state.actors)();
    let all = &tree.actors;
    let flow = state.recorder.flow_view();
    let graph = Graph::of(&all.iter().map(in_graph).collect::<Vec<_>>(), &flow);
    let rate: f64 = flow.iter().map(|line| line.per_s_1m).sum();
    let flow = flow.iter().map(|line| {
        let actor = all.iter().find(|actor| actor.name == line.to);
        let times = actor.and_then(|actor| actor.messages.get(line.message));
        let of = |figure: Option<f64>| figure.map_or("-".into(), short);
        let [queueing, handling]: [Option<TimesView>; 2] =
            [times.map(|times| times.queueing), times.map(|times| times.handling)];
        FlowRow {
            from: line.from,
            to: line.to,
            message: line.message,
            count: line.count,
            per_s_1m: short(line.per_s_1m),
            per_s_15m: short(line.per_s_15m),
            queueing_p99: of(queueing.map(|times| times.p99_ms)),
            handling_p99: of(handling.map(|times| times.p99_ms)),
            handling_max: of(handling.map(|times| times.max_ms)),
        }
    });
    html(&ActorsPage {
        now: shown(state.recorder.moment().now()),
        is_recorded: state.recorder.is_on(),
        rate: short(rate),
        graph,
        attention: all.iter().flat_map(attention).collect(),
        flow: flow.collect(),
        exits: all.iter().flat_map(exits).collect(),
        actors: all.iter().map(actor_row).collect(),
    })
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
    let span = Span::of(&answer.records);
    html(&TracePage {
        now: shown(state.recorder.moment().now()),
        is_recorded: state.recorder.is_on(),
        is_live: value("trade").is_none() && value("trace").is_none(),
        inputs: inputs.into(),
        total: total(&answer).map(short),
        split: answer.trade.as_ref().map_or_else(String::new, |(journey, _)| split(&journey.parts)),
        parts: answer.trade.as_ref().map_or_else(Vec::new, |(journey, _)| part_rows(&journey.parts)),
        origin: origin(&answer),
        rows: nodes.iter().map(|node| record_row(node, &span)).collect(),
        dropped: answer.dropped,
    })
}

/// Fields of the form: parameter, label, example.
const INPUTS: [(&str, &str, &str); 8] = [
    ("trade", "Trade", "12345-0"),
    ("market", "Market", "XLM_CODE-ISSUER"),
    ("ledger", "Ledger", "12345678"),
    ("seq", "Batch (seq)", "42"),
    ("actor", "Actor", "aggregator"),
    ("type", "Message or step", "TradesCommitted"),
    ("outcome", "Outcome", "panicked"),
    ("min_ms", "At least, ms", "100"),
];

fn total(answer: &Answer) -> Option<f64> {
    answer.trade.as_ref().and_then(|(journey, _)| journey.total_ms())
}

/// Traces of a trade in the database, in sentences.
fn origin(answer: &Answer) -> Vec<String> {
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

/// Faults of an actor, in sentences.
fn attention(actor: &ActorView) -> Vec<Attention> {
    let ActorView { name, restarts, mailbox, .. } = actor;
    let mut found = Vec::new();
    let mut note = |text: String, trace: Option<String>| found.push(Attention { text, trace });
    let exit = actor.last_exit.as_ref();
    let (reason, exit_trace) = exit.map_or(("", None), |exit| (exit.reason.as_str(), exit.trace.clone()));
    if matches!(&*actor.state, "backoff" | "stopped") {
        note(format!("{name} does not run: {reason}."), exit_trace);
    } else if *restarts > 0 {
        note(format!("{name} was restarted {restarts} times, last because it {reason}."), exit_trace);
    }
    if mailbox.depth >= mailbox.capacity {
        note(format!("The mailbox of {name} is full: senders wait."), None);
    }
    if let Some(oldest) = mailbox.oldest_s.filter(|oldest| *oldest > OLDEST_MAX_S) {
        note(format!("A message to {name} has waited for {oldest:.1} s."), None);
    }
    let busy = actor.busy.over_1m;
    if busy > BUSY_MAX {
        note(format!("{name} has been busy for {:.0} % of the last minute.", busy * 100.0), None);
    }
    for handled in actor.handling.iter().filter(|handled| handled.for_s > OLDEST_MAX_S) {
        let text = format!("{name} has handled one {} for {:.1} s.", handled.message, handled.for_s);
        note(text, Some(handled.trace.clone()));
    }
    found
}

fn exits(actor: &ActorView) -> Vec<ExitRow> {
    let row = |exit: &ExitView| ExitRow {
        at: exit.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        actor: actor.name.to_owned(),
        reason: exit.reason.clone(),
        message: exit.message.unwrap_or_default().to_owned(),
        trace: exit.trace.clone(),
        crash_file: exit.crash_file.clone().unwrap_or_else(|| "none".into()),
    };
    actor.exits.iter().rev().map(row).collect()
}

fn actor_row(actor: &ActorView) -> ActorRow {
    let mailbox = &actor.mailbox;
    let of_capacity = |count: usize| format!("{:.1}", BAR * ratio(count, mailbox.capacity));
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    ActorRow {
        name: actor.name.to_owned(),
        state: actor.state.to_string(),
        uptime_s: actor.uptime_s,
        restarts: actor.restarts,
        depth: mailbox.depth,
        capacity: mailbox.capacity,
        high_water: mailbox.high_water,
        depth_share: of_capacity(mailbox.depth),
        peak_share: of_capacity(mailbox.high_water),
        oldest_s: mailbox.oldest_s.map_or("-".into(), short),
        busy_1m: percent(actor.busy.over_1m),
        busy_15m: percent(actor.busy.over_15m),
    }
}

fn in_graph(actor: &ActorView) -> Actor<'_> {
    let [depth, capacity, high_water] =
        [actor.mailbox.depth, actor.mailbox.capacity, actor.mailbox.high_water].map(u64::saturating_from);
    Actor {
        name: actor.name,
        state: &actor.state,
        depth,
        capacity,
        high_water,
        needs_attention: !attention(actor).is_empty(),
    }
}

/// Class of a part's bar: time outside of the ticker, a wait, or work.
fn kind(part: &Part) -> &'static str {
    match part.name.as_str() {
        "horizon" | "first_answer" => "foreign",
        "queue" | "wait_for_publication" => "wait",
        _ => "work",
    }
}

/// Time of all parts by their kinds, in a line.
fn split(parts: &[Part]) -> String {
    let ms = |of: &str| short(parts.iter().filter(|part| kind(part) == of).map(|part| part.ms).sum());
    format!(
        "Outside the ticker (outlined): {} ms. Queueing (hatched): {} ms. Handling (solid): {} ms.",
        ms("foreign"),
        ms("wait"),
        ms("work")
    )
}

fn part_rows(parts: &[Part]) -> Vec<PartRow> {
    let total: f64 = parts.iter().map(|part| part.ms).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut start = 0.0;
    let row = |part: &Part| {
        let width = part.ms / total * BAR;
        let row = PartRow {
            name: part.name.replace('_', " "),
            ms: short(part.ms),
            kind: kind(part),
            start: format!("{start:.2}"),
            width: format!("{width:.2}"),
        };
        start += width;
        row
    };
    parts.iter().map(row).collect()
}

/// Time that the bars of the records share.
struct Span {
    from: DateTime<Utc>,
    /// Length in milliseconds, more than 0.
    ms: f64,
}

impl Span {
    fn of(records: &[RecordView]) -> Self {
        let from = records.iter().map(|record| record.queued).min().unwrap_or_default();
        let to = records.iter().map(|record| record.ended).max().unwrap_or_default();
        Self { from, ms: millis(from, to).max(0.001) }
    }

    /// Place of a time on the bar.
    fn place(&self, at: DateTime<Utc>) -> f64 {
        millis(self.from, at) / self.ms * BAR
    }
}

fn record_row(node: &Node<'_>, span: &Span) -> RecordRow {
    let record = node.record;
    let [sent, began, ended] = [record.queued, record.begin(), record.ended].map(|at| span.place(at));
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
        outcome: record.outcome.to_string(),
        subject: subject.collect::<Vec<_>>().join(" "),
    }
}

fn millis(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let micros = (to - from).num_microseconds().unwrap_or(i64::MAX);
    micros.to_f64() / 1_000.0
}

fn ratio(part: usize, whole: usize) -> f64 {
    part.to_f64() / whole.max(1).to_f64()
}

fn short(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn html(page: &impl Template) -> HttpResponse {
    // Rendering into memory does not fail.
    let body = page.render().unwrap_or_default();
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(body)
}

pub(super) async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", include_str!("../../../web/admin.css"))
}

pub(super) async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", include_str!("../../../web/admin.js"))
}

fn asset(content_type: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
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
            "Outside the ticker (outlined): 981 ms. Queueing (hatched): 64.25 ms. Handling (solid): 27.50 ms."
        );
    }

    #[test]
    fn the_policy_has_one_blank_between_its_words() {
        let policy = CONTENT_SECURITY_POLICY;
        assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("  "), "{policy}");
    }
}
