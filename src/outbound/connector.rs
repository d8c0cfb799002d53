//! Connector service of awc's clients.

use std::{net::SocketAddr, sync::Arc};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::{FutureExt, LocalBoxFuture};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{PassedOver, Resolver, dial, dialling_order, until_close::UntilClose, watched::Watched};

const HTTPS_PORT: u16 = 443;

/// Connector for awc that resolves names, dials and performs the TLS handshake.
///
/// awc's own connector spends the whole timeout on a name's first address, and resolves names on threads that outlive
/// the request. TLS is done here because [`UntilClose`] must see the decrypted bytes.
#[derive(Clone)]
pub struct TcpDialler {
    resolver: Resolver,
    tls: Option<TlsConnector>,
    /// Addresses that accepted a connection and sent nothing, TLS included. They are tried last for a while.
    passed_over: Arc<PassedOver<SocketAddr>>,
}

/// Connection with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream for Io {}

impl TcpDialler {
    /// Dialler of a base URL, and the URL to pass to awc.
    ///
    /// awc must not start TLS a second time, so an `https` URL becomes an `http` URL with an explicit port. The `Host`
    /// header stays the same.
    #[must_use]
    pub fn of(base_url: &str, tls: Arc<ClientConfig>) -> (Self, String) {
        let (resolver, passed_over) = (Resolver::system(), Arc::default());
        let start = base_url.get(..8).filter(|start| start.eq_ignore_ascii_case("https://"));
        let Some(rest) = start.and_then(|_| base_url.get(8..)) else {
            return (Self { resolver, tls: None, passed_over }, base_url.to_owned());
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = authority.rsplit(']').next().unwrap_or(authority);
        let port = if host.contains(':') { String::new() } else { format!(":{HTTPS_PORT}") };
        (Self { resolver, tls: Some(tls.into()), passed_over }, format!("http://{authority}{port}{path}"))
    }

    async fn connect(self, uri: &Uri, port: u16) -> Result<UntilClose<Box<dyn Stream>>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::Unresolved)?;
        let found = self.resolver.addresses(host, port).await;
        let found = found.map_err(|error| ConnectError::Resolver(error.into()))?;
        let stream = dial(dialling_order(found, &self.passed_over, |address| *address)).await;
        let stream = stream.map_err(ConnectError::Io)?;
        // Requests are small, and the client waits for each answer. Nagle's algorithm would only delay them.
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        let stream = Watched::new(stream, self.passed_over);
        let Some(tls) = self.tls else { return Ok(UntilClose::new(Box::new(stream))) };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| ConnectError::Resolver(error.into()))?;
        let stream = tls.connect(name, stream).await.map_err(ConnectError::Io)?;
        Ok(UntilClose::new(Box::new(stream)))
    }
}

impl Service<ConnectInfo<Uri>> for TcpDialler {
    type Response = Connection<Uri, UntilClose<Box<dyn Stream>>>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let dialler = self.clone();
        async move {
            let (uri, port) = (info.request().clone(), info.port());
            let stream = dialler.connect(&uri, port).await?;
            Ok(Connection::new(uri, stream))
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_accepts_and_sends_nothing_is_tried_last() {
        let directory = tempfile::tempdir().unwrap();
        let hosts = directory.path().join("hosts");
        std::fs::write(&hosts, "127.0.0.7 a.b\n127.0.0.8 a.b\n").unwrap();
        let first = TcpListener::bind("127.0.0.7:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let listeners = [first, TcpListener::bind(("127.0.0.8", port)).unwrap()];
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        let accepted =
            || [0, 1].map(|index: usize| std::iter::from_fn(|| listeners[index].accept().ok()).count());
        let dialler = TcpDialler {
            resolver: Resolver::of(hosts, directory.path().join("resolv.conf")),
            tls: None,
            passed_over: Arc::default(),
        };
        let uri = Uri::from_static("http://a.b/");
        drop(dialler.clone().connect(&uri, port).await.ok().unwrap());
        assert_eq!(accepted(), [1, 0]);
        drop(dialler.connect(&uri, port).await.ok().unwrap());
        assert_eq!(accepted(), [0, 1]);
    }

    #[test]
    fn awc_gets_a_plain_http_url_of_the_same_host_and_port() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            Arc::new(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
        for (url, given, is_tls) in [
            ("https://horizon.stellar.org", "http://horizon.stellar.org:443", true),
            ("HTTPS://a.b/path", "http://a.b:443/path", true),
            ("https://a.b:8443/path", "http://a.b:8443/path", true),
            ("https://[::1]", "http://[::1]:443", true),
            ("https://[::1]:8443/x", "http://[::1]:8443/x", true),
            ("http://a.b:8000", "http://a.b:8000", false),
            ("http://a.b", "http://a.b", false),
            ("a", "a", false),
        ] {
            let (dialler, awc) = TcpDialler::of(url, Arc::clone(&config));
            assert_eq!((awc.as_str(), dialler.tls.is_some()), (given, is_tls), "{url}");
        }
    }
}
