//! Requests of clients that discard what they receive.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::DEADLINE;

/// Requests of a client, at most.
pub(super) const ASKED_MAX: usize = 10_000;
/// Pieces that a slow client reads of an answer, at most.
const SLOW_PIECES: usize = 120;

/// Sends a request. Returns the status after the end of the answer, whole or not.
pub(super) fn status_of(address: SocketAddr, request: &str, is_slow: bool) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    let mut piece = vec![0; 64 << 10];
    let pieces = if is_slow { SLOW_PIECES } else { usize::MAX };
    for _ in 0..pieces {
        if is_slow {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        if stream.read(&mut piece)? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&status[9..]).parse().unwrap())
}
