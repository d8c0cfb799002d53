//! The market API and the formats of listing sites (`/api/v1`).
//!
//! Documents of many markets come from a view that is pinned for ten seconds, so that all of them agree and each is
//! rendered once. A single market comes from the newest publication.

mod board;
pub(super) mod book_ages;
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
mod look;
mod market_query;
mod moment_view;
mod pages;
mod parameters;
mod price_at;
mod still_pages;
mod stored_books;
pub(super) mod stream;
mod turns;
mod udf;
pub(super) mod views;
mod volume;

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};

use super::{methods, problem::not_yet, state::PublicState};
use crate::published::{Publication, Published};
use error::ApiError;
use form::Form;
use moment_view::MomentView;
pub(super) use pages::list as list_page;
use views::Views;

/// Longest time that a reader waits for an answer. An answer may wait for several turns and reads, one after the
/// other, each of which has a limit of its own. `deploy/nginx-ha.conf` waits a second longer, and then asks the other
/// replica.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Adds the routes of the API.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    handlers::routes(config);
    listings::routes(config);
    books::routes(config);
    book_ages::routes(config);
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
    view: &'a MomentView,
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
    let Some(newest) = state.published.newest() else {
        return form.not_yet(request, &state.published.vitals);
    };
    let made = in_time(async {
        let view = view(state, kind, &newest).await?;
        let made = make(Asked { request, view: &view, state }).await?;
        view.moment().first_answer.end();
        Ok(made)
    });
    made.await.unwrap_or_else(|error| form.refusal(request, &error))
}

/// Makes an answer within [`ANSWER_MAX`]. After that, computations that already have their turn continue, and the
/// view keeps the documents that they make for the next reader. Everything else is cancelled.
async fn in_time<T>(making: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(ANSWER_MAX, making).await.unwrap_or(Err(ApiError::Busy))
}

/// Returns the id of a market that an operator spells. Markets without a trade in the last 7 days are not found.
pub(super) async fn market_id(published: &Published, views: &Views, name: &str) -> Result<i64, HttpResponse> {
    let newest = published.newest().ok_or_else(|| not_yet(&published.vitals))?;
    let view = views.live(&newest).await.map_err(|error| error.response())?;
    let market = document::market(view.listing(), name).map_err(|error| error.response())?;
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

async fn view(
    state: &PublicState,
    kind: ViewKind,
    newest: &Publication,
) -> Result<Arc<MomentView>, ApiError> {
    match kind {
        ViewKind::Pinned => state.views.pinned(newest).await,
        ViewKind::Live => state.views.live(newest).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_an_answer_together_have_one_limit() {
        let begun = tokio::time::Instant::now();
        let waiting = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Ok(())
        };
        assert!(matches!(in_time(waiting).await, Err(ApiError::Busy)));
        assert_eq!(begun.elapsed(), ANSWER_MAX);
        assert!(in_time(async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn the_balancer_waits_longer_than_an_answer_takes() {
        let conf = include_str!("../../deploy/nginx-ha.conf");
        let waits = conf.split("proxy_read_timeout ").skip(1);
        let waits = waits.map(|rest| rest.split_once("s;").unwrap().0.parse::<u64>().unwrap());
        assert!(waits.min().is_some_and(|shortest| Duration::from_secs(shortest) > ANSWER_MAX));
    }
}
