//! Watch over connections: those that do nothing, or whose reader is too slow, are shut down.
//!
//! actix gives a time to the head of a connection's first request and to silence between two requests. A single byte of a
//! second request ends both. A client that then stops, or sends a byte a minute, would hold the connection for good.
//! actix also waits for ever for a reader that takes nothing. So each connection is watched from outside. If it breaks the
//! rules here, its socket is shut down, and actix notices.

use std::{
    net::{Shutdown, TcpStream as Socket},
    os::fd::AsFd,
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest,
    dev::{Extensions, ServiceRequest},
    rt::net::TcpStream,
};
use metrics::counter;
use tokio::{
    sync::oneshot::{Receiver, Sender, channel},
    time::Instant,
};

use super::crowd::{Crowd, Member};

/// A connection without a request under way ends after this time, whatever comes of the next one.
const WITHOUT_REQUEST_MAX: Duration = Duration::from_secs(35);
/// A reader that takes nothing for so long is gone: what it was to get would stay in memory.
#[cfg(target_os = "linux")]
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer in the kernel that its reader has not taken, doubled by Linux. Without this it would let the buffer
/// grow to 4 MB for each reader, and how fast one reads would show only whenever a third of that has gone.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Interval over which the pace of a reader is measured.
const PACE_SPAN: Duration = Duration::from_secs(30);
/// Bytes that a reader must take in [`PACE_SPAN`] while more is there for it: 16 KiB a second. It is more than the kernel
/// takes at a time, or a steady reader could look like one that stands still.
const PACE_BYTES_MIN: u64 = 480 * 1024;

/// Descriptors that a connection takes: its own, and that by which it is shut down.
pub(super) const DESCRIPTORS: usize = 2;

/// Why a connection was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// No request for too long.
    Idle,
    /// The listener is full, and this one was idle for longest.
    Crowd,
    /// Its address has too many.
    Address,
    /// Its reader took too little in [`PACE_SPAN`].
    Slow,
    /// It read an old publication, and newer readers needed the memory.
    Old,
}

impl Cut {
    const fn reason(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Crowd => "crowd",
            Self::Address => "address",
            Self::Slow => "slow",
            Self::Old => "old",
        }
    }
}

/// A connection, as all threads see it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    began: Instant,
    /// Requests under way.
    requests: AtomicU32,
    /// Start of the idle time, in milliseconds after the connection began.
    idle_since_ms: AtomicU64,
    /// Bodies that are being sent.
    bodies: AtomicU32,
    /// Bodies that were begun so far.
    bodies_begun: AtomicU64,
    /// Bytes of bodies that were handed to the server.
    sent: AtomicU64,
    was_cut: AtomicBool,
}

impl Connection {
    /// Shuts it down: what the kernel has is still sent, and the reader sees that the rest is missing.
    pub(super) fn cut(&self, why: Cut) {
        if !self.was_cut.swap(true, Ordering::Relaxed) {
            counter!("ticker_http_connections_cut_total", "reason" => why.reason()).increment(1);
            // It may have ended in this moment.
            let _shut = self.socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }

    /// Time without a request under way; none if one is.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let is_idle = self.requests.load(Ordering::Relaxed) == 0;
        is_idle.then(|| self.idle_since().elapsed())
    }

    fn idle_since(&self) -> Instant {
        self.began + Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed))
    }

    fn pace(&self) -> Pace {
        let is_sending = self.bodies.load(Ordering::Relaxed) > 0;
        let begun = self.bodies_begun.load(Ordering::Relaxed);
        Pace { body: is_sending.then_some(begun), sent: self.sent.load(Ordering::Relaxed) }
    }

    pub(super) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn end_request(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since_ms.store(now_ms, Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection without a client, idle for the given time, for tests.
    #[cfg(test)]
    pub(super) fn idle(idle: Duration) -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        Arc::new(Self { began: Instant::now() - idle, ..Self::new(socket) })
    }

    fn new(socket: Socket) -> Self {
        Self {
            socket,
            began: Instant::now(),
            requests: AtomicU32::new(0),
            idle_since_ms: AtomicU64::new(0),
            bodies: AtomicU32::new(0),
            bodies_begun: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            was_cut: AtomicBool::new(false),
        }
    }
}

/// State that a connection's thread holds as long as actix has the connection.
struct Held {
    connection: Arc<Connection>,
    /// Its place among all.
    _member: Member,
    /// Dropped with the connection, which wakes the one who watches it.
    _gone: Sender<()>,
}

