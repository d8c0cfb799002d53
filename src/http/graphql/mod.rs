//! `/graphql`: the legacy schema, answered from the newest publication, within bounds.
//!
//! [`request`] reads what is asked, [`limits`] weighs it, [`schema`] resolves it to a [`plan`] of lists, [`render`] prints
//! them row by row into an [`output`], and [`answers`] keeps that.

mod answers;
mod fields;
mod limits;
mod output;
mod plan;
mod prepared;
mod render;
mod request;
mod rows;
mod schema;
mod template;

#[cfg(test)]
pub(super) use schema::tests::schema_fields;

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    answers::{Answers, CachedAnswer},
    limits::TooMuch,
    output::{Output, Room, Stop, Waiting},
    prepared::Prepared,
    request::{Asked, NoRequest},
};
use super::{
    body::Pieces,
    labels::Labels,
    negotiation::{Coding, coding},
    problem::{not_yet, problem},
    public::PublicState,
    requests,
    sending::Ticket,
};
use crate::{
    domain::market_snapshot::MarketSnapshot,
    published::{Publication, Published},
};

/// A body that is read, and a query string.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// The body must be there within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The answer must be there within this time, the wait for a place included.
const DEADLINE: Duration = Duration::from_secs(10);
/// All bodies that are being read at once, as long as they say that they are, in KiB. Whoever sends slowly holds no more
/// than that of it, and no place.
const BODIES_KIB_MAX: usize = 64 * 1024;
/// Requests at a time that are read; further ones are refused at once.
const REQUESTS_MAX: usize = 1_024;
/// Documents that are executed at once.
const EXECUTIONS_MAX: usize = 8;
/// Of those that ask for whole lists, or that many markets are looked at for.
const WHOLE_EXECUTIONS_MAX: usize = 2;
/// A document of this size that asks for little is answered on the spot, without going to another thread.
const SHORT_BYTES: usize = 2_048;
const ALLOWED: &str = "GET, POST, OPTIONS";

/// The endpoint; one for all threads of the listener.
pub(super) struct GraphQl {
    schema: schema::Legacy,
    answers: Answers,
    bodies: Semaphore,
    requests: Semaphore,
    executions: Arc<Semaphore>,
    whole_executions: Arc<Semaphore>,
    room: Room,
}

/// Source of an answer: a publication without its files, which may be large.
#[derive(Clone)]
struct View {
    snapshot: Arc<MarketSnapshot>,
    seq: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    NoRequest(#[from] NoRequest),
    #[error("the document asks for too much: {0}")]
    TooMuch(#[from] TooMuch),
    #[error("the request is larger than 64 KiB")]
    TooLarge,
    #[error("the body did not come")]
    NoBody,
    #[error("this path is asked by GET or POST")]
    Method,
    #[error("too many requests at once: try again")]
    Busy,
    #[error("there was no answer in time: try again, or ask for less")]
    Late,
    #[error("the answer could not be made")]
    Failed,
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoRequest(_) | Self::TooMuch(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoBody => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn response(&self) -> HttpResponse {
        let mut response = problem(self.status(), &self.to_string());
        let more = match self {
            Self::Busy | Self::Late => (header::RETRY_AFTER, header::HeaderValue::from_static("1")),
            Self::Method => (header::ALLOW, header::HeaderValue::from_static(ALLOWED)),
            _ => return response,
        };
        response.headers_mut().insert(more.0, more.1);
        response
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NoRoom => Self::Busy,
            Stop::TooLong => Self::TooMuch(TooMuch::Bytes),
            Stop::Unwanted => Self::Late,
            Stop::Failed => Self::Failed,
        }
    }
}

impl View {
    fn of(publication: &Publication) -> Self {
        Self { snapshot: Arc::clone(&publication.snapshot), seq: publication.seq }
    }
}

impl Default for GraphQl {
    fn default() -> Self {
        Self {
            schema: schema::legacy(),
            answers: Answers::default(),
            bodies: Semaphore::new(BODIES_KIB_MAX),
            requests: Semaphore::new(REQUESTS_MAX),
            executions: Arc::new(Semaphore::new(EXECUTIONS_MAX)),
            whole_executions: Arc::new(Semaphore::new(WHOLE_EXECUTIONS_MAX)),
            room: Room::default(),
        }
    }
}

/// The handler of every method.
pub(super) async fn endpoint(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<PublicState>,
    graphql: web::Data<GraphQl>,
) -> HttpResponse {
    let response = if *request.method() == Method::OPTIONS {
        HttpResponse::NoContent()
            .insert_header((header::ALLOW, ALLOWED))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
            .finish()
    } else if is_for_explorer(&request) {
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "graphiql"))
            .insert_header((header::VARY, "Accept"))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .finish()
    } else if let Some(newest) = state.published.newest() {
        match graphql.answer(&request, payload, &state.published, View::of(&newest)).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    } else {
        not_yet(&state.published.vitals)
    };
    requests::count("/graphql", response.status());
    response
}

