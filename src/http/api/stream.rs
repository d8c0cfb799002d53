//! `/api/v1/stream`: changed markets and new trades, or changed rows of the board, as server-sent events.
//!
//! A reader holds only its place among the last changes. Their lines are rendered once for all readers.

pub(in crate::http) mod backlog;
mod board;
mod event_id;
mod events;
mod filter;
mod outgoing;
mod reader;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web,
};
use bytes::Bytes;
use futures_util::stream;

use super::{ViewKind, error::ApiError, parameters::Parameters, view};
use crate::{
    domain::instant::UnixSeconds,
    http::{event_stream, methods, problem::not_yet, requests, state::PublicState},
    published::Published,
};
use backlog::BacklogReader;
use board::BoardReader;
use event_id::{EventId, ResumeError};
use filter::Filter;
use reader::{Reader, Start};

/// Seconds by which an id may be later than the newest publication here.
const AHEAD_S_MAX: i64 = 60;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/stream", stream);
}

async fn stream(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    match methods::without_body(&request) {
        Some(response) => response,
        None => open(&request, &state).await.unwrap_or_else(|refused| refused),
    }
}

async fn open(request: &HttpRequest, state: &PublicState) -> Result<HttpResponse, HttpResponse> {
    let refused = |error: ApiError| error.response();
    let parameters = Parameters::read(request, &["markets", "assets", "board"]).map_err(refused)?;
    let is_board = parameters.word("board", &["1"]).map_err(refused)?.is_some();
    let slot = state.stream_slots.take().ok_or_else(|| refused(ApiError::Busy))?;
    // A reader of the board gets all events since the figures that it can read now.
    let view = view(state, if is_board { ViewKind::Pinned } else { ViewKind::Live }).await;
    let view = view.ok_or_else(|| not_yet(&state.published.vitals))?.map_err(refused)?;
    let last_seen = request.headers().get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let published = Arc::clone(&state.published);
    if is_board {
        if ["markets", "assets"].iter().any(|name| parameters.text(name).is_some()) {
            return Err(refused(ApiError::BadParameter("board takes neither markets nor assets".to_owned())));
        }
        let views = Arc::clone(&state.views);
        let reader = BoardReader::new(published, views, view.listing.as_of(), last_seen, slot);
        return Ok(respond(request, reader, async |reader: &mut BoardReader| reader.next().await));
    }
    let filter = Filter::read(&parameters, &view.listing).map_err(refused)?;
    let start = match last_seen {
        None => Start::New,
        Some(id) => {
            let now = UnixSeconds::from(state.clock.now());
            resumed(id, now, &published, &state.backlogs).await.unwrap_or_else(Start::Lost)
        }
    };
    let reader = Reader::new(published, Arc::clone(&state.views), filter, start, slot);
    Ok(respond(request, reader, async |reader: &mut Reader| reader.next().await))
}

/// Sends what `next` returns until it returns none.
fn respond<R: 'static>(
    request: &HttpRequest,
    reader: R,
    next: impl AsyncFn(&mut R) -> Option<Bytes> + Copy + 'static,
) -> HttpResponse {
    let events = stream::unfold(reader, move |mut reader| async move {
        let events = next(&mut reader).await?;
        Some((events, reader))
    });
    let mut response = event_stream::answer(request, events);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // nginx passes each event on at once.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Start of a reader that has seen the event of this id.
async fn resumed(
    id: &str,
    now: UnixSeconds,
    published: &Published,
    backlogs: &BacklogReader,
) -> Result<Start, ResumeError> {
    let seen = EventId::parse(id).ok_or(ResumeError::Malformed)?;
    // Another replica may be ahead by a little, and this one may stand still.
    let newest = published.recent.last().map(|last| last.as_of).max(Some(now));
    if newest.is_some_and(|newest| newest < seen.as_of.minus(AHEAD_S_MAX)) {
        return Err(ResumeError::Future);
    }
    if let Some(place) = published.recent.resume_after(seen.seq, seen.as_of) {
        return Ok(Start::After(place));
    }
    let backlog = backlogs.read(seen, published).await?;
    Ok(Start::Missed { backlog, seen: seen.seq })
}
