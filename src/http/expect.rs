//! Refusal of a body that is too large before the client sends it, for `Expect: 100-continue`.

use std::rc::Rc;

use actix_http::Request;
use actix_web::{
    HttpMessage, HttpResponse,
    body::BoxBody,
    dev::Response,
    http::{StatusCode, header},
};

use super::{
    problem::problem,
    request_gate::{BODY_BYTES_MAX, Phase, RequestGate},
};
use crate::domain::conversions::SaturatingFrom;

/// Accepts a request whose announced body is within the limit.
///
/// # Errors
///
/// The answer 413 for a larger body. The connection is closed after it.
pub(super) async fn small_bodies(request: Request) -> Result<Request, Response<BoxBody>> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let most = u64::saturating_from(BODY_BYTES_MAX);
    if length.is_some_and(|length| length > most) {
        // No handler begins this request. actix discards what the client sends nevertheless.
        if let Some(gate) = request.conn_data::<Rc<RequestGate>>() {
            gate.begin(Phase::Refused);
            gate.end();
        }
        let refused: HttpResponse =
            problem(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 64 KiB");
        return Err(refused.into());
    }
    Ok(request)
}
