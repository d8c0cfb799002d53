//! The market API and the formats of listing sites (`/api/v1`).
//!
//! Documents of many markets come from a view that is pinned for ten seconds, so that all of them agree and each is
//! rendered once. A single market comes from the newest publication.

mod board;
pub(super) mod book_reader;
mod books;
pub(super) mod candle_reader;
mod candles;
mod ccxt;
mod document;
mod error;
mod explain;
mod form;
mod handlers;
mod listings;
mod market_query;
mod pages;
mod parameters;
mod price_at;
mod still_pages;
pub(super) mod stream;
mod udf;
pub(super) mod views;
mod volume;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{methods, problem::not_yet, state::PublicState};
use crate::published::Published;
use error::ApiError;
use form::Form;
pub(super) use pages::list as list_page;
use views::{PinnedView, Views};

/// Adds the routes of the API.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    handlers::routes(config);
    listings::routes(config);
    books::routes(config);
    pages::routes(config);
    candles::routes(config);
    udf::routes(config);
    explain::routes(config);
    stream::routes(config);
    ccxt::routes(config);
    volume::routes(config);
    price_at::routes(config);
    board::routes(config);
}

/// A request for a document, and the view that the document is made of.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a HttpRequest,
    view: &'a PinnedView,
    state: &'a PublicState,
}

/// Answers GET and HEAD with what `make` makes of a view of this kind. An error, and the time before the first
/// publication, are answered in this form.
async fn answer(
    form: Form<'_>,
    request: &HttpRequest,
    state: &PublicState,
    kind: ViewKind,
    make: impl AsyncFnOnce(Asked<'_>) -> Result<HttpResponse, ApiError>,
) -> HttpResponse {
    if let Some(response) = methods::without_body(request) {
        return response;
    }
    let made = match view(state, kind).await {
        Some(Ok(view)) => {
            let made = make(Asked { request, view: &view, state }).await;
            if made.is_ok() {
                state.published.note_answer(view.listing.seq(), view.listing.as_of());
            }
            made
        }
        Some(Err(error)) => Err(error),
        None => return form.not_yet(request, &state.published.vitals),
    };
    made.unwrap_or_else(|error| form.refusal(request, &error))
}

/// Returns the id of a market that an operator spells. Markets without a trade in the last 7 days are not found.
pub(super) async fn market_id(published: &Published, views: &Views, name: &str) -> Result<i64, HttpResponse> {
    let newest = published.newest().ok_or_else(|| not_yet(&published.vitals))?;
    let view = views.live(&newest).await.map_err(|error| error.response())?;
    let market = document::market(&view.listing, name).map_err(|error| error.response())?;
    Ok(i64::from(market.id()))
}

/// Kind of the view that a document is made of.
#[derive(Clone, Copy)]
enum ViewKind {
    /// The view that is pinned for ten seconds.
    Pinned,
    /// The newest publication.
    Live,
}

async fn view(state: &PublicState, kind: ViewKind) -> Option<Result<std::sync::Arc<PinnedView>, ApiError>> {
    let newest = state.published.newest()?;
    Some(match kind {
        ViewKind::Pinned => state.views.pinned(&newest).await,
        ViewKind::Live => state.views.live(&newest).await,
    })
}
