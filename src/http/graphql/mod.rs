//! `/graphql`: the legacy schema, answered from the newest publication, within bounds.
//!
//! [`request`] reads what is asked, [`limits`] weighs it, [`schema`] answers, [`render`] prints, [`answers`] keeps.

mod answers;
mod limits;
mod render;
mod request;
mod schema;

use std::{io::Write, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use async_graphql_actix_web::GraphQLRequest;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    answers::{Answer, Answers},
    request::{Asked, NoRequest},
};
use super::{
    body::Pieces,
    files::named,
    negotiation::{Coding, coding},
    problem::{not_yet, problem},
    public::PublicState,
};
use crate::published::{Publication, Published};

/// A body that is read, and a query string.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The body must be there within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The answer must be there within this time, the wait for a place included.
const DEADLINE: Duration = Duration::from_secs(10);
/// All bodies that are being read at once, as long as they say that they are, in KiB. Whoever sends slowly holds no more
/// than that of it, and no place.
const BODIES_KIB_MAX: usize = 256 * 1024;
/// Requests at a time that are read; further ones are refused at once.
const REQUESTS_MAX: usize = 1_024;
/// Documents that are executed at once.
const EXECUTIONS_MAX: usize = 8;
/// Of those that ask for whole lists, or that many markets are looked at for.
const WHOLE_EXECUTIONS_MAX: usize = 2;
/// All answers that took a place among those that are executed elsewhere, kept or on their way, in KiB. One that is made
/// and finds no room keeps its place until there is, so that no more than [`EXECUTIONS_MAX`] and
/// [`WHOLE_EXECUTIONS_MAX`] come on top.
const ANSWERS_KIB_MAX: u32 = 512 * 1024;
/// A document of this size that asks for little is answered on the spot, without going to another thread.
const SHORT_BYTES: usize = 2_048;
/// Smaller answers are not worth compressing.
const COMPRESSED_FROM_BYTES: usize = 1_024;
const ALLOWED: &str = "GET, POST, OPTIONS";

