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
    if line.starts_with("HTTP/1.1 200") || line.starts_with("HTTP/1.0 200") {
        Ok(())
    } else {
        Err(ProbeError::NotAlive(address, shown(line).into_owned()))
    }
}

/// Answer of a running daemon.
#[derive(Clone, Debug)]
pub struct ProbeAnswer {
    /// Status.
    pub status: u16,
    /// Address that a redirect names.
    pub location: Option<String>,
    /// Body, or as much of it as arrived.
    pub body: String,
}

/// Requests any path. Connects to loopback if the listener is on all addresses.
///
/// # Errors
///
/// No connection, or no answer in time.
pub fn get(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<ProbeAnswer> {
    let text = fetch(reachable(address), path, timeout, ANSWER_BYTES_MAX)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))?;
    let location = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(name, value)| name.eq_ignore_ascii_case("location").then(|| value.to_owned()));
    Ok(ProbeAnswer { status, location, body: body.to_owned() })
}

/// Largest answer that is read: all recorded messages.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    const HEAD_BYTES_MAX: u64 = 4_096;
    fetch(address, "/livez", timeout, HEAD_BYTES_MAX)
}

/// Uses HTTP/1.0, so that a body is never chunked.
fn fetch(address: SocketAddr, path: &str, timeout: Duration, bytes_max: u64) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(bytes_max).read_to_end(&mut answer).map_err(|error| match error.kind() {
        // A socket with a limit reports this, as if somebody had asked not to wait.
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {} s", timeout.as_secs()))
        }
        _ => error,
    })?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
