//! The admin listener, only for the operator.
//!
//! A browser on the operator's machine can reach it, and so can any web page in that browser. So web pages cannot read
//! its answers, which have no CORS headers, and their requests change nothing (see `private`). `Host` is not checked,
//! because containers reach the listener by any name.

mod actors_page;
mod files;
mod graph;
mod page;
mod trace;
mod trace_page;

use std::sync::Arc;

use actix_web::{
    Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route, Scope,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    web,
};
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use actor_tree::{supervision::report::TreeView, trace::recorder::Recorder};

#[cfg(test)]
pub(crate) use graph::has_place;

use super::{
    Views, methods,
    problem::{fresh_json, problem},
};
use crate::{
    db::{Database, quarantine::Quarantined},
    domain::plain_text::shown,
    instruments::Exposition,
    published::Published,
};

/// Number of entries in `/quarantine.json`.
const QUARANTINE_ENTRIES: i64 = 100;
/// Bytes of each record that are shown there.
const RAW_SHOWN: usize = 2_000;

/// State of the admin listener.
#[derive(Clone)]
pub struct AdminState {
    /// Metrics for `/metrics`.
    pub metrics: Exposition,
    /// Returns the current state of all actors. It waits for none of them.
    pub actors: Arc<dyn Fn() -> TreeView + Send + Sync>,
    /// Recorded messages, for `/trace.json`.
    pub recorder: Arc<Recorder>,
    /// Newest publication, to look up a market.
    pub published: Arc<Published>,
    /// Views of publications, to look up a market.
    pub views: Arc<Views>,
    /// Database with the quarantine.
    pub database: Database,
    /// Starts an audit of everything. Returns false if the auditor does not accept it.
    pub audit: AuditNow,
    /// Replaces the filter of the log, or returns why it does not parse.
    pub set_log: SetLog,
    /// Arms a test hook of an actor, by the names of both: a panic, a blocked thread, a hang, a delay, or wrong data.
    /// Returns false if no such actor exists. Only for tests of the whole program, else none.
    pub provoke: Option<Provoke>,
}

/// See [`AdminState::audit`].
pub type AuditNow = Arc<dyn Fn() -> LocalBoxFuture<'static, bool> + Send + Sync>;

/// See [`AdminState::set_log`].
pub type SetLog = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// See [`AdminState::provoke`].
pub type Provoke = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    let Listed { scope, paths } = Listed::default()
        .read("/metrics", metrics)
        .read("/actors", actors_page::actors)
        .read("/trace", trace_page::trace)
        .read("/actors.json", actors)
        .read("/flow.json", trace::flow_json)
        .read("/trace.json", trace::trace_json)
        .read("/trace/stream", trace::trace_stream)
        .read("/quarantine.json", quarantine)
        .only("POST", "/audit", "", web::post().to(audit))
        .only("PUT", "/log", "?filter=", web::put().to(set_log));
    let index = move || {
        let answer = fresh_json(StatusCode::OK, json!({"paths": paths}));
        async move { answer }
    };
    let scope = scope
        .service(read("/", index))
        .service(read("/admin.css", files::style))
        .service(read("/admin.js", files::script))
        .service(read("/favicon.svg", files::icon))
        .route("/provoke/{actor}/{message}", web::post().to(provoke))
        .default_service(web::to(|| async {
            problem(StatusCode::NOT_FOUND, "there is nothing at this path")
        }));
    config.service(scope.wrap(from_fn(private)));
}

/// Routes that `/` lists.
struct Listed {
    scope: Scope,
    /// Paths as `/` shows them.
    paths: Vec<String>,
}

impl Default for Listed {
    fn default() -> Self {
        Self { scope: web::scope(""), paths: Vec::new() }
    }
}

impl Listed {
    /// Adds a route that answers GET and HEAD.
    fn read<F, Args>(mut self, path: &str, handler: F) -> Self
    where
        F: Handler<Args>,
        F::Output: Responder + 'static,
        Args: FromRequest + 'static,
    {
        self.paths.push(path.to_owned());
        Self { scope: self.scope.service(read(path, handler)), ..self }
    }

    /// Adds a route that answers one method. `query` is the query that it takes, as `/` shows it.
    fn only(mut self, method: &'static str, path: &str, query: &str, route: Route) -> Self {
        self.paths.push(format!("{method} {path}{query}"));
        Self { scope: self.scope.service(only(path, method, route)), ..self }
    }
}

/// Route that answers GET and HEAD.
fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    let other = |request: HttpRequest| async move { methods::without_body(&request) };
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(other))
}

/// Route that answers one method.
fn only(path: &str, method: &'static str, route: Route) -> Resource {
    let refuse = move || async move {
        let mut refused =
            problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this path only supports {method}"));
        refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(method));
        refused
    };
    web::resource(path).route(route).default_service(web::to(refuse))
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

async fn metrics(state: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(state.metrics.render())
}

async fn actors(state: web::Data<AdminState>) -> HttpResponse {
    fresh_json(StatusCode::OK, json!((state.actors)()))
}

async fn audit(state: web::Data<AdminState>) -> HttpResponse {
    if (state.audit)().await {
        HttpResponse::Accepted().finish()
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "the auditor does not answer")
    }
}

/// Query of `/log`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLog {
    filter: String,
}

/// Changes the log until the next start.
async fn set_log(request: HttpRequest, state: web::Data<AdminState>) -> HttpResponse {
    let query = match web::Query::<NewLog>::from_query(request.query_string()) {
        Ok(query) => query.into_inner(),
        Err(_) => return problem(StatusCode::BAD_REQUEST, "use PUT /log?filter=FILTER, such as filter=info"),
    };
    match (state.set_log)(&query.filter) {
        Ok(()) => fresh_json(StatusCode::OK, json!({"filter": query.filter})),
        Err(error) => problem(StatusCode::BAD_REQUEST, &shown(&error)),
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
