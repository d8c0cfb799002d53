//! `/graphql`: the legacy schema, answered from the newest publication, within limits.
//!
//! [`request`] reads the request, [`limits`] counts its cost, [`conflicts`] finds names of two fields, [`schema`]
//! resolves it to a [`plan`] of lists, [`render`] prints them row by row into an [`output`], and [`answers`] caches
//! the result.

mod answers;
mod conflicts;
mod fields;
mod limits;
mod market_data;
mod output;
mod plan;
mod prepared;
mod punctuation;
mod render;
mod request;
mod rows;
mod schema;
mod template;
mod typename;
mod variables;

#[cfg(test)]
pub(crate) use schema::tests::schema_fields;

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    answers::{NewestAnswers, Question},
    limits::LimitError,
    output::{AnswerMemory, AnswerOutput, CachedAnswer, CancelGuard, OutputError},
    prepared::Prepared,
    request::{DocumentRequest, RequestError},
};
use super::{
    accept,
    body::Pieces,
    cors::any_origin,
    labels::Labels,
    methods,
    negotiation::{Coding, coding, header_list},
    problem::{not_yet, problem},
    request_gate::BODY_BYTES_MAX,
    request_in_progress::asks_for_web_socket,
    sending::Ticket,
    state::PublicState,
};
use crate::{
    domain::{conversions::SaturatingFrom, market_snapshot::MarketSnapshot},
    published::{LazyListing, Publication, Published},
};

/// Time limit for reading the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for making the answer, including all waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// Announced sizes of all bodies that are being read, in KiB. A slow client holds only the size of its body, and no
/// slot for execution.
const BODIES_KIB_MAX: usize = 64 * 1024;
/// Requests that are executed or waiting. Further ones are refused at once.
const REQUESTS_MAX: usize = 1_024;
/// Documents that are executed at once.
const EXECUTIONS_MAX: usize = 8;
/// Large documents that are executed at once; see [`limits::Cost::is_large`].
const WHOLE_EXECUTIONS_MAX: usize = 2;
/// Size up to which a small document is answered on the thread of the connection.
const SHORT_BYTES: usize = 2_048;
const ALLOWED: &str = "GET, HEAD, POST, OPTIONS";

/// The endpoint. All threads of the listener share one.
pub(super) struct GraphQl {
    schema: schema::Legacy,
    answers: NewestAnswers,
    bodies: Semaphore,
    requests: Semaphore,
    executions: Arc<Semaphore>,
    whole_executions: Arc<Semaphore>,
    memory: AnswerMemory,
}

/// Parts of a publication that an answer needs. The files are left out, because an answer must not keep them in memory.
#[derive(Clone)]
struct View {
    snapshot: Arc<MarketSnapshot>,
    listing: Arc<LazyListing>,
}

/// Reason for which a request gets a problem document instead of an answer.
#[derive(Debug, thiserror::Error)]
enum GraphqlError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("the document exceeds a limit: {0}")]
    Limit(#[from] LimitError),
    #[error("the request is larger than 64 KiB")]
    TooLarge,
    #[error("the body was not received in time")]
    NoBody,
    #[error("the body is cut or malformed")]
    BrokenBody,
    #[error("this path has no WebSocket: send the document without the header Upgrade")]
    WebSocket,
    #[error("this path only supports GET, HEAD, POST and OPTIONS")]
    Method,
    #[error("too many requests at once: try again")]
    Busy,
    #[error("the answer took too long: try again, or request less")]
    Late,
    #[error("internal error: the answer could not be made")]
    Failed,
}

impl GraphqlError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) | Self::Limit(_) | Self::BrokenBody | Self::WebSocket => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoBody => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Short name for metrics.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Limit(_) => "limit",
            Self::TooLarge => "too_large",
            Self::NoBody => "no_body",
            Self::BrokenBody => "broken_body",
            Self::WebSocket => "web_socket",
            Self::Method => "method",
            Self::Busy => "busy",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }

    fn response(&self) -> HttpResponse {
        let mut response = problem(self.status(), &self.to_string());
        if matches!(self, Self::Method) {
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(ALLOWED));
        }
        response
    }
}

impl From<OutputError> for GraphqlError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::NoMemory => Self::Busy,
            OutputError::TooLong => Self::Limit(LimitError::Bytes),
            OutputError::Cancelled => Self::Late,
            OutputError::Failed => Self::Failed,
        }
    }
}

impl View {
    fn of(publication: &Publication) -> Self {
        Self { snapshot: Arc::clone(&publication.snapshot), listing: Arc::clone(&publication.listing) }
    }
}

impl Default for GraphQl {
    fn default() -> Self {
        Self {
            schema: schema::legacy(),
            answers: NewestAnswers::default(),
            bodies: Semaphore::new(BODIES_KIB_MAX),
            requests: Semaphore::new(REQUESTS_MAX),
            executions: Arc::new(Semaphore::new(EXECUTIONS_MAX)),
            whole_executions: Arc::new(Semaphore::new(WHOLE_EXECUTIONS_MAX)),
            memory: AnswerMemory::default(),
        }
    }
}

