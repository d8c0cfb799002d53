//! `/api/v1/stream`: changed markets and new trades, or changed rows of the board, as server-sent events.
//!
//! A reader holds only its place among the last changes. Their lines are rendered once for all readers.

pub(in crate::http) mod backlog;
mod board;
mod change_reader;
mod event_id;
mod events;
mod filter;
mod frame;
mod outgoing;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web,
};
use bytes::Bytes;
use futures_util::stream;

use super::{ViewKind, error::ApiError, in_time, parameters::Parameters, view};
use crate::{
    domain::instant::UnixSeconds,
    http::{cors::any_origin, event_stream, methods, problem::not_yet, requests, state::PublicState},
    published::Published,
};
use backlog::BacklogReader;
use board::BoardReader;
use change_reader::{ChangeReader, Start};
use event_id::{EventId, ResumeError};
use filter::Filter;

/// Seconds by which an id may be later than the newest publication here.
const AHEAD_S_MAX: i64 = 60;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/stream", stream);
}

async fn stream(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    if let Some(response) = methods::without_body(&request) {
        return response;
    }
    // The view and the missed events may each take a while.
    let opened = in_time(async { Ok(open(&request, &state).await) });
    match opened.await {
        Ok(Ok(answer) | Err(answer)) => answer,
        Err(late) => late.response(),
    }
}

async fn open(request: &HttpRequest, state: &PublicState) -> Result<HttpResponse, HttpResponse> {
    let refused = |error: ApiError| error.response();
    let parameters = Parameters::read(request, &["markets", "assets", "board"]).map_err(refused)?;
    let is_board = parameters.word("board", &["1"]).map_err(refused)?.is_some();
    let slot = state.stream_slots.take().ok_or_else(|| refused(ApiError::Busy))?;
    // A reader of the board gets all events since the figures that it can read now.
    let newest = state.published.newest().ok_or_else(|| not_yet(&state.published.vitals))?;
    let kind = if is_board { ViewKind::Pinned } else { ViewKind::Live };
    let view = view(state, kind, &newest).await.map_err(refused)?;
    let last_seen = request.headers().get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let published = Arc::clone(&state.published);
    if is_board {
        if ["markets", "assets"].iter().any(|name| parameters.text(name).is_some()) {
            return Err(refused(ApiError::BadParameter("board takes neither markets nor assets".to_owned())));
        }
        let views = Arc::clone(&state.views);
        let reader = BoardReader::new(published, views, view.listing().as_of(), last_seen, slot);
        return Ok(respond(request, reader, async |reader: &mut BoardReader| reader.next().await));
    }
    let filter = Filter::read(&parameters, view.listing()).map_err(refused)?;
    let start = match last_seen {
        None => Start::New,
        Some(id) => {
            let now = UnixSeconds::from(state.clock.now());
            resumed(id, now, &published, &state.backlogs).await.unwrap_or_else(Start::Lost)
        }
    };
    let reader = ChangeReader::new(published, Arc::clone(&state.views), filter, start, slot);
    Ok(respond(request, reader, async |reader: &mut ChangeReader| reader.next().await))
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
    let (name, value) = any_origin();
    headers.insert(name, value);
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::{
        domain::{directory::Directory, market_snapshot::MarketSnapshot, windows::Windows},
        http::api::{ANSWER_MAX, turns::VIEWS_AT_ONCE},
        published::{FileMaker, Publication},
    };

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_does_not_open_within_the_time_of_an_answer_is_refused() {
        let published = Published::default();
        let snapshot = MarketSnapshot::new(Windows::default().view(), Directory::default());
        let newest = Publication::render(1, None, snapshot, None, &mut FileMaker::default()).unwrap();
        published.publish(Arc::new(newest));
        let state = web::Data::new(PublicState::unreachable(published));
        let all = u32::try_from(VIEWS_AT_ONCE).unwrap();
        let _turns = state.views.turns().views.acquire_many(all).await.unwrap();
        let begun = tokio::time::Instant::now();
        // All need the same view, and wait five seconds for it one after the other.
        let open = || stream(TestRequest::default().to_http_request(), state.clone());
        let refused = <[HttpResponse; 3]>::from(tokio::join!(open(), open(), open()));
        assert!(refused.iter().all(|response| response.status() == 503));
        assert_eq!(begun.elapsed(), ANSWER_MAX);
    }

    #[tokio::test]
    async fn a_reader_above_the_limit_is_refused_and_may_retry() {
        let state = web::Data::new(PublicState::unreachable(Published::default()));
        let taken: Vec<_> = std::iter::from_fn(|| state.stream_slots.take()).collect();
        let refused = stream(TestRequest::default().to_http_request(), state.clone()).await;
        assert_eq!((taken.len(), refused.status().as_u16()), (2_500, 503));
        assert!(refused.headers().contains_key("retry-after"));
    }
}
