//! `/openapi.json` and `/docs`: the description of the public listener, for programs and for people.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use ticker_schemas::openapi;

use super::{
    files::{FileHeaders, send_on},
    methods,
    problem::problem,
};
use crate::published::Document;

const JSON: &str = "/openapi.json";
const PAGE: &str = "/docs";
/// Nothing but the style sheet and the icon of this host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";
/// The description changes only with the program.
const CACHE_CONTROL: &str = "public, max-age=300";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The description as JSON, encoded at the first request. `None` if that failed.
static DOCUMENT: LazyLock<Option<Document>> = LazyLock::new(|| {
    let document = openapi::document(VERSION).ok()?;
    Document::with_brotli(document.to_string().as_bytes()).ok()
});
/// The description as a page.
static DOCS: LazyLock<Option<Document>> =
    LazyLock::new(|| Document::with_brotli(openapi::page(VERSION).as_bytes()).ok());

pub(super) fn routes(config: &mut web::ServiceConfig) {
    methods::route(config, JSON, json);
    methods::route(config, PAGE, page);
}

fn json(request: &HttpRequest) -> HttpResponse {
    let mut response = send(request, DOCUMENT.as_ref(), "application/json");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn page(request: &HttpRequest) -> HttpResponse {
    let mut response = send(request, DOCS.as_ref(), "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn send(request: &HttpRequest, file: Option<&Document>, content_type: &'static str) -> HttpResponse {
    let Some(file) = file else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the description could not be made");
    };
    let headers = FileHeaders::unlabelled(content_type, CACHE_CONTROL);
    send_on(request, file, &headers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::App;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// Prefixes of the routes whose files only pages load, and the series of requests to no route.
    const UNDESCRIBED: [&str; 4] = ["none", "/page.css", "/web/", "/graphiql/"];

    /// Path with `{}` in place of each parameter.
    fn pattern(path: &str) -> String {
        let mut parts = path.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}{{}}{}", part.split_once('}').unwrap().1))
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || drop(App::new().configure(crate::http::public::routes)));
        let metrics = recorder.handle().render();
        let routes = metrics.lines().filter(|line| line.starts_with("ticker_http_requests_total{"));
        let routes: BTreeSet<&str> =
            routes.filter_map(|line| line.split("path=\"").nth(1)?.split('"').next()).collect();
        let described: BTreeSet<String> =
            openapi::OPERATIONS.iter().map(|operation| pattern(operation.path)).collect();
        let routes: BTreeSet<String> = routes
            .into_iter()
            .filter(|path| !UNDESCRIBED.iter().any(|start| path.starts_with(start)))
            .map(pattern)
            .collect();
        assert_eq!(described, routes, "the description (left) and the routes (right)");
    }

    #[test]
    fn the_description_is_made_and_the_page_allows_no_script() {
        let request = actix_web::test::TestRequest::default().to_http_request();
        assert_eq!(json(&request).status(), StatusCode::OK);
        let page = page(&request);
        assert_eq!(page.status(), StatusCode::OK);
        let policy = page.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    }
}
