//! CCXT's structures of one market (`/api/v1/ccxt`). Those of all markets are among the outputs.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    IdStyle, ListingView, MarketView,
    ccxt::{self, Page, TIMEFRAMES},
    history::{MarketHistory, oldest_held},
};

use super::{
    Asked, Form, ViewKind, answer,
    books::send_book,
    candle_reader,
    document::{self, send},
    error::ApiError,
    look::{Look, made_already},
    parameters::Parameters,
};
use crate::{
    domain::{conversions::SaturatingFrom, instant::UnixSeconds, market::Market},
    http::{requests, state::PublicState},
};

/// Default number of entries in an answer.
const LIMIT: i64 = 100;
/// Most entries of an answer.
const LIMIT_MAX: i64 = 1_000;
/// Most levels on each side of a book, as many as Horizon returns.
const LEVELS_MAX: i64 = 200;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for (path, style) in
        [("/api/v1/ccxt/ticker", IdStyle::Classic), ("/api/v1/contract/ccxt/ticker", IdStyle::Contract)]
    {
        requests::route(config, path, move |request, state| ticker(request, state, path, style));
    }
    // The other answers name no asset, so they are the same in both.
    for path in ["/api/v1/ccxt/orderbook", "/api/v1/contract/ccxt/orderbook"] {
        requests::route(config, path, orderbook);
    }
    for path in ["/api/v1/ccxt/trades", "/api/v1/contract/ccxt/trades"] {
        requests::route(config, path, trades);
    }
    for path in ["/api/v1/ccxt/ohlcv", "/api/v1/contract/ccxt/ohlcv"] {
        requests::route(config, path, ohlcv);
    }
}

/// Answers with the ticker of one market. `path` begins the key of the answer, which depends on the spelling of ids.
async fn ticker(
    request: HttpRequest,
    state: web::Data<PublicState>,
    path: &'static str,
    style: IdStyle,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["symbol"])?;
        let canonical = market(view.listing(), &parameters)?.name();
        send(request, view, format!("{path}/{canonical}"), move |view| {
            document::market(view, &canonical).map(|market| ccxt::ticker(&market, style)).unwrap_or_default()
        })
        .await
    })
    .await
}

async fn trades(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["symbol", "since", "limit"])?;
        let canonical = market(view.listing(), &parameters)?.name();
        let page = page(&parameters)?;
        let key = format!("ccxt_trades/{canonical}/{page:?}");
        send(request, view, key, move |view| {
            document::market(view, &canonical).map(|market| ccxt::trades(&market, page)).unwrap_or_default()
        })
        .await
    })
    .await
}

async fn ohlcv(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::read(request, &["symbol", "timeframe", "since", "limit"])?;
        let market = pair(view.listing(), &parameters)?;
        let names = TIMEFRAMES.map(|(name, _)| name);
        let wanted = parameters.word("timeframe", &names)?.unwrap_or("1m");
        let interval = TIMEFRAMES.iter().find(|(name, _)| *name == wanted).map(|(_, interval)| *interval);
        let interval = interval.ok_or_else(|| missing("timeframe"))?;
        let page = page(&parameters)?;
        let key = format!("ccxt_ohlcv/{}/{}/{page:?}", market.name(), interval.name());
        let (listing, buckets) = (view.listing(), interval.buckets());
        let limit = i64::saturating_from(page.limit);
        let from = match page.since {
            Some(since) => buckets.next_start(since),
            None => {
                let wanted =
                    buckets.start_of(listing.as_of()).minus((limit - 1).saturating_mul(buckets.seconds));
                buckets.next_start(oldest_held(listing)).min(wanted)
            }
        };
        let from = from.max(state.candles.oldest(listing, buckets));
        let (to, newest) = (UnixSeconds(i64::MAX), page.since.is_none());
        let wanted =
            candle_reader::CandleRange { buckets, from, to, limit: page.limit, newest, priced: true };
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let stored = state.candles.read_known(listing, market, wanted).await?;
        send(request, view, key, move |view| {
            ccxt::ohlcv(&MarketHistory::new(view, market, &stored), interval, from, page)
        })
        .await
    })
    .await
}

async fn orderbook(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::read(request, &["symbol", "limit"])?;
        let market = market(view.listing(), &parameters)?;
        let a_side = parameters.number("limit", 1, LEVELS_MAX)?.unwrap_or(LEVELS_MAX);
        let levels = state.books.read(view, &market.name(), usize::saturating_from(a_side)).await?;
        send_book(request, &ccxt::orderbook(&market, &levels))
    })
    .await
}

/// Market of `symbol=`: `BASE/QUOTE`, or the id of the market.
fn market<'a>(view: &'a ListingView, parameters: &Parameters) -> Result<MarketView<'a>, ApiError> {
    let symbol = parameters.text("symbol").ok_or_else(|| missing("symbol"))?;
    match view.market_of_ccxt(symbol) {
        Some(market) => Ok(market),
        None if symbol.contains('/') => Err(no_symbol()),
        None => document::market_in_order(view, symbol),
    }
}

/// The same, whether the market traded lately or not.
fn pair(view: &ListingView, parameters: &Parameters) -> Result<Market, ApiError> {
    let symbol = parameters.text("symbol").ok_or_else(|| missing("symbol"))?;
    match view.pair_of_ccxt(symbol) {
        Some(market) => Ok(market),
        None if symbol.contains('/') => Err(no_symbol()),
        None => document::pair_in_order(view, symbol),
    }
}

fn no_symbol() -> ApiError {
    ApiError::NotFound("there is no such symbol; /api/v1/ccxt/markets lists them".to_owned())
}

/// `since` in milliseconds since 1970, and `limit`.
fn page(parameters: &Parameters) -> Result<Page, ApiError> {
    // A time within a second begins with the next one: ledgers close at whole seconds.
    let since = parameters.number("since", 0, i64::MAX)?.map(|ms| ms.saturating_add(999) / 1_000);
    let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT);
    Ok(Page { since: since.map(UnixSeconds), limit: usize::saturating_from(limit) })
}

fn missing(name: &str) -> ApiError {
    ApiError::BadParameter(format!("{name} is missing"))
}
