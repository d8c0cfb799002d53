//! Sending a published file from memory, in the form that the reader takes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{
    body::Pieces,
    negotiation::{Coding, coding, names_tag},
    problem::problem,
};
use crate::{domain::instant::Second, published::EncodedFile};

/// The newest publication is a second old at most; that long anybody may keep it.
const CACHE_CONTROL: &str = "public, max-age=1";

/// Up to which batch everything is in the answer.
pub(super) const SEQ_HEADER: &str = "x-ticker-seq";
/// The second of its windows.
pub(super) const AS_OF_HEADER: &str = "x-ticker-as-of";

/// The answer to a GET or HEAD of a file that was last changed at `changed`.
pub(super) fn send(
    request: &HttpRequest,
    file: &EncodedFile,
    changed: DateTime<Utc>,
    vary: &'static str,
) -> HttpResponse {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(coding) = coding(text(header::ACCEPT_ENCODING)) else {
        return problem(StatusCode::NOT_ACCEPTABLE, "gzip, br and identity are there, and all are refused");
    };
    let tags: Vec<String> = [Coding::Identity, Coding::Gzip, Coding::Brotli]
        .iter()
        .map(|coding| format!("{}{}", file.etag, coding.tag()))
        .collect();
    let unchanged = match text(header::IF_NONE_MATCH) {
        Some(given) => names_tag(given, &tags),
        None => text(header::IF_MODIFIED_SINCE)
            .and_then(|given| DateTime::parse_from_rfc2822(given).ok())
            .is_some_and(|given| changed.timestamp() <= given.timestamp()),
    };
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, format!("\"{}{}\"", file.etag, coding.tag())))
        .insert_header((header::LAST_MODIFIED, changed.format("%a, %d %b %Y %H:%M:%S GMT").to_string()))
        .insert_header((header::VARY, vary))
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if unchanged {
        return response.finish();
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    // Of a HEAD's answer actix sends the head alone, with the length of this body.
    response
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .body(Pieces::new(bytes_of(file, coding), ()))
}

/// Tells which publication an answer is of: up to which batch everything is in it, and the second of its windows.
pub(super) fn named(mut response: HttpResponse, seq: i64, as_of: Second) -> HttpResponse {
    for (name, value) in [(SEQ_HEADER, seq.to_string()), (AS_OF_HEADER, as_of.to_rfc3339())] {
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            response.headers_mut().insert(header::HeaderName::from_static(name), value);
        }
    }
    response
}

fn bytes_of(file: &EncodedFile, coding: Coding) -> Bytes {
    match coding {
        Coding::Identity => file.raw.clone(),
        Coding::Gzip => file.gzip.clone(),
        Coding::Brotli => file.brotli.clone(),
    }
}
