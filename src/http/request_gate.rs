//! Gate of a connection: one request at a time.
//!
//! actix decodes all requests that it has received, even while an answer is being sent, and keeps some 7 KB for each
//! head. A client could send thousands of small requests behind one whose answer never ends. So a
//! [`GatedStream`](super::gated_stream::GatedStream) passes on one head, then the body of this request, and the next
//! head once the answer was sent. Until then further bytes wait in the kernel.
//!
//! The gate needs no parser of headers: the body is announced by the request that actix decoded.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use actix_web::{
    dev::{Payload, ServiceRequest},
    http::{
        Method,
        header::{self, HeaderMap},
    },
};

use super::framing::ChunkScan;
use crate::domain::conversions::SaturatingFrom;

/// Largest body of a request.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Part of a request that a connection receives next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of a request.
    Head,
    /// The head was passed on, and actix has not begun the request yet.
    Asked,
    /// This many bytes of its body.
    Length(u64),
    /// Its chunked body.
    Chunks(ChunkScan),
    /// Nothing: the request is complete, and its answer was not sent yet.
    Answering,
    /// Nothing: the rest of its body is not wanted, and its answer was not sent yet.
    Refused,
    /// Anything: the answer was sent before the body was received. actix discards the rest, and then closes the
    /// connection.
    Rest,
}

/// Body that a head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnnouncedBody {
    /// None.
    None,
    /// Of this many bytes.
    Length(u64),
    /// In chunks.
    Chunks,
    /// One that no handler reads.
    Unread,
}

/// Gate of one connection. The stream and the request in progress share it, on the thread of the connection.
#[derive(Debug)]
pub(super) struct RequestGate {
    phase: Cell<Phase>,
    /// Task of the connection, if bytes wait for the gate to open.
    waiting: RefCell<Option<Waker>>,
}

impl Default for RequestGate {
    fn default() -> Self {
        Self { phase: Cell::new(Phase::Head), waiting: RefCell::default() }
    }
}

impl RequestGate {
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Notes the task that waits for the gate to open.
    pub(super) fn wait(&self, waker: &Waker) {
        self.waiting.replace(Some(waker.clone()));
    }

    /// Wakes the task that waits, if there is one.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Begins a request. A body that is longer than any handler accepts is not passed on.
    pub(super) fn begin(&self, body: AnnouncedBody) {
        let most = u64::saturating_from(BODY_BYTES_MAX);
        self.phase.set(match body {
            AnnouncedBody::None => Phase::Answering,
            AnnouncedBody::Length(length) if length <= most => Phase::Length(length),
            AnnouncedBody::Chunks => Phase::Chunks(ChunkScan::new()),
            AnnouncedBody::Length(_) | AnnouncedBody::Unread => Phase::Refused,
        });
        if body != AnnouncedBody::None {
            self.wake();
        }
    }

    /// Ends the request in progress: its answer was passed to actix.
    pub(super) fn end(&self) {
        self.phase.set(if self.phase.get() == Phase::Answering { Phase::Head } else { Phase::Rest });
        self.wake();
    }
}

/// Guard of the request in progress.
pub(super) struct RequestInProgress(Rc<RequestGate>);

impl RequestInProgress {
    /// Begins a request on its connection; none in a test without a listener.
    pub(super) fn of(request: &ServiceRequest) -> Option<Self> {
        let gate = request.conn_data::<Rc<RequestGate>>()?;
        gate.begin(announced_body(request));
        Some(Self(Rc::clone(gate)))
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Returns the body that a request announces. Only bodies of POST requests are read.
fn announced_body(request: &ServiceRequest) -> AnnouncedBody {
    let (head, payload) = request.parts();
    let headers = head.headers();
    if matches!(payload, Payload::None) {
        AnnouncedBody::None
    } else if *request.method() != Method::POST {
        AnnouncedBody::Unread
    } else if headers.contains_key(header::TRANSFER_ENCODING) {
        AnnouncedBody::Chunks
    } else if asks_for_web_socket(headers) {
        AnnouncedBody::Unread
    } else {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
        length.map_or(AnnouncedBody::Unread, AnnouncedBody::Length)
    }
}

/// Returns true if a request asks for a WebSocket. Without chunks, actix then takes all further bytes of the connection
/// for its body, whatever its length says.
pub(super) fn asks_for_web_socket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).filter_map(|value| value.to_str().ok());
    upgrades.any(|value| value.trim().eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_next_request_follows_an_answer_only_if_the_body_was_received() {
        for (body, phase, after) in [
            (AnnouncedBody::None, Phase::Answering, Phase::Head),
            (AnnouncedBody::Length(9), Phase::Length(9), Phase::Rest),
            (AnnouncedBody::Length(65_537), Phase::Refused, Phase::Rest),
            (AnnouncedBody::Chunks, Phase::Chunks(ChunkScan::new()), Phase::Rest),
            (AnnouncedBody::Unread, Phase::Refused, Phase::Rest),
        ] {
            let gate = RequestGate::default();
            gate.begin(body);
            assert_eq!(gate.phase(), phase);
            gate.end();
            assert_eq!(gate.phase(), after, "{body:?}");
        }
    }

    #[tokio::test]
    async fn the_end_of_an_answer_wakes_the_connection() {
        let gate = RequestGate::default();
        gate.begin(AnnouncedBody::None);
        let mut polls = 0;
        std::future::poll_fn(|context| {
            polls += 1;
            if gate.phase() == Phase::Head {
                return Poll::Ready(());
            }
            gate.wait(context.waker());
            gate.end();
            Poll::Pending
        })
        .await;
        assert_eq!(polls, 2);
    }

    #[test]
    fn a_body_is_what_actix_takes_for_it() {
        let mut without = TestRequest::post().to_srv_request();
        without.set_payload(Payload::None);
        assert_eq!(announced_body(&without), AnnouncedBody::None);
        let body = |request: TestRequest| announced_body(&request.to_srv_request());
        let post = |name: &'static str, value: &'static str| {
            TestRequest::post().set_payload("x").insert_header((name, value))
        };
        assert_eq!(body(TestRequest::get().set_payload("x")), AnnouncedBody::Unread);
        assert_eq!(body(post("content-length", "17")), AnnouncedBody::Length(17));
        assert_eq!(body(post("transfer-encoding", "chunked")), AnnouncedBody::Chunks);
        assert_eq!(body(post("upgrade", "websocket")), AnnouncedBody::Unread);
        assert_eq!(
            body(post("upgrade", " WebSocket ").insert_header(("content-length", "17"))),
            AnnouncedBody::Unread
        );
        assert_eq!(
            body(post("upgrade", "h2c").insert_header(("content-length", "17"))),
            AnnouncedBody::Length(17)
        );
    }
}
