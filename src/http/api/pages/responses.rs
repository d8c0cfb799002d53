//! Answers with pages: the headers, and errors as pages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use ticker_formats::{
    Document,
    pages::{self, TickerState},
};

use crate::{
    http::{
        api::{
            error::ApiError,
            look::{HTML, Look, PAGE_VARY, send_made},
            moment_view::MomentView,
        },
        files::{FileHeaders, send_on},
        page_guard::{PAGE_POLICY, guard},
    },
    published::ListedMoment,
};

/// Seconds after which a reader may ask again for what is not ready.
const RETRY_AFTER: &str = "5";

/// 503 with the progress.
pub(in crate::http::api) fn before_the_first(request: &HttpRequest, ticker: &TickerState) -> HttpResponse {
    fresh(request, StatusCode::SERVICE_UNAVAILABLE, &pages::starting(ticker))
}

/// Page about an error.
pub(in crate::http::api) fn refusal(
    request: &HttpRequest,
    error: &ApiError,
    ticker: &TickerState,
) -> HttpResponse {
    let status = error.status();
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        _ => "Not available at the moment",
    };
    fresh(request, status, &pages::missing(title, &error.to_string(), ticker))
}

/// Page that no cache may store, compressed if the client accepts that.
pub(super) fn fresh(request: &HttpRequest, status: StatusCode, page: &[u8]) -> HttpResponse {
    let Ok(file) = Document::gzipped(page) else {
        return ApiError::Compression.response();
    };
    let headers =
        FileHeaders { content_type: HTML, cache_control: "no-store", vary: PAGE_VARY, labels: None, status };
    let mut response = send_on(request, &file, &headers);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    guard(response.headers_mut(), PAGE_POLICY);
    response
}

/// Sends the page with this key and look, made by `render` if the view does not have it yet.
pub(super) async fn send(
    request: &HttpRequest,
    view: &MomentView,
    look: Look,
    key: String,
    render: impl FnOnce(&ListedMoment) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    // The page is made once for all readers of a view, and small: brotli takes a millisecond.
    let encode = |moment: &ListedMoment| Document::with_brotli(&render(moment));
    let file = view.made(look.cache(), key, encode).await?;
    Ok(send_made(request, view, &file, look))
}