/// Handler of all methods.
pub(super) async fn endpoint(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<PublicState>,
    graphql: web::Data<GraphQl>,
) -> HttpResponse {
    if *request.method() == Method::OPTIONS {
        methods::options(ALLOWED)
    } else if is_for_explorer(&request) {
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "graphiql"))
            .insert_header((header::VARY, "Accept"))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .finish()
    } else if let Some(newest) = state.published.newest() {
        match graphql.answer(&request, payload, &state.published, View::of(&newest)).await {
            Ok(response) => response,
            Err(error) => {
                counter!("ticker_graphql_refused_total", "reason" => error.reason()).increment(1);
                error.response()
            }
        }
    } else {
        not_yet(&state.published.vitals)
    }
}

/// Returns true if a client that prefers a page, such as a browser, requests the path itself, without a document.
fn is_for_explorer(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.query_string().is_empty()
        && accept::prefers_html(request)
}

impl GraphQl {
    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        published: &Published,
        view: View,
    ) -> Result<HttpResponse, GraphqlError> {
        let document = {
            let _body = self.bodies.try_acquire_many(body_kib(request)).map_err(|_| GraphqlError::Busy)?;
            read(request, payload).await?
        };
        let _slot = self.requests.try_acquire().map_err(|_| GraphqlError::Busy)?;
        let accept = header_list(request, header::ACCEPT_ENCODING);
        // Brotli takes too long for answers that are made on demand.
        let coding = coding(accept.as_deref(), false).unwrap_or(Coding::Identity);
        let question = (document, coding);
        let making = self.make(&question, Arc::clone(&view.snapshot));
        let made = self.answers.entry(&view.snapshot, published, question.clone()).get(making);
        let answer = tokio::time::timeout(DEADLINE, made).await.map_err(|_| GraphqlError::Late)??;
        let (status, media_type) =
            status_and_type(accept::prefers_graphql_response(request), answer.has_data);
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CONTENT_TYPE, media_type))
            .insert_header((header::VARY, "Accept, Accept-Encoding"))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header(any_origin())
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(name) = answer.coding.name() {
            response.insert_header((header::CONTENT_ENCODING, name));
        }
        let ticket = Ticket::answer(request, &answer, answer.len());
        let mut response = response.body(Pieces::new(answer.pieces.clone(), ticket, answer));
        Labels::of(view.listing.seq(), view.listing.as_of()).add_to(response.headers_mut());
        view.listing.first_answer.end();
        Ok(response)
    }

    /// Parses the document, waits for a slot and for memory, then prints and compresses the answer on a thread of the
    /// blocking pool. If the future is dropped, that thread stops at its next row.
    async fn make(
        &self,
        question: &Question,
        snapshot: Arc<MarketSnapshot>,
    ) -> Result<CachedAnswer, GraphqlError> {
        let (document, coding) = question.clone();
        let mut slot = acquire(&self.executions).await?;
        let is_short = document.len() <= SHORT_BYTES;
        let parsed = if is_short {
            document.parse(&snapshot)?
        } else {
            let snapshot = Arc::clone(&snapshot);
            let (parsed, held) = in_slot(slot, move || document.parse(&snapshot)).await?;
            slot = held;
            parsed?
        };
        let guard = CancelGuard::default();
        let (request, cost) = match parsed {
            Ok(parsed) => parsed,
            Err(invalid) => return Ok(Prepared::from(invalid).short(&snapshot, guard.token())?),
        };
        if cost.is_large() {
            // Release the slot before waiting: large documents must not delay small ones.
            drop(slot);
            slot = acquire(&self.whole_executions).await?;
        }
        if is_short && cost.is_small(&snapshot) {
            let prepared = Prepared::of(&self.schema, request).await;
            return Ok(prepared.short(&snapshot, guard.token())?);
        }
        let schema = self.schema.clone();
        let prepare = move || tokio::runtime::Handle::current().block_on(Prepared::of(&schema, request));
        let (prepared, slot) = in_slot(slot, prepare).await?;
        let values = limits::weigh(prepared.lists(), &snapshot)?;
        let share = self.memory.share(values, coding).await.ok_or(GraphqlError::Failed)?;
        let mut output = AnswerOutput::new(coding, Some(share), guard.token());
        let print = move || {
            let printed = prepared.print(&snapshot, &mut output).and_then(|()| output.finish());
            printed.inspect_err(|error| {
                counter!("ticker_graphql_stopped_total", "reason" => error.reason()).increment(1);
            })
        };
        let (printed, _slot) = in_slot(slot, print).await?;
        Ok(printed?)
    }
}

/// Returns the status and the media type of an answer. A document that was not executed gets 200 with the media type
/// of the old ticker, and 400 with that of GraphQL over HTTP, as its specification demands.
const fn status_and_type(is_graphql_response: bool, has_data: bool) -> (StatusCode, &'static str) {
    match (is_graphql_response, has_data) {
        (false, _) => (StatusCode::OK, "application/json"),
        (true, true) => (StatusCode::OK, accept::GRAPHQL_RESPONSE),
        (true, false) => (StatusCode::BAD_REQUEST, accept::GRAPHQL_RESPONSE),
    }
}

