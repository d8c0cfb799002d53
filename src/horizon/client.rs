//! The talking: pages and streams from one Horizon. Built on the arbiter that uses it, for awc is not `Send`.

use std::{path::PathBuf, time::Duration};

use actix_web::http::header;
use awc::{Client, ClientResponse, Connector, error::PayloadError};
use bytes::Bytes;
use futures_util::Stream;
use metrics::counter;

use crate::domain::{asset::Asset, cursor::PagingToken};

use super::{
    error::HorizonError,
    stream::TradeStream,
    tls,
    wire::{self, AssetRecord, Received, Refused, Root},
};

/// Records that a page or a stream can hold at most, by Horizon's own limit.
pub const LIMIT_MAX: u32 = 200;
/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the head of an answer is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Until a whole page is there.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest page that is read; one of 200 trades takes about 400 KB.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest `Retry-After` that is understood.
const RETRY_AFTER_SECONDS_MAX: u64 = 86_400;

/// How to reach a Horizon.
#[derive(Clone, Debug)]
pub struct HorizonSettings {
    /// Its base URL, without a slash at the end.
    pub url: String,
    /// Further certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// How long a stream may be silent. Longer than a slow ledger, for Horizon sends no heartbeats.
    pub stream_idle_timeout: Duration,
}

/// In which direction pages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From old to new.
    Ascending,
    /// From new to old.
    Descending,
}

/// A client of one Horizon.
#[derive(Clone)]
pub struct HorizonClient {
    client: Client,
    settings: HorizonSettings,
}

impl HorizonClient {
    /// A client; nothing is connected yet.
    pub fn new(settings: HorizonSettings) -> Result<Self, HorizonError> {
        let connector = Connector::new()
            .timeout(CONNECT_TIMEOUT)
            .handshake_timeout(CONNECT_TIMEOUT)
            .rustls_0_23(tls::client_config(settings.ca_file.as_deref())?);
        let client = Client::builder()
            .connector(connector)
            .timeout(HEAD_TIMEOUT)
            .disable_redirects()
            .add_default_header((header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION"))))
            .finish();
        Ok(Self { client, settings })
    }

    /// What the server tells of itself: its network and its history.
    pub async fn root(&self) -> Result<Root, HorizonError> {
        wire::root(&self.page("root", "/").await?)
    }

    /// A page of trades behind `cursor`, in the given direction; empty past the end.
    pub async fn trades_page(
        &self,
        cursor: Option<PagingToken>,
        order: Order,
        limit: u32,
    ) -> Result<Vec<Result<Received, Refused>>, HorizonError> {
        let order = match order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        let cursor = cursor.map(|token| format!("&cursor={token}")).unwrap_or_default();
        let path = format!("/trades?order={order}&limit={}{cursor}", limit.clamp(1, LIMIT_MAX));
        wire::trades_page(&self.page("trades", &path).await?)
    }

    /// What the server knows of one asset; none where it has never heard of it or nobody holds it any more.
    pub async fn asset(&self, asset: &Asset) -> Result<Option<AssetRecord>, HorizonError> {
        let path = format!("/assets?asset_code={}&asset_issuer={}", asset.code(), asset.issuer());
        let records = wire::assets_page(&self.page("asset", &path).await?)?;
        Ok(records.into_iter().find(|record| record.asset == *asset))
    }

    /// Opens the stream of trades behind `cursor`.
    pub async fn stream_trades(&self, cursor: PagingToken) -> Result<TradeStream, HorizonError> {
        let url = format!("{}/trades?cursor={cursor}&limit={LIMIT_MAX}", self.settings.url);
        let request = self
            .client
            .get(url)
            .insert_header((header::ACCEPT, "text/event-stream"))
            .insert_header((header::ACCEPT_ENCODING, "identity"))
            .no_decompress();
        let response = request.send().await.map_err(|error| HorizonError::Connect(error.to_string()));
        let response = counted("stream", good(counted("stream", response)?).await)?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(HorizonError::Unreadable("no event stream".into()));
        }
        counter!("ticker_horizon_requests_total", "kind" => "stream", "outcome" => "ok").increment(1);
        Ok(TradeStream::new(response, self.settings.stream_idle_timeout))
    }

    async fn page(&self, kind: &'static str, path: &str) -> Result<Bytes, HorizonError> {
        let page = counted(kind, self.fetch(path).await)?;
        counter!("ticker_horizon_requests_total", "kind" => kind, "outcome" => "ok").increment(1);
        Ok(page)
    }

    async fn fetch(&self, path: &str) -> Result<Bytes, HorizonError> {
        let request = self
            .client
            .get(format!("{}{path}", self.settings.url))
            .insert_header((header::ACCEPT, "application/json"))
            .insert_header((header::ACCEPT_ENCODING, "gzip"));
        let response = request.send().await.map_err(|error| HorizonError::Connect(error.to_string()))?;
        body(good(response).await?).await
    }
}

fn counted<T>(kind: &'static str, outcome: Result<T, HorizonError>) -> Result<T, HorizonError> {
    if let Err(error) = &outcome {
        counter!("ticker_horizon_requests_total", "kind" => kind, "outcome" => error.kind()).increment(1);
    }
    outcome
}

/// The answer if its status is 2xx, else what its status and its problem say.
async fn good<S>(response: ClientResponse<S>) -> Result<ClientResponse<S>, HorizonError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
    if status.as_u16() == 429 {
        return Err(HorizonError::RateLimited { retry_after });
    }
    let title = body(response).await.ok().and_then(|body| problem_title(&body)).unwrap_or_default();
    Err(HorizonError::Status { status: status.as_u16(), title })
}

/// The title of a problem document, made fit for one line of a log.
fn problem_title(body: &[u8]) -> Option<String> {
    const TITLE_CHARS_MAX: usize = 100;
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let title = problem.get("title")?.as_str()?;
    Some(title.chars().filter(|character| !character.is_control()).take(TITLE_CHARS_MAX).collect())
}

async fn body<S>(mut response: ClientResponse<S>) -> Result<Bytes, HorizonError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let read = response.body().limit(BODY_BYTES_MAX);
    match actix_rt::time::timeout(BODY_TIMEOUT, read).await {
        Err(_) => Err(HorizonError::Silent(BODY_TIMEOUT)),
        Ok(Err(PayloadError::Overflow)) => Err(HorizonError::TooLarge(BODY_BYTES_MAX)),
        Ok(Err(error)) => Err(HorizonError::Connect(error.to_string())),
        Ok(Ok(body)) => Ok(body),
    }
}
