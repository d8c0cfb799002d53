//! Counts of requests to the public listener, their times and the bytes of their answers, by route.

use std::{cell::RefCell, collections::HashMap, time::Instant};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
};
use metrics::{Counter, Histogram, counter, histogram};

/// Route of requests to unknown paths.
pub(super) const NO_ROUTE: &str = "none";

thread_local! {
    /// Counters of this thread. Looking up a counter by its labels allocates, and a kept counter does not. The map is
    /// bounded, because paths are those of the routes and each has a few statuses.
    static COUNTERS: RefCell<HashMap<(&'static str, StatusCode), Counter>> = RefCell::default();
    /// Times and bytes of this thread, by route. Bounded by the number of routes.
    static MEASURES: RefCell<HashMap<String, (Histogram, Counter)>> = RefCell::default();
}

/// Statuses that each route may have: success, and nothing to serve, on which an alert counts.
const STATUSES: [&str; 2] = ["200", "503"];

/// Begins the series of a route with 0.
pub(super) fn announce(path: &'static str) {
    for status in STATUSES {
        counter!("ticker_http_requests_total", "path" => path, "status" => status).increment(0);
    }
    measures(path).1.increment(0);
}

fn measures(path: &str) -> (Histogram, Counter) {
    (
        histogram!("ticker_http_request_seconds", "path" => path.to_owned()),
        counter!("ticker_http_response_bytes_total", "path" => path.to_owned()),
    )
}

/// Middleware that measures requests. The path of a metric is the pattern of the route, never what the client sent.
pub(super) async fn measured<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let begun = Instant::now();
    let response = next.call(request).await?;
    let took = begun.elapsed().as_secs_f64();
    let bytes = match response.response().body().size() {
        BodySize::Sized(bytes) if response.request().method() != actix_web::http::Method::HEAD => bytes,
        _ => 0,
    };
    let pattern = response.request().match_pattern();
    let path = pattern.as_deref().filter(|path| !path.is_empty()).unwrap_or(NO_ROUTE);
    MEASURES.with_borrow_mut(|all| {
        let (times, sizes) = match all.get(path) {
            Some(known) => known,
            None => all.entry(path.to_owned()).or_insert_with(|| measures(path)),
        };
        times.record(took);
        sizes.increment(bytes);
    });
    Ok(response)
}

/// Counts a request that was answered with `status`. `path` is its route, not the text that the client sent.
pub(super) fn count(path: &'static str, status: StatusCode) {
    COUNTERS.with_borrow_mut(|counters| {
        let counter = counters.entry((path, status)).or_insert_with(
            || counter!("ticker_http_requests_total", "path" => path, "status" => status.as_str().to_owned()),
        );
        counter.increment(1);
    });
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_path_and_status_has_a_count_of_its_own() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for (path, status) in [("/a", 200), ("/a", 304), ("/b", 200), ("/a", 200)] {
                count(path, StatusCode::from_u16(status).unwrap());
            }
        });
        let text = recorder.handle().render();
        for (labels, expected) in [
            ("path=\"/a\",status=\"200\"", 2),
            ("path=\"/a\",status=\"304\"", 1),
            ("path=\"/b\",status=\"200\"", 1),
        ] {
            let line = format!("ticker_http_requests_total{{{labels}}} {expected}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
