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

use super::{PassedOver, Resolver, SilenceGuard, Watched, dial, dialling_order, until_close::UntilClose};

const HTTPS_PORT: u16 = 443;

/// Connector for awc that resolves names, dials and performs the TLS handshake.
///
/// awc's own connector spends the whole timeout on a name's first address, and resolves names on threads that outlive
/// the request. TLS is done here because [`UntilClose`] must see the decrypted bytes.
#[derive(Clone)]
pub struct TcpDialler {
    resolver: Resolver,
    tls: Option<TlsConnector>,
    /// Addresses that accepted a connection and then left the handshake or a request without an answer. They are
    /// tried last for a while.
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
        let server = stream.peer_addr().ok();
        let Some(tls) = self.tls else {
            let guard = SilenceGuard::new(server, self.passed_over);
            return Ok(UntilClose::new(Box::new(Watched::new(stream, guard))));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| ConnectError::Resolver(error.into()))?;
        let mut guard = SilenceGuard::new(server, self.passed_over);
        let stream = tls.connect(name, stream).await.inspect_err(|_| guard.note_answer());
        Ok(UntilClose::new(Box::new(Watched::new(stream.map_err(ConnectError::Io)?, guard))))
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
    use std::{
        net::TcpListener,
        path::Path,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::outbound::tls;

    /// Listeners at the two addresses of `a.b`, and a dialler that knows this name.
    fn two_addresses(directory: &Path, tls: Option<TlsConnector>) -> (TcpDialler, [TcpListener; 2]) {
        let hosts = directory.join("hosts");
        std::fs::write(&hosts, "127.0.0.7 a.b\n127.0.0.8 a.b\n").unwrap();
        let first = TcpListener::bind("127.0.0.7:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let listeners = [first, TcpListener::bind(("127.0.0.8", port)).unwrap()];
        let resolver = Resolver::of(hosts, directory.join("resolv.conf"));
        (TcpDialler { resolver, tls, passed_over: Arc::default() }, listeners)
    }

    #[tokio::test]
    async fn an_address_that_accepts_and_sends_nothing_is_tried_last() {
        let directory = tempfile::tempdir().unwrap();
        let (dialler, listeners) = two_addresses(directory.path(), None);
        let port = listeners[0].local_addr().unwrap().port();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        let accepted =
            || [0, 1].map(|index: usize| std::iter::from_fn(|| listeners[index].accept().ok()).count());
        let uri = Uri::from_static("http://a.b/");
        drop(dialler.clone().connect(&uri, port).await.ok().unwrap());
        assert_eq!(accepted(), [1, 0]);
        drop(dialler.connect(&uri, port).await.ok().unwrap());
        assert_eq!(accepted(), [0, 1]);
    }

    /// Accepts connections and completes their TLS handshakes, but answers no request. Returns the number of
    /// accepted connections.
    fn silent_behind_tls(listener: TcpListener, config: &Arc<rustls::ServerConfig>) -> Arc<AtomicUsize> {
        let (accepted, config) = (Arc::new(AtomicUsize::new(0)), Arc::clone(config));
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
                open.push(stream);
            }
        });
        accepted
    }

    #[tokio::test]
    async fn an_address_that_is_silent_after_the_tls_handshake_is_tried_last() {
        let directory = tempfile::tempdir().unwrap();
        let issued = rcgen::generate_simple_self_signed(["a.b".to_owned()]).unwrap();
        let ca_file = directory.path().join("ca.pem");
        std::fs::write(&ca_file, issued.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let trusting = tls::client_config(Some(ca_file.as_path())).unwrap();
        let (dialler, listeners) = two_addresses(directory.path(), Some(trusting.into()));
        let port = listeners[0].local_addr().unwrap().port();
        let counts = listeners.map(|listener| silent_behind_tls(listener, &config));
        let accepted = || [0, 1].map(|index: usize| counts[index].load(Ordering::SeqCst));
        let uri = Uri::from_static("http://a.b/");
        let mut asked = dialler.clone().connect(&uri, port).await.ok().unwrap();
        asked.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(asked);
        assert_eq!(accepted(), [1, 0]);
        drop(dialler.connect(&uri, port).await.ok().unwrap());
        assert_eq!(accepted(), [1, 1]);
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
