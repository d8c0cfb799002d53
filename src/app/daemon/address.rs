//! Addresses of the listeners: reserved before anything else begins, opened when the daemon is ready to answer.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use tokio::{net::TcpSocket, time::Instant};
use tracing::warn;

use crate::app::Failure;

/// Interval between two attempts to bind a taken address.
pub(super) const BIND_POLL: Duration = Duration::from_millis(200);
/// Connections that may wait for being accepted.
const BACKLOG: u32 = 1_024;

/// An address that is bound but not open: connections are refused until [`Self::open`]. While the daemon waits for its
/// database, readers fail at once and a balancer asks another replica.
pub(super) struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
    flag: &'static str,
}

impl Reserved {
    /// Binds an address. If it is taken, says so once and goes on trying for `patience`.
    pub(super) async fn take(
        address: SocketAddr,
        flag: &'static str,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let until = Instant::now() + patience;
        let mut told = false;
        loop {
            let error = match bound(address) {
                Ok(socket) => return Ok(Self { socket, address, flag }),
                Err(error) => error,
            };
            let told_now = remedy(address, flag, &error);
            if !may_pass(&error) || Instant::now() >= until {
                return Err(Failure::Unavailable(told_now));
            }
            if !std::mem::replace(&mut told, true) {
                warn!(patience_s = patience.as_secs(), "{told_now}; trying until the startup timeout");
            }
            tokio::time::sleep(BIND_POLL).await;
        }
    }

    /// Takes connections from here on.
    ///
    /// # Errors
    ///
    /// Another process that had reserved the same address was the first to open it.
    pub(super) fn open(self) -> Result<TcpListener, Failure> {
        let listener = self.socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
        listener.map_err(|error| Failure::Unavailable(remedy(self.address, self.flag, &error)))
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The connections of an earlier process linger for a minute; they are no reason to wait.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Returns true if waiting may help: the program that listens there ends, or the network comes up.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// Error text: the failure, and the remedy.
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
        _ => format!("cannot listen on {address}, which {flag} names: {error}"),
    }
}
