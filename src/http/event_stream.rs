//! Answers of server-sent events.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{self, MessageBody as _},
    http::{ConnectionType, Method, Version, header},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// Answers with events until there are no more. HEAD gets the head alone, and its events are dropped.
pub(super) fn answer(request: &HttpRequest, events: impl Stream<Item = Bytes> + 'static) -> HttpResponse {
    let mut builder = HttpResponse::Ok();
    builder
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if *request.method() == Method::HEAD {
        return builder.body(body::None::new().boxed());
    }
    let mut response = builder.streaming(events.map(Ok::<_, actix_web::Error>));
    if request.version() < Version::HTTP_11 {
        // HTTP/1.0 has no chunked bodies: the end of the connection ends the events.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}
