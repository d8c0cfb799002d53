//! The page `/actors`: what needs attention, the picture of the messages, all actors and their exits.

use actix_web::{HttpResponse, web};
use actor_tree::supervision::{
    report::{ActorView, ExitView},
    stats::TimesView,
};
use askama::Template;
use chrono::SecondsFormat;

use super::{
    AdminState,
    graph::{Actor, Graph},
    page::{BAR, html, short, shown},
};
use crate::domain::conversions::{Integer, SaturatingFrom};

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

/// A fault.
#[derive(Debug, PartialEq)]
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
    abandoned: usize,
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

pub(super) async fn actors(state: web::Data<AdminState>) -> HttpResponse {
    let tree = (state.actors)();
    let all = &tree.actors;
    let flow = state.recorder.flow_view();
    let attention: Vec<Vec<Attention>> = all.iter().map(attention).collect();
    let in_graph = all.iter().zip(&attention).map(|(actor, found)| in_graph(actor, !found.is_empty()));
    let graph = Graph::of(&in_graph.collect::<Vec<_>>(), &flow);
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
        attention: attention.into_iter().flatten().collect(),
        flow: flow.collect(),
        exits: all.iter().flat_map(exits).collect(),
        actors: all.iter().map(actor_row).collect(),
    })
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
    if mailbox.is_full() {
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
        abandoned: mailbox.abandoned,
        capacity: mailbox.capacity,
        high_water: mailbox.high_water,
        depth_share: of_capacity(mailbox.taken()),
        peak_share: of_capacity(mailbox.high_water),
        oldest_s: mailbox.oldest_s.map_or("-".into(), short),
        busy_1m: percent(actor.busy.over_1m),
        busy_15m: percent(actor.busy.over_15m),
    }
}

fn in_graph(actor: &ActorView, needs_attention: bool) -> Actor<'_> {
    let [depth, capacity, high_water] =
        [actor.mailbox.taken(), actor.mailbox.capacity, actor.mailbox.high_water].map(u64::saturating_from);
    Actor { name: actor.name, state: &actor.state, depth, capacity, high_water, needs_attention }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part.to_f64() / whole.max(1).to_f64()
}

#[cfg(test)]
mod tests {
    use actor_tree::{
        supervision::{queue::QueueView, report::BusyView},
        trace::view::HandlingView,
    };
    use chrono::DateTime;

    use super::*;

    /// An actor that needs no attention, at the limit in every respect.
    fn calm() -> ActorView {
        ActorView {
            name: "one",
            state: "idle".into(),
            generation: 0,
            restarts: 0,
            uptime_s: 9,
            mailbox: QueueView { depth: 1, capacity: 3, high_water: 3, abandoned: 1, oldest_s: Some(1.0) },
            busy: BusyView { over_1m: 0.9, over_15m: 1.0 },
            handling: vec![handled(1.0)],
            last_exit: None,
            exits: Vec::new(),
            messages: [].into(),
        }
    }

    fn handled(for_s: f64) -> HandlingView {
        HandlingView { number: 1, message: "Do", from: "other", trace: "ab".into(), for_s }
    }

    fn fallen() -> Option<ExitView> {
        Some(ExitView {
            at: DateTime::UNIX_EPOCH,
            generation: 0,
            reason: "panicked: a test".into(),
            message: Some("Do"),
            trace: Some("cd".into()),
            crash_file: None,
        })
    }

    #[test]
    fn each_fault_has_its_sentence_and_a_calm_actor_none() {
        /// Change of a calm actor, the sentence about it, and the trace that the sentence links.
        type Case = (fn(&mut ActorView), &'static str, Option<&'static str>);
        let cases: [Case; 7] = [
            (
                |actor| (actor.state, actor.restarts, actor.last_exit) = ("backoff".into(), 1, fallen()),
                "one does not run: panicked: a test.",
                Some("cd"),
            ),
            (
                |actor| (actor.restarts, actor.last_exit) = (2, fallen()),
                "one was restarted 2 times, last because it panicked: a test.",
                Some("cd"),
            ),
            (|actor| actor.mailbox.depth = 3, "The mailbox of one is full: senders wait.", None),
            (|actor| actor.mailbox.abandoned = 2, "The mailbox of one is full: senders wait.", None),
            (|actor| actor.mailbox.oldest_s = Some(1.25), "A message to one has waited for 1.2 s.", None),
            (|actor| actor.busy.over_1m = 0.95, "one has been busy for 95 % of the last minute.", None),
            (|actor| actor.handling = vec![handled(12.0)], "one has handled one Do for 12.0 s.", Some("ab")),
        ];
        assert_eq!(attention(&calm()), []);
        for (fault, text, trace) in cases {
            let mut actor = calm();
            fault(&mut actor);
            let expected = Attention { text: text.to_owned(), trace: trace.map(str::to_owned) };
            assert_eq!(attention(&actor), [expected]);
        }
    }
}
