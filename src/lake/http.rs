//! Objects over HTTP and HTTPS: plain GETs, without an account.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use actix_web::http::header;
use awc::{
    Client, ClientResponse, Connector,
    error::{PayloadError, SendRequestError},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{
    LakeError,
    error::{OBJECT_BYTES_MAX, SILENCE_MAX},
};
use crate::outbound::{
    TcpDialler,
    body::{BodyError, BodyLimits, read_body},
    retry::parse_retry_after,
    tls,
};

/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Maximum age of a connection, so that the client follows a name to a new address.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// First bytes of an object: the magic number of a frame of Zstandard (RFC 8878, 3.1.1).
const COMPRESSED: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// First byte of a frame without content, which an object may also begin with (RFC 8878, 3.1.2).
const SKIPPABLE_FIRST: RangeInclusive<u8> = 0x50..=0x5F;
/// The three bytes after it.
const SKIPPABLE_REST: [u8; 3] = [0x2A, 0x4D, 0x18];
/// Connections that a client may have open. It fetches fewer objects at once.
const CONNECTIONS_MAX: usize = 256;

/// Client of a lake's server.
pub(super) struct HttpLake {
    client: Client,
    /// Base URL as awc takes it, without a trailing slash.
    url: String,
    shown: String,
    /// Timeout for a whole object.
    body_timeout: Duration,
}

impl HttpLake {
    /// Creates a client. Opens no connection yet.
    pub(super) fn new(
        url: &str,
        shown: String,
        ca_file: Option<&Path>,
        body_timeout: Duration,
    ) -> Result<Self, LakeError> {
        let tls = tls::client_config(ca_file).map_err(|error| LakeError::Setup(error.to_string()))?;
        let (dialler, url) = TcpDialler::of(url, tls);
        let connector = Connector::new()
            .connector(dialler)
            .timeout(CONNECT_TIMEOUT)
            .limit(CONNECTIONS_MAX)
            .conn_keep_alive(KEEP_ALIVE)
            .conn_lifetime(CONNECTION_AGE_MAX);
        let client = Client::builder()
            .connector(connector)
            .timeout(SILENCE_MAX)
            // The operator names the place. A redirect might lead to another one.
            .disable_redirects()
            .add_default_header((header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION"))))
            .finish();
        Ok(Self { client, url, shown, body_timeout })
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Base URL as awc takes it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Fetches an object. `None` if the server has none with this key.
    pub(super) async fn fetch(&self, key: &str) -> Result<Option<Bytes>, LakeError> {
        self.get(&format!("{}/{key}", self.url)).await
    }

    /// Fetches a URL. `None` if there is nothing.
    pub(super) async fn get(&self, url: &str) -> Result<Option<Bytes>, LakeError> {
        match self.answer(url).await? {
            None => Ok(None),
            Some(response) => body(response, self.body_timeout).await.map(Some),
        }
    }

    /// True if the server has an object with this key. Reads only the first bytes: some servers answer 200 with a
    /// page of their own for what they do not have.
    pub(super) async fn has(&self, key: &str) -> Result<bool, LakeError> {
        let Some(mut response) = self.answer(&format!("{}/{key}", self.url)).await? else { return Ok(false) };
        let first = tokio::time::timeout(SILENCE_MAX, response.next()).await;
        match first.map_err(|_| LakeError::Silent(SILENCE_MAX))? {
            Some(Ok(bytes)) => Ok(may_begin_object(&bytes)),
            Some(Err(error)) => Err(LakeError::Connect(error.to_string())),
            None => Ok(false),
        }
    }

    async fn answer(
        &self,
        url: &str,
    ) -> Result<
        Option<ClientResponse<impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static>>,
        LakeError,
    > {
        let request = self.client.get(url).insert_header((header::ACCEPT_ENCODING, "identity"));
        checked(request.no_decompress().send().await)
    }

    /// Posts JSON to the base URL, and returns the answer.
    pub(super) async fn post(&self, json: &serde_json::Value) -> Result<Bytes, LakeError> {
        let request = self.client.post(&self.url).insert_header((header::ACCEPT_ENCODING, "identity"));
        match checked(request.no_decompress().send_json(json).await)? {
            Some(response) => body(response, self.body_timeout).await,
            None => Err(LakeError::Status { status: 404, retry_after: None }),
        }
    }
}

/// True if an object may begin with these bytes. They may be fewer than a magic number has.
fn may_begin_object(bytes: &[u8]) -> bool {
    let fits = |bytes: &[u8], magic: &[u8]| bytes.iter().zip(magic).all(|(byte, expected)| byte == expected);
    let is_skippable =
        |(first, rest): (&u8, &[u8])| SKIPPABLE_FIRST.contains(first) && fits(rest, &SKIPPABLE_REST);
    fits(bytes, &COMPRESSED) || bytes.split_first().is_some_and(is_skippable)
}

/// Returns a successful answer, or `None` for 404.
fn checked<S>(
    sent: Result<ClientResponse<S>, SendRequestError>,
) -> Result<Option<ClientResponse<S>>, LakeError> {
    let response = sent.map_err(|error| match error {
        SendRequestError::Timeout => LakeError::Silent(SILENCE_MAX),
        error => LakeError::Connect(error.to_string()),
    })?;
    let status = response.status().as_u16();
    match status {
        200 => Ok(Some(response)),
        404 => Ok(None),
        status => {
            let after = response.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()).and_then(parse_retry_after);
            Err(LakeError::Status { status, retry_after: after })
        }
    }
}

/// Reads a whole body, as it was sent.
async fn body<S>(mut response: ClientResponse<S>, timeout: Duration) -> Result<Bytes, LakeError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let limits = BodyLimits { bytes_max: OBJECT_BYTES_MAX, silence_max: SILENCE_MAX, timeout };
    read_body(&mut response, limits).await.map_err(|error| match error {
        BodyError::Payload(error) => LakeError::Connect(error.to_string()),
        BodyError::Silent(limit) => LakeError::Silent(limit),
        BodyError::TooLarge(bytes_max) => LakeError::TooLarge(bytes_max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_begins_with_a_frame_and_a_page_does_not() {
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 7];
        let without_content = [0x57, 0x2A, 0x4D, 0x18, 7];
        for length in 1..=5 {
            assert!(may_begin_object(&frame[..length]) && may_begin_object(&without_content[..length]));
        }
        for other in [&b"<!DOCTYPE html>"[..], b"{}", &[0x28, 0xB5, 0x2F, 0xFE], &[0x57, 0x2A, 0x4D, 0x17]] {
            assert!(!may_begin_object(other), "{other:?}");
        }
    }
}
