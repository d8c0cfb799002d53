//! Answers in TradingView's protocol. The library takes any other answer for data.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::{
    http::{
        api::error::ApiError,
        cors::any_origin,
        problem::{fresh_json, no_publication},
    },
    published::Vitals,
};

/// Error of the protocol. A wrong question has status 200, as the protocol wants. Failures of the ticker keep their
/// status, which caches heed.
pub(in crate::http::api) fn refusal(error: &ApiError) -> HttpResponse {
    let body = error_body(&error.to_string());
    match error {
        ApiError::BadParameter(_) | ApiError::NotFound(_) => {
            open("application/json", body.to_string().into_bytes())
        }
        _ => fresh_json(error.status(), body),
    }
}

/// Error of the protocol, before the first publication.
pub(in crate::http::api) fn not_yet(vitals: &Vitals) -> HttpResponse {
    fresh_json(StatusCode::SERVICE_UNAVAILABLE, error_body(&no_publication(vitals)))
}

fn error_body(text: &str) -> Value {
    json!({"s": "error", "errmsg": text})
}

/// Answer that pages of any host may read.
pub(super) fn open(content_type: &'static str, body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header(any_origin())
        .body(body)
}
