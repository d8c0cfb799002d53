//! TradingView's UDF under `/udf`. Its errors are those of the protocol.

pub(super) mod responses;

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    ListingView,
    history::{MarketHistory, StoredPart, oldest_held},
    udf::{self, BARS_MAX, HistoryQuery, RESOLUTIONS},
};

use super::{
    Asked, Form, ViewKind, answer,
    candle_reader::{self, CandleReader},
    document::{self, send},
    error::ApiError,
    look::{Look, made_already},
    moment_view::MomentView,
    parameters::Parameters,
};
use crate::{
    domain::{conversions::SaturatingFrom, instant::UnixSeconds, market::Market},
    http::{methods, requests, state::PublicState},
};
use responses::open;

/// Default number of results of a search.
const FOUND: i64 = 30;
/// Most results of a search.
const FOUND_MAX: i64 = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    methods::route(config, "/udf/config", |_| open("application/json", udf::config()));
    requests::route(config, "/udf/symbols", symbols);
    requests::route(config, "/udf/search", search);
    requests::route(config, "/udf/history", history);
    requests::route(config, "/udf/time", time);
}

/// Seconds since 1970, as plain text.
async fn time(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    methods::answer(&request, || {
        open("text/plain; charset=utf-8", state.clock.now().timestamp().to_string().into_bytes())
    })
}

async fn symbols(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Udf, &request, &state, ViewKind::Pinned, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(request, &["symbol", "currencyCode", "unitId"])?;
        let symbol = parameters.text("symbol").unwrap_or_default();
        let market = document::pair(view.listing(), symbol)?;
        let key = format!("udf_symbol/{}", market.name());
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let stored = state.candles.read_last(view.listing(), market).await?;
        let render = move |view: &ListingView| udf::symbol(&MarketHistory::new(view, market, &stored));
        send(request, view, key, render).await
    })
    .await
}

async fn search(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Udf, &request, &state, ViewKind::Pinned, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(request, &["query", "limit", "type", "exchange"])?;
        let limit = parameters.number("limit", 1, i64::MAX)?.unwrap_or(FOUND).min(FOUND_MAX);
        let limit = usize::saturating_from(limit);
        let query = parameters.text("query").unwrap_or_default();
        if let Some(found) = found_by_id(request, view, &state.candles, query).await? {
            return Ok(found);
        }
        // The search ignores case, so all spellings share an answer.
        let query = query.to_lowercase();
        let key = format!("udf_search?{limit}&{query}");
        send(request, view, key, move |view| udf::search(view, &query, limit)).await
    })
    .await
}

/// Answers a search for the id of a market whose last trade is older than 7 days. No other search needs the database.
async fn found_by_id(
    request: &HttpRequest,
    view: &MomentView,
    reader: &CandleReader,
    query: &str,
) -> Result<Option<HttpResponse>, ApiError> {
    let (listing, nothing) = (view.listing(), StoredPart::default());
    let Ok(market) = document::pair(listing, query) else { return Ok(None) };
    if MarketHistory::new(listing, market, &nothing).is_known() {
        return Ok(None);
    }
    let key = format!("udf_found/{}", market.name());
    if let Some(made) = made_already(request, view, &key, Look::Json) {
        return Ok(Some(made));
    }
    let stored = match reader.read_last(listing, market).await {
        Ok(stored) => stored,
        Err(ApiError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let render = move |view: &ListingView| udf::found_by_id(&MarketHistory::new(view, market, &stored));
    send(request, view, key, render).await.map(Some)
}

async fn history(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Udf, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(
            request,
            &["symbol", "resolution", "from", "to", "countback", "currencyCode", "unitId"],
        )?;
        let missing = |name: &str| ApiError::BadParameter(format!("{name} is missing"));
        let symbol = parameters.text("symbol").ok_or_else(|| missing("symbol"))?;
        let market = document::pair_in_order(view.listing(), symbol)?;
        let query = history_query(view.listing(), &parameters)?;
        let key = format!("udf_history/{}/{query:?}", market.name());
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let (query, stored) = stored(view, &state.candles, market, query).await?;
        let render =
            move |view: &ListingView| udf::history(&MarketHistory::new(view, market, &stored), query);
        send(request, view, key, render).await
    })
    .await
}

fn history_query(view: &ListingView, parameters: &Parameters) -> Result<HistoryQuery, ApiError> {
    let missing = || ApiError::BadParameter("resolution is missing".to_owned());
    let names = RESOLUTIONS.map(|(name, _)| name);
    // The library also writes D for 1D, and W for 1W.
    let resolution = match parameters.text("resolution") {
        Some("D") => "1D",
        Some("W") => "1W",
        _ => parameters.word("resolution", &names)?.ok_or_else(missing)?,
    };
    let interval = RESOLUTIONS.iter().find(|(name, _)| *name == resolution).map(|(_, interval)| *interval);
    let interval = interval.ok_or_else(missing)?;
    let countback = parameters.number("countback", 1, i64::MAX)?;
    Ok(HistoryQuery {
        interval,
        held: interval.buckets().next_start(oldest_held(view)),
        from: UnixSeconds(parameters.number("from", i64::MIN, i64::MAX)?.unwrap_or(0)),
        to: UnixSeconds(parameters.number("to", i64::MIN, i64::MAX)?.unwrap_or(i64::MAX)),
        countback: countback.map(|count| usize::saturating_from(count).min(BARS_MAX)),
    })
}

/// Reads the candles that memory does not hold, if the query reaches back that far. Returns the query with the
/// start of the first bar that is held then.
async fn stored(
    view: &MomentView,
    reader: &CandleReader,
    market: Market,
    query: HistoryQuery,
) -> Result<(HistoryQuery, StoredPart), ApiError> {
    let (listing, buckets) = (view.listing(), query.interval.buckets());
    let bars = match query.countback {
        Some(countback) => countback,
        None => {
            let seconds = query.to.min(listing.as_of()).0.saturating_sub(query.from.0).max(0);
            usize::saturating_from(seconds / buckets.seconds + 1).min(BARS_MAX)
        }
    };
    // If the queried time has no bar, the answer names the last one before it.
    let enough = query.countback.unwrap_or(1);
    let is_in_memory = (query.countback.is_some() || query.from >= query.held)
        && bars_in_memory(view, market, query).await? >= enough;
    if is_in_memory {
        // Memory holds at least one bar, so the market is known.
        return Ok((query, StoredPart::default()));
    }
    let query = HistoryQuery { held: reader.oldest(listing, buckets).min(query.held), ..query };
    let to = buckets.next_start(query.to);
    let wanted =
        candle_reader::CandleRange { buckets, from: query.held, to, limit: bars, newest: true, priced: true };
    Ok((query, reader.read_known(listing, market, wanted).await?))
}

/// Number of bars that memory holds.
async fn bars_in_memory(view: &MomentView, market: Market, query: HistoryQuery) -> Result<usize, ApiError> {
    view.compute(move |view| {
        let nothing = StoredPart::default();
        udf::count(&MarketHistory::new(view, market, &nothing), query)
    })
    .await
}
