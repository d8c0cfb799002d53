//! Connections whose sockets and drivers run on the shared runtime, whichever thread asks for them.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
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
    unreachable::UnreachableError,
};
use crate::{
    connection_string::is_plain,
    outbound::{PassedOver, Resolver, dial, dialling_order},
};

/// Most silent addresses of one host that an attempt to connect waits for, each for the host's whole time limit. A
/// name may have many addresses. The next attempt begins with those that were not silent.
pub(super) const SILENT_ADDRESSES_MAX: u32 = 2;

/// Connector of the pool.
///
/// The connector of deadpool drives a connection on the thread that asked first. If that thread blocks or stops, the
/// queries of all other threads on the connection hang or fail. The connector of tokio-postgres resolves names on
/// threads that outlive the attempt, and spends the whole time limit on the first address of a name.
pub(super) struct SharedRuntimeConnect {
    pub(super) runtime: Handle,
    pub(super) tls: MakeRustlsConnect,
    pub(super) names: Resolver,
    /// Limit for each host of the connection string: resolving its name, connecting, TLS and log-in. If the address
    /// that accepted the connection stays silent, a further one of the host has the same limit again.
    pub(super) host_timeout: Duration,
    pub(super) passed_over: Arc<PassedOver<Place>>,
}

/// A place that may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A host, by its index in the connection string.
    Host(usize),
    /// One of the addresses of a host.
    Address(SocketAddr),
}

type Session = (Client, JoinHandle<()>);
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Session, Error>> + Send + 'a>>;

impl Connect for SharedRuntimeConnect {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let attempt = Attempt {
            config: config.clone(),
            tls: self.tls.clone(),
            names: self.names.clone(),
            runtime: self.runtime.clone(),
            host_timeout: self.host_timeout,
            passed_over: Arc::clone(&self.passed_over),
        };
        let connecting = self.runtime.spawn(async move { attempt.any().await });
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(Error::__private_api_timeout())) })
    }
}

/// One attempt to open a session with any host of a connection string.
struct Attempt {
    config: Config,
    tls: MakeRustlsConnect,
    names: Resolver,
    runtime: Handle,
    host_timeout: Duration,
    passed_over: Arc<PassedOver<Place>>,
}

/// Addresses of a host that an attempt dials.
#[derive(Default)]
struct Dialling {
    /// In the order in which they are tried. Empty before the name is resolved.
    addresses: Vec<SocketAddr>,
    /// The one that accepted the connection.
    accepted: Option<SocketAddr>,
}

impl Attempt {
    /// Tries one host after the other, as libpq does. Each host has its own time limit.
    async fn any(&self) -> Result<Session, Error> {
        let mut failure = Error::__private_api_timeout();
        for host in self.passed_over.ordered(targets(&self.config), |host| Place::Host(host.index)) {
            match self.host(&host).await {
                Some(Ok(session)) => return Ok(session),
                Some(Err(error)) => failure = error,
                None => {
                    self.passed_over.was_silent(Place::Host(host.index));
                    failure = self.failed(UnreachableError::silent(&host.address, self.host_timeout)).await;
                }
            }
        }
        Err(failure)
    }

    /// Tries a host. Returns nothing if it was silent.
    ///
    /// An address that accepts a connection may belong to a process that is frozen. So after its silence the other
    /// addresses of the host are tried, as libpq does.
    async fn host(&self, host: &Target) -> Option<Result<Session, Error>> {
        let mut dialling = Dialling::default();
        for _ in 0..SILENT_ADDRESSES_MAX {
            let trying = tokio::time::timeout(self.host_timeout, self.one(host, &mut dialling)).await;
            if let Ok(outcome) = trying {
                if outcome.is_ok() {
                    self.answered(host, dialling.accepted);
                }
                return Some(outcome);
            }
            // Nothing accepted a connection: all addresses were tried in parallel.
            let silent = dialling.accepted.take()?;
            self.passed_over.was_silent(Place::Address(silent));
            dialling.addresses.retain(|address| !self.passed_over.contains(&Place::Address(*address)));
            if dialling.addresses.is_empty() {
                return None;
            }
        }
        None
    }

    /// Records that a host answered, at this address if it has one.
    fn answered(&self, host: &Target, address: Option<SocketAddr>) {
        for place in [Some(Place::Host(host.index)), address.map(Place::Address)].into_iter().flatten() {
            self.passed_over.answered(&place);
        }
    }

