//! Files that are part of the program: they are embedded without a build step, and served in all codings.

use std::{io, sync::OnceLock};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::{
    files::{FileHeaders, send_on},
    methods,
    page_guard::guard,
    problem::problem,
};
use crate::{blocking, published::Document};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

/// Files keep their names from release to release, so a cache must revalidate them for each use.
pub(super) const CACHE_CONTROL: &str = "no-cache";

/// An embedded file.
#[derive(Debug)]
pub(super) struct Source {
    /// Name by which it is found.
    pub(super) name: &'static str,
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Its bytes.
    pub(super) bytes: &'static [u8],
}

/// Files that belong together. All are encoded at the first request for one, because most processes never serve any.
#[derive(Debug)]
pub(super) struct EmbeddedFiles {
    sources: &'static [Source],
    /// `Content-Security-Policy` of the files, if a page is among them.
    policy: Option<&'static str>,
    texts: Texts,
    /// The encoded files, in the order of `sources`.
    encoded: OnceLock<io::Result<Vec<Document>>>,
}

/// Texts of errors.
#[derive(Debug)]
pub(super) struct Texts {
    /// No file has this name.
    pub(super) unknown: &'static str,
    /// The files could not be compressed.
    pub(super) failed: &'static str,
}

impl EmbeddedFiles {
    pub(super) const fn new(sources: &'static [Source], policy: Option<&'static str>, texts: Texts) -> Self {
        Self { sources, policy, texts, encoded: OnceLock::new() }
    }

    /// Answers a request for the file of this name.
    pub(super) async fn answer(&'static self, request: &HttpRequest, name: &str) -> HttpResponse {
        if let Some(response) = methods::without_body(request) {
            return response;
        }
        let Some(files) = self.encoded().await else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, self.texts.failed);
        };
        let Some((source, file)) = self.sources.iter().zip(files).find(|(source, _)| source.name == name)
        else {
            return problem(StatusCode::NOT_FOUND, self.texts.unknown);
        };
        let headers = FileHeaders::unlabelled(source.content_type, CACHE_CONTROL);
        let mut response = send_on(request, file, &headers);
        if let Some(policy) = self.policy {
            guard(response.headers_mut(), policy);
        }
        response
    }

    /// All files in all codings, or `None` if they could not be compressed. That takes a fraction of a second, once,
    /// and must not block a thread that serves other requests.
    async fn encoded(&'static self) -> Option<&'static [Document]> {
        let encode = move || self.encoded.get_or_init(|| self.encode());
        let encoded = match self.encoded.get() {
            Some(encoded) => encoded,
            None => blocking::run(encode).await.ok()?,
        };
        encoded.as_deref().ok()
    }

    fn encode(&self) -> io::Result<Vec<Document>> {
        self.sources.iter().map(|source| Document::with_brotli(source.bytes)).collect()
    }
}