/// Begins to watch a connection. Called when it is taken, on the thread that serves it.
pub(super) fn watch(crowd: &Arc<Crowd>, stream: &TcpStream, data: &mut Extensions) {
    prepare(stream);
    // Without a descriptor left the connection goes unwatched; so few are not taken by one stranger.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else { return };
    let connection = Arc::new(Connection::new(descriptor.into()));
    let address = stream.peer_addr().map(|address| address.ip());
    let member = Crowd::join(crowd, &connection, address.ok());
    let (gone, ended) = channel();
    // Ends with the connection.
    actix_web::rt::spawn(watch_over(Arc::downgrade(&connection), ended));
    data.insert(Rc::new(Held { connection, _member: member, _gone: gone }));
}

/// Shuts a connection down when it has been idle for too long, or when its reader is too slow.
async fn watch_over(connection: Weak<Connection>, mut ended: Receiver<()>) {
    let mut until = Instant::now() + WITHOUT_REQUEST_MAX;
    // Time of the last measurement, and the body being sent then. A span counts only for a body that is being sent at both
    // of its ends.
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
            connection.cut(Cut::Idle);
            return;
        }
        let pace = connection.pace();
        if pace.body.is_none() {
            (looked, then) = (now, pace);
        } else if now >= looked + PACE_SPAN {
            if pace.is_too_slow_since(&then) {
                connection.cut(Cut::Slow);
                return;
            }
            (looked, then) = (now, pace);
        }
    }
}

/// Progress of the body that a connection is sending.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The number of the body; none between two.
    body: Option<u64>,
    /// Bytes of all bodies until now.
    sent: u64,
}

impl Pace {
    /// Returns true if the reader took too little of one body since a measurement [`PACE_SPAN`] ago.
    fn is_too_slow_since(&self, then: &Self) -> bool {
        self.body.is_some() && self.body == then.body && self.sent.saturating_sub(then.sent) < PACE_BYTES_MIN
    }
}

/// A request under way, until it is dropped.
pub(super) struct UnderWay(Arc<Connection>);

impl UnderWay {
    /// Of a request that has just come.
    pub(super) fn of(request: &ServiceRequest) -> Option<Self> {
        let held = request.conn_data::<Rc<Held>>()?;
        held.connection.begin_request();
        Some(Self(Arc::clone(&held.connection)))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// A body on its way to the reader of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Body(Arc<Connection>);

impl Body {
    /// Of the answer to a request; none in a test without a listener.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Rc<Held>>().map(|held| Self::on(Arc::clone(&held.connection)))
    }

    /// On this connection.
    pub(super) fn on(connection: Arc<Connection>) -> Self {
        connection.bodies.fetch_add(1, Ordering::Relaxed);
        connection.bodies_begun.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }

    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// Counts bytes that were handed on.
    pub(super) fn count(&self, bytes: usize) {
        self.0.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bounds what the kernel holds for a reader, and lets it end a connection whose reader takes nothing: actix itself waits
/// for ever. If the option cannot be set, the connection works without it.
#[cfg(target_os = "linux")]
fn prepare(socket: &TcpStream) {
    use nix::sys::socket::{setsockopt, sockopt};
    let milliseconds = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    let _set = setsockopt(socket, sockopt::TcpUserTimeout, &milliseconds);
    let _set = setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER_BYTES);
}

#[cfg(not(target_os = "linux"))]
const fn prepare(_: &TcpStream) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_judged_by_the_pace_of_one_body() {
        let connection = Connection::idle(Duration::ZERO);
        let body = Body::on(Arc::clone(&connection));
        let then = connection.pace();
        for (bytes_a_second, is_too_slow) in [(0, true), (15 << 10, true), (17 << 10, false)] {
            let before = connection.pace();
            body.count(bytes_a_second * 30);
            assert_eq!(
                connection.pace().is_too_slow_since(&before),
                is_too_slow,
                "{bytes_a_second} a second"
            );
        }
        drop(body);
        assert!(!connection.pace().is_too_slow_since(&then), "nothing is being sent");
        let _next = Body::on(Arc::clone(&connection));
        assert!(!connection.pace().is_too_slow_since(&then), "another body has just been begun");
    }

    #[test]
    fn a_connection_is_idle_while_no_request_is_under_way() {
        let connection = Connection::idle(Duration::from_secs(9));
        assert!(connection.idle_for().is_some_and(|idle| idle >= Duration::from_secs(9)));
        connection.begin_request();
        assert_eq!(connection.idle_for(), None);
        drop(UnderWay(Arc::clone(&connection)));
        assert!(connection.idle_for().is_some_and(|idle| idle < Duration::from_secs(9)));
    }
}
