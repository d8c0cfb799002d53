//! Client of a collector.

use std::{path::Path, time::Duration};

use actix_web::http::{StatusCode, header};
use awc::Connector;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use crate::{
    config::OtlpExport,
    outbound::{
        TcpDialler,
        retry::parse_retry_after,
        tls::{self, TlsError},
    },
};

/// Largest answer that is read. A collector only says how many spans it refused, and why.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest part of a collector's text in an error, in characters.
const REASON_CHARS_MAX: usize = 200;
const PROTOBUF: &str = "application/x-protobuf";

/// Client of the configured collector. It belongs to the thread that makes it.
#[derive(Clone)]
pub struct Client {
    client: awc::Client,
    url: String,
    timeout: Duration,
}

/// Spans that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The collector is not there, too slow or overloaded: try again later.
    #[error("{reason}")]
    Retry {
        /// Reason.
        reason: String,
        /// Wait that the collector asks for.
        after: Option<Duration>,
    },
    /// The collector does not want these spans.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Creates the client. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// The certificates of `ca_file` cannot be used.
    pub fn new(export: &OtlpExport, ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let (dialler, url) = TcpDialler::of(&export.url, tls::client_config(ca_file)?);
        let connector = Connector::new().connector(dialler).timeout(export.timeout);
        let mut client = awc::Client::builder()
            .connector(connector)
            .timeout(export.timeout)
            .disable_redirects()
            .add_default_header((header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION"))));
        for header in &export.headers {
            client = client.add_default_header(header.clone());
        }
        Ok(Self { client: client.finish(), url, timeout: export.timeout })
    }

    /// Sends spans. Returns what the collector says of them.
    ///
    /// # Errors
    ///
    /// None of them arrived, as far as known.
    pub async fn send(&self, request: &ExportTraceServiceRequest) -> Result<Taken, ExportError> {
        let answered = tokio::time::timeout(self.timeout, self.post(request)).await;
        answered.unwrap_or_else(|_| Err(retry(format!("no answer within {:?}", self.timeout))))
    }

    async fn post(&self, request: &ExportTraceServiceRequest) -> Result<Taken, ExportError> {
        let post = self.client.post(&self.url).insert_header((header::CONTENT_TYPE, PROTOBUF));
        let sent = post.send_body(request.encode_to_vec()).await;
        let mut answer = sent.map_err(|error| retry(error.to_string()))?;
        let status = answer.status();
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(parse_retry_after);
        let body = answer.body().limit(ANSWER_BYTES_MAX).await;
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                Err(ExportError::Retry { reason: format!("the collector answered {status}"), after })
            }
            _ if !status.is_success() => {
                Err(ExportError::Refused(format!("the collector refused the spans with {status}")))
            }
            // The spans have arrived, whatever became of the rest of the answer.
            _ => Ok(body.ok().map_or_else(Taken::default, |body| Taken::of(&body))),
        }
    }
}

/// Answer of a collector that took a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Spans of the request that it refused.
    pub refused: u64,
    /// Why it refused them, shortened.
    pub message: String,
}

impl Taken {
    /// Reads an answer. Anything that is not one says nothing.
    fn of(body: &[u8]) -> Self {
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let refused = u64::try_from(partial.rejected_spans).unwrap_or(0);
        Self { refused, message: shortened(&partial.error_message) }
    }
}

fn retry(reason: String) -> ExportError {
    ExportError::Retry { reason: shortened(&reason), after: None }
}

fn shortened(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}
