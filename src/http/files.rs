//! Sending a file from memory, in the form that the reader takes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;
use chrono::DateTime;

use super::{
    body::Pieces,
    labels::Labels,
    negotiation::{Coding, coding, names_tag},
    problem::problem,
    sending::Ticket,
};
use crate::published::EncodedFile;

/// The newest publication is a second old at most; that long anybody may keep it.
const CACHE_CONTROL: &str = "public, max-age=1";

/// What the answer with a file says beside its bytes.
pub(super) struct Terms<'a> {
    /// Of the plain bytes.
    pub(super) content_type: &'static str,
    /// How long it may be kept.
    pub(super) cache_control: &'static str,
    /// What the bytes depend on.
    pub(super) vary: &'static str,
    /// The publication that it is of, if it is of one.
    pub(super) labels: Option<&'a Labels>,
}

/// The answer to a GET or HEAD of a file of the publication with these labels; pages of any host may read it.
pub(super) fn send(
    request: &HttpRequest,
    file: &EncodedFile,
    labels: Labels,
    vary: &'static str,
) -> HttpResponse {
    let terms =
        Terms { content_type: "application/json", cache_control: CACHE_CONTROL, vary, labels: Some(&labels) };
    let mut response = send_on(request, file, &terms);
    let anybody = header::HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
    labels.name(response.headers_mut());
    response
}

/// The answer to a GET or HEAD of any file.
pub(super) fn send_on(request: &HttpRequest, file: &EncodedFile, terms: &Terms<'_>) -> HttpResponse {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(coding) = coding(text(header::ACCEPT_ENCODING), file.brotli.made().is_some()) else {
        return problem(StatusCode::NOT_ACCEPTABLE, "gzip, br and identity are there, and all are refused");
    };
    let unchanged = match text(header::IF_NONE_MATCH) {
        Some(given) => names_tag(given, file.tags.all()),
        None => text(header::IF_MODIFIED_SINCE)
            .and_then(|given| DateTime::parse_from_rfc2822(given).ok())
            .zip(terms.labels)
            // That date and no later one: a clock that was wrong and has been put right goes back.
            .is_some_and(|(given, labels)| labels.as_of().0 == given.timestamp()),
    };
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let (bytes, tag) = form_of(file, coding);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::VARY, terms.vary))
        .insert_header((header::CACHE_CONTROL, terms.cache_control))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Some(changed) = terms.labels.and_then(Labels::last_modified) {
        response.insert_header((header::LAST_MODIFIED, changed.clone()));
    }
    if unchanged {
        return response.finish();
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let ticket = Ticket::file(request, &bytes, coding);
    // Of a HEAD's answer actix sends the head alone, with the length of this body.
    response.insert_header((header::CONTENT_TYPE, terms.content_type)).body(Pieces::new([bytes], ticket, ()))
}

/// The bytes in this coding, and their entity tag.
fn form_of(file: &EncodedFile, coding: Coding) -> (Bytes, Bytes) {
    let (bytes, tag) = match coding {
        Coding::Identity => (Some(&file.raw), &file.tags.raw),
        Coding::Gzip => (Some(&file.gzip), &file.tags.gzip),
        Coding::Brotli => (file.brotli.made(), &file.tags.brotli),
    };
    (bytes.cloned().unwrap_or_default(), tag.clone()) // brotli was made when it was chosen
}
