//! Errors as `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::Value;

use super::cors::any_origin;
use crate::{domain::plain_text::stripped, published::Vitals};

/// Returns a problem document with this status. `detail` is for people. A 503 says `Retry-After: 1`.
pub(super) fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("error"),
        "status": status.as_u16(),
        "detail": stripped(detail),
    });
    fresh(status, "application/problem+json", &body)
}

/// Returns the 503 for a path that needs a publication before the first one.
pub(super) fn not_yet(vitals: &Vitals) -> HttpResponse {
    problem(StatusCode::SERVICE_UNAVAILABLE, &no_publication(vitals))
}

/// Returns the reason why there is no publication yet. Names the fault of Horizon or of the lake if there is one.
pub(super) fn no_publication(vitals: &Vitals) -> String {
    let reason = vitals.source_fault().unwrap_or_else(|| "the ticker has just started".to_owned());
    format!("no publication yet: {reason}")
}

/// Returns JSON that no cache may store. Strips hidden characters from its texts, which may come from outside.
pub(super) fn fresh_json(status: StatusCode, mut body: Value) -> HttpResponse {
    strip(&mut body);
    fresh(status, "application/json", &body)
}

fn fresh(status: StatusCode, content_type: &'static str, body: &Value) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    response
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(any_origin())
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body.to_string())
}

fn strip(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(plain) = stripped(text) {
                *text = plain;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => fields.values_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_stripped_at_every_depth() {
        let mut value = json!({"a": "x\u{202e}y", "b": [{"c": "\u{1b}[2J"}, 1, null, true]});
        strip(&mut value);
        assert_eq!(value, json!({"a": "xy", "b": [{"c": "[2J"}, 1, null, true]}));
    }
}
