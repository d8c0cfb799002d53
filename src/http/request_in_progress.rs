//! Middleware of every listener: a request is in progress from here until its answer was sent.
//!
//! The gate of the connection opens for the body that the request announces, and the connection counts as busy.
//!
//! If a handler drops a chunked body, actix reads the rest without any time limit. A client that sends a byte per
//! hour would hold the connection for ever. But if the body still exists when the answer is sent, actix closes the
//! connection soon after it. So the answer keeps the body.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        Method,
        header::{self, HeaderMap},
    },
    middleware::Next,
};
use bytes::Bytes;
use futures_util::Stream;

use super::{
    connection_watch::RequestGuard,
    framing::ChunkScan,
    request_gate::{BODY_BYTES_MAX, Phase, RequestGate},
};
use crate::domain::conversions::SaturatingFrom;

/// Body of a request, shared by its handler and the answer.
#[derive(Clone)]
struct KeptPayload(Rc<RefCell<Payload>>);

impl Stream for KeptPayload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// Body of an answer. Until it is sent, it keeps the body of the request, the request counts as in progress, and the
/// next one waits.
pub(super) struct WatchedBody<B> {
    answer: B,
    _body: Option<KeptPayload>,
    _guard: Option<RequestGuard>,
    _in_progress: Option<RequestInProgress>,
}

impl<B: MessageBody + Unpin> MessageBody for WatchedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(context)
    }
}

/// Middleware that begins a request, and ends it with its answer. If the answer did not wait for the end of the
/// request's body, actix then closes the connection.
pub(super) async fn watched<B: MessageBody + Unpin + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<WatchedBody<B>>, Error> {
    let (guard, in_progress) = (RequestGuard::of(&request), RequestInProgress::of(&request));
    let mut kept = None;
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        let payload = KeptPayload(Rc::new(RefCell::new(request.take_payload())));
        request.set_payload(Payload::Stream { payload: Box::pin(payload.clone()) });
        kept = Some(payload);
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, answer| WatchedBody {
        answer,
        _body: kept,
        _guard: guard,
        _in_progress: in_progress,
    }))
}

/// Guard of the request in progress.
struct RequestInProgress(Rc<RequestGate>);

impl RequestInProgress {
    /// Begins a request on its connection; none in a test without a listener.
    fn of(request: &ServiceRequest) -> Option<Self> {
        let gate = request.conn_data::<Rc<RequestGate>>()?;
        gate.begin(body_phase(request));
        Some(Self(Rc::clone(gate)))
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Returns the phase of the body that a request announces. Only bodies of POST requests are read, and only if they
/// are no longer than any handler accepts.
fn body_phase(request: &ServiceRequest) -> Phase {
    let (head, payload) = request.parts();
    let headers = head.headers();
    if matches!(payload, Payload::None) {
        Phase::Answering
    } else if *request.method() != Method::POST {
        Phase::Refused
    } else if headers.contains_key(header::TRANSFER_ENCODING) {
        Phase::Chunks(ChunkScan::new())
    } else if asks_for_web_socket(headers) {
        Phase::Refused
    } else {
        let length = headers.get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
        let length = length.filter(|length| *length <= u64::saturating_from(BODY_BYTES_MAX));
        length.map_or(Phase::Refused, Phase::Length)
    }
}

/// Returns true if a request asks for a WebSocket. Without chunks, actix then takes all further bytes of the
/// connection for its body, whatever its length says.
pub(super) fn asks_for_web_socket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).filter_map(|value| value.to_str().ok());
    upgrades.any(|value| value.trim().eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_body_is_what_actix_takes_for_it() {
        let mut without = TestRequest::post().to_srv_request();
        without.set_payload(Payload::None);
        assert_eq!(body_phase(&without), Phase::Answering);
        let body = |request: TestRequest| body_phase(&request.to_srv_request());
        let post = |name: &'static str, value: &'static str| {
            TestRequest::post().set_payload("x").insert_header((name, value))
        };
        assert_eq!(body(TestRequest::get().set_payload("x")), Phase::Refused);
        assert_eq!(body(post("content-length", "17")), Phase::Length(17));
        assert_eq!(body(post("content-length", "65536")), Phase::Length(65_536));
        assert_eq!(body(post("content-length", "65537")), Phase::Refused);
        assert_eq!(body(post("transfer-encoding", "chunked")), Phase::Chunks(ChunkScan::new()));
        assert_eq!(body(post("upgrade", "websocket")), Phase::Refused);
        assert_eq!(
            body(post("upgrade", " WebSocket ").insert_header(("content-length", "17"))),
            Phase::Refused
        );
        assert_eq!(body(post("upgrade", "h2c").insert_header(("content-length", "17"))), Phase::Length(17));
    }
}
