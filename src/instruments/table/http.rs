//! Metrics of the public listener.

use super::WORK;
use crate::instruments::metric::{Label, Metric, Unit};

const PATH: &[Label] = &[Label { name: "path", values: &[] }];
const PATH_STATUS: &[Label] = &[Label { name: "path", values: &[] }, Label { name: "status", values: &[] }];
const CUT: &[Label] =
    &[Label { name: "reason", values: &["idle", "crowd", "address", "slow", "old", "head"] }];
const STOPPED: &[Label] = &[Label { name: "reason", values: &["unwanted", "no_room", "too_long", "failed"] }];
const REFUSED: &[Label] = &[Label {
    name: "reason",
    values: &[
        "request",
        "limit",
        "too_large",
        "no_body",
        "broken_body",
        "web_socket",
        "method",
        "busy",
        "late",
        "failed",
    ],
}];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "ticker_http_requests_total",
        "Requests to the public listener, by route and status. Series of other statuses appear with their first request.",
    )
    .by(PATH_STATUS),
    Metric::seconds("ticker_http_request_seconds", WORK, "Time from a request to the head of its answer, by route.")
        .by(PATH),
    Metric::counter(
        "ticker_http_response_bytes_total",
        "Bytes in bodies of answers whose size is known before they are sent, by route.",
    )
    .of(Unit::Bytes)
    .by(PATH),
    Metric::counter(
        "ticker_http_connections_cut_total",
        "Connections that were shut down: idle, beyond a limit, read too slowly, with too large a head, or beyond the number of large ones.",
    )
    .by(CUT),
    Metric::gauge("ticker_live_readers", Unit::Count, "Readers of /api/v1/stream."),
    Metric::counter("ticker_live_readers_dropped_total", "Readers of /api/v1/stream that read too slowly."),
    Metric::counter(
        "ticker_live_backlogs_read_total",
        "Reads from the database for readers of /api/v1/stream that come back.",
    ),
    Metric::counter("ticker_graphql_refused_total", "GraphQL requests without an answer, by reason.").by(REFUSED),
    Metric::counter("ticker_graphql_stopped_total", "GraphQL answers that were begun and not finished, by reason.")
        .by(STOPPED),
];
