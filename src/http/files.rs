//! Answers with files from memory, in the coding that the client accepts.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use bytes::Bytes;

use super::{
    body::Pieces,
    cors::any_origin,
    inflated::Inflated,
    labels::Labels,
    negotiation::{Coding, coding, header_list, names_second, names_tag},
    problem::problem,
    sending::Ticket,
};
use crate::published::{Document, Plain};

/// Caches may keep a file for a second, since the next publication comes about a second later.
const CACHE_CONTROL: &str = "public, max-age=1";

/// Headers of an answer with a file.
pub(super) struct FileHeaders<'a> {
    /// Media type of the file.
    pub(super) content_type: &'static str,
    /// Value of `Cache-Control`.
    pub(super) cache_control: &'static str,
    /// Value of `Vary`.
    pub(super) vary: &'static str,
    /// Labels of the publication whose time is the date of the file, if it has one.
    pub(super) labels: Option<&'a Labels>,
    /// Status of the answer. An answer about an error has no conditions and no tag (RFC 9110, 13.2.1),
    /// and is sent plain rather than not at all.
    pub(super) status: StatusCode,
}

impl FileHeaders<'static> {
    /// Headers of a file that belongs to no publication.
    pub(super) const fn unlabelled(content_type: &'static str, cache_control: &'static str) -> Self {
        Self { content_type, cache_control, vary: "Accept-Encoding", labels: None, status: StatusCode::OK }
    }
}

/// Returns the answer to a GET or HEAD of a file or document. Web pages of any host may read it.
pub(super) fn send(
    request: &HttpRequest,
    file: &Document,
    labels: Labels,
    vary: &'static str,
) -> HttpResponse {
    let headers = FileHeaders {
        content_type: "application/json",
        cache_control: CACHE_CONTROL,
        vary,
        labels: Some(&labels),
        status: StatusCode::OK,
    };
    let mut response = send_on(request, file, &headers);
    let (name, value) = any_origin();
    response.headers_mut().insert(name, value);
    labels.add_to(response.headers_mut());
    response
}

/// Returns the answer to a GET or HEAD of any file.
pub(super) fn send_on(request: &HttpRequest, file: &Document, headers: &FileHeaders<'_>) -> HttpResponse {
    let is_error = headers.status != StatusCode::OK;
    let accept = header_list(request, header::ACCEPT_ENCODING);
    let coding = coding(accept.as_deref(), file.brotli.is_some());
    let Some(coding) = coding.or(is_error.then_some(Coding::Identity)) else {
        let available = if file.brotli.is_some() { "gzip, br and identity" } else { "gzip and identity" };
        return problem(
            StatusCode::NOT_ACCEPTABLE,
            &format!("the file is available as {available}, and Accept-Encoding refuses all of them"),
        );
    };
    let unchanged = match header_list(request, header::IF_NONE_MATCH) {
        _ if is_error => false,
        // Only the tag of this coding: a cache that holds another one could not use the answer (13.1.2).
        Some(given) => names_tag(&given, tag_of(file, coding)),
        None => header_list(request, header::IF_MODIFIED_SINCE)
            .zip(headers.labels)
            // Only exactly this second: after a wrong clock was corrected, a later date does not mean unchanged.
            .is_some_and(|(given, labels)| names_second(&given, labels.as_of())),
    };
    let mut response = HttpResponse::build(if unchanged { StatusCode::NOT_MODIFIED } else { headers.status });
    if !is_error {
        response.insert_header((header::ETAG, tag_of(file, coding).clone()));
    }
    response
        .insert_header((header::VARY, headers.vary))
        .insert_header((header::CACHE_CONTROL, headers.cache_control))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if let Some(changed) = headers.labels.and_then(Labels::last_modified) {
        response.insert_header((header::LAST_MODIFIED, changed.clone()));
    }
    if unchanged {
        return response.finish();
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    response.insert_header((header::CONTENT_TYPE, headers.content_type));
    // For HEAD, actix sends only the head, with the length of this body.
    match form_of(file, coding) {
        Form::Bytes(bytes) => {
            let ticket = Ticket::file(request, bytes, coding);
            response.body(Pieces::new([bytes.clone()], ticket, ()))
        }
        Form::Inflated { len } => {
            let ticket = Ticket::file(request, &file.gzip, Coding::Gzip);
            response.body(Inflated::new(file.gzip.clone(), len, ticket))
        }
    }
}

/// Form in which a file is sent.
enum Form<'a> {
    /// These bytes.
    Bytes(&'a Bytes),
    /// This number of bytes, which are compressed by gzip until they are sent.
    Inflated { len: usize },
}

const fn form_of(file: &Document, coding: Coding) -> Form<'_> {
    match (coding, &file.brotli, &file.plain) {
        (Coding::Brotli, Some(brotli), _) => Form::Bytes(brotli),
        (Coding::Identity, _, Plain::Kept(bytes)) => Form::Bytes(bytes),
        (Coding::Identity, _, Plain::Compressed { len }) => Form::Inflated { len: *len },
        // Brotli is only chosen if it exists.
        (Coding::Gzip | Coding::Brotli, ..) => Form::Bytes(&file.gzip),
    }
}

