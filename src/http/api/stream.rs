//! `/api/v1/stream`: changed markets and new trades, or changed rows of the board, as server-sent events.
//!
//! A reader holds only its place among the last changes. Their lines are rendered once for all readers.

mod board;
mod events;
mod filter;

use std::{fmt::Write as _, sync::Arc, time::Instant};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;
use futures_util::stream;
use metrics::counter;
use ticker_formats::listings::live::{Line, Lines};
use tokio::sync::watch;

use super::{Wanted, error::ApiError, parameters::Parameters, view};
use crate::{
    http::{methods, problem::not_yet, requests, state::PublicState, stream_slots::StreamSlot},
    published::{Published, recent::Change},
};
use board::BoardReader;
use events::{DRAIN_POLL, END, HEARTBEAT, QUIET, RETRY, here, reset};
use filter::Filter;

const PATH: &str = "/api/v1/stream";
pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::announce(PATH);
    config.route(PATH, web::route().to(stream));
}

async fn stream(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    let response = match methods::without_body(&request) {
        Some(response) => response,
        None => open(&request, &state).await.unwrap_or_else(|refused| refused),
    };
    requests::count(PATH, response.status());
    response
}

async fn open(request: &HttpRequest, state: &PublicState) -> Result<HttpResponse, HttpResponse> {
    let refused = |error: ApiError| error.response();
    let parameters = Parameters::read(request, &["markets", "assets", "board"]).map_err(refused)?;
    let is_board = parameters.word("board", &["1"]).map_err(refused)?.is_some();
    let slot = state.stream_slots.take().ok_or_else(|| refused(ApiError::Busy))?;
    // A reader of the board gets all events since the figures that it can read now.
    let view = view(state, if is_board { Wanted::Pinned } else { Wanted::Live }).await;
    let view = view.ok_or_else(|| not_yet(&state.published.vitals))?.map_err(refused)?;
    let last_seen = request.headers().get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let published = Arc::clone(&state.published);
    if is_board {
        if ["markets", "assets"].iter().any(|name| parameters.text(name).is_some()) {
            return Err(refused(ApiError::BadParameter("board takes neither markets nor assets".to_owned())));
        }
        let views = Arc::clone(&state.views);
        let reader = BoardReader::new(published, views, view.listing.as_of(), last_seen, slot);
        return Ok(respond(reader, async |reader: &mut BoardReader| reader.next().await));
    }
    let filter = Filter::read(&parameters, &view.listing).map_err(refused)?;
    let last_seen = last_seen.map(|id| resumed(id, &published));
    let reader = Reader::new(published, filter, last_seen, slot);
    Ok(respond(reader, async |reader: &mut Reader| reader.next().await))
}

