//! Addresses of the listeners: bound before anything else starts, opened when the daemon can answer.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use tokio::{net::TcpSocket, time::Instant};
use tracing::warn;

use crate::app::CommandError;

/// Interval between two attempts to bind an address that is in use.
pub(super) const BIND_POLL: Duration = Duration::from_millis(200);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// An address that is bound but does not accept: connections are refused until [`Self::open`]. While the daemon waits
/// for its database, readers fail at once and a balancer tries another replica.
pub(super) struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
    flag: &'static str,
}

impl Reserved {
    /// Binds an address. If it is in use, logs that once and retries for `patience`.
    pub(super) async fn take(
        address: SocketAddr,
        flag: &'static str,
        patience: Duration,
    ) -> Result<Self, CommandError> {
        let until = Instant::now() + patience;
        let mut is_logged = false;
        loop {
            let error = match bound(address) {
                Ok(socket) => return Ok(Self { socket, address, flag }),
                Err(error) => error,
            };
            let problem = remedy(address, flag, &error);
            if !may_pass(&error) || Instant::now() >= until {
                return Err(CommandError::Unavailable(problem));
            }
            if !std::mem::replace(&mut is_logged, true) {
                warn!(patience_s = patience.as_secs(), "{problem}; retrying until the startup timeout");
            }
            tokio::time::sleep(BIND_POLL).await;
        }
    }

    /// Starts to accept connections.
    ///
    /// # Errors
    ///
    /// Another process had bound the same address and was first to listen on it.
    pub(super) fn open(self) -> Result<TcpListener, CommandError> {
        let listener = self.socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
        listener.map_err(|error| CommandError::Unavailable(remedy(self.address, self.flag, &error)))
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process stay in TIME_WAIT for a minute. They must not delay the start.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Returns true if waiting may help: the program that listens there may end, or the network may come up.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// Formats the error together with its remedy.
fn remedy(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another program (ss -ltnp 'sport = :{port}' names it): stop it, or choose another address with {flag}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "{address} is no address of this machine (ip address lists them): choose another with {flag}"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "this user may not listen on {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another with {flag}"
        ),
        _ => format!("cannot listen on {address}, given by {flag}: {error}"),
    }
}
