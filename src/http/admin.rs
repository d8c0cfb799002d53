//! The admin listener, only for the operator.
//!
//! A browser on the operator's machine can reach it, and so can any web page in that browser. So web pages cannot read
//! its answers, which have no CORS headers, and their requests change nothing (see `private`). `Host` is not checked,
//! because containers reach the listener by any name.

use std::sync::{Arc, OnceLock};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    web,
};
use futures_util::future::LocalBoxFuture;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};

use super::problem::{fresh_json, problem};
use crate::{
    db::{Database, quarantine::Quarantined},
    domain::plain_text::shown,
};

/// Number of entries in `/quarantine.json`.
const QUARANTINE_ENTRIES: i64 = 100;
/// Bytes of each record that are shown there.
const RAW_SHOWN: usize = 2_000;

/// State of the admin listener.
#[derive(Clone)]
pub struct AdminState {
    /// Metrics for `/metrics`.
    pub metrics: PrometheusHandle,
    /// Returns the current `/actors.json`.
    pub actors: Arc<dyn Fn() -> Value + Send + Sync>,
    /// Database with the quarantine.
    pub database: Database,
    /// Starts an audit of everything. Returns false if the auditor does not accept it.
    pub audit: AuditNow,
    /// Makes an actor panic while it handles a message, by the names of both. Returns false if no such actor exists.
    /// Only for tests of the whole program, else none.
    pub provoke: Option<Provoke>,
}

/// See [`AdminState::audit`].
pub type AuditNow = Arc<dyn Fn() -> LocalBoxFuture<'static, bool> + Send + Sync>;

/// See [`AdminState::provoke`].
pub type Provoke = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Installs the recorder of metrics. Later calls return the same handle. None if another recorder is installed.
pub fn install_recorder() -> Option<PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let handle = PrometheusBuilder::new().install_recorder().ok()?;
        describe();
        Some(handle)
    });
    handle.clone()
}

