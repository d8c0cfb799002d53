//! State of a connection that all threads share: its requests, its pace, and the means to shut it down.

use std::{
    net::{Shutdown, TcpStream as Socket},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use metrics::counter;
use tokio::time::Instant;

use crate::domain::conversions::SaturatingFrom;

/// Interval over which the pace of a client is measured.
pub(super) const PACE_SPAN: Duration = Duration::from_secs(30);
/// Bytes that a client must read in [`PACE_SPAN`] while more are waiting: 16 KiB per second. It is more than the kernel
/// accepts at once, so that a steady client never seems to stand still.
const PACE_BYTES_MIN: u64 = 480 * 1024;

/// Descriptors per connection: its own, and a copy for shutting it down.
pub(super) const DESCRIPTORS: usize = 2;

/// Reason for shutting down a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
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
    /// The head of a request was too large, or too many connections have sent a large one.
    Head,
}

impl CloseReason {
    /// Returns the label in `/metrics`.
    const fn reason(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Full => "crowd",
            Self::Address => "address",
            Self::Slow => "slow",
            Self::Old => "old",
            Self::Head => "head",
        }
    }

    /// Counts a connection that ends for this reason.
    pub(super) fn count(self) {
        counter!("ticker_http_connections_cut_total", "reason" => self.reason()).increment(1);
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
    pub(super) fn cut(&self, why: CloseReason) {
        if !self.was_cut.swap(true, Ordering::Relaxed) {
            why.count();
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

    /// Returns the start of the idle time, or of the last one during a request.
    pub(super) fn idle_since(&self) -> Instant {
        self.began + Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed))
    }

    /// Returns the progress of the body that is being sent.
    pub(super) fn pace(&self) -> Pace {
        let is_sending = self.bodies.load(Ordering::Relaxed) > 0;
        let begun = self.bodies_begun.load(Ordering::Relaxed);
        Pace { body: is_sending.then_some(begun), sent: self.sent.load(Ordering::Relaxed) }
    }

    pub(super) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_request(&self) {
        let now_ms = u64::saturating_from(self.began.elapsed().as_millis());
        self.idle_since_ms.store(now_ms, Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn begin_body(&self) {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        self.bodies_begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes of a body that were passed to the server.
    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::saturating_from(bytes), Ordering::Relaxed);
    }

    pub(super) fn end_body(&self) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns a connection without a client that has been idle for the given time.
    #[cfg(test)]
    pub(super) fn idle(idle: Duration) -> std::sync::Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        std::sync::Arc::new(Self { began: Instant::now() - idle, ..Self::new(socket) })
    }

    pub(super) fn new(socket: Socket) -> Self {
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

/// Progress of the body that a connection is sending.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Number of the body; none between two bodies.
    pub(super) body: Option<u64>,
    /// Bytes of all bodies so far.
    sent: u64,
}

impl Pace {
    /// Returns true if the client read too little of one body since a measurement [`PACE_SPAN`] ago.
    pub(super) fn is_too_slow_since(&self, then: &Self) -> bool {
        self.body.is_some() && self.body == then.body && self.sent.saturating_sub(then.sent) < PACE_BYTES_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_while_no_request_is_in_progress() {
        let connection = Connection::idle(Duration::from_secs(9));
        assert!(connection.idle_for().is_some_and(|idle| idle >= Duration::from_secs(9)));
        connection.begin_request();
        assert_eq!(connection.idle_for(), None);
        connection.end_request();
        assert!(connection.idle_for().is_some_and(|idle| idle < Duration::from_secs(9)));
    }
}
