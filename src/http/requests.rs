//! Routes of the public listener, and counts of their requests, their times and the bytes of their answers.

use std::{cell::RefCell, collections::HashMap, time::Instant};

use actix_web::{
    Error, FromRequest, Handler, Responder,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
    web,
};
use metrics::{Counter, Histogram, counter, histogram};

/// Route of requests to unknown paths.
pub(super) const NO_ROUTE: &str = "none";

/// Statuses that each route may have: success, and nothing to serve, on which an alert counts.
const STATUSES: [StatusCode; 2] = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];

thread_local! {
    /// Measures of this thread, by route. Bounded by the number of routes.
    static MEASURES: RefCell<HashMap<String, Measures>> = RefCell::default();
}

/// Measures of one route. Looking up a metric by its labels allocates, and a kept one does not.
struct Measures {
    times: Histogram,
    bytes: Counter,
    /// Counters by status. Bounded, because the handlers have a few statuses each.
    statuses: HashMap<StatusCode, Counter>,
}

impl Measures {
    fn of(path: &str) -> Self {
        Self {
            times: histogram!("ticker_http_request_seconds", "path" => path.to_owned()),
            bytes: counter!("ticker_http_response_bytes_total", "path" => path.to_owned()),
            statuses: HashMap::new(),
        }
    }

    fn note(&mut self, path: &str, status: StatusCode, took: f64, bytes: u64) {
        self.times.record(took);
        self.bytes.increment(bytes);
        self.statuses.entry(status).or_insert_with(|| requests(path, status)).increment(1);
    }
}

/// Counter of the requests to a route that were answered with `status`.
fn requests(path: &str, status: StatusCode) -> Counter {
    let status = status.as_str().to_owned();
    counter!("ticker_http_requests_total", "path" => path.to_owned(), "status" => status)
}

/// Adds a route of all methods, and begins its series with 0.
pub(super) fn route<F, Args>(config: &mut web::ServiceConfig, path: &'static str, handler: F)
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    announce(path);
    config.route(path, web::route().to(handler));
}

/// Begins the series of a route with 0.
pub(super) fn announce(path: &str) {
    for status in STATUSES {
        requests(path, status).increment(0);
    }
    Measures::of(path).bytes.increment(0);
}

/// Middleware that measures requests, and counts them by status. The path of a metric is the pattern of the route,
/// never what the client sent.
pub(super) async fn measured<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let begun = Instant::now();
    let response = next.call(request).await?;
    let took = begun.elapsed().as_secs_f64();
    let bytes = match response.response().body().size() {
        BodySize::Sized(bytes) if response.request().method() != Method::HEAD => bytes,
        _ => 0,
    };
    let pattern = response.request().match_pattern();
    let path = pattern.as_deref().filter(|path| !path.is_empty()).unwrap_or(NO_ROUTE);
    MEASURES.with_borrow_mut(|all| {
        let measures = match all.get_mut(path) {
            Some(known) => known,
            None => all.entry(path.to_owned()).or_insert_with(|| Measures::of(path)),
        };
        measures.note(path, response.status(), took, bytes);
    });
    Ok(response)
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        middleware::from_fn,
        test::{TestRequest, call_service, init_service},
    };
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    async fn number(number: web::Path<u16>) -> HttpResponse {
        HttpResponse::build(StatusCode::from_u16(number.into_inner()).unwrap()).finish()
    }

    /// Metrics after requests to these paths.
    fn metrics_of(paths: &[&str]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            actix_web::rt::System::new().block_on(async {
                let routes = |config: &mut web::ServiceConfig| {
                    route(config, "/a/{number}", number);
                    route(config, "/b/{number}", number);
                    route(config, "/quiet", || async { HttpResponse::Ok().finish() });
                };
                let app = init_service(App::new().wrap(from_fn(measured)).configure(routes)).await;
                for path in paths {
                    call_service(&app, TestRequest::get().uri(path).to_request()).await;
                }
            });
        });
        recorder.handle().render()
    }

    #[test]
    fn every_answer_counts_under_its_route_and_status() {
        let text = metrics_of(&["/a/200", "/a/304", "/b/200", "/a/200", "/a/not-a-number", "/c", "/c/d"]);
        for (path, status, expected) in [
            ("/a/{number}", 200, 2),
            ("/a/{number}", 304, 1),
            ("/b/{number}", 200, 1),
            // Its handler never ran, because the path could not be read.
            ("/a/{number}", 404, 1),
            ("none", 404, 2),
            ("/quiet", 200, 0),
            ("/quiet", 503, 0),
        ] {
            let line =
                format!("ticker_http_requests_total{{path=\"{path}\",status=\"{status}\"}} {expected}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
