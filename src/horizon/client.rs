//! HTTP client of one Horizon: pages and streams. Created on the arbiter that uses it, because awc is not `Send`.

use std::{cell::Cell, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use actix_web::http::header;
use actor_tree::trace::{context::TraceContext, recorder::Recorder, step::Step};
use awc::{
    Client, ClientResponse, Connector,
    error::{PayloadError, SendRequestError},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use metrics::counter;

use crate::{
    domain::{
        asset::Asset, cursor::PagingToken, instant::UnixSeconds, orderbook::OrderBook, shown_url::shown_url,
    },
    outbound::{TcpDialler, tls},
    steps,
};

use super::{
    budget::{Class, RequestLimit},
    connections::CountingDialler,
    error::HorizonError,
    rate_limiter::{RateLimiter, Turn},
    reply::{allowance, read_reply, require_success, shortened},
    stream::{LIVE_SILENCE_MAX, TradeStream},
    wire::{self, AssetAnswer, AssetsPage, LedgerRecord, ReceivedTrade, RecordError, Root},
};

/// Horizon's limit on the records of one page or stream.
pub const LIMIT_MAX: u32 = 200;
/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which an idle connection is kept. Proxies close it after 60 s or more, and each new connection costs a
/// request of the root.
const KEEP_ALIVE: Duration = Duration::from_secs(45);
/// Maximum age of a connection, so that the client follows a name to a new address.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// Longest silence during any other answer. Horizon may take long to begin an answer of `/assets` or of old trades.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Number of times that the silence limit for live trades may double. It doubles after each silent answer, so that a
/// slow Horizon is still usable.
const DOUBLINGS_MAX: u32 = 2;
/// Largest page, compressed or not, in bytes. A page of 200 trades takes about 400 KB.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Connection settings of a Horizon.
#[derive(Clone, Debug)]
pub struct HorizonSettings {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// PEM file of further CA certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Longest silence of a stream. Horizon sends no heartbeats, so this must be longer than a slow ledger.
    pub stream_idle_timeout: Duration,
}

/// Root of a Horizon, and what its headers say.
#[derive(Clone, Debug)]
pub struct HorizonFacts {
    /// The root document.
    pub root: Root,
    /// The server's clock, to the second.
    pub date: Option<DateTime<Utc>>,
    /// Limit on the requests of this address, if the server states one.
    pub request_limit: Option<RequestLimit>,
}

/// Direction of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// From old to new.
    Ascending,
    /// From new to old.
    Descending,
}

/// Client of one Horizon. Every request waits for its turn in the budget that all clients share.
#[derive(Clone)]
pub struct HorizonClient {
    client: Client,
    /// Client that opens a connection per request, for the root.
    root_client: Client,
    /// Connections that `client` has opened.
    dialled: Rc<Cell<u64>>,
    /// Those of them that the limiter knows of.
    noted: Rc<Cell<u64>>,
    /// Base URL and timeouts.
    settings: HorizonSettings,
    /// Base URL without secrets, for logs.
    shown_url: Rc<str>,
    /// Budget shared by all clients.
    limiter: RateLimiter,
    /// Class that requests of this client are charged to.
    class: Class,
    /// Called while a request waits for its turn.
    waiting: Rc<dyn Fn()>,
    /// Called when a request has its turn.
    admitted: Rc<dyn Fn()>,
    /// Consecutive answers to live requests that were aborted for silence.
    silent_answers: Rc<Cell<u32>>,
    /// Records requests as steps; none in a command.
    tracer: Option<Tracer>,
}

/// Recorder of the requests of one actor.
#[derive(Clone, Debug)]
struct Tracer {
    recorder: Arc<Recorder>,
    actor: &'static str,
    /// Step or message that causes the requests; none for roots of their own.
    cause: Option<TraceContext>,
}

impl HorizonClient {
    /// Creates a client with [`Class::Live`]. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// [`HorizonError::Setup`] if a certificate file is not usable.
    pub fn new(mut settings: HorizonSettings, limiter: RateLimiter) -> Result<Self, HorizonError> {
        let (dialled, dialled_for_root) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tls = tls::client_config(settings.ca_file.as_deref())
            .map_err(|error| HorizonError::Setup(error.to_string()))?;
        let shown_url = shown_url(&settings.url).into();
        let (dialler, url) = TcpDialler::of(&settings.url, tls);
        settings.url = url;
        let client = awc_client(&dialler, KEEP_ALIVE, CONNECTION_AGE_MAX, &dialled);
        // The root must come from the server that answers now, so reuse no connection.
        let root_client = awc_client(&dialler, Duration::ZERO, Duration::ZERO, &dialled_for_root);
        let (waiting, admitted, silent_answers) = (Rc::new(|| ()), Rc::new(|| ()), Rc::default());
        let class = Class::Live;
        Ok(Self {
            client,
            root_client,
            dialled,
            noted: Rc::default(),
            settings,
            shown_url,
            limiter,
            class,
            waiting,
            admitted,
            silent_answers,
            tracer: None,
        })
    }

    /// Same client that records its requests as steps of an actor.
    #[must_use]
    pub fn traced(self, recorder: Arc<Recorder>, actor: &'static str) -> Self {
        Self { tracer: Some(Tracer { recorder, actor, cause: None }), ..self }
    }

    /// Same client whose requests are caused by this step or message.
    #[must_use]
    pub fn caused_by(&self, cause: &TraceContext) -> Self {
        let tracer = self.tracer.clone().map(|tracer| Tracer { cause: Some(*cause), ..tracer });
        Self { tracer, ..self.clone() }
    }

    /// Same client with another class.
    #[must_use]
    pub fn of_class(&self, class: Class) -> Self {
        Self { class, ..self.clone() }
    }

    /// Same client with a callback that runs every second while a request waits for its turn.
    #[must_use]
    pub fn while_waiting(&self, on_wait: impl Fn() + 'static) -> Self {
        Self { waiting: Rc::new(on_wait), ..self.clone() }
    }

    /// Same client with a callback that runs when a request has its turn, before it is sent.
    #[must_use]
    pub fn once_admitted(&self, on_turn: impl Fn() + 'static) -> Self {
        Self { admitted: Rc::new(on_turn), ..self.clone() }
    }

    /// Budget of all clients.
    #[must_use]
    pub const fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Requests the root on a new connection: the server's network and its range of history.
    pub async fn root(&self) -> Result<Root, HorizonError> {
        let asking = Self { client: self.root_client.clone(), ..self.clone() };
        wire::root(&asking.page_of_any_network("root", "/").await?)
    }

    /// Requests the root like [`Self::root`], with what its headers say about the server.
    ///
    /// # Errors
    ///
    /// Those of any request.
    pub async fn examine(&self) -> Result<HorizonFacts, HorizonError> {
        let headers = [(header::ACCEPT, "application/json"), (header::ACCEPT_ENCODING, "gzip")];
        let response = self.send(self.admit().await, "/", headers).await?;
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let request_limit = allowance(response.headers()).map(|allowance| allowance.request_limit());
        let root = wire::root(&read_reply(response, self.silence_max(), BODY_BYTES_MAX).await?)?;
        Ok(HorizonFacts { root, date: date.map(|date| date.to_utc()), request_limit })
    }

    /// Number of connections opened so far, without those for the root. Each may lead to another server behind a load
    /// balancer.
    #[must_use]
    pub fn connections_opened(&self) -> u64 {
        self.dialled.get()
    }

    /// Requests a page of trades after `cursor`, in the given direction. Empty past the end.
    pub async fn trades_page(
        &self,
        cursor: Option<PagingToken>,
        order: PageOrder,
        limit: u32,
    ) -> Result<Vec<Result<ReceivedTrade, RecordError>>, HorizonError> {
        let order = match order {
            PageOrder::Ascending => "asc",
            PageOrder::Descending => "desc",
        };
        let cursor = cursor.map(|token| format!("&cursor={token}")).unwrap_or_default();
        let path = format!("/trades?order={order}&limit={}{cursor}", limit.clamp(1, LIMIT_MAX));
        wire::trades_page(&self.page("trades", &path).await?)
    }

    /// Requests the hash of a ledger, in hexadecimal. `None` if the server does not have the ledger.
    pub async fn ledger_hash(&self, ledger: u32) -> Result<Option<String>, HorizonError> {
        Ok(self.ledger(ledger).await?.map(|record| record.hash))
    }

    /// Requests the close time of a ledger. `None` if the server does not have the ledger, or names no time.
    pub async fn ledger_closed_at(&self, ledger: u32) -> Result<Option<UnixSeconds>, HorizonError> {
        Ok(self.ledger(ledger).await?.and_then(|record| record.closed_at))
    }

    async fn ledger(&self, ledger: u32) -> Result<Option<LedgerRecord>, HorizonError> {
        match self.page("ledger", &format!("/ledgers/{ledger}")).await {
            Ok(body) => wire::ledger(&body).map(Some),
            Err(HorizonError::Problem { status: 404 | 410, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Requests the record of one asset.
    pub async fn asset(&self, asset: &Asset) -> Result<AssetAnswer, HorizonError> {
        let path = format!("/assets?asset_code={}&asset_issuer={}", asset.code(), asset.issuer());
        Ok(wire::assets_page(&self.page("asset", &path).await?)?.answer_about(asset))
    }

    /// Requests a page of all assets after `cursor`, in the server's order.
    pub async fn assets_page(&self, cursor: Option<&str>, limit: u32) -> Result<AssetsPage, HorizonError> {
        let cursor = cursor.map(|token| format!("&cursor={token}")).unwrap_or_default();
        let limit = limit.clamp(1, LIMIT_MAX);
        wire::assets_page(&self.page("assets", &format!("/assets?limit={limit}{cursor}")).await?)
    }

    /// Requests the order book of a market that sells `base` and buys `counter`.
    pub async fn order_book(&self, base: &Asset, counter: &Asset) -> Result<OrderBook, HorizonError> {
        let (selling, buying) = (side("selling", base), side("buying", counter));
        let path = format!("/order_book?{selling}&{buying}&limit={LIMIT_MAX}");
        wire::order_book(&self.page("order_book", &path).await?)
    }

    /// Opens the stream of trades after `cursor`.
    pub async fn stream_trades(&self, cursor: PagingToken) -> Result<TradeStream, HorizonError> {
        let path = format!("/trades?cursor={cursor}&limit={LIMIT_MAX}");
        let headers = [(header::ACCEPT, "text/event-stream"), (header::ACCEPT_ENCODING, "identity")];
        let opened = async {
            let response = self.send(self.admit().await, &path, headers).await?;
            let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            if !text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream")) {
                return Err(HorizonError::Unreadable("not an event stream".into()));
            }
            // A proxy that compresses although it must not would look like a stream without records.
            match text(header::CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
                Some(coding) => Err(HorizonError::Unreadable(format!(
                    "the stream is compressed: {} (does a proxy in front of Horizon compress it?)",
                    shortened(coding)
                ))),
                None => Ok(response),
            }
        };
        let response = self.record_outcome("stream", self.record_silence(opened.await))?;
        Ok(TradeStream::new(response, self.settings.stream_idle_timeout, self.limiter.clone()))
    }

    /// Requests a page. An answer that does not show its network is returned after the network was checked. One of
    /// another network is dropped and requested again.
    async fn page(&self, kind: &'static str, path: &str) -> Result<Bytes, HorizonError> {
        loop {
            let outcome = self.page_of_any_network(kind, path).await;
            let is_answer = matches!(outcome, Ok(_) | Err(HorizonError::Problem { .. }));
            if !is_answer || !self.class.needs_network_check() {
                return outcome;
            }
            // A connection may also have been opened for a request that was given up since.
            let dialled = self.dialled.get();
            if self.noted.replace(dialled) != dialled {
                self.limiter.record_new_connection();
            }
            if self.limiter.is_right_network(&*self.waiting).await {
                return outcome;
            }
        }
    }

    async fn page_of_any_network(&self, kind: &'static str, path: &str) -> Result<Bytes, HorizonError> {
        let headers = [(header::ACCEPT, "application/json"), (header::ACCEPT_ENCODING, "gzip")];
        let mut step = self.tracer.as_ref().map(|tracer| {
            Step::begin(&tracer.recorder, tracer.actor, steps::HORIZON_REQUEST, tracer.cause.as_ref())
                .waiting()
        });
        let turn = self.admit().await;
        step.iter_mut().for_each(Step::has_its_turn);
        let fetched = async {
            read_reply(self.send(turn, path, headers).await?, self.silence_max(), BODY_BYTES_MAX).await
        };
        let fetched = fetched.await;
        if let Some(step) = step {
            step.ended(&fetched);
        }
        self.record_outcome(kind, self.record_silence(fetched))
    }

    /// Counts a request by its outcome, and records whether the server is reachable.
    fn record_outcome<T>(
        &self,
        kind: &'static str,
        outcome: Result<T, HorizonError>,
    ) -> Result<T, HorizonError> {
        let label = outcome.as_ref().map_or_else(HorizonError::kind, |_| "ok");
        counter!("ticker_horizon_requests_total", "kind" => kind, "outcome" => label).increment(1);
        match &outcome {
            Ok(_) => self.limiter.record_answer(&self.shown_url),
            // Horizon itself answered: the requested record does not exist.
            Err(HorizonError::Problem { status: 400..500, .. }) => {
                self.limiter.record_answer(&self.shown_url);
            }
            // A refusal says nothing about reachability.
            Err(HorizonError::RateLimited { .. }) => {}
            Err(error) => self.limiter.record_failure(&self.shown_url, error),
        }
        outcome
    }

    /// Counts consecutive silent answers to live requests.
    fn record_silence<T>(&self, outcome: Result<T, HorizonError>) -> Result<T, HorizonError> {
        if self.class == Class::Live {
            let is_silent = matches!(outcome, Err(HorizonError::Silent(_)));
            self.silent_answers.set(if is_silent { self.silent_answers.get().saturating_add(1) } else { 0 });
        }
        outcome
    }

    /// Longest silence that is tolerated during an answer.
    fn silence_max(&self) -> Duration {
        match self.class {
            Class::Live => LIVE_SILENCE_MAX * 2_u32.pow(self.silent_answers.get().min(DOUBLINGS_MAX)),
            _ => SILENCE_MAX,
        }
    }

    /// Waits until the budget admits a request.
    async fn admit(&self) -> Turn {
        let turn = self.limiter.admit(self.class, &*self.waiting).await;
        (self.admitted)();
        turn
    }

    /// Sends a request, and reports the allowance in the reply to the budget.
    async fn send(
        &self,
        turn: Turn,
        path: &str,
        headers: [(header::HeaderName, &'static str); 2],
    ) -> Result<ClientResponse<impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static>, HorizonError>
    {
        let silence_max = self.silence_max();
        let mut request = self.client.get(format!("{}{path}", self.settings.url)).timeout(silence_max);
        for header in headers {
            request = request.insert_header(header);
        }
        let sent = request.send().await.inspect_err(|_| self.limiter.record_disruption());
        let response = sent.map_err(|error| match error {
            SendRequestError::Timeout => HorizonError::Silent(silence_max),
            error => HorizonError::Connect(error.to_string()),
        })?;
        if let Some(allowance) = allowance(response.headers()) {
            self.limiter.record_allowance(allowance);
        }
        // The head has arrived, so the request no longer counts as in flight.
        drop(turn);
        let checked = require_success(response, silence_max).await;
        match &checked {
            Err(HorizonError::RateLimited { retry_after }) => self.limiter.record_refusal(*retry_after),
            Err(HorizonError::Connect(_)) => {}
            _ => self.limiter.record_success(),
        }
        checked
    }
}

fn awc_client(
    dialler: &TcpDialler,
    keep_alive: Duration,
    age_max: Duration,
    dialled: &Rc<Cell<u64>>,
) -> Client {
    let connector = Connector::new()
        .connector(CountingDialler::new(dialler.clone(), Rc::clone(dialled)))
        .timeout(CONNECT_TIMEOUT)
        .conn_keep_alive(keep_alive)
        .conn_lifetime(age_max);
    Client::builder()
        .connector(connector)
        .timeout(SILENCE_MAX)
        // A redirect would bypass the budget and might lead to another network.
        .disable_redirects()
        .add_default_header((header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION"))))
        .finish()
}

fn side(name: &str, asset: &Asset) -> String {
    let kind = format!("{name}_asset_type={}", asset.kind());
    match asset {
        Asset::Native => kind,
        Asset::Issued { .. } => {
            format!("{kind}&{name}_asset_code={}&{name}_asset_issuer={}", asset.code(), asset.issuer())
        }
    }
}
