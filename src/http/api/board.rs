//! `/api/v1/board/…`: the feed of the list of markets, of the pinned view.

use std::io;

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::{
    Document,
    board::{self, Board},
    listings::ListingView,
};

use super::{Asked, Form, ViewKind, answer, document::send_made, parameters::Parameters, views::PinnedView};
use crate::{
    domain::conversions::SaturatingFrom,
    http::{requests, state::PublicState},
};

const NAMES: &str = "/api/v1/board/names";
const FIGURES: &str = "/api/v1/board/figures";
const SPARKS: &str = "/api/v1/board/sparks";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, NAMES, names);
    requests::route(config, FIGURES, figures);
    requests::route(config, SPARKS, sparks);
}

async fn names(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["from"])?;
        let from = parameters.number("from", 0, i32::MAX.into())?.unwrap_or(0);
        // The same for equal answers, of which there are no more than markets.
        let from = board::names_from(&view.listing, i32::saturating_from(from));
        let file = match from {
            None => view.whole(NAMES, encoder(view, |view, board| board::names(view, board, 0))).await?,
            // Few pages read the same part, so brotli would cost more than it saves.
            Some(from) => {
                let publication = view.publication();
                let render = move |view: &ListingView| board::names(view, publication.board(view), from);
                view.document(format!("{NAMES}?{from}"), render).await?
            }
        };
        Ok(send_made(request, view, &file))
    })
    .await
}

async fn figures(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let file = view.whole(FIGURES, encoder(view, board::figures)).await?;
        Ok(send_made(request, view, &file))
    })
    .await
}

async fn sparks(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let file = view.whole(SPARKS, encoder(view, board::sparks)).await?;
        Ok(send_made(request, view, &file))
    })
    .await
}

/// Makes a document in brotli as well: every open page reads it again and again.
fn encoder(
    view: &PinnedView,
    render: impl FnOnce(&ListingView, &Board) -> Vec<u8> + Send + 'static,
) -> impl FnOnce(&ListingView) -> io::Result<Document> + Send + 'static {
    let publication = view.publication();
    move |view| Document::with_brotli(&render(view, publication.board(view)))
}