/// Sends what `next` returns until it returns none.
fn respond<R: 'static>(
    reader: R,
    next: impl AsyncFn(&mut R) -> Option<Bytes> + Copy + 'static,
) -> HttpResponse {
    let events = stream::unfold(reader, move |mut reader| async move {
        let events = next(&mut reader).await?;
        Some((Ok::<_, actix_web::Error>(events), reader))
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // nginx passes each event on at once.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events)
}

/// Place at which a reader continues that has seen the event of this id; none if it cannot.
fn resumed(id: &str, published: &Published) -> Option<u64> {
    let seq = id.split('.').next()?.parse().ok()?;
    published.recent.resume_after(seq)
}

/// A reader of the stream.
struct Reader {
    published: Arc<Published>,
    newest: watch::Receiver<u64>,
    filter: Filter,
    /// Number of the last change that it got.
    place: u64,
    /// Time of its last event.
    sent_at: Instant,
    /// First text, until it is sent.
    greeting: Option<String>,
    /// True once its last event was sent.
    is_over: bool,
    _slot: StreamSlot,
}

impl Reader {
    /// `last_seen`: none for a new reader; for one that comes back, its place or none if it cannot be resumed.
    fn new(
        published: Arc<Published>,
        filter: Filter,
        last_seen: Option<Option<u64>>,
        slot: StreamSlot,
    ) -> Self {
        let newest = published.recent.watch();
        let now = published.recent.newest();
        let (place, greeting) = match last_seen {
            Some(Some(place)) => (place, RETRY.to_owned()),
            Some(None) => (now, format!("{RETRY}{}", reset(&published))),
            None => (now, format!("{RETRY}{}", here(&published, "hello"))),
        };
        Self {
            published,
            newest,
            filter,
            place,
            sent_at: Instant::now(),
            greeting: Some(greeting),
            is_over: false,
            _slot: slot,
        }
    }

    /// Waits for the next events. Returns none at the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting.into());
        }
        while !self.is_over {
            if let Some(events) = self.events() {
                self.sent_at = Instant::now();
                return Some(events);
            }
            // A published change ends the wait at once. The sender lives as long as the process.
            let _ = tokio::time::timeout(DRAIN_POLL, self.newest.changed()).await;
        }
        None
    }

    /// Events that are due now; none if there is nothing to send.
    fn events(&mut self) -> Option<Bytes> {
        if self.published.vitals.is_draining() {
            self.is_over = true;
            return Some(Bytes::from_static(END.as_bytes()));
        }
        let Some(changes) = self.published.recent.after(self.place) else {
            self.is_over = true;
            counter!("ticker_live_readers_dropped_total").increment(1);
            return Some(Bytes::from_static(
                b"event: dropped\ndata: {\"reason\":\"you read too slowly\"}\n\n",
            ));
        };
        // The usual case: a reader of everything that is one publication behind.
        if let ([change], true) = (changes.as_slice(), self.filter.is_all())
            && !change.changes.is_whole
            && !(change.changes.markets.is_empty() && change.changes.trades.is_empty())
        {
            self.place = change.number;
            return Some(shared_events(change, &self.filter, &self.published));
        }
        let mut text = String::new();
        for change in &changes {
            self.place = change.number;
            if change.changes.is_whole {
                text.push_str(&reset(&self.published));
            } else {
                self.filter.write(&lines(change, &self.published), &mut text);
            }
        }
        let is_quiet = self.sent_at.elapsed() >= HEARTBEAT;
        let last = changes.last().filter(|_| !text.is_empty() || is_quiet);
        if let Some(change) = last {
            let _ = write!(text, "{}", published(change));
        } else if is_quiet {
            text.push_str(QUIET);
        }
        (!text.is_empty()).then(|| text.into())
    }
}

/// Events of a change for readers of everything, made by the first of them.
fn shared_events(change: &Change, filter: &Filter, of: &Published) -> Bytes {
    let make = || {
        let mut text = String::new();
        filter.write(&lines(change, of), &mut text);
        text.push_str(&published(change));
        text.into()
    };
    change.events.get_or_init(make).clone()
}

/// Lines of a change, rendered by the first reader that needs them, with the newest figures.
fn lines(change: &Change, published: &Published) -> Arc<Lines> {
    let render = || {
        let newest = published.newest();
        Arc::new(newest.map_or_else(Lines::default, |newest| Lines::of(&change.changes, &newest.snapshot)))
    };
    Arc::clone(change.lines.get_or_init(render))
}

/// Last event of a publication. Its id is the one to resume from.
fn published(change: &Change) -> String {
    let (seq, as_of) = (change.seq, change.as_of);
    let shown = as_of.to_rfc3339();
    format!("id: {seq}.{}\nevent: published\ndata: {{\"seq\":{seq},\"as_of\":\"{shown}\"}}\n\n", as_of.0)
}

/// One event.
fn write_line(event: &str, line: &Line, text: &mut String) {
    // Writing to a String never fails.
    let _ = write!(text, "event: {event}\ndata: {}\n\n", line.json);
}