/// Runs work on a thread of the blocking pool, which holds the slot until it ends, even if the request was dropped.
async fn in_slot<T: Send + 'static>(
    slot: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, OwnedSemaphorePermit), GraphqlError> {
    crate::blocking::run(move || (work(), slot)).await.map_err(|_| GraphqlError::Failed)
}

async fn acquire(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, GraphqlError> {
    Arc::clone(slots).acquire_owned().await.map_err(|_| GraphqlError::Failed)
}

async fn read(request: &HttpRequest, payload: web::Payload) -> Result<DocumentRequest, GraphqlError> {
    match *request.method() {
        // A longer query than 64 KiB never gets here: the server refuses its head.
        Method::GET | Method::HEAD => Ok(DocumentRequest::from_query_string(request.query_string())?),
        // Its body would have no end.
        Method::POST if asks_for_web_socket(request.headers()) => Err(GraphqlError::WebSocket),
        // A body that announces too large a size is not read at all.
        Method::POST if announced(request) > BODY_BYTES_MAX => Err(GraphqlError::TooLarge),
        Method::POST => {
            let body = payload.to_bytes_limited(BODY_BYTES_MAX);
            let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| GraphqlError::NoBody)?;
            let body = body.map_err(|_| GraphqlError::TooLarge)?.map_err(|_| GraphqlError::BrokenBody)?;
            Ok(DocumentRequest::from_body(&body)?)
        }
        _ => Err(GraphqlError::Method),
    }
}

/// Returns the largest possible size of a body: its announced size, or the limit for a chunked body.
fn body_kib(request: &HttpRequest) -> u32 {
    let in_chunks = request.headers().contains_key(header::TRANSFER_ENCODING);
    let bytes = if in_chunks { BODY_BYTES_MAX } else { announced(request).min(BODY_BYTES_MAX) };
    u32::saturating_from(bytes.div_ceil(1_024))
}

/// Returns the announced size of a body in bytes; 0 without `Content-Length`.
fn announced(request: &HttpRequest) -> usize {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// See [`super::answer_without_data`].
#[cfg(fuzzing)]
pub(super) fn answer_without_data(request: &[u8]) -> Option<String> {
    use futures_util::FutureExt;
    let document = match std::str::from_utf8(request) {
        Ok(text) if !text.starts_with('{') => DocumentRequest::from_query_string(text),
        _ => DocumentRequest::from_body(request),
    };
    let snapshot = MarketSnapshot::default();
    let prepared = match document.ok()?.parse(&snapshot).ok()? {
        // The resolvers never wait, so the future is ready at once.
        Ok((request, _)) => Prepared::of(&schema::legacy(), request).now_or_never()?,
        Err(invalid) => Prepared::from(invalid),
    };
    limits::weigh(prepared.lists(), &snapshot).ok()?;
    let answer = prepared.short(&snapshot, CancelGuard::default().token()).ok()?;
    String::from_utf8(answer.pieces.concat()).ok()
}

#[cfg(test)]
mod tests {
    use actix_web::{FromRequest, test::TestRequest};

    use super::{output::ANSWERS_KIB_MAX, *};

    fn question(query: &str, coding: Coding) -> Question {
        let body = serde_json::json!({ "query": query }).to_string();
        (DocumentRequest::from_body(body.as_bytes()).unwrap(), coding)
    }

    #[actix_web::test]
    async fn a_post_that_asks_for_a_web_socket_is_refused() {
        for (upgrade, is_refused) in [("websocket", true), (" WebSocket", true), ("h2c", false)] {
            let request = TestRequest::post().insert_header((header::UPGRADE, upgrade));
            let (request, mut payload) = request.set_payload(r#"{"query":"{__typename}"}"#).to_http_parts();
            let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
            let read = read(&request, payload).await;
            assert_eq!(matches!(read, Err(GraphqlError::WebSocket)), is_refused, "{upgrade}");
            assert_eq!(read.is_ok(), !is_refused, "{upgrade}");
        }
    }

    #[actix_web::test]
    async fn an_answer_waits_for_memory_in_its_slot_and_releases_what_it_does_not_need() {
        let graphql = GraphQl::default();
        let question =
            question("{ __schema { types { name description fields { name } } } }", Coding::Identity);
        let room = graphql.memory.take(ANSWERS_KIB_MAX - 1);
        let waits = async {
            while graphql.whole_executions.available_permits() == WHOLE_EXECUTIONS_MAX
                || graphql.memory.free_kib() > 0
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
        assert_eq!(graphql.memory.free_kib(), ANSWERS_KIB_MAX - made.len().div_ceil(1_024));
        drop(made);
        assert_eq!(graphql.memory.free_kib(), ANSWERS_KIB_MAX);
    }

    #[actix_web::test]
    async fn a_dropped_request_releases_its_slot_and_memory() {
        let graphql = GraphQl::default();
        let question = question("{ assets { code } }", Coding::Gzip);
        let room = graphql.memory.take(ANSWERS_KIB_MAX);
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
        assert_eq!(graphql.memory.free_kib(), ANSWERS_KIB_MAX);
    }
}
