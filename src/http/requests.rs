//! Counts of requests to the public listener, by path and status.

use std::{cell::RefCell, collections::HashMap};

use actix_web::http::StatusCode;
use metrics::{Counter, counter};

thread_local! {
    /// Counters of this thread. Looking up a counter by its labels allocates, and a kept counter does not. The map is
    /// bounded, because paths are those of the routes and each has a few statuses.
    static COUNTERS: RefCell<HashMap<(&'static str, StatusCode), Counter>> = RefCell::default();
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
