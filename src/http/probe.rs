//! Probe of a running daemon's `/livez`, as for the health check of a container.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::domain::{listener::reachable, plain_text::shown};

/// Reason for which the daemon does not count as alive.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or no answer in time.
    #[error("no answer from {0}: {1}")]
    Unreachable(SocketAddr, io::Error),
    /// The answer is not 200.
    #[error("{0} answers \"{1}\"")]
    NotAlive(SocketAddr, String),
}

/// Requests `/livez`. Connects to loopback if the listener is on all addresses.
///
/// # Errors
///
/// See [`ProbeError`].
pub fn livez(address: SocketAddr, timeout: Duration) -> Result<(), ProbeError> {
    let address = reachable(address);
    let head = ask(address, timeout).map_err(|error| ProbeError::Unreachable(address, error))?;
    let line = head.lines().next().unwrap_or_default();
    if line.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(ProbeError::NotAlive(address, shown(line).into_owned()))
    }
}

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    const HEAD_BYTES_MAX: u64 = 4_096;
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(HEAD_BYTES_MAX).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
