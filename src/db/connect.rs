//! Connections whose sockets and drivers run on the shared runtime, whichever thread asks for them.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use deadpool_postgres::Connect;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    runtime::Handle,
    task::JoinHandle,
};
use tokio_postgres::{
    Client, Config, Error, NoTls, SimpleQueryMessage,
    config::{SslMode, TargetSessionAttrs},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use super::{
    targets::{Address, Target, targets},
    unreachable::Unreachable,
};
use crate::{
    connection_string::is_plain,
    outbound::{Resolver, dial},
};

/// Time for which a host that timed out is tried after the other hosts of the connection string.
const PASSED_OVER_FOR: Duration = Duration::from_secs(30);

/// Connector of the pool.
///
/// The connector of deadpool drives a connection on the thread that asked first. If that thread blocks or stops, the
/// queries of all other threads on the connection hang or fail. The connector of tokio-postgres resolves names on
/// threads that outlive the attempt, and spends the whole time limit on the first address of a name.
pub(super) struct SharedRuntimeConnect {
    pub(super) runtime: Handle,
    pub(super) tls: MakeRustlsConnect,
    pub(super) names: Resolver,
    /// Limit for each host of the connection string: resolving its name, connecting, TLS and log-in.
    pub(super) host_timeout: Duration,
    pub(super) passed_over: Arc<PassedOver>,
}

/// Hosts that timed out: place in the connection string, and the moment when each timed out.
#[derive(Default)]
pub(super) struct PassedOver(Mutex<Vec<(usize, Instant)>>);

type Session = (Client, JoinHandle<()>);
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Session, Error>> + Send + 'a>>;

impl Connect for SharedRuntimeConnect {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let attempt = Attempt {
            config: config.clone(),
            tls: self.tls.clone(),
            names: self.names.clone(),
            runtime: self.runtime.clone(),
        };
        let (host_timeout, passed_over) = (self.host_timeout, Arc::clone(&self.passed_over));
        let connecting = self.runtime.spawn(async move { attempt.any(host_timeout, &passed_over).await });
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(Error::__private_api_timeout())) })
    }
}

impl PassedOver {
    /// Returns the hosts in the order of the connection string, with those that timed out lately at the end.
    fn ordered(&self, mut hosts: Vec<Target>) -> Vec<Target> {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|(_, at)| at.elapsed() < PASSED_OVER_FOR);
        hosts.sort_by_key(|host| silent.iter().any(|(index, _)| *index == host.index)); // stable
        hosts
    }

    fn was_silent(&self, index: usize) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|(other, _)| *other != index);
        silent.push((index, Instant::now()));
    }
}

/// One attempt to open a session with any host of a connection string.
struct Attempt {
    config: Config,
    tls: MakeRustlsConnect,
    names: Resolver,
    runtime: Handle,
}

impl Attempt {
    /// Tries one host after the other, as libpq does. Each host has its own time limit.
    async fn any(&self, host_timeout: Duration, passed_over: &PassedOver) -> Result<Session, Error> {
        let mut failure = Error::__private_api_timeout();
        for host in passed_over.ordered(targets(&self.config)) {
            match tokio::time::timeout(host_timeout, self.one(&host)).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => failure = error,
                Err(_) => {
                    passed_over.was_silent(host.index);
                    failure = self.failed(Unreachable::silent(&host.address, host_timeout)).await;
                }
            }
        }
        Err(failure)
    }

    async fn one(&self, host: &Target) -> Result<Session, Error> {
        match &host.address {
            Address::Socket(path) => match UnixStream::connect(path).await {
                // As in libpq, a Unix socket never uses TLS, whatever `sslmode` says.
                Ok(stream) => {
                    let mut config = self.config.clone();
                    config.ssl_mode(SslMode::Disable);
                    self.session(&config, stream, NoTls, "").await
                }
                Err(error) => Err(self.failed(Unreachable::failed(&host.address, &error)).await),
            },
            Address::Host { dialled, name, port } => match self.dial(dialled, *port).await {
                Ok(stream) => self.session(&self.config, stream, self.tls.clone(), name).await,
                Err(error) => Err(self.failed(Unreachable::failed(&host.address, &error)).await),
            },
        }
    }

    /// Connects to the first address of a host that answers. Sets the socket's options as tokio-postgres would.
    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        // It may hold a part of a password, so no name server is asked for it.
        if !is_plain(host) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host has such a name"));
        }
        let stream = dial(self.names.addresses(host, port).await?).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        if let Some(timeout) = self.config.get_tcp_user_timeout() {
            socket.set_tcp_user_timeout(Some(*timeout))?;
        }
        if self.config.get_keepalives() {
            let mut keepalive = TcpKeepalive::new().with_time(self.config.get_keepalives_idle());
            if let Some(interval) = self.config.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(retries) = self.config.get_keepalives_retries() {
                keepalive = keepalive.with_retries(retries);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(stream)
    }

    /// Performs TLS and log-in, and checks `target_session_attrs`.
    async fn session<S, T>(
        &self,
        config: &Config,
        stream: S,
        mut tls: T,
        name: &str,
    ) -> Result<Session, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: MakeTlsConnect<S> + 'static,
        T::TlsConnect: Send,
        T::Stream: Send,
        <T::TlsConnect as TlsConnect<S>>::Future: Send,
    {
        let connector = match tls.make_tls_connect(name) {
            Ok(connector) => connector,
            Err(error) => return Err(self.failed(io::Error::other(error.into())).await),
        };
        let (client, connection) = config.connect_raw(stream, connector).await?;
        let driver = self.runtime.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "database connection ended");
            }
        });
        // `connect_raw` does not check this option: in tokio-postgres that is the task of the connector.
        let wanted = config.get_target_session_attrs();
        if wanted != TargetSessionAttrs::Any {
            let answer = client.simple_query("SHOW transaction_read_only").await?;
            let is_read_only = answer.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
                _ => false,
            });
            if is_read_only != (wanted == TargetSessionAttrs::ReadOnly) {
                let text = if is_read_only {
                    "the server is read-only, and target_session_attrs asks for read-write"
                } else {
                    "the server is read-write, and target_session_attrs asks for read-only"
                };
                return Err(self.failed(io::Error::new(io::ErrorKind::PermissionDenied, text)).await);
            }
        }
        Ok((client, driver))
    }

    /// Returns the error as a tokio-postgres error. Only that crate can construct one, so it gets a connection that
    /// fails.
    async fn failed(&self, error: io::Error) -> Error {
        let outcome = self.config.connect_raw(Failing(Some(error)), NoTls).await;
        outcome.err().unwrap_or_else(Error::__private_api_timeout)
    }
}

/// A connection whose first use fails.
struct Failing(Option<io::Error>);

impl Failing {
    fn fail<T>(&mut self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(self.0.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into())))
    }
}

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Failing {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}
