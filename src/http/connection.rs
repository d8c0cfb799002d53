//! Watch over connections: idle ones and those of slow clients are shut down.
//!
//! actix limits the time for the head of the first request, and the silence between two requests. A single byte of a
//! second request ends both limits. A client that then stops, or sends a byte per minute, would hold the connection for
//! ever. actix also waits for ever for a client that reads nothing. So a task watches each connection. If the
//! connection exceeds a limit, the task shuts down its socket, and actix notices.

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

use super::connection_limiter::{ConnectionLimiter, Registration};

/// Longest time of a connection without a request in progress, even if the head of the next one has begun.
const WITHOUT_REQUEST_MAX: Duration = Duration::from_secs(35);
/// Longest time in which a client acknowledges nothing. Its answer would stay in memory.
#[cfg(target_os = "linux")]
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// Send buffer of a connection in the kernel; Linux doubles it. By default it could grow to 4 MB per client, and would
/// accept more bytes only after a third of that was read, which is too coarse for measuring the pace.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Interval over which the pace of a client is measured.
const PACE_SPAN: Duration = Duration::from_secs(30);
/// Bytes that a client must read in [`PACE_SPAN`] while more are waiting: 16 KiB per second. It is more than the kernel
/// accepts at once, so that a steady client never seems to stand still.
const PACE_BYTES_MIN: u64 = 480 * 1024;

/// Descriptors per connection: its own, and a copy for shutting it down.
pub(super) const DESCRIPTORS: usize = 2;

/// Reason for shutting down a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// No request for too long.
    Idle,
    /// The listener has too many connections, and this one was idle for longest.
    Full,
    /// Its address has too many connections.
    Address,
    /// The client read too little in [`PACE_SPAN`].
    Slow,
    /// The client was reading an old publication, and newer clients needed the memory.
    Old,
}

impl Cut {
    /// Returns the label in `/metrics`.
    const fn reason(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Full => "crowd",
            Self::Address => "address",
            Self::Slow => "slow",
            Self::Old => "old",
        }
    }
}

/// State of a connection that all threads share.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    began: Instant,
    /// Number of requests in progress.
    requests: AtomicU32,
    /// Start of the idle time, in milliseconds after `began`.
    idle_since_ms: AtomicU64,
    /// Number of bodies that are being sent.
    bodies: AtomicU32,
    /// Number of bodies begun so far.
    bodies_begun: AtomicU64,
    /// Bytes of bodies passed to the server so far.
    sent: AtomicU64,
    was_cut: AtomicBool,
}

impl Connection {
    /// Shuts down the socket. The kernel still sends what it has buffered, and the client sees that the rest is
    /// missing.
    pub(super) fn cut(&self, why: Cut) {
        if !self.was_cut.swap(true, Ordering::Relaxed) {
            counter!("ticker_http_connections_cut_total", "reason" => why.reason()).increment(1);
            // Fails if the connection has just ended.
            let _shut = self.socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }

    /// Returns the time without a request in progress, or none during a request.
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

    /// Returns a connection without a client that has been idle for the given time.
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

/// State that lives as long as actix has the connection, on the connection's thread.
struct ConnectionGuard {
    connection: Arc<Connection>,
    _registration: Registration,
    /// Dropped with the connection, which ends the task that watches it.
    _gone: Sender<()>,
}

/// Starts watching a connection. Called when it is accepted, on the thread that serves it.
pub(super) fn watch(limiter: &Arc<ConnectionLimiter>, stream: &TcpStream, data: &mut Extensions) {
    prepare(stream);
    // Without a free descriptor the connection is not watched. Limits leave descriptors free, so that is rare.
    let Ok(descriptor) = stream.as_fd().try_clone_to_owned() else { return };
    let connection = Arc::new(Connection::new(descriptor.into()));
    let address = stream.peer_addr().map(|address| address.ip());
    let registration = ConnectionLimiter::register(limiter, &connection, address.ok());
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
    /// Number of the body; none between two bodies.
    body: Option<u64>,
    /// Bytes of all bodies so far.
    sent: u64,
}

impl Pace {
    /// Returns true if the client read too little of one body since a measurement [`PACE_SPAN`] ago.
    fn is_too_slow_since(&self, then: &Self) -> bool {
        self.body.is_some() && self.body == then.body && self.sent.saturating_sub(then.sent) < PACE_BYTES_MIN
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
        connection.bodies.fetch_add(1, Ordering::Relaxed);
        connection.bodies_begun.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }

    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.0
    }

    /// Counts bytes that were passed to the server.
    pub(super) fn count(&self, bytes: usize) {
        self.0.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Limits the send buffer, and makes the kernel end a connection whose client reads nothing; actix would wait for ever.
/// If an option cannot be set, the connection works without it.
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

    #[test]
    fn a_connection_is_idle_while_no_request_is_in_progress() {
        let connection = Connection::idle(Duration::from_secs(9));
        assert!(connection.idle_for().is_some_and(|idle| idle >= Duration::from_secs(9)));
        connection.begin_request();
        assert_eq!(connection.idle_for(), None);
        drop(RequestGuard(Arc::clone(&connection)));
        assert!(connection.idle_for().is_some_and(|idle| idle < Duration::from_secs(9)));
    }
}
