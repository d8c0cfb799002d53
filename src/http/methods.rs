//! Methods that a path allows.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};

use super::{cors::any_origin, problem::problem, requests};

/// Adds a route that answers as [`answer`] does.
pub(super) fn route(
    config: &mut web::ServiceConfig,
    path: &'static str,
    handler: fn(&HttpRequest) -> HttpResponse,
) {
    let respond = move |request: HttpRequest| async move { answer(&request, || handler(&request)) };
    requests::route(config, path, respond);
}

/// Answers GET and HEAD by `handler` and OPTIONS with the allowed methods, and refuses other methods.
pub(super) fn answer(request: &HttpRequest, handler: impl FnOnce() -> HttpResponse) -> HttpResponse {
    without_body(request).unwrap_or_else(handler)
}

/// Answers OPTIONS with the allowed methods, and refuses other methods than GET and HEAD. `None` for these two.
pub(super) fn without_body(request: &HttpRequest) -> Option<HttpResponse> {
    const ALLOWED: &str = "GET, HEAD, OPTIONS";
    Some(match *request.method() {
        Method::GET | Method::HEAD => return None,
        Method::OPTIONS => options(ALLOWED),
        _ => {
            let mut refused = problem(StatusCode::METHOD_NOT_ALLOWED, "this path only supports GET and HEAD");
            refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(ALLOWED));
            refused
        }
    })
}

/// Answer to OPTIONS of a path with these methods. Web pages of any host may use them.
pub(super) fn options(allowed: &'static str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ALLOW, allowed))
        .insert_header(any_origin())
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, allowed))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}
