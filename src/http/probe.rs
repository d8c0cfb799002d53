//! Probe of a running daemon's `/livez`, as for the health check of a container.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::domain::{listener::reachable, plain_text::shown};

/// Reason why the daemon does not count as alive.
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
const ANSWER_BYTES_MAX: usize = 64 << 20;

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    const HEAD_BYTES_MAX: usize = 4_096;
    fetch(address, "/livez", timeout, HEAD_BYTES_MAX)
}

/// Uses HTTP/1.0, so that a body is never chunked.
fn fetch(address: SocketAddr, path: &str, timeout: Duration, bytes_max: usize) -> io::Result<String> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let late =
        || io::Error::new(io::ErrorKind::TimedOut, format!("no whole answer within {} s", timeout.as_secs()));
    let (mut answer, mut chunk) = (Vec::new(), [0; 16 * 1_024]);
    // The limit is for the whole answer: a server that drips bytes is never silent.
    loop {
        let left = timeout.checked_sub(began.elapsed()).filter(|left| !left.is_zero()).ok_or_else(late)?;
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 || answer.len() >= bytes_max {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn the_limit_is_for_the_whole_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            // Each read waits a little. The last write fails once the reader has gone.
            while stream.write_all(b"H").is_ok() {
                let _ = stream.read(&mut [0; 256]);
            }
        });
        let error = get(address, "/", Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
