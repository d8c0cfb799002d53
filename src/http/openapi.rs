//! `/openapi.json` and `/docs`: the description of the public listener, for programs and for people.

use std::sync::OnceLock;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use ticker_schemas::openapi;

use super::{
    cors::any_origin,
    embedded::HTML,
    files::{FileHeaders, send_on},
    methods,
    page_guard::guard,
    problem::problem,
    requests,
};
use crate::{blocking, published::Document};

const JSON: &str = "/openapi.json";
const PAGE: &str = "/docs";
/// Nothing but the style sheet and the icon of this host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";
/// The description changes only with the program.
const CACHE_CONTROL: &str = "public, max-age=300";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The description in one form, encoded at the first request.
struct Description {
    text: fn() -> Option<String>,
    /// `None` if that failed.
    encoded: OnceLock<Option<Document>>,
}

/// The description as JSON.
static DOCUMENT: Description = Description::new(|| Some(openapi::document(VERSION).ok()?.to_string()));
/// The description as a page.
static DOCS: Description = Description::new(|| Some(openapi::page(VERSION)));

impl Description {
    const fn new(text: fn() -> Option<String>) -> Self {
        Self { text, encoded: OnceLock::new() }
    }

    /// The encoded form. Encoding takes a fraction of a second, once. It must not block a thread that serves other
    /// requests.
    async fn encoded(&'static self) -> Option<&'static Document> {
        let encode = move || {
            self.encoded.get_or_init(|| Document::with_brotli((self.text)()?.as_bytes()).ok()).as_ref()
        };
        match self.encoded.get() {
            Some(encoded) => encoded.as_ref(),
            None => blocking::run(encode).await.ok()?,
        }
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, JSON, json);
    requests::route(config, PAGE, page);
}

async fn json(request: HttpRequest) -> HttpResponse {
    answer(&request, &DOCUMENT, |file| {
        let mut response = send(&request, file, "application/json");
        let (name, value) = any_origin();
        response.headers_mut().insert(name, value);
        response
    })
    .await
}

async fn page(request: HttpRequest) -> HttpResponse {
    answer(&request, &DOCS, |file| {
        let mut response = send(&request, file, HTML);
        guard(response.headers_mut(), CONTENT_SECURITY_POLICY);
        response
    })
    .await
}

/// Answers with this form of the description, once it is encoded.
async fn answer(
    request: &HttpRequest,
    description: &'static Description,
    respond: impl FnOnce(Option<&'static Document>) -> HttpResponse,
) -> HttpResponse {
    if let Some(response) = methods::without_body(request) {
        return response;
    }
    respond(description.encoded().await)
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

    use actix_web::{App, http::header};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// Prefixes of the routes whose files only pages and crawlers load, and the series of requests to no route.
    const UNDESCRIBED: [&str; 5] = ["none", "/page.css", "/robots.txt", "/web/", "/graphiql/"];

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

    #[actix_web::test]
    async fn the_description_is_made_and_the_page_allows_no_script() {
        let request = || actix_web::test::TestRequest::default().to_http_request();
        assert_eq!(json(request()).await.status(), StatusCode::OK);
        let page = page(request()).await;
        assert_eq!(page.status(), StatusCode::OK);
        let policy = page.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    }
}
