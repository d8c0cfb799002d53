//! Files that are part of the program: they are embedded without a build step, and served in all codings.

use std::{borrow::Cow, io, sync::OnceLock};

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
    /// True for a script of our own. Its lines of comments are not sent: they are a quarter of the compressed bytes.
    pub(super) is_own_script: bool,
}

impl Source {
    /// Bytes to send. A line of an own script that holds only a comment is empty, so that a browser that reports an
    /// error names the line of the source.
    pub(super) fn sent(&self) -> Cow<'static, [u8]> {
        if !self.is_own_script {
            return Cow::Borrowed(self.bytes);
        }
        let mut sent = Vec::with_capacity(self.bytes.len());
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_comment = line.trim_ascii_start().starts_with(b"//");
            sent.extend_from_slice(if is_comment { b"\n" } else { line });
        }
        Cow::Owned(sent)
    }
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
        self.sources.iter().map(|source| Document::with_brotli(&source.sent())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_script_is_sent_without_its_lines_of_comments_and_with_the_same_line_numbers() {
        let source = |is_own_script| Source {
            name: "own.js",
            content_type: SCRIPT,
            bytes: b"// why\nlet url = \"https://a\"; // of a\n  // more\nuse(url);\n",
            is_own_script,
        };
        assert_eq!(&*source(true).sent(), b"\nlet url = \"https://a\"; // of a\n\nuse(url);\n");
        assert_eq!(&*source(false).sent(), source(false).bytes);
    }
}
