//! Sending of documents, and resolution of the assets and markets that a path names.

use std::io::{self, Write};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
};
use ticker_formats::listings::{AssetView, IdStyle, ListingView, MarketView, coinmarketcap};

use super::{
    error::ApiError,
    look::{Look, send_made},
    moment_view::MomentView,
};
use crate::{
    domain::{asset::Asset, identity::SpelledAsset, market::Market},
    http::cors::any_origin,
    published::{Document, ListedMoment},
};

/// Sends the document with this key, made by `render` if the view does not have it yet. Compressed by gzip only,
/// since its reader waits.
pub(super) async fn send(
    request: &HttpRequest,
    view: &MomentView,
    key: String,
    render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let encode = |moment: &ListedMoment| Document::gzipped(&render(moment.view()));
    let file = view.made(Look::Json.cache(), key, encode).await?;
    Ok(send_made(request, view, &file, Look::Json))
}

/// Sends the document with this key, compressed while `render` writes it, so that a large one is never in memory as a
/// whole.
pub(super) async fn send_written(
    request: &HttpRequest,
    view: &MomentView,
    key: String,
    render: impl FnOnce(&ListingView, &mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let encode = |moment: &ListedMoment| Document::written(|out| render(moment.view(), out));
    let file = view.made(Look::Json.cache(), key, encode).await?;
    Ok(send_made(request, view, &file, Look::Json))
}

/// Asset that a text spells, whether it is traded or not.
pub(super) fn spelled(text: &str) -> Result<SpelledAsset, ApiError> {
    text.parse().map_err(|error| ApiError::BadParameter(format!("{}: {error}", shown(text))))
}

/// Asset that a path or an argument names.
pub(super) fn asset<'a>(view: &'a ListingView, text: &str) -> Result<AssetView<'a>, ApiError> {
    view.find(&spelled(text)?)
        .ok_or_else(|| ApiError::NotFound(format!("{} is not traded here", shown(text))))
}

/// Market that a path or an argument names: two assets with `_` between them.
pub(super) fn market<'a>(view: &'a ListingView, text: &str) -> Result<MarketView<'a>, ApiError> {
    let (one, other) = assets_of(view, text)?;
    view.market_between(&one, &other)
        .ok_or_else(|| ApiError::NotFound(format!("{} has had no trade in the last 7 days", shown(text))))
}

/// Assets of a market that a path or an argument names. They may never have traded with each other.
pub(super) fn assets_of<'a>(
    view: &'a ListingView,
    text: &str,
) -> Result<(AssetView<'a>, AssetView<'a>), ApiError> {
    let (one, other) = sides(text)?;
    let (one, other) = (asset(view, one)?, asset(view, other)?);
    if one.id() == other.id() {
        return Err(no_market(text));
    }
    Ok((one, other))
}

/// The same, for an answer that does not name its market: a reader who exchanges the sides would take a price for its
/// inverse.
pub(super) fn market_in_order<'a>(view: &'a ListingView, text: &str) -> Result<MarketView<'a>, ApiError> {
    let market = market(view, text)?;
    let (base, _) = assets_of(view, text)?;
    if base.id() == market.base().id() { Ok(market) } else { Err(exchanged(text, &market.name())) }
}

/// Like [`pair`], for an answer that does not name its market.
pub(super) fn pair_in_order(view: &ListingView, text: &str) -> Result<Market, ApiError> {
    let market = pair(view, text)?;
    let (base, _) = sides(text)?;
    if identity(view, base)? == *market.quoted().0 {
        Ok(market)
    } else {
        Err(exchanged(text, &market.name()))
    }
}

/// Market of a path of CoinMarketCap: two symbols or assets with `_` between them.
pub(super) fn market_of_symbols<'a>(view: &'a ListingView, text: &str) -> Result<MarketView<'a>, ApiError> {
    view.market_of_symbols(text).map_or_else(|| market_in_order(view, text), Ok)
}

/// Redirects (301) such a path to the name that `summary` and `ticker` of the same style print, also if its sides are
/// exchanged. Returns `None` if the path has that name or the market's full id, or if it names no market.
pub(super) fn redirect_symbols(
    request: &HttpRequest,
    view: &ListingView,
    text: &str,
    style: IdStyle,
) -> Option<HttpResponse> {
    let (one, other) = text.split_once('_')?;
    let exchanged = || view.market_of_symbols(&format!("{other}_{one}"));
    let market = view.market_of_symbols(text).or_else(exchanged)?;
    if text == market.name() {
        return None;
    }
    let mut redirect = redirect(request, text, &coinmarketcap::pair_name(&market, style))?;
    // A symbol may stand for another asset later.
    redirect.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=10"));
    Some(redirect)
}

fn exchanged(text: &str, name: &str) -> ApiError {
    ApiError::NotFound(format!("{} has its sides exchanged: the market is {name}", shown(text)))
}

fn no_market(text: &str) -> ApiError {
    ApiError::NotFound(format!("{} is one asset, not a market", shown(text)))
}

/// Assets of a market that a path or an argument names, whether they traded lately or not.
pub(super) fn pair(view: &ListingView, text: &str) -> Result<Market, ApiError> {
    let (one, other) = sides(text)?;
    let sides = Market::of(identity(view, one)?, identity(view, other)?);
    let (market, _) = sides.ok_or_else(|| no_market(text))?;
    Ok(market)
}

/// Asset that a path or an argument names, whether it traded lately or not. A contract id
/// stands for a traded asset only.
pub(super) fn identity(view: &ListingView, text: &str) -> Result<Asset, ApiError> {
    match spelled(text)? {
        SpelledAsset::Classic(asset) => Ok(asset),
        SpelledAsset::Contract(_) => Ok(*asset(view, text)?.asset()),
    }
}

fn sides(text: &str) -> Result<(&str, &str), ApiError> {
    text.split_once('_').ok_or_else(|| {
        ApiError::BadParameter(
            "a market must be BASE_QUOTE, two assets with _ between them, such as XLM_CODE-ISSUER".into(),
        )
    })
}

/// Redirect (301) to the same address with `canonical` in place of `spelled`, or `None` if they are equal.
pub(super) fn redirect(request: &HttpRequest, spelled: &str, canonical: &str) -> Option<HttpResponse> {
    if spelled == canonical {
        return None;
    }
    // The pattern, because a path may hold the name in percent-encoding.
    let path = request.match_pattern()?.replacen("{name}", canonical, 1);
    let query = request.query_string();
    let mark = if query.is_empty() { "" } else { "?" };
    Some(
        HttpResponse::MovedPermanently()
            .insert_header((header::LOCATION, format!("{path}{mark}{query}")))
            .insert_header(any_origin())
            .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
            .finish(),
    )
}

/// A stranger's text, short and without hidden characters.
fn shown(text: &str) -> String {
    let plain = crate::domain::plain_text::shown(text);
    plain.chars().take(200).collect()
}
