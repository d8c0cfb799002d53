//! Reading of a reply: the allowance in its headers, its status and its body.

use std::time::Duration;

use actix_web::http::header;
use awc::{ClientResponse, error::PayloadError};
use bytes::Bytes;
use futures_util::Stream;

use crate::{
    domain::{conversions::SaturatingFrom, plain_text::stripped, shown_url::shown_url},
    outbound::{
        body::{BodyError, BodyLimits, read_body},
        coding::{CodingError, decoded},
        retry::parse_retry_after,
    },
};

use super::{
    budget::Allowance,
    error::HorizonError,
    problem::{self, problem},
};

/// Timeout for a whole page, even if its bytes keep dripping.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most characters of a header in an error.
const HEADER_CHARS_MAX: usize = 200;

/// Allowance reported by the headers, or `None` if one of them is missing or not a number.
pub(super) fn allowance(headers: &header::HeaderMap) -> Option<Allowance> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let small = |name: &str| Some(u32::saturating_from(number(name)?));
    Some(Allowance {
        limit: small("x-ratelimit-limit")?,
        remaining: small("x-ratelimit-remaining")?,
        reset_s: number("x-ratelimit-reset")?,
    })
}

/// Returns the answer if its status is 2xx, else the error of its status and problem document.
pub(super) async fn require_success<S>(
    response: ClientResponse<S>,
    silence_max: Duration,
) -> Result<ClientResponse<S>, HorizonError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let status = response.status().as_u16();
    if response.status().is_success() {
        return Ok(response);
    }
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let retry_after = text(header::RETRY_AFTER).and_then(|text| parse_retry_after(&text));
    if status == 429 {
        return Err(HorizonError::RateLimited { retry_after });
    }
    if let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, text(header::LOCATION)) {
        return Err(HorizonError::Redirect { status, location: shortened(&shown_url(&location)) });
    }
    // Only a problem document of Horizon makes the status a statement about data.
    let content_type = text(header::CONTENT_TYPE);
    let body = read_reply(response, silence_max, problem::BYTES_MAX).await.unwrap_or_default();
    Err(match problem(content_type.as_deref(), status, &body) {
        Some(problem) => {
            HorizonError::Problem { status, kind: problem.kind, title: problem.title, retry_after }
        }
        None => HorizonError::Status { status, retry_after },
    })
}

/// Text of a header for a log line: printable and short.
pub(super) fn shortened(text: &str) -> String {
    stripped(text).chars().take(HEADER_CHARS_MAX).collect()
}

/// Reads and decodes a whole body. Fails if it exceeds `bytes_max`, or if no bytes arrive for `silence_max`.
pub(super) async fn read_reply<S>(
    mut response: ClientResponse<S>,
    silence_max: Duration,
    bytes_max: usize,
) -> Result<Bytes, HorizonError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let limits = BodyLimits { bytes_max, silence_max, timeout: BODY_TIMEOUT };
    let raw = read_body(&mut response, limits).await.map_err(|error| match error {
        BodyError::Payload(error) => HorizonError::Connect(error.to_string()),
        BodyError::Silent(limit) => HorizonError::Silent(limit),
        BodyError::TooLarge(bytes_max) => HorizonError::TooLarge(bytes_max),
    })?;
    let coding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    // Decode here: a page takes a millisecond or two, less than moving it to another thread would cost.
    decoded(coding, raw, bytes_max).map_err(|error| match error {
        CodingError::TooLarge(bytes_max) => HorizonError::TooLarge(bytes_max),
        error => HorizonError::Unreadable(error.to_string()),
    })
}
