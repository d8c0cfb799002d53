//! Bodies that nobody reads to their end.
//!
//! actix reads on for ever where a body in chunks is no longer wanted, without any time limit: whoever sends a byte an
//! hour, or never stops, would hold a connection for good. It closes the connection soon after the answer, though, while
//! somebody still holds the body. So the answer does.

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

use super::connection::UnderWay;

/// The body of a request, which its handler and the answer hold together.
#[derive(Clone)]
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// An answer that holds the request's body until it is sent; until then the request is under way.
pub(super) struct WatchedBody<B> {
    answer: B,
    _body: Option<Shared>,
    _under_way: Option<UnderWay>,
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

/// Closes the connection after an answer that did not wait for the end of the request's body.
pub(super) async fn closed<B: MessageBody + Unpin + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<WatchedBody<B>>, Error> {
    let under_way = UnderWay::of(&request);
    let mut held = None;
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        let shared = Shared(Rc::new(RefCell::new(request.take_payload())));
        request.set_payload(Payload::Stream { payload: Box::pin(shared.clone()) });
        held = Some(shared);
    }
    let response = next.call(request).await?;
    Ok(response.map_body(|_, answer| WatchedBody { answer, _body: held, _under_way: under_way }))
}
