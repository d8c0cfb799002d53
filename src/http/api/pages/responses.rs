//! Answers with pages: the headers, and errors as pages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};
use ticker_formats::{
    Document,
    listings::ListingView,
    pages::{self, TickerState},
};

use crate::{
    domain::instant::UnixSeconds,
    http::{
        api::{error::ApiError, views::PinnedView},
        files::{FileHeaders, send_on},
        labels::Labels,
    },
};

/// Everything from this host, and no inline script or style.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
/// Errors and, at `/`, the page itself depend on `Accept`.
const VARY: &str = "Accept, Accept-Encoding";
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
        FileHeaders { content_type: HTML, cache_control: "no-store", vary: VARY, labels: None, status };
    let mut response = send_on(request, &file, &headers);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    guard(response.headers_mut());
    response
}

/// Sends the page with this key, made by `render` if the view does not have it yet. `now` is the time that it shows.
pub(super) async fn send(
    request: &HttpRequest,
    view: &PinnedView,
    now: UnixSeconds,
    key: String,
    render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    // The page is made once for all readers of a view, and small: brotli takes a millisecond.
    let encode = |view: &ListingView| Document::with_brotli(&render(view));
    let file = view.encoded_in(&view.pages(now), key, encode).await?;
    Ok(send_made(request, view, &file))
}

/// Sends the page with this key, if the view has it already. Then nothing needs to be read for it.
pub(super) fn kept(
    request: &HttpRequest,
    view: &PinnedView,
    now: UnixSeconds,
    key: &str,
) -> Option<HttpResponse> {
    view.pages(now).made(key).map(|file| send_made(request, view, &file))
}

fn send_made(request: &HttpRequest, view: &PinnedView, file: &Document) -> HttpResponse {
    let labels = Labels::of(view.listing.seq(), view.listing.as_of());
    let headers = FileHeaders {
        content_type: HTML,
        cache_control: "public, max-age=1",
        vary: VARY,
        labels: Some(&labels),
        status: StatusCode::OK,
    };
    let mut response = send_on(request, file, &headers);
    guard(response.headers_mut());
    labels.add_to(response.headers_mut());
    response
}

/// Adds the headers that keep a page to this host.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
