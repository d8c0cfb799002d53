//! The ticker's own API: pages of markets, single markets and assets, prices, trades.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use ticker_formats::listings::own;

use super::{
    Asked, Form, ViewKind, answer,
    document::{self, redirect, send},
    error::ApiError,
    market_query::MarketQuery,
    parameters::{Parameters, first_held},
};
use crate::{
    domain::{
        conversions::SaturatingFrom,
        instant::{DAY, UnixSeconds},
    },
    http::{requests, state::PublicState},
};

/// Most assets in one question for prices.
const PRICES_MAX: usize = 200;
/// Default number of trades in an answer.
const TRADES: i64 = 100;
/// Most trades of an answer.
const TRADES_MAX: i64 = 10_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/markets", markets);
    requests::route(config, "/api/v1/markets/{name}", market);
    requests::route(config, "/api/v1/markets/{name}/trades", trades);
    requests::route(config, "/api/v1/assets/{name}", asset);
    requests::route(config, "/api/v1/assets/{name}/supply", supply);
    requests::route(config, "/api/v1/prices", prices);
}

async fn markets(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, state }| {
        let query = MarketQuery::read(request)?;
        let of_cursor = query.view_of_cursor(&state.views)?;
        let view = of_cursor.as_deref().unwrap_or(view);
        // Checked before the document is made, so that an error is not cached. The rest cannot fail.
        query.assets(view.listing())?;
        send(request, view, format!("markets?{}", query.key()), move |view| query.render(view)).await
    })
    .await
}

async fn market(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let canonical = document::market(view.listing(), &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("market/{canonical}"), move |view| {
            document::market(view, &canonical)
                .map(|market| own::to_bytes(&own::market(&market)))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn trades(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["from", "to", "limit"])?;
        let canonical = document::market(view.listing(), &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let as_of = view.listing().as_of();
        let limit = parameters.number("limit", 1, TRADES_MAX)?.unwrap_or(TRADES);
        let limit = usize::saturating_from(limit);
        let span = parameters.span()?;
        let from = first_held(span, ["from", "to"], DAY, as_of)?;
        // The network's clock may be ahead of ours.
        let to = span.1.unwrap_or(UnixSeconds(i64::MAX));
        let key = format!("trades/{canonical}/{}/{}/{limit}", from.0, to.0);
        send(request, view, key, move |view| {
            document::market(view, &canonical)
                .map(|market| own::trades(&market, from, to, limit))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn asset(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let canonical = document::asset(view.listing(), &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("asset/{canonical}"), move |view| {
            let asset = document::asset(view, &canonical);
            asset.map(|asset| own::to_bytes(&own::asset(&asset, view))).unwrap_or_default()
        })
        .await
    })
    .await
}

/// One plain number, which CoinGecko reads.
async fn supply(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        Parameters::read(request, &[])?;
        let asset = document::asset(view.listing(), &name)?;
        if let Some(redirect) = redirect(request, &name, &asset.name()) {
            return Ok(redirect);
        }
        let unknown = || ApiError::NotFound("the supply of this asset is not known".to_owned());
        let supply = asset.supply().ok_or_else(unknown)?;
        let key = format!("supply/{}", asset.name());
        let mut response = send(request, view, key, move |_| supply.into_bytes()).await?;
        if response.status() == StatusCode::OK {
            let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
        }
        Ok(response)
    })
    .await
}

async fn prices(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["assets"])?;
        let names = parameters.text("assets").filter(|names| !names.is_empty()).ok_or_else(|| {
            ApiError::BadParameter("assets is missing: up to 200 assets, separated by commas".to_owned())
        })?;
        let names: Vec<&str> = names.split(',').collect();
        if names.len() > PRICES_MAX {
            return Err(ApiError::BadParameter(format!("at most {PRICES_MAX} assets at once")));
        }
        let assets = names.iter().map(|name| document::spelled(name)).collect::<Result<Vec<_>, _>>()?;
        let key = format!("prices?{assets:?}");
        send(request, view, key, move |view| own::prices(view, &assets)).await
    })
    .await
}