/// Returns true if a browser requests the path itself, without a document.
fn is_for_explorer(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.query_string().is_empty()
        && accept.is_some_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
}

impl GraphQl {
    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        published: &Published,
        view: View,
    ) -> Result<HttpResponse, Refusal> {
        let asked = {
            let _room = self.bodies.try_acquire_many(body_kib(request)).map_err(|_| Refusal::Busy)?;
            read(request, payload).await?
        };
        let _place = self.requests.try_acquire().map_err(|_| Refusal::Busy)?;
        let accept = request.headers().get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        // Brotli takes too long for what is made on demand.
        let coding = coding(accept, false).unwrap_or(Coding::Identity);
        let question = (asked, coding);
        let making = self.make(&question, Arc::clone(&view.snapshot));
        let made = self.answers.get(&view.snapshot, published, &question, making);
        let answer = tokio::time::timeout(DEADLINE, made).await.map_err(|_| Refusal::Late)??;
        let mut response = HttpResponse::Ok();
        response
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(name) = answer.coding.name() {
            response.insert_header((header::CONTENT_ENCODING, name));
        }
        let ticket = Ticket::answer(request, &answer, answer.len());
        let mut response = response.body(Pieces::new(answer.pieces.clone(), ticket, answer));
        Labels::of(view.seq, view.snapshot.as_of()).name(response.headers_mut());
        Ok(response)
    }

    /// Parses, waits for a place and for room, prints and compresses, all on a thread that may take its time. If the
    /// future is dropped, that thread stops at its next row.
    async fn make(
        &self,
        question: &(Asked, Coding),
        snapshot: Arc<MarketSnapshot>,
    ) -> Result<CachedAnswer, Refusal> {
        let (asked, coding) = question.clone();
        let mut place = acquire(&self.executions).await?;
        let is_short = asked.len() <= SHORT_BYTES;
        let parsed = if is_short {
            asked.parse(&snapshot)?
        } else {
            let snapshot = Arc::clone(&snapshot);
            crate::blocking::run(move || asked.parse(&snapshot)).await.map_err(|_| Refusal::Failed)??
        };
        let waiting = Waiting::default();
        let (request, cost) = match parsed {
            Ok(parsed) => parsed,
            Err(wrong) => return Ok(Prepared::from(wrong).short(&snapshot, waiting.interest())?),
        };
        if cost.asks_for_much() {
            drop(place); // who waits for long must not hold up those who ask for little
            place = acquire(&self.whole_executions).await?;
        }
        if is_short && cost.asks_for_little(&snapshot) {
            let prepared = Prepared::of(&self.schema, request).await;
            return Ok(prepared.short(&snapshot, waiting.interest())?);
        }
        let schema = self.schema.clone();
        let prepare = move || tokio::runtime::Handle::current().block_on(Prepared::of(&schema, request));
        let prepared = crate::blocking::run(prepare).await.map_err(|_| Refusal::Failed)?;
        let values = limits::weigh(prepared.lists(), &snapshot)?;
        let share = self.room.share(values, coding).await.ok_or(Refusal::Failed)?;
        let mut output = Output::new(coding, Some(share), waiting.interest());
        let print = move || {
            let printed = prepared.print(&snapshot, &mut output).and_then(|()| output.finish());
            drop(place); // not before, whether anybody still waits or not
            printed.inspect_err(|stop| {
                counter!("ticker_graphql_stopped_total", "reason" => stop.reason()).increment(1);
            })
        };
        Ok(crate::blocking::run(print).await.map_err(|_| Refusal::Failed)??)
    }
}

