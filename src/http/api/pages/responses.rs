//! Answers with pages: the headers, and errors as pages for clients that prefer HTML.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
    web,
};
use ticker_formats::{
    Document,
    listings::ListingView,
    pages::{self, TickerState},
};

use super::ticker_state::ticker_state;
use crate::http::{
    accept,
    api::{Wanted, error::ApiError, view, views::PinnedView},
    files::{Terms, send_on},
    labels::Labels,
    methods,
    problem::not_yet,
    state::PublicState,
};

/// Everything from this host, and no inline script or style.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
/// Errors and, at `/`, the page itself depend on `Accept`.
const VARY: &str = "Accept, Accept-Encoding";
/// Seconds after which a reader may ask again for what is not ready.
const RETRY_AFTER: &str = "5";

/// Answers GET and HEAD with the page that `make` makes of the view that is `wanted`. An error, and the time before the
/// first publication, are pages as well for clients that prefer HTML.
pub(super) async fn answer_page(
    request: HttpRequest,
    state: web::Data<PublicState>,
    wanted: Wanted,
    make: impl AsyncFnOnce(&HttpRequest, &PinnedView, TickerState) -> Result<HttpResponse, ApiError>,
) -> HttpResponse {
    if let Some(response) = methods::without_body(&request) {
        return response;
    }
    let ticker = ticker_state(&state);
    let made = match view(&state, wanted).await {
        Some(Ok(view)) => {
            let made = make(&request, &view, ticker.clone()).await;
            if made.is_ok() {
                state.published.note_answer(view.listing.seq(), view.listing.as_of());
            }
            made
        }
        Some(Err(error)) => Err(error),
        None => Ok(before_the_first(&request, &state, &ticker)),
    };
    made.unwrap_or_else(|error| refusal(&request, &error, &ticker))
}

/// 503 with the progress.
fn before_the_first(request: &HttpRequest, state: &PublicState, ticker: &TickerState) -> HttpResponse {
    if !accept::prefers_html(request) {
        return not_yet(&state.published.vitals);
    }
    fresh(request, StatusCode::SERVICE_UNAVAILABLE, &pages::starting(ticker))
}

fn refusal(request: &HttpRequest, error: &ApiError, ticker: &TickerState) -> HttpResponse {
    if !accept::prefers_html(request) {
        return error.response();
    }
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
    let terms = Terms { content_type: HTML, cache_control: "no-store", vary: VARY, labels: None, status };
    let mut response = send_on(request, &file, &terms);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    guard(response.headers_mut());
    response
}

/// Sends the page with this key, made by `render` if the view does not have it yet.
pub(super) async fn send(
    request: &HttpRequest,
    view: &PinnedView,
    key: String,
    render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    // The page is made once for all readers of a view, and small: brotli takes a millisecond.
    let file = view.encoded(key, |view| Document::with_brotli(&render(view))).await?;
    Ok(send_made(request, view, &file))
}

/// Sends the page with this key, if the view has it already. Then nothing needs to be read for it.
pub(super) fn kept(request: &HttpRequest, view: &PinnedView, key: &str) -> Option<HttpResponse> {
    view.kept(key).map(|file| send_made(request, view, &file))
}

fn send_made(request: &HttpRequest, view: &PinnedView, file: &Document) -> HttpResponse {
    let labels = Labels::of(view.listing.seq(), view.listing.as_of());
    let terms = Terms {
        content_type: HTML,
        cache_control: "public, max-age=1",
        vary: VARY,
        labels: Some(&labels),
        status: StatusCode::OK,
    };
    let mut response = send_on(request, file, &terms);
    guard(response.headers_mut());
    labels.add_to(response.headers_mut());
    response
}

/// Adds the headers that keep a page to this host.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
