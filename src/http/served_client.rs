//! HTTP client that reads what a running daemon serves, as any consumer would, and the publication that it belongs to.

use std::{sync::Arc, time::Duration};

use actix_web::http::{StatusCode, header};
use awc::{Client, ClientRequest, Connector, error::PayloadError};
use bytes::Bytes;
use rustls::ClientConfig;

use super::labels::{AS_OF_HEADER, SEQ_HEADER};
use crate::{
    domain::instant::UnixSeconds,
    outbound::{TcpDialler, body::payload_text, coding::decoded},
};

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the head of an answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for the body of an answer.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest body, compressed or not. A pair takes about 1 KB, an asset 2 KB.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Error of reading from the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer, or an incomplete one.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// Requested URL.
        url: String,
        /// Text of the error.
        reason: String,
    },
    /// The daemon has published nothing yet.
    #[error("{0} answers 503: nothing is published yet")]
    NotYet(String),
    /// The daemon answers with an unexpected status.
    #[error("{url} answers {status}")]
    Status {
        /// Requested URL.
        url: String,
        /// Status of the answer.
        status: u16,
    },
    /// The answer does not name its publication.
    #[error("{0} has no valid headers X-Ticker-Seq and X-Ticker-As-Of: is it this ticker?")]
    Unnamed(String),
}

/// A file or an answer of the daemon.
#[derive(Clone, Debug)]
pub struct Served {
    /// Last batch in the publication.
    pub seq: i64,
    /// End of the publication's windows.
    pub as_of: UnixSeconds,
    /// Body, uncompressed.
    pub body: Bytes,
}

/// Any answer of the daemon.
#[derive(Clone, Debug)]
pub struct Document {
    /// Status.
    pub status: u16,
    /// Last batch of the publication or view that it was made from, and the end of its windows. `None` if the answer
    /// names none.
    pub view: Option<(i64, UnixSeconds)>,
    /// Body, uncompressed.
    pub body: Bytes,
}

/// HTTP client of one daemon. It cannot move to another thread, because awc's client cannot.
pub struct Reader {
    client: Client,
    /// Base URL, for messages.
    base: String,
    /// Base URL for the client. Its scheme is `http`, because the dialler does TLS.
    for_awc: String,
}

impl Reader {
    /// Returns a client of the daemon at a base URL without a trailing slash. Does not connect.
    #[must_use]
    pub fn new(base: String, tls: Arc<ClientConfig>) -> Self {
        let (dialler, for_awc) = TcpDialler::of(&base, tls);
        let connector = Connector::new().connector(dialler).timeout(CONNECT_TIMEOUT);
        let client =
            Client::builder().connector(connector).timeout(HEAD_TIMEOUT).disable_redirects().finish();
        Self { client, base, for_awc }
    }

    /// Makes the daemon behind an admin listener audit itself now. Returns when it has accepted the request.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn ask_for_audit(&self) -> Result<(), ReadError> {
        let url = format!("{}/audit", self.base);
        match self.client.post(format!("{}/audit", self.for_awc)).send().await {
            Ok(response) if response.status() == StatusCode::ACCEPTED => Ok(()),
            Ok(response) => Err(ReadError::Status { url, status: response.status().as_u16() }),
            Err(error) => Err(ReadError::Unreachable { url, reason: error.to_string() }),
        }
    }

    /// Returns the answer to a GET of a path, whatever its status, except 503.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. An answer that names no publication is none.
    pub async fn document(&self, path: &str) -> Result<Document, ReadError> {
        fetch(self.client.get(format!("{}{path}", self.for_awc)), format!("{}{path}", self.base)).await
    }

    /// Returns a published file, or none if the daemon answers 404.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn file(&self, name: &str) -> Result<Option<Served>, ReadError> {
        let url = format!("{}/{name}", self.base);
        served(self.client.get(format!("{}/{name}", self.for_awc)), url).await
    }

    /// Returns the answer to a GraphQL document, or none if the daemon answers 404.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn graphql(&self, document: &str) -> Result<Option<Served>, ReadError> {
        let url = format!("{}/graphql", self.base);
        let unreachable = |error: &dyn std::fmt::Display| ReadError::Unreachable {
            url: url.clone(),
            reason: error.to_string(),
        };
        let request = self.client.get(format!("{}/graphql", self.for_awc)).query(&[("query", document)]);
        let request = request.map_err(|error| unreachable(&error))?;
        served(request, url).await
    }
}

async fn served(request: ClientRequest, url: String) -> Result<Option<Served>, ReadError> {
    let Document { status, view, body } = fetch(request, url.clone()).await?;
    match StatusCode::from_u16(status) {
        Ok(StatusCode::OK) => {}
        Ok(StatusCode::NOT_FOUND) => return Ok(None),
        _ => return Err(ReadError::Status { url, status }),
    }
    let (seq, as_of) = view.ok_or(ReadError::Unnamed(url))?;
    Ok(Some(Served { seq, as_of, body }))
}

async fn fetch(request: ClientRequest, url: String) -> Result<Document, ReadError> {
    let unreachable = |reason: &dyn std::fmt::Display| ReadError::Unreachable {
        url: url.clone(),
        reason: reason.to_string(),
    };
    // awc is built without decoders. `decoded` decompresses the body below, with a limit on its size.
    let request = request.insert_header((header::ACCEPT_ENCODING, "gzip"));
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(ReadError::NotYet(url));
    }
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seq = text(SEQ_HEADER).and_then(|text| text.parse().ok());
    let as_of = text(AS_OF_HEADER).and_then(|text| UnixSeconds::parse(text).ok());
    let read = actix_rt::time::timeout(BODY_TIMEOUT, response.body().limit(BODY_BYTES_MAX));
    let late = format_args!("the body is not complete after {} s", BODY_TIMEOUT.as_secs());
    let read = read.await.map_err(|_| unreachable(&late))?;
    let body = read.map_err(|error| match error {
        PayloadError::Overflow => {
            unreachable(&format_args!("the body is longer than {BODY_BYTES_MAX} bytes"))
        }
        other => unreachable(&payload_text(&other)),
    })?;
    let coding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let body = decoded(coding, body, BODY_BYTES_MAX).map_err(|error| unreachable(&error))?;
    Ok(Document { status: status.as_u16(), view: seq.zip(as_of), body })
}
