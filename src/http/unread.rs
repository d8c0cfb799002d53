//! Bodies of requests that no handler reads to their end.
//!
//! If a handler drops a chunked body, actix reads the rest without any time limit. A client that sends a byte per hour
//! would hold the connection for ever. But if the body still exists when the answer is sent, actix closes the
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
    http::header,
    middleware::Next,
};
use bytes::Bytes;
use futures_util::Stream;

use super::{connection_watch::RequestGuard, request_gate::RequestInProgress};

/// Body of a request, shared by its handler and the answer.
#[derive(Clone)]
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// Body of an answer. Until it is sent, it keeps the body of the request, the request counts as in progress, and the
/// next one waits.
pub(super) struct WatchedBody<B> {
    answer: B,
    _body: Option<Shared>,
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

/// Middleware that closes the connection after an answer that did not wait for the end of the request's body.
pub(super) async fn closed<B: MessageBody + Unpin + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<WatchedBody<B>>, Error> {
    let (guard, in_progress) = (RequestGuard::of(&request), RequestInProgress::of(&request));
    let mut held = None;
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        let shared = Shared(Rc::new(RefCell::new(request.take_payload())));
        request.set_payload(Payload::Stream { payload: Box::pin(shared.clone()) });
        held = Some(shared);
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, answer| WatchedBody {
        answer,
        _body: held,
        _guard: guard,
        _in_progress: in_progress,
    }))
}
