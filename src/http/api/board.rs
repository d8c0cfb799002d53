//! `/api/v1/board/…`: the feed of the list of markets, of the pinned view.

use std::io;

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::{
    Document,
    board::{self, Board},
    listings::ListingView,
};

use super::{
    Asked, Form, ViewKind, answer,
    look::{Look, send_made},
    moment_view::Cache,
    parameters::Parameters,
};
use crate::{
    domain::conversions::SaturatingFrom,
    http::{requests, state::PublicState},
    published::ListedMoment,
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
        let from = board::names_from(view.listing(), i32::saturating_from(from));
        let file = match from {
            None => {
                view.made(Cache::Whole, NAMES.to_owned(), encoder(|view, board| board::names(view, board, 0)))
                    .await?
            }
            // Few pages read the same part, so brotli would cost more than it saves.
            Some(from) => {
                let encode = move |moment: &ListedMoment| {
                    Document::gzipped(&board::names(moment.view(), moment.board(), from))
                };
                view.made(Cache::Answers, format!("{NAMES}?{from}"), encode).await?
            }
        };
        Ok(send_made(request, view, &file, Look::Json))
    })
    .await
}

async fn figures(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let file = view.made(Cache::Whole, FIGURES.to_owned(), encoder(board::figures)).await?;
        Ok(send_made(request, view, &file, Look::Json))
    })
    .await
}

async fn sparks(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let file = view.made(Cache::Whole, SPARKS.to_owned(), encoder(board::sparks)).await?;
        Ok(send_made(request, view, &file, Look::Json))
    })
    .await
}

/// Makes a document in brotli as well: every open page reads it again and again.
fn encoder(
    render: impl FnOnce(&ListingView, &Board) -> Vec<u8> + Send + 'static,
) -> impl FnOnce(&ListedMoment) -> io::Result<Document> + Send + 'static {
    move |moment| Document::with_brotli(&render(moment.view(), moment.board()))
}