/// The endpoint; one for all threads of the listener.
pub(super) struct GraphQl {
    schema: schema::Legacy,
    answers: Answers,
    bodies: Semaphore,
    requests: Semaphore,
    executions: Arc<Semaphore>,
    whole_executions: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    NoRequest(#[from] NoRequest),
    #[error("the document asks for too much: {0}")]
    TooMuch(#[from] limits::TooMuch),
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

impl Default for GraphQl {
    fn default() -> Self {
        Self {
            schema: schema::legacy(),
            answers: Answers::default(),
            bodies: Semaphore::new(BODIES_KIB_MAX),
            requests: Semaphore::new(REQUESTS_MAX),
            executions: Arc::new(Semaphore::new(EXECUTIONS_MAX)),
            whole_executions: Arc::new(Semaphore::new(WHOLE_EXECUTIONS_MAX)),
            room: Arc::new(Semaphore::new(usize::try_from(ANSWERS_KIB_MAX).unwrap_or(usize::MAX))),
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
    } else if let Some(newest) = state.published.newest() {
        match graphql.answer(&request, payload, &state.published, newest).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    } else {
        not_yet()
    };
    let status = response.status().as_str().to_owned();
    counter!("ticker_http_requests_total", "path" => "/graphql", "status" => status).increment(1);
    response
}

impl GraphQl {
    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        published: &Published,
        newest: Arc<Publication>,
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
        let making = self.make(&question, Arc::clone(&newest));
        let made = self.answers.get(&newest, published, &question, making);
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
        let response = response.body(Pieces::new(answer.bytes.clone(), answer));
        Ok(named(response, newest.seq, newest.as_of))
    }

    /// Parses, waits for a place, executes, prints and compresses, all on a thread that may take its time.
    async fn make(&self, question: &(Asked, Coding), newest: Arc<Publication>) -> Result<Answer, Refusal> {
        let (asked, coding) = question.clone();
        let mut place = acquire(&self.executions).await?;
        let is_short = asked.len() <= SHORT_BYTES;
        let parsed = if is_short {
            asked.parse(&newest.board)?
        } else {
            let newest = Arc::clone(&newest);
            web::block(move || asked.parse(&newest.board)).await.map_err(|_| Refusal::Failed)??
        };
        let (document, cost) = match parsed {
            Ok((document, cost)) => (GraphQLRequest(document), cost),
            Err(wrong) => {
                let body = render::render(&async_graphql::Response::from_errors(vec![wrong]));
                return Ok(Answer { bytes: body.into(), coding: Coding::Identity, _room: None });
            }
        };
        if cost.asks_for_much() {
            drop(place); // who waits for long must not hold up those who ask for little
            place = acquire(&self.whole_executions).await?;
        }
        if is_short && cost.asks_for_little(&newest.board) {
            let response = self.schema.execute(document.into_inner().data(newest)).await;
            let bytes = Bytes::from(render::render(&response));
            return Ok(Answer { bytes, coding: Coding::Identity, _room: None });
        }
        let schema = self.schema.clone();
        let executed = web::block(move || {
            let request = document.into_inner().data(newest);
            let response = tokio::runtime::Handle::current().block_on(schema.execute(request));
            let made = encode(render::render(&response), coding);
            made.map(|made| (place, made)) // kept until it is done, whether anybody still waits or not
        });
        let (_place, (bytes, coding)) = executed.await.map_err(|_| Refusal::Failed)??;
        let kib = u32::try_from(bytes.len().div_ceil(1_024)).unwrap_or(u32::MAX).min(ANSWERS_KIB_MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| Refusal::Failed)?;
        Ok(Answer { bytes, coding, _room: Some(room) })
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

/// Compresses by gzip where that is asked for and worth it.
fn encode(body: String, coding: Coding) -> Result<(Bytes, Coding), Refusal> {
    if coding != Coding::Gzip || body.len() < COMPRESSED_FROM_BYTES {
        return Ok((body.into(), Coding::Identity));
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body.as_bytes()).map_err(|_| Refusal::Failed)?;
    Ok((gzip.finish().map_err(|_| Refusal::Failed)?.into(), Coding::Gzip))
}

/// See [`super::answer_without_data`].
#[cfg(fuzzing)]
pub(super) fn answer_without_data(asked: &[u8]) -> Option<String> {
    use crate::domain::board::Board;
    use futures_util::FutureExt;
    let asked = match std::str::from_utf8(asked) {
        Ok(text) if !text.starts_with('{') => Asked::from_query_string(text),
        _ => Asked::from_body(asked),
    };
    let response = match asked.ok()?.parse(&Board::default()).ok()? {
        // Without a publication every resolver fails at once; nothing in it waits.
        Ok((document, _)) => schema::legacy().execute(document).now_or_never()?,
        Err(wrong) => async_graphql::Response::from_errors(vec![wrong]),
    };
    Some(render::render(&response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::board::Board, published::FileMaker};

    #[actix_web::test]
    async fn an_answer_that_finds_no_room_keeps_its_place() {
        let graphql = GraphQl::default();
        let newest = Publication::render(1, None, Board::default(), &mut FileMaker::default()).unwrap();
        let body = br#"{"query": "{ __schema { types { name description fields { name } } } }"}"#;
        let question = (Asked::from_body(body).unwrap(), Coding::Identity);
        // All but a KiB of it, which is too little for what is made and which it takes when it waits for the rest.
        let room = graphql.room.try_acquire_many(ANSWERS_KIB_MAX - 1).unwrap();
        let waits = async {
            while graphql.room.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(graphql.whole_executions.available_permits(), WHOLE_EXECUTIONS_MAX - 1);
            drop(room);
        };
        let (made, ()) = tokio::join!(graphql.make(&question, Arc::new(newest)), waits);
        assert!(made.unwrap().bytes.len() > 1_024);
        assert_eq!(graphql.whole_executions.available_permits(), WHOLE_EXECUTIONS_MAX);
    }
}