async fn acquire(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(places).acquire_owned().await.map_err(|_| Refusal::Failed)
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<Asked, Refusal> {
    match *request.method() {
        Method::GET if request.query_string().len() > BODY_BYTES_MAX => Err(Refusal::TooLarge),
        Method::GET => Ok(Asked::from_query_string(request.query_string())?),
        // What says that it is too large is not read at all.
        Method::POST if announced(request) > BODY_BYTES_MAX => Err(Refusal::TooLarge),
        Method::POST => {
            let body = payload.to_bytes_limited(BODY_BYTES_MAX);
            let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Refusal::NoBody)?;
            let body = body.map_err(|_| Refusal::TooLarge)?.map_err(|_| Refusal::NoBody)?;
            Ok(Asked::from_body(&body)?)
        }
        _ => Err(Refusal::Method),
    }
}

/// What a body may come to: as long as it says, or as long as it may be where it comes in chunks.
fn body_kib(request: &HttpRequest) -> u32 {
    let in_chunks = request.headers().contains_key(header::TRANSFER_ENCODING);
    let bytes = if in_chunks { BODY_BYTES_MAX } else { announced(request).min(BODY_BYTES_MAX) };
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

/// How long a body says that it is.
fn announced(request: &HttpRequest) -> usize {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// See [`super::answer_without_data`].
#[cfg(fuzzing)]
pub(super) fn answer_without_data(asked: &[u8]) -> Option<String> {
    use futures_util::FutureExt;
    let asked = match std::str::from_utf8(asked) {
        Ok(text) if !text.starts_with('{') => Asked::from_query_string(text),
        _ => Asked::from_body(asked),
    };
    let snapshot = MarketSnapshot::default();
    let prepared = match asked.ok()?.parse(&snapshot).ok()? {
        // Nothing in it waits.
        Ok((request, _)) => Prepared::of(&schema::legacy(), request).now_or_never()?,
        Err(wrong) => Prepared::from(wrong),
    };
    limits::weigh(prepared.lists(), &snapshot).ok()?;
    let answer = prepared.short(&snapshot, Waiting::default().interest()).ok()?;
    String::from_utf8(answer.pieces.concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::{output::ANSWERS_KIB_MAX, *};

    fn question(query: &str, coding: Coding) -> (Asked, Coding) {
        let body = serde_json::json!({ "query": query }).to_string();
        (Asked::from_body(body.as_bytes()).unwrap(), coding)
    }

    #[actix_web::test]
    async fn an_answer_that_finds_no_room_keeps_its_place_and_gives_back_what_it_does_not_need() {
        let graphql = GraphQl::default();
        let question =
            question("{ __schema { types { name description fields { name } } } }", Coding::Identity);
        let room = graphql.room.take(ANSWERS_KIB_MAX - 1);
        let waits = async {
            while graphql.whole_executions.available_permits() == WHOLE_EXECUTIONS_MAX
                || graphql.room.free_kib() > 0
            {
                tokio::task::yield_now().await;
            }
            assert_eq!(graphql.whole_executions.available_permits(), WHOLE_EXECUTIONS_MAX - 1);
            drop(room);
        };
        let (made, ()) = tokio::join!(graphql.make(&question, Arc::default()), waits);
        let made = made.unwrap();
        assert!(made.len() > 1_024);
        assert_eq!(graphql.whole_executions.available_permits(), WHOLE_EXECUTIONS_MAX);
        assert_eq!(graphql.room.free_kib(), ANSWERS_KIB_MAX - made.len().div_ceil(1_024));
        drop(made);
        assert_eq!(graphql.room.free_kib(), ANSWERS_KIB_MAX);
    }

    #[actix_web::test]
    async fn what_nobody_waits_for_gives_its_place_and_room_back() {
        let graphql = GraphQl::default();
        let question = question("{ assets { code } }", Coding::Gzip);
        let room = graphql.room.take(ANSWERS_KIB_MAX);
        let mut made = Box::pin(graphql.make(&question, Arc::default()));
        while graphql.whole_executions.available_permits() == WHOLE_EXECUTIONS_MAX {
            assert!(futures_util::poll!(&mut made).is_pending());
            tokio::task::yield_now().await;
        }
        drop(made);
        while graphql.whole_executions.available_permits() < WHOLE_EXECUTIONS_MAX {
            tokio::task::yield_now().await;
        }
        drop(room);
        assert_eq!(graphql.room.free_kib(), ANSWERS_KIB_MAX);
    }
}
