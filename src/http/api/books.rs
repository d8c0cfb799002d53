//! Order books with their levels: the own format, CoinGecko's and CoinMarketCap's.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{IdStyle, orderbook};

use super::{
    Asked, Form, ViewKind, answer,
    document::{self, redirect},
    error::ApiError,
    parameters::Parameters,
};
use crate::{
    domain::{conversions::SaturatingFrom, instant::UnixSeconds},
    http::{
        cors::any_origin,
        files::{self, FileHeaders},
        requests,
        state::PublicState,
    },
    published::Document,
};

/// Most levels on each side, as many as Horizon returns.
const SIDE_MAX: i64 = 200;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/markets/{name}/orderbook", own);
    for (path, style) in [
        ("/api/v1/coingecko/orderbook", IdStyle::Classic),
        ("/api/v1/contract/coingecko/orderbook", IdStyle::Contract),
    ] {
        requests::route(config, path, move |request, state| coingecko(request, state, style));
    }
    // The answer names no asset, so it is the same in both. The redirects are not.
    for (path, style) in [
        ("/api/v1/coinmarketcap/orderbook/{name}", IdStyle::Classic),
        ("/api/v1/contract/coinmarketcap/orderbook/{name}", IdStyle::Contract),
    ] {
        requests::route(config, path, move |request, state, name| coinmarketcap(request, state, name, style));
    }
}

async fn own(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::read(request, &["limit"])?;
        let market = document::market(view.listing(), &name)?;
        if let Some(redirect) = redirect(request, &name, &market.name()) {
            return Ok(redirect);
        }
        let a_side = parameters.number("limit", 1, SIDE_MAX)?.unwrap_or(SIDE_MAX);
        let levels = state.books.read(view, &name, usize::saturating_from(a_side)).await?;
        send_book(request, &orderbook::own(&market, &levels, UnixSeconds::from(state.clock.now())))
    })
    .await
}

async fn coingecko(request: HttpRequest, state: web::Data<PublicState>, style: IdStyle) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(request, &["ticker_id", "depth"])?;
        let missing = || ApiError::BadParameter("ticker_id is missing".to_owned());
        let name = parameters.text("ticker_id").ok_or_else(missing)?;
        let levels = state.books.read(view, name, a_side(&parameters)?).await?;
        let market = document::market(view.listing(), name)?;
        send_book(request, &orderbook::coingecko(&market, &levels, style))
    })
    .await
}

async fn coinmarketcap(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
    style: IdStyle,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(request, &["depth", "level"])?;
        let level = parameters.number("level", 1, 3)?.unwrap_or(3);
        let a_side = if level == 1 { 1 } else { a_side(&parameters)? };
        if let Some(redirect) = document::redirect_symbols(request, view.listing(), &name, style) {
            return Ok(redirect);
        }
        let canonical = document::market_of_symbols(view.listing(), &name)?.name();
        let levels = state.books.read(view, &canonical, a_side).await?;
        send_book(request, &orderbook::coinmarketcap(&levels))
    })
    .await
}

/// Levels of each side: `depth` counts both, and 0 or none means all.
fn a_side(parameters: &Parameters) -> Result<usize, ApiError> {
    let depth = parameters.number("depth", 0, 10_000)?.unwrap_or(0);
    let a_side = if depth == 0 { SIDE_MAX } else { (depth / 2).clamp(1, SIDE_MAX) };
    Ok(usize::saturating_from(a_side))
}

/// Sends the JSON of a book. Takes a fraction of a millisecond for the largest one.
pub(super) fn send_book(request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, ApiError> {
    let document = Document::gzipped(body).map_err(|_| ApiError::Compression)?;
    // A book is polled every few minutes.
    let headers = FileHeaders::unlabelled("application/json", "public, max-age=5");
    let mut response = files::send_on(request, &document, &headers);
    let (name, value) = any_origin();
    response.headers_mut().insert(name, value);
    Ok(response)
}