const fn tag_of(file: &Document, coding: Coding) -> &Bytes {
    match coding {
        Coding::Identity => &file.tags.raw,
        Coding::Gzip => &file.tags.gzip,
        Coding::Brotli => &file.tags.brotli,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};

    use super::*;
    use crate::domain::instant::UnixSeconds;

    /// Answer to a request with this `Accept-Encoding`: its body, its coding and its tag.
    async fn answer(document: &Document, accept: &str) -> (Bytes, Option<String>, String) {
        let request =
            TestRequest::default().insert_header((header::ACCEPT_ENCODING, accept)).to_http_request();
        let response = send(&request, document, Labels::of(1, UnixSeconds(1)), "Accept-Encoding");
        let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (coding, tag) = (text(header::CONTENT_ENCODING), text(header::ETAG).unwrap());
        (to_bytes(response.into_body()).await.unwrap(), coding, tag)
    }

    #[actix_web::test]
    async fn only_the_tag_of_the_coding_that_would_be_sent_makes_an_answer_unnecessary() {
        let document = Document::with_brotli(b"{}").unwrap();
        let tags =
            [("br", &document.tags.brotli), ("gzip", &document.tags.gzip), ("identity", &document.tags.raw)];
        for (accepted, of) in &tags {
            for (coding, tag) in &tags {
                let request = TestRequest::default()
                    .insert_header((header::ACCEPT_ENCODING, *accepted))
                    .insert_header((header::IF_NONE_MATCH, tag.as_ref()))
                    .to_http_request();
                let response = send(&request, &document, Labels::of(1, UnixSeconds(1)), "Accept-Encoding");
                let expected = if accepted == coding { 304 } else { 200 };
                assert_eq!(response.status(), expected, "{coding} for a reader of {accepted}");
                assert_eq!(response.headers().get(header::ETAG).unwrap(), of.as_ref());
            }
        }
    }

    #[actix_web::test]
    async fn a_document_that_is_not_kept_plain_is_sent_plain_all_the_same() {
        let raw: Vec<u8> = (0..60_000).flat_map(|number: i32| format!("{number},").into_bytes()).collect();
        for (document, is_kept) in
            [(Document::gzipped(&raw).unwrap(), false), (Document::with_brotli(&raw[..9_000]).unwrap(), true)]
        {
            assert_eq!(matches!(document.plain, Plain::Kept(_)), is_kept);
            let (plain, coding, tag) = answer(&document, "identity").await;
            assert_eq!((&plain[..], coding), (&raw[..plain.len()], None));
            assert_eq!(tag.as_bytes(), &document.tags.raw[..]);
            let (gzip, coding, _) = answer(&document, "gzip").await;
            assert_eq!((gzip, coding.as_deref()), (document.gzip.clone(), Some("gzip")));
            let (_, coding, _) = answer(&document, "br, gzip;q=0.5").await;
            assert_eq!(coding.as_deref(), Some(if is_kept { "br" } else { "gzip" }));
        }
    }
}
