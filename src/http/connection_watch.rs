//! Watch over connections: idle ones and those of slow clients are shut down.
//!
//! actix limits the time for the head of the first request, and the silence between two requests. A single byte of a
//! second request ends both limits. A client that then stops, or sends a byte per minute, would hold the connection for
//! ever. actix also waits for ever for a client that reads nothing. So a task watches each connection. If the
//! connection exceeds a limit, the task shuts down its socket, and actix notices.

use std::{
    os::fd::AsFd,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use actix_web::{
    HttpRequest,
    dev::{Extensions, ServiceRequest},
    rt::net::TcpStream,
};
use tokio::{
    sync::oneshot::{Receiver, Sender, channel},
    time::Instant,
};

use super::{
    connection::{CloseReason, Connection, PACE_SPAN, Pace},
    connection_limiter::{ConnectionLimiter, Registration},
};
use crate::domain::conversions::SaturatingFrom;

/// Longest time of a connection without a request in progress, even if the head of the next one has begun.
const WITHOUT_REQUEST_MAX: Duration = Duration::from_secs(35);
/// Longest time in which a client acknowledges nothing. Its answer would stay in memory.
#[cfg(target_os = "linux")]
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// Send buffer of a connection in the kernel, by the number of open connections; Linux doubles it. By default it could
/// grow to 4 MB per client, and would accept more bytes only after a third of that was read, which is too coarse for
/// measuring the pace. Clients that read nothing fill it. With the largest one, 5,000 of them would take 2.5 GiB.
const SEND_BUFFERS: [(usize, usize); 2] = [(256, 256 * 1024), (1_024, 64 * 1024)];
/// Send buffer of all further connections. With it a client at 100 ms still reads more than 100 KB per second.
const SEND_BUFFER_BYTES_MIN: usize = 16 * 1024;

/// State that lives as long as actix has the connection, on the connection's thread.
struct ConnectionGuard {
    connection: Arc<Connection>,
    _registration: Registration,
    /// Dropped with the connection, which ends the task that watches it.
    _gone: Sender<()>,
}

/// Starts watching a connection. Called when it is accepted, on the thread that serves it.
pub(super) fn watch(limiter: &Arc<ConnectionLimiter>, stream: &TcpStream, data: &mut Extensions) {
    // Without a free descriptor the connection is not watched. Limits leave descriptors free, so that is rare.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else {
        return prepare(stream, SEND_BUFFER_BYTES_MIN);
    };
    let connection = Arc::new(Connection::new(descriptor.into()));
    let address = stream.peer_addr().map(|address| address.ip());
    let registration = ConnectionLimiter::register(limiter, &connection, address.ok());
    prepare(stream, send_buffer_bytes(registration.open()));
    let (gone, ended) = channel();
    // Ends with the connection.
    actix_web::rt::spawn(watch_over(Arc::downgrade(&connection), ended));
    data.insert(Rc::new(ConnectionGuard { connection, _registration: registration, _gone: gone }));
}

/// Shuts down a connection when it is idle for too long, or when its client is too slow.
async fn watch_over(connection: Weak<Connection>, mut ended: Receiver<()>) {
    let mut until = Instant::now() + WITHOUT_REQUEST_MAX;
    // Time of the last measurement, and the body of that time. A span counts only if the same body is being sent at
    // both of its ends.
    let (mut looked, mut then) = (Instant::now(), Pace::default());
    loop {
        let next_look = until.min(looked + PACE_SPAN);
        if tokio::time::timeout_at(next_look, &mut ended).await.is_ok() {
            return;
        }
        let Some(connection) = connection.upgrade() else { return };
        let now = Instant::now();
        let idle_since = if connection.idle_for().is_some() { connection.idle_since() } else { now };
        until = idle_since + WITHOUT_REQUEST_MAX;
        if until <= now {
            connection.cut(CloseReason::Idle);
            return;
        }
        let pace = connection.pace();
        if pace.body.is_none() {
            (looked, then) = (now, pace);
        } else if now >= looked + PACE_SPAN {
            if pace.is_too_slow_since(&then) {
                connection.cut(CloseReason::Slow);
                return;
            }
            (looked, then) = (now, pace);
        }
    }
}

/// Guard of a request in progress.
pub(super) struct RequestGuard(Arc<Connection>);

impl RequestGuard {
    /// Begins a request on its connection; none in a test without a listener.
    pub(super) fn of(request: &ServiceRequest) -> Option<Self> {
        let guard = request.conn_data::<Rc<ConnectionGuard>>()?;
        guard.connection.begin_request();
        Some(Self(Arc::clone(&guard.connection)))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// Guard of a body that is being sent.
#[derive(Debug)]
pub(super) struct Body(Arc<Connection>);

impl Body {
    /// Begins the body of an answer to a request; none in a test without a listener.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Rc<ConnectionGuard>>().map(|guard| Self::on(Arc::clone(&guard.connection)))
    }

    /// Begins a body on this connection.
    pub(super) fn on(connection: Arc<Connection>) -> Self {
        connection.begin_body();
        Self(connection)
    }

    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// Counts bytes that were passed to the server.
    pub(super) fn count(&self, bytes: usize) {
        self.0.count_sent(bytes);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.end_body();
    }
}

/// Send buffer of a connection that was accepted while this many were open, with itself. A connection keeps it, so no
/// row ever has more connections than it allows.
fn send_buffer_bytes(open: usize) -> usize {
    let row = SEND_BUFFERS.iter().find(|(most, _)| open <= *most);
    row.map_or(SEND_BUFFER_BYTES_MIN, |(_, bytes)| *bytes)
}

/// Limits the send buffer, and makes the kernel end a connection whose client reads nothing; actix would wait for ever.
/// If an option cannot be set, the connection works without it.
#[cfg(target_os = "linux")]
fn prepare(socket: &TcpStream, send_buffer_bytes: usize) {
    use nix::sys::socket::{setsockopt, sockopt};
    let milliseconds = u32::saturating_from(UNREAD_MAX.as_millis());
    let _set = setsockopt(socket, sockopt::TcpUserTimeout, &milliseconds);
    let _set = setsockopt(socket, sockopt::SndBuf, &send_buffer_bytes);
}

#[cfg(not(target_os = "linux"))]
const fn prepare(_: &TcpStream, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_send_buffers_of_all_connections_have_a_limit_and_those_of_few_are_large() {
        let kernel_bytes: usize = (1..=5_000).map(|open| 2 * send_buffer_bytes(open)).sum();
        assert!(kernel_bytes <= 352 << 20, "{} MiB", kernel_bytes >> 20);
        let of = [1, 256, 257, 1_024, 1_025].map(|open| send_buffer_bytes(open) >> 10);
        assert_eq!(of, [256, 256, 64, 64, 16]);
    }

    #[test]
    fn the_pace_is_measured_within_one_body() {
        let connection = Connection::idle(Duration::ZERO);
        let body = Body::on(Arc::clone(&connection));
        let then = connection.pace();
        for (bytes_a_second, is_too_slow) in [(0, true), (15 << 10, true), (17 << 10, false)] {
            let before = connection.pace();
            body.count(bytes_a_second * 30);
            assert_eq!(
                connection.pace().is_too_slow_since(&before),
                is_too_slow,
                "{bytes_a_second} bytes per second"
            );
        }
        drop(body);
        assert!(!connection.pace().is_too_slow_since(&then), "nothing is being sent");
        let _next = Body::on(Arc::clone(&connection));
        assert!(!connection.pace().is_too_slow_since(&then), "another body has just been begun");
    }
}
