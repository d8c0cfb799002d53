//! Asking a running daemon whether it lives, as a container's health check does.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::domain::listener::reachable;

/// Why the daemon does not count as alive.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It cannot be reached.
    #[error("nothing answers at {0}: {1}")]
    Unreachable(SocketAddr, io::Error),
    /// It says that it does not live.
    #[error("{0} answers {1:?}")]
    NotAlive(SocketAddr, String),
}

/// Asks for `/livez`. A listener on all addresses is asked on loopback.
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
        Err(ProbeError::NotAlive(address, line.to_owned()))
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