    async fn one(&self, host: &Target, dialling: &mut Dialling) -> Result<Session, Error> {
        match &host.address {
            Address::Socket(path) => match UnixStream::connect(path).await {
                // As in libpq, a Unix socket never uses TLS, whatever `sslmode` says.
                Ok(stream) => {
                    let mut config = self.config.clone();
                    config.ssl_mode(SslMode::Disable);
                    self.session(&config, stream, NoTls, "").await
                }
                Err(error) => Err(self.failed(UnreachableError::failed(&host.address, &error)).await),
            },
            Address::Host { dialled, name, port } => match self.dial(dialled, *port, dialling).await {
                Ok(stream) => self.session(&self.config, stream, self.tls.clone(), name).await,
                Err(error) => Err(self.failed(UnreachableError::failed(&host.address, &error)).await),
            },
        }
    }

    /// Connects to the first address of a host that accepts. Sets the socket's options as tokio-postgres would.
    async fn dial(&self, host: &str, port: u16, dialling: &mut Dialling) -> io::Result<TcpStream> {
        // It may hold a part of a password, so no name server is asked for it.
        if !is_plain(host) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host has such a name"));
        }
        if dialling.addresses.is_empty() {
            let found = self.names.addresses(host, port).await?;
            dialling.addresses = dialling_order(found, &self.passed_over, |address| Place::Address(*address));
        }
        let stream = dial(dialling.addresses.clone()).await?;
        dialling.accepted = stream.peer_addr().ok();
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        net::{Ipv4Addr, TcpListener},
        path::Path,
    };

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{super::tls, *};

    /// An attempt to connect to the host `db`, whose addresses on loopback end with these numbers.
    fn attempt(directory: &Path, addresses: &[u8], port: u16, host_timeout: Duration) -> Attempt {
        let hosts: String = addresses.iter().map(|last| format!("127.0.0.{last} db\n")).collect();
        let file = directory.join("hosts");
        fs::write(&file, hosts).unwrap();
        Attempt {
            config: format!("host=db port={port} user=u sslmode=disable").parse().unwrap(),
            tls: MakeRustlsConnect::new(tls::config(false, false, None, None).unwrap()),
            names: Resolver::of(file, directory.join("resolv.conf")),
            runtime: Handle::current(),
            host_timeout,
            passed_over: Arc::default(),
        }
    }

    /// A frozen process: the kernel accepts connections for it, and nothing answers.
    fn frozen(last: u8, port: u16) -> TcpListener {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    /// Connections to a frozen process since the last call.
    fn connections(listener: &TcpListener) -> usize {
        std::iter::from_fn(|| listener.accept().ok()).count()
    }

    /// A server that logs everybody in.
    async fn log_in(listener: tokio::net::TcpListener) {
        let mut sessions = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut startup = [0; 1_024];
            assert!(stream.read(&mut startup).await.unwrap() > 0);
            // AuthenticationOk and ReadyForQuery.
            stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
            sessions.push(stream);
        }
    }

    #[tokio::test]
    async fn a_frozen_address_of_a_name_hides_no_living_one_and_comes_last_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let first = frozen(2, 0);
        let port = first.local_addr().unwrap().port();
        let second = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 3), port)).await.unwrap();
        tokio::spawn(log_in(second));
        let attempt = attempt(directory.path(), &[2, 3], port, Duration::from_secs(2));
        let (_client, _driver) = attempt.any().await.unwrap();
        assert_eq!(connections(&first), 1, "it is the first of the name");
        let (_other, _driver) = attempt.any().await.unwrap();
        assert_eq!(connections(&first), 0, "it is known to be silent");
    }

    #[tokio::test]
    async fn a_name_of_frozen_addresses_only_is_left_after_a_limited_number_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let first = frozen(4, 0);
        let port = first.local_addr().unwrap().port();
        let others = [frozen(5, port), frozen(6, port)];
        let attempt = attempt(directory.path(), &[4, 5, 6], port, Duration::from_millis(200));
        let error = attempt.any().await.err().unwrap();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            text,
            format!(
                "no connection to PostgreSQL at db:{port} within 0.2 s (correct --database-url, or look for a \
                 firewall on the way)"
            )
        );
        let tried = [connections(&first), connections(&others[0]), connections(&others[1])];
        assert_eq!(tried, [1, 1, 0]);
        assert!(attempt.any().await.is_err());
        let tried = [connections(&first), connections(&others[0]), connections(&others[1])];
        assert_eq!(tried, [0, 0, 1], "the next attempt begins with the address that was not tried");
    }
}
