//! Metrics of what the daemon reads from others.

use crate::instruments::metric::{Label, Metric, Unit};

const REQUEST: &[Label] = &[
    Label { name: "kind", values: &["root", "trades", "stream", "ledger", "asset", "assets", "order_book"] },
    Label {
        name: "outcome",
        values: &[
            "ok",
            "connect",
            "silent",
            "rate_limited",
            "problem",
            "status",
            "stream_error",
            "too_large",
            "unreadable",
            "setup",
        ],
    },
];
const CLASS: &[Label] = &[Label {
    name: "class",
    values: &["live", "first_assets", "history", "assets", "books", "audit", "asked_books"],
}];
const ASKED: &[Label] = &[Label { name: "result", values: &["fetched", "failed", "late", "busy"] }];
const END: &[Label] = &[Label {
    name: "end",
    values: &[
        "end",
        "empty",
        "not_leading",
        "drain",
        "database",
        "lake",
        "clock",
        "wrong_network",
        "connect",
        "silent",
        "rate_limited",
        "problem",
        "status",
        "stream_error",
        "too_large",
        "unreadable",
        "setup",
    ],
}];
const OBJECT: &[Label] = &[Label { name: "outcome", values: &["read", "missing", "unreadable"] }];
const REFUSAL: &[Label] = &[Label { name: "reason", values: &["content", "chain"] }];
const FILE: &[Label] = &[Label {
    name: "outcome",
    values: &[
        "ok",
        "refused",
        "connect",
        "timed_out",
        "status",
        "redirect",
        "too_large",
        "encoding",
        "no_toml",
        "setup",
    ],
}];

pub(super) const METRICS: &[Metric] = &[
    Metric::gauge(
        "ticker_stream_connected",
        Unit::Flag,
        "1 if the source of new trades is connected: Horizon's stream, or the lake or RPC of --live-from; 0 on a follower, which has none.",
    ),
    Metric::counter(
        "ticker_asked_books_total",
        "Requests for an order book that was not fresh, by outcome: fetched from Horizon; or failed, too late, or refused because too many were read. The reader then got the stored one.",
    )
    .by(ASKED),
    Metric::counter(
        "ticker_stream_reconnects_total",
        "Connections to the stream that ended and were replaced.",
    ),
    Metric::counter(
        "ticker_stream_sessions_total",
        "Connections to the stream of trades, by how they ended.",
    )
    .by(END),
    Metric::gauge(
        "ticker_horizon_up",
        Unit::Flag,
        "1 unless the last requests to Horizon found it unreachable.",
    ),
    Metric::counter("ticker_horizon_requests_total", "Requests to Horizon, by kind and outcome.").by(REQUEST),
    Metric::counter("ticker_horizon_budget_requests_total", "Requests to Horizon, by class.").by(CLASS),
    Metric::gauge(
        "ticker_horizon_budget_tokens",
        Unit::Count,
        "Requests to Horizon that may be sent at once: the budget that is left.",
    ),
    Metric::gauge(
        "ticker_horizon_budget_exhausted",
        Unit::Flag,
        "1 while requests for live trades wait for the budget.",
    ),
    Metric::gauge(
        "ticker_horizon_blocked_seconds",
        Unit::Seconds,
        "Time until the next request to Horizon after a refusal.",
    ),
    Metric::gauge(
        "ticker_lake_lag_seconds",
        Unit::Seconds,
        "Age of the newest ledger that was read from the lake; 0 before the first and without a lake.",
    ),
    Metric::gauge(
        "ticker_lake_up",
        Unit::Flag,
        "1 unless the lake cannot be read or its hashes are not Horizon's.",
    ),
    Metric::counter("ticker_lake_ledgers_total", "Ledgers of the lake that were verified and stored."),
    Metric::counter("ticker_lake_bytes_total", "Bytes of the lake that were fetched, compressed."),
    Metric::counter("ticker_lake_objects_total", "Objects of the lake that were asked for, by outcome.")
        .by(OBJECT),
    Metric::counter("ticker_lake_retries_total", "Requests to the lake that failed and were repeated."),
    Metric::counter(
        "ticker_lake_refused_ledgers_total",
        "Ledgers of the lake that were refused, for their content or a break of the chain.",
    )
    .by(REFUSAL),
    Metric::counter(
        "ticker_lake_missing_ledgers_total",
        "Ledgers that are missing in the lake and are requested from Horizon instead.",
    ),
    Metric::counter("ticker_toml_fetches_total", "Fetches of stellar.toml files, by outcome.").by(FILE),
];
