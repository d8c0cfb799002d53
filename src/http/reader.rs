//! Reading what a running daemon serves, as any consumer would, and which publication it is.

use std::{sync::Arc, time::Duration};

use actix_web::http::{StatusCode, header};
use awc::{Client, ClientRequest, Connector, error::PayloadError};
use bytes::Bytes;
use rustls::ClientConfig;

use super::labels::{AS_OF_HEADER, SEQ_HEADER};
use crate::{
    domain::instant::UnixSeconds,
    outbound::{TcpDialler, coding::decoded},
};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the head of an answer is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Until a whole file is there.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest file that is read, compressed or not; a pair takes about 1 KB, an asset 2.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer, or half of one.
    #[error("nothing answers at {url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The daemon has published nothing yet.
    #[error("{0} answers 503: nothing is published yet")]
    NotYet(String),
    /// Another status than those of a file.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer does not say which publication it is.
    #[error("{0} does not tell its publication in X-Ticker-Seq and X-Ticker-As-Of: is it this ticker?")]
    Unnamed(String),
}

/// A file or an answer, as it is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// Up to which batch everything is in it.
    pub seq: i64,
    /// The second of its windows.
    pub as_of: UnixSeconds,
    /// Its bytes, uncompressed.
    pub body: Bytes,
}

/// A reader of one daemon. Belongs to the thread that makes it, as awc's clients do.
pub struct Reader {
    client: Client,
    base: String,
    /// The same base as the client is given it, which leaves TLS to its dialler.
    for_awc: String,
}

impl Reader {
    /// A reader of the daemon at a base URL without a slash at the end; nothing is connected yet.
    #[must_use]
    pub fn new(base: String, tls: Arc<ClientConfig>) -> Self {
        let (dialler, for_awc) = TcpDialler::of(&base, tls);
        let connector = Connector::new().connector(dialler).timeout(CONNECT_TIMEOUT);
        let client =
            Client::builder().connector(connector).timeout(HEAD_TIMEOUT).disable_redirects().finish();
        Self { client, base, for_awc }
    }

    /// Has the daemon behind an admin listener audit itself now. It says only that it heard.
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

    /// A published file; none where there is no such file.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub async fn file(&self, name: &str) -> Result<Option<Served>, ReadError> {
        let url = format!("{}/{name}", self.base);
        served(self.client.get(format!("{}/{name}", self.for_awc)), url).await
    }

    /// The answer to a GraphQL document; none where there is no such endpoint.
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
    let unreachable = |reason: &dyn std::fmt::Display| ReadError::Unreachable {
        url: url.clone(),
        reason: reason.to_string(),
    };
    let request = request.insert_header((header::ACCEPT_ENCODING, "gzip"));
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::SERVICE_UNAVAILABLE => return Err(ReadError::NotYet(url)),
        status => return Err(ReadError::Status { url, status: status.as_u16() }),
    }
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seq = text(SEQ_HEADER).and_then(|text| text.parse().ok());
    let as_of = text(AS_OF_HEADER).and_then(|text| UnixSeconds::parse(text).ok());
    let Some((seq, as_of)) = seq.zip(as_of) else { return Err(ReadError::Unnamed(url)) };
    let read = actix_rt::time::timeout(BODY_TIMEOUT, response.body().limit(BODY_BYTES_MAX));
    let read = read.await.map_err(|_| unreachable(&format_args!("half an answer in {BODY_TIMEOUT:?}")))?;
    let body = read.map_err(|error| match error {
        PayloadError::Overflow => unreachable(&format_args!("it is longer than {BODY_BYTES_MAX} bytes")),
        other => unreachable(&other),
    })?;
    let coding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let body = decoded(coding, body, BODY_BYTES_MAX).map_err(|error| unreachable(&error))?;
    Ok(Some(Served { seq, as_of, body }))
}
