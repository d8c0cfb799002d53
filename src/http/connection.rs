//! Connections that are held for nothing.
//!
//! actix gives a time to the head of a connection's first request and to silence between two requests. A single byte of a
//! second request ends both: whoever sends it, and then no more or a byte a minute, would hold the connection for good.
//! So each connection is watched from outside: where no request has been under way for too long it is shut down.

use std::{
    any::Any,
    cell::Cell,
    net::{Shutdown, TcpStream as Socket},
    os::fd::AsFd,
    rc::{Rc, Weak},
    time::Duration,
};

use actix_web::{
    dev::{Extensions, ServiceRequest},
    rt::net::TcpStream,
};
use tokio::{
    sync::oneshot::{Receiver, Sender, channel},
    time::Instant,
};

/// A connection without a request under way ends after this time, whatever comes of the next one.
const WITHOUT_REQUEST_MAX: Duration = Duration::from_secs(35);
/// A reader that takes nothing for so long is gone: what it was to get would stay in memory.
#[cfg(target_os = "linux")]
const UNREAD_MAX: Duration = Duration::from_secs(20);

/// Descriptors that a connection takes: its own, and that by which it is shut down.
pub(super) const DESCRIPTORS: usize = 2;

/// A connection, as the one who watches it sees it.
struct Connection {
    socket: Socket,
    /// Requests under way.
    requests: Cell<u32>,
    /// Since when there is none.
    idle_since: Cell<Instant>,
    /// Dropped with the connection, which wakes the one who watches it.
    _gone: Sender<()>,
}

/// Begins to watch a connection. Called when it is taken, on the thread that serves it.
pub(super) fn watch(io: &dyn Any, data: &mut Extensions) {
    let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
    forget_who_does_not_read(stream);
    // Without a descriptor left the connection goes unwatched; so few are not taken by one stranger.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else { return };
    let (gone, ended) = channel();
    let connection = Rc::new(Connection {
        socket: descriptor.into(),
        requests: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        _gone: gone,
    });
    // Ends with the connection.
    actix_web::rt::spawn(shut_when_idle(Rc::downgrade(&connection), ended));
    data.insert(connection);
}

async fn shut_when_idle(connection: Weak<Connection>, mut ended: Receiver<()>) {
    let mut until = Instant::now() + WITHOUT_REQUEST_MAX;
    loop {
        if tokio::time::timeout_at(until, &mut ended).await.is_ok() {
            return;
        }
        let Some(connection) = connection.upgrade() else { return };
        let now = Instant::now();
        let since = if connection.requests.get() > 0 { now } else { connection.idle_since.get() };
        until = since + WITHOUT_REQUEST_MAX;
        if until <= now {
            // It may have ended in this moment.
            let _shut = connection.socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// A request under way, until it is dropped.
pub(super) struct UnderWay(Rc<Connection>);

impl UnderWay {
    /// Of a request that has just come.
    pub(super) fn of(request: &ServiceRequest) -> Option<Self> {
        let connection = request.conn_data::<Rc<Connection>>()?;
        connection.requests.set(connection.requests.get().saturating_add(1));
        Some(Self(Rc::clone(connection)))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
        self.0.idle_since.set(Instant::now());
    }
}

/// Lets the kernel end a connection whose reader takes nothing: actix itself waits for ever.
#[cfg(target_os = "linux")]
fn forget_who_does_not_read(socket: &TcpStream) {
    use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
    let milliseconds = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    // Where it cannot be set the connection is as good as without.
    let _set = setsockopt(socket, TcpUserTimeout, &milliseconds);
}

#[cfg(not(target_os = "linux"))]
const fn forget_who_does_not_read(_: &TcpStream) {}