fn describe() {
    for (name, help) in [
        ("ticker_trades_ingested_total", "Trades stored for the first time."),
        ("ticker_trades_repeated_total", "Trades that were received again and changed nothing."),
        ("ticker_trades_passed_over_total", "Trades older than the retention."),
        ("ticker_quarantined_total", "Records that could not be stored and are in quarantine."),
        (
            "ticker_quarantine_left_out_total",
            "Invalid records that were not quarantined, because the hourly limit was reached.",
        ),
        ("ticker_rows_refused_total", "Rows that PostgreSQL refused and that were left out, by table."),
        ("ticker_publications_total", "Publications made."),
        ("ticker_stream_sessions_total", "Connections to the stream of trades, by how they ended."),
        ("ticker_horizon_requests_total", "Requests to Horizon, by kind and outcome."),
        ("ticker_horizon_budget_requests_total", "Requests to Horizon, by class."),
        ("ticker_tail_trades_total", "Trades of recent ledgers read again by pages: known or new."),
        ("ticker_toml_fetches_total", "Fetches of stellar.toml files, by outcome."),
        ("ticker_cleaned_days_total", "Days of trades that were dropped."),
        ("ticker_cleaned_rows_total", "Rows that were trimmed from other tables."),
        ("ticker_audit_markets_total", "Markets that were recomputed from the raw trades and compared."),
        ("ticker_audit_lists_total", "Times that assets, markets and books were compared with their rows."),
        ("ticker_audit_differences_total", "Figures that differed from the raw trades in two publications."),
        ("ticker_audit_repaired_markets_total", "Markets whose windows were rebuilt and agree since."),
        ("ticker_reread_ledgers_total", "Stored ledgers that were read again from Horizon."),
        (
            "ticker_reread_trades_total",
            "Trades of such ledgers that were missing, contradicting, or unknown to Horizon.",
        ),
        ("ticker_actor_restarts_total", "Restarts of actors after an exit."),
        ("ticker_http_requests_total", "Requests to the public listener."),
        (
            "ticker_http_connections_cut_total",
            "Connections that were shut down: idle, beyond a limit, or read too slowly.",
        ),
        ("ticker_graphql_stopped_total", "Answers that were begun and not finished, by reason."),
    ] {
        describe_counter!(name, help);
    }
    describe_histogram!("ticker_publication_seconds", "Time to make a publication, in seconds.");
    describe_histogram!(
        "ticker_audit_slice_seconds",
        "Time to recompute a slice of the markets, in seconds."
    );
    describe_gauge!(
        "ticker_audit_pass_spent_seconds",
        "Time that the last audit of all markets took, without pauses."
    );
    describe_gauge!("ticker_publication_seq", "The last committed write in the newest publication.");
    describe_gauge!("ticker_known_markets", "Markets in memory: those with a stored trade.");
    describe_gauge!("ticker_valid_assets", "Assets in memory: those that are valid, traded or not.");
    describe_gauge!("ticker_horizon_budget_tokens", "Requests to Horizon that may be sent at once.");
    describe_gauge!(
        "ticker_horizon_blocked_seconds",
        "Time until the next request to Horizon after a refusal."
    );
    describe_gauge!("ticker_build_info", "1, with the version as a label.");
    gauge!("ticker_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    let paths = web::scope("")
        .wrap(from_fn(private))
        .route("/", web::get().to(index))
        .route("/metrics", web::get().to(metrics))
        .route("/actors.json", web::get().to(actors))
        .route("/quarantine.json", web::get().to(quarantine))
        .route("/audit", web::post().to(audit))
        .route("/provoke/{actor}/{message}", web::post().to(provoke))
        .default_service(web::to(|| async {
            problem(StatusCode::NOT_FOUND, "there is nothing at this path")
        }));
    config.service(paths);
}

/// Middleware that refuses unsafe requests of web pages, which browsers mark by `Origin`, and removes the CORS headers
/// of all answers.
async fn private<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let is_of_page = !request.method().is_safe() && request.headers().contains_key(header::ORIGIN);
    let mut response = if is_of_page {
        let refused = problem(StatusCode::FORBIDDEN, "web pages may not use the admin listener");
        request.into_response(refused).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    Ok(response)
}

async fn index() -> HttpResponse {
    fresh_json(
        StatusCode::OK,
        json!({"paths": ["/metrics", "/actors.json", "/quarantine.json", "POST /audit"]}),
    )
}

async fn metrics(state: web::Data<AdminState>) -> HttpResponse {
    state.metrics.run_upkeep();
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(state.metrics.render())
}

async fn actors(state: web::Data<AdminState>) -> HttpResponse {
    fresh_json(StatusCode::OK, (state.actors)())
}

async fn audit(state: web::Data<AdminState>) -> HttpResponse {
    if (state.audit)().await {
        HttpResponse::Accepted().finish()
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "the auditor does not answer")
    }
}

async fn provoke(state: web::Data<AdminState>, names: web::Path<(String, String)>) -> HttpResponse {
    let (actor, message) = names.into_inner();
    match &state.provoke {
        Some(provoke) if provoke(&actor, &message) => HttpResponse::NoContent().finish(),
        _ => problem(StatusCode::NOT_FOUND, "there is nothing at this path"),
    }
}

async fn quarantine(state: web::Data<AdminState>) -> HttpResponse {
    match state.database.latest_quarantined(QUARANTINE_ENTRIES).await {
        Ok(entries) => {
            let shown: Vec<Value> = entries.iter().map(entry).collect();
            let left_out = state.database.quarantine_left_out();
            fresh_json(StatusCode::OK, json!({"quarantine": shown, "left_out": left_out}))
        }
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

fn entry(entry: &Quarantined) -> Value {
    let raw = String::from_utf8_lossy(entry.raw.get(..RAW_SHOWN).unwrap_or(&entry.raw)).into_owned();
    json!({
        "seen_at": entry.seen_at,
        "source": entry.source,
        "token": entry.token,
        "reason": shown(&entry.reason),
        "raw": shown(&raw),
        "raw_bytes": entry.raw.len(),
    })
}
