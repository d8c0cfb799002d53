//! Refusal of a body that is too large before it is sent, if the client asks first (`Expect: 100-continue`).

use actix_http::Request;
use actix_web::{
    HttpMessage, HttpResponse,
    body::BoxBody,
    dev::Response,
    http::{StatusCode, header},
};

use super::{graphql::BODY_BYTES_MAX, problem::problem};

/// Lets a request go on whose body no path refuses for its length alone.
///
/// # Errors
///
/// The answer to one whose body is too large, after which the connection is closed.
pub(super) async fn small_bodies(request: Request) -> Result<Request, Response<BoxBody>> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let most = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX);
    if length.is_some_and(|length| length > most) {
        let refused: HttpResponse =
            problem(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 64 KiB");
        return Err(refused.into());
    }
    Ok(request)
}
