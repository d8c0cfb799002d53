//! Routes of the public listener.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::{
    accept, api, files, graphiql, graphql,
    labels::Labels,
    methods::answer,
    openapi,
    problem::{fresh_json, not_yet, problem},
    readiness::Readiness,
    requests,
    state::PublicState,
    status::status,
};
use crate::published::{Document, EncodedFile, Files};

/// Handler of GET and HEAD.
type RouteHandler = fn(&HttpRequest, &PublicState) -> HttpResponse;

/// Paths whose answers need no waiting.
const HANDLERS: &[(&str, RouteHandler)] = &[
    ("/markets.json", markets_json),
    ("/assets.json", assets_json),
    ("/livez", livez),
    ("/readyz", readyz),
    ("/api/v1/status", api_status),
];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for &(path, handler) in HANDLERS {
        let respond = move |request: HttpRequest, state: web::Data<PublicState>| async move {
            answer(&request, || handler(&request, &state))
        };
        requests::route(config, path, respond);
    }
    requests::route(config, "/", root);
    requests::route(config, "/graphql", graphql::endpoint);
    config.configure(api::routes);
    config.configure(graphiql::routes);
    config.configure(openapi::routes);
    requests::announce(requests::NO_ROUTE);
    config.default_service(web::to(|| async {
        problem(StatusCode::NOT_FOUND, "there is nothing at this path")
    }));
}

/// Answers with the list of markets for a client that prefers HTML, or else with `markets.json`.
async fn root(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    if accept::prefers_html(&request) {
        return api::list_page(request, state).await;
    }
    answer(&request, || send(&request, &state, |files| &files.markets, "Accept, Accept-Encoding"))
}

fn markets_json(request: &HttpRequest, state: &PublicState) -> HttpResponse {
    send(request, state, |files| &files.markets, "Accept-Encoding")
}

fn assets_json(request: &HttpRequest, state: &PublicState) -> HttpResponse {
    send(request, state, |files| &files.assets, "Accept-Encoding")
}

fn send(
    request: &HttpRequest,
    state: &PublicState,
    pick: fn(&Files) -> &EncodedFile,
    vary: &'static str,
) -> HttpResponse {
    match state.published.newest() {
        Some(newest) => {
            let labels = Labels::of(newest.seq, newest.as_of);
            let file = Document::from(pick(&newest.files));
            let response = files::send(request, &file, labels, vary);
            newest.listing.first_answer.end();
            response
        }
        None => not_yet(&state.published.vitals),
    }
}

fn livez(_: &HttpRequest, state: &PublicState) -> HttpResponse {
    if (state.is_alive)() {
        fresh_json(StatusCode::OK, serde_json::json!({"status": "ok"}))
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "the supervisor does not tick")
    }
}

fn readyz(_: &HttpRequest, state: &PublicState) -> HttpResponse {
    let newest = state.published.newest();
    let (vitals, now) = (&state.published.vitals, state.clock.now());
    let readiness = Readiness::of(vitals, newest.as_deref(), state.stale_after, now);
    let status = if readiness.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    fresh_json(status, readiness.body())
}

fn api_status(_: &HttpRequest, state: &PublicState) -> HttpResponse {
    let newest = state.published.newest();
    let body = status(&state.published.vitals, newest.as_deref(), state.stale_after, state.clock.now());
    fresh_json(StatusCode::OK, body)
}
