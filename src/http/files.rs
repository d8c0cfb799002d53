//! Sending a file from memory, in the form that the reader takes.

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
    sending::Ticket,
};
use crate::{domain::instant::Second, published::EncodedFile};

/// The newest publication is a second old at most; that long anybody may keep it.
const CACHE_CONTROL: &str = "public, max-age=1";

/// Up to which batch everything is in the answer.
pub(super) const SEQ_HEADER: &str = "x-ticker-seq";
/// The second of its windows.
pub(super) const AS_OF_HEADER: &str = "x-ticker-as-of";

/// What the answer with a file says beside its bytes.
pub(super) struct Terms {
    /// Of the plain bytes.
    pub(super) content_type: &'static str,
    /// How long it may be kept.
    pub(super) cache_control: &'static str,
    /// What the bytes depend on.
    pub(super) vary: &'static str,
    /// When it was last changed, where that is known.
    pub(super) changed: Option<DateTime<Utc>>,
}

/// The answer to a GET or HEAD of a published file that was last changed at `changed`; pages of any host may read it.
pub(super) fn send(
    request: &HttpRequest,
    file: &EncodedFile,
    changed: DateTime<Utc>,
    vary: &'static str,
) -> HttpResponse {
    let terms = Terms {
        content_type: "application/json",
        cache_control: CACHE_CONTROL,
        vary,
        changed: Some(changed),
    };
    let mut response = send_on(request, file, &terms);
    let anybody = header::HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    response
}

/// The answer to a GET or HEAD of any file.
pub(super) fn send_on(request: &HttpRequest, file: &EncodedFile, terms: &Terms) -> HttpResponse {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(coding) = coding(text(header::ACCEPT_ENCODING), file.brotli.made().is_some()) else {
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
            .zip(terms.changed)
            // That date and no later one: a clock that was wrong and has been put right goes back.
            .is_some_and(|(given, changed)| changed.timestamp() == given.timestamp()),
    };
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, format!("\"{}{}\"", file.etag, coding.tag())))
        .insert_header((header::VARY, terms.vary))
        .insert_header((header::CACHE_CONTROL, terms.cache_control))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Some(changed) = terms.changed {
        let changed = changed.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response.insert_header((header::LAST_MODIFIED, changed));
    }
    if unchanged {
        return response.finish();
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let bytes = bytes_of(file, coding);
    let ticket = Ticket::file(request, &bytes, coding);
    // Of a HEAD's answer actix sends the head alone, with the length of this body.
    response.insert_header((header::CONTENT_TYPE, terms.content_type)).body(Pieces::new([bytes], ticket, ()))
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
        Coding::Brotli => file.brotli.made().cloned().unwrap_or_default(), // it was made when it was chosen
    }
}
