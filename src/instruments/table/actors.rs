//! Metrics of the actors, of readiness and of leadership.

use super::SHORT;
use crate::instruments::metric::{Label, Metric, Unit};

const ACTOR: &[Label] = &[Label { name: "actor", values: &[] }];
const MESSAGE: &[Label] = &[Label { name: "actor", values: &[] }, Label { name: "message", values: &[] }];
/// Names of all checks of `/readyz`, including those that only some replicas have: first [`OWN_CHECKS`], then
/// [`PART_CHECKS`].
pub const CHECKS: &[&str] = &[
    "database",
    "publication",
    "children",
    "leader",
    "stream",
    "horizon",
    "budget",
    "lake",
    "disk",
    "files",
    "history",
    "assets",
    "books",
    "cleaning",
    "candles",
    "stellar_toml",
    "audit",
    "nginx",
    "network",
];
/// Number of checks that readiness makes itself.
const OWN: usize = 9;
/// Names of the checks that readiness makes itself.
pub const OWN_CHECKS: &[&str] = CHECKS.split_at(OWN).0;
/// Names of the checks that actors report as their parts.
pub const PART_CHECKS: &[&str] = CHECKS.split_at(OWN).1;
const SPANS: &[Label] = &[Label { name: "result", values: &["exported", "dropped", "refused"] }];
const CHECK: &[Label] = &[Label { name: "check", values: CHECKS }];

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        "ticker_actor_up",
        Unit::Flag,
        "1 while the actor runs, 0 during backoff and after its end.",
    )
    .by(ACTOR),
    Metric::counter("ticker_actor_restarts_total", "Restarts of actors after an exit.").by(ACTOR),
    Metric::counter("ticker_nginx_restarts_total", "Restarts of nginx; 0 without --nginx."),
    Metric::gauge("ticker_actor_mailbox_messages", Unit::Count, "Slots of the mailbox that are taken: by messages that wait, and by those whose senders gave up.")
        .by(ACTOR),
    Metric::gauge("ticker_actor_mailbox_messages_max", Unit::Count, "Messages that the mailbox can take.")
        .by(ACTOR),
    Metric::seconds(
        "ticker_actor_waiting_seconds",
        SHORT,
        "Time that messages waited in the mailbox, by message type.",
    )
    .by(MESSAGE),
    Metric::seconds("ticker_actor_handling_seconds", SHORT, "Time to handle messages, by message type.")
        .by(MESSAGE),
    Metric::float_counter("ticker_actor_busy_seconds_total", "Time that the actor's thread spent on a core.")
        .by(ACTOR),
    Metric::counter(
        "ticker_otlp_spans_total",
        "Spans exported to the collector, dropped because it was slow or absent, or refused by it; 0 without a collector.",
    )
    .by(SPANS),
    Metric::gauge(
        "ticker_supervisor_tick_age_seconds",
        Unit::Seconds,
        "Time since the supervisor last checked the actors.",
    ),
    Metric::gauge("ticker_leader", Unit::Flag, "1 if this replica leads and ingests, 0 if it follows."),
    Metric::gauge("ticker_ready", Unit::Flag, "1 if /readyz answers 200, 0 if it answers 503."),
    Metric::gauge("ticker_degraded", Unit::Flag, "1 if any check of /readyz that this replica has fails."),
    Metric::gauge(
        "ticker_readiness_check",
        Unit::Flag,
        "0 if the check of /readyz fails, 1 if it passes or this replica does not have it.",
    )
    .by(CHECK),
];
