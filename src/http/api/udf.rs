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
    answer(Form::Udf, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        let parameters = Parameters::tolerant(request, &["symbol", "currencyCode", "unitId"])?;
        let symbol = parameters.text("symbol").unwrap_or_default();
        let canonical = document::market(view.listing(), symbol)?.name();
        send(request, view, format!("udf_symbol/{canonical}"), move |view| {
            document::market(view, &canonical).map(|market| udf::symbol(&market)).unwrap_or_default()
        })
        .await
    })
    .await
}

async fn search(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Udf, &request, &state, ViewKind::Pinned, async |Asked { request, view, .. }| {
        let parameters = Parameters::tolerant(request, &["query", "limit", "type", "exchange"])?;
        // The search ignores case, so all spellings share an answer.
        let query = parameters.text("query").unwrap_or_default().to_lowercase();
        let limit = parameters.number("limit", 1, i64::MAX)?.unwrap_or(FOUND).min(FOUND_MAX);
        let limit = usize::saturating_from(limit);
        let key = format!("udf_search?{limit}&{query}");
        send(request, view, key, move |view| udf::search(view, &query, limit)).await
    })
    .await
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
        let key = parameters.key(&["symbol", "currencyCode", "unitId"]);
        let key = format!("udf_history/{}?{key}", market.name());
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let query = history_query(view.listing(), &parameters)?;
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
    let stored = CandleReader::all(async {
        let stored = reader.read(listing, market, wanted).await?;
        reader.require(listing, market, &stored).await?;
        Ok(stored)
    });
    Ok((query, stored.await?))
}

/// Number of bars that memory holds.
async fn bars_in_memory(view: &MomentView, market: Market, query: HistoryQuery) -> Result<usize, ApiError> {
    view.compute(move |view| {
        let nothing = StoredPart::default();
        udf::count(&MarketHistory::new(view, market, &nothing), query)
    })
    .await
}
