//! Answers with files from memory, in the coding that the client accepts.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;

use super::{
    body::Pieces,
    labels::Labels,
    negotiation::{Coding, coding, names_second, names_tag},
    problem::problem,
    sending::Ticket,
};
use crate::published::EncodedFile;

/// Caches may keep a file for a second, since the next publication comes about a second later.
const CACHE_CONTROL: &str = "public, max-age=1";

/// Headers of an answer with a file.
pub(super) struct Terms<'a> {
    /// Media type of the file.
    pub(super) content_type: &'static str,
    /// Value of `Cache-Control`.
    pub(super) cache_control: &'static str,
    /// Value of `Vary`.
    pub(super) vary: &'static str,
    /// Labels of the publication, if the file belongs to one.
    pub(super) labels: Option<&'a Labels>,
}

/// Returns the answer to a GET or HEAD of a published file. Web pages of any host may read it.
pub(super) fn send(
    request: &HttpRequest,
    file: &EncodedFile,
    labels: Labels,
    vary: &'static str,
) -> HttpResponse {
    let terms =
        Terms { content_type: "application/json", cache_control: CACHE_CONTROL, vary, labels: Some(&labels) };
    let mut response = send_on(request, file, &terms);
    let any_origin = header::HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any_origin);
    labels.add_to(response.headers_mut());
    response
}

/// Returns the answer to a GET or HEAD of any file.
pub(super) fn send_on(request: &HttpRequest, file: &EncodedFile, terms: &Terms<'_>) -> HttpResponse {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(coding) = coding(text(header::ACCEPT_ENCODING), file.brotli.made().is_some()) else {
        return problem(
            StatusCode::NOT_ACCEPTABLE,
            "the file is available as gzip, br and identity, and Accept-Encoding refuses all of them",
        );
    };
    let unchanged = match text(header::IF_NONE_MATCH) {
        Some(given) => names_tag(given, file.tags.all()),
        None => text(header::IF_MODIFIED_SINCE)
            .zip(terms.labels)
            // Only exactly this second: after a wrong clock was corrected, a later date does not mean unchanged.
            .is_some_and(|(given, labels)| names_second(given, labels.as_of())),
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
    // For HEAD, actix sends only the head, with the length of this body.
    response.insert_header((header::CONTENT_TYPE, terms.content_type)).body(Pieces::new([bytes], ticket, ()))
}

/// Returns the bytes in this coding, and their entity tag.
fn form_of(file: &EncodedFile, coding: Coding) -> (Bytes, Bytes) {
    let (bytes, tag) = match coding {
        Coding::Identity => (Some(&file.raw), &file.tags.raw),
        Coding::Gzip => (Some(&file.gzip), &file.tags.gzip),
        Coding::Brotli => (file.brotli.made(), &file.tags.brotli),
    };
    // Brotli is only chosen if it exists, so the default is never used.
    (bytes.cloned().unwrap_or_default(), tag.clone())
}
