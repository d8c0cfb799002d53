//! `/api/v1/board/…`: the feed of the list of markets, of the pinned view.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::{
    Document,
    board::{self, Board},
    listings::ListingView,
};

use super::{Wanted, answer, document::send_made, parameters::Parameters, views::PinnedView};
use crate::{
    domain::conversions::SaturatingFrom,
    http::{requests, state::PublicState},
};

const NAMES: &str = "/api/v1/board/names";
const FIGURES: &str = "/api/v1/board/figures";
const SPARKS: &str = "/api/v1/board/sparks";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    [NAMES, FIGURES, SPARKS].into_iter().for_each(requests::announce);
    config
        .route(NAMES, web::route().to(names))
        .route(FIGURES, web::route().to(figures))
        .route(SPARKS, web::route().to(sparks));
}

async fn names(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, NAMES, Wanted::Pinned, async |request, view| {
        let parameters = Parameters::read(request, &["from"])?;
        let from = parameters.number("from", 0, i32::MAX.into())?.unwrap_or(0);
        let from = i32::saturating_from(from);
        send(request, view, format!("{NAMES}?{from}"), move |view, board| board::names(view, board, from))
            .await
    })
    .await
}

async fn figures(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, FIGURES, Wanted::Pinned, async |request, view| {
        Parameters::read(request, &[])?;
        send(request, view, FIGURES.to_owned(), board::figures).await
    })
    .await
}

async fn sparks(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, SPARKS, Wanted::Pinned, async |request, view| {
        Parameters::read(request, &[])?;
        send(request, view, SPARKS.to_owned(), board::sparks).await
    })
    .await
}

/// Sends a document in brotli as well: every open page reads it again and again.
async fn send(
    request: &HttpRequest,
    view: &PinnedView,
    key: String,
    render: impl FnOnce(&ListingView, &Board) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, super::error::ApiError> {
    let publication = view.publication();
    let encode = move |view: &ListingView| Document::with_brotli(&render(view, publication.board(view)));
    let file = view.encoded(key, encode).await?;
    Ok(send_made(request, view, &file))
}
