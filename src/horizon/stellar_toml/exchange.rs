//! One request to a host, on a connection of its own.
//!
//! Uses hyper instead of awc, because issuers' servers answer in any way that HTTP/1.1 allows. awc treats a body that
//! ends with its connection as empty, and a truncated one as complete. An empty or half file would pass as valid.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, Uri,
    body::{Body, Incoming},
    client::conn::http1,
    header,
    http::uri::Scheme,
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{error::TomlError, resolve::GuardedLookup};
use crate::{
    domain::conversions::SaturatingFrom,
    outbound::{
        PassedOver, SilenceGuard, Watched, coding::CodingError, coding::decoded, dial, dialling_order,
    },
};

/// Largest file in bytes, before and after decoding (SEP-1).
pub(super) const FILE_BYTES_MAX: usize = 100 * 1_024;
/// Largest response head, in bytes. hyper also buffers no more of a body than this.
const HEAD_BYTES_MAX: usize = 64 * 1_024;

/// Answer of a host.
pub(super) enum HostAnswer {
    File(Bytes),
    /// Redirect to this location.
    Redirect(String),
}

/// Sender of requests. Does not follow redirects: they are returned to the caller.
#[derive(Clone)]
pub(super) struct Requester {
    pub(super) names: GuardedLookup,
    pub(super) tls: Arc<ClientConfig>,
    /// Addresses that accepted a connection and did not answer. They are tried last for a while.
    pub(super) passed_over: Arc<PassedOver<SocketAddr>>,
}

impl Requester {
    /// Requests a URL. Resolves its host name once, and dials only the checked addresses.
    pub(super) async fn request(&self, url: &Uri) -> Result<HostAnswer, TomlError> {
        let authority = url.authority().ok_or(TomlError::NotServed)?;
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = self.names.addresses(authority.host(), port).await.map_err(connect)?;
        let addresses = dialling_order(addresses, &self.passed_over, |address| *address);
        let stream = dial(addresses).await.map_err(connect)?;
        // Request and TLS handshake end in small packets, which Nagle's algorithm would delay.
        stream.set_nodelay(true).map_err(connect)?;
        let (server, passed_over) = (stream.peer_addr().ok(), Arc::clone(&self.passed_over));
        if !is_tls {
            return exchange(Watched::new(stream, SilenceGuard::new(server, passed_over)), url).await;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(connect)?;
        let mut guard = SilenceGuard::new(server, passed_over);
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let stream = tls.connect(name, stream).await.inspect_err(|_| guard.note_answer());
        exchange(Watched::new(stream.map_err(connect)?, guard), url).await
    }
}

fn connect(error: impl std::fmt::Display) -> TomlError {
    TomlError::Connect(error.to_string())
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, url: &Uri) -> Result<HostAnswer, TomlError> {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default(); // the gateway's URL may contain a user
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(connect)?;
    let builder = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).clone();
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(connect)?;
    let answer = async { read(sender.send_request(request).await.map_err(connect)?).await };
    // The connection makes progress only while it is polled, and it ends before the last bytes of a body are read. So
    // keep the branch pending after its end.
    let moves = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = moves => never,
    }
}

async fn read(response: Response<Incoming>) -> Result<HostAnswer, TomlError> {
    let (head, mut body) = response.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if head.status.is_redirection() {
        return text(header::LOCATION)
            .map(|to| HostAnswer::Redirect(to.to_owned()))
            .ok_or(TomlError::Redirect);
    }
    if !head.status.is_success() {
        return Err(TomlError::Status(head.status.as_u16()));
    }
    let bytes_max = u64::saturating_from(FILE_BYTES_MAX);
    // Refuse a declared length at once, before reading any of it.
    if body.size_hint().lower() > bytes_max {
        return Err(TomlError::TooLarge);
    }
    let mut raw = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(connect)?.into_data() else { continue }; // skip trailers
        if raw.len().saturating_add(data.len()) > FILE_BYTES_MAX {
            return Err(TomlError::TooLarge);
        }
        raw.extend_from_slice(&data);
    }
    let coding = head.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let file = decoded(coding, raw.freeze(), FILE_BYTES_MAX).map_err(|error| match error {
        CodingError::TooLarge(_) => TomlError::TooLarge,
        CodingError::Unknown | CodingError::Broken => TomlError::Encoding,
    });
    file.map(HostAnswer::File)
}
