//! Candles, and Horizon's `/trade_aggregations`.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    ListingView,
    aggregations::{self, AggregationQuery},
    candles::{self, CandleQuery},
    history::{MarketHistory, StoredPart, oldest_held},
};

use super::{
    Asked, Form, ViewKind, answer,
    candle_reader::{CandleRange, CandleReader},
    document::{self, redirect, send, send_written},
    error::ApiError,
    look::{Look, made_already},
    moment_view::MomentView,
    parameters::Parameters,
};
use crate::{
    domain::{
        asset::Asset,
        candles::{Buckets, Interval},
        conversions::SaturatingFrom,
        instant::{HOUR, UnixSeconds},
        market::Market,
    },
    http::{origin::origin, requests, state::PublicState},
};

const AGGREGATIONS: &str = "/trade_aggregations";
/// Default number of candles in an answer.
const CANDLES_WANTED: i64 = 100;
/// Most candles of an answer.
const CANDLES_MAX: i64 = 1_000;
/// Horizon's own limits.
const RECORDS_WANTED: i64 = 10;
const RECORDS_MAX: i64 = 200;
/// Horizon's resolutions, in milliseconds.
const RESOLUTIONS: [i64; 6] = [60_000, 300_000, 900_000, 3_600_000, 86_400_000, 604_800_000];

/// Parameters of Horizon's `/trade_aggregations`.
const AGGREGATION_PARAMETERS: [&str; 12] = [
    "base_asset_type",
    "base_asset_code",
    "base_asset_issuer",
    "counter_asset_type",
    "counter_asset_code",
    "counter_asset_issuer",
    "start_time",
    "end_time",
    "resolution",
    "offset",
    "limit",
    "order",
];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/markets/{name}/candles", market_candles);
    requests::route(config, AGGREGATIONS, trade_aggregations);
}

async fn market_candles(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let reader = &state.candles;
        let parameters = Parameters::read(request, &["interval", "from", "to", "limit", "fill"])?;
        let market = document::pair(view.listing(), &name)?;
        let canonical = market.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let query = candle_query(view.listing(), &parameters, reader)?;
        let key = format!("candles/{canonical}/{query:?}");
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let query = within_memory(view, market, query).await?;
        let (query, stored) = CandleReader::all(stored(view.listing(), market, query, reader)).await?;
        send_written(request, view, key, move |view, out| {
            candles::candles(&MarketHistory::new(view, market, &stored), query, out)
        })
        .await
    })
    .await
}

/// The same question about a later time, if memory alone holds the answer. No older bucket is summed then.
async fn within_memory(
    view: &MomentView,
    market: Market,
    query: CandleQuery,
) -> Result<CandleQuery, ApiError> {
    let listing = view.listing();
    if query.from >= oldest_held(listing) && !query.is_cut(listing.as_of()) {
        return Ok(query);
    }
    let nothing = StoredPart::default();
    let later = view
        .compute(move |view| candles::within_memory(&MarketHistory::new(view, market, &nothing), query))
        .await?;
    Ok(later.unwrap_or(query))
}

/// Reads the candles that memory does not hold. Returns the query with the start of the last price before it, if the
/// answer is filled.
async fn stored(
    view: &ListingView,
    market: Market,
    mut query: CandleQuery,
    reader: &CandleReader,
) -> Result<(CandleQuery, StoredPart), ApiError> {
    let buckets = query.interval.buckets();
    let to = buckets.start_of(query.to.min(view.as_of())).plus(buckets.seconds);
    if query.fill && query.known_from.is_none() {
        query.known_from = reader.last_priced(view, market, buckets, query.from).await?;
    }
    // A filled answer needs the last price before its first candle as well.
    let (from, limit) = match query.known_from {
        Some(known_from) => (known_from, query.limit.saturating_add(1)),
        None => (query.from, query.limit),
    };
    let wanted = CandleRange { buckets, from, to, limit, newest: true, priced: query.fill };
    let stored = reader.read(view, market, wanted).await?;
    reader.require(view, market, &stored).await?;
    Ok((query, stored))
}

fn candle_query(
    view: &ListingView,
    parameters: &Parameters,
    reader: &CandleReader,
) -> Result<CandleQuery, ApiError> {
    let names = Interval::ALL.map(Interval::name);
    let interval = parameters.word("interval", &names)?.unwrap_or("1h");
    let interval = Interval::named(interval).unwrap_or(Interval::Hour);
    let (buckets, as_of) = (interval.buckets(), view.as_of());
    let limit = parameters.number("limit", 1, CANDLES_MAX)?.unwrap_or(CANDLES_WANTED);
    let fill = parameters.word("fill", &["true", "false"])? == Some("true");
    let (from, asked_to) = parameters.span()?;
    let to = asked_to.unwrap_or(as_of);
    let from = match from {
        Some(from) => reader.first(view, buckets, from, "from")?,
        // The answer begins with the oldest bucket in memory, or earlier for as many as are wanted. It never begins
        // before the oldest one that is stored.
        None => {
            if let Some(to) = asked_to {
                reader.first(view, buckets, to, "to")?;
            }
            let memory = buckets.next_start(oldest_held(view));
            let wanted = buckets.start_of(to.min(as_of)).minus((limit - 1).saturating_mul(buckets.seconds));
            memory.min(wanted).max(reader.oldest(view, buckets))
        }
    };
    Ok(CandleQuery { interval, from, known_from: None, to, limit: usize::saturating_from(limit), fill })
}

async fn trade_aggregations(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::tolerant(request, &AGGREGATION_PARAMETERS)?;
        let base = horizon_asset(&parameters, "base")?;
        let counter = horizon_asset(&parameters, "counter")?;
        let Some((market, _)) = Market::of(base, counter) else {
            return Err(ApiError::BadParameter("base and counter are the same asset".to_owned()));
        };
        let query = aggregation_query(request, &parameters)?;
        let (listing, reader, buckets) = (view.listing(), &state.candles, query.buckets);
        let oldest = reader.oldest(listing, buckets);
        // Horizon too begins with the oldest trade that it holds.
        let mut from = query.first().map_or(oldest, |first| first.max(oldest));
        // The links name the host that this reader asked for, so that no other reader may get them.
        let key = format!("{}#{}", query.address, parameters.key());
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let memory = buckets.next_start(oldest_held(listing));
        if query.descending && from < memory && records_in_memory(view, market, memory, &query).await? {
            from = memory;
        }
        let (to, limit, newest) = (query.end(), query.limit, query.descending);
        let wanted = CandleRange { buckets, from, to, limit, newest, priced: true };
        let stored = reader.read(listing, market, wanted).await?;
        // An asset that never traded is no error in Horizon: it has no records.
        send(request, view, key, move |view| {
            let history = MarketHistory::new(view, market, &stored);
            aggregations::trade_aggregations(&history, &base, from, &query)
        })
        .await
    })
    .await
}

/// Returns true if memory holds as many records from `memory` on as the answer may have.
async fn records_in_memory(
    view: &MomentView,
    market: Market,
    memory: UnixSeconds,
    query: &AggregationQuery,
) -> Result<bool, ApiError> {
    let (query, nothing) = (query.clone(), StoredPart::default());
    view.compute(move |view| {
        let history = MarketHistory::new(view, market, &nothing);
        aggregations::count(&history, memory, &query) >= query.limit
    })
    .await
}

fn aggregation_query(request: &HttpRequest, parameters: &Parameters) -> Result<AggregationQuery, ApiError> {
    let bad = |text: &str| ApiError::BadParameter(text.to_owned());
    let resolution =
        parameters.number("resolution", 1, i64::MAX)?.ok_or_else(|| bad("resolution is missing"))?;
    if !RESOLUTIONS.contains(&resolution) {
        return Err(bad("resolution must be 60000, 300000, 900000, 3600000, 86400000 or 604800000"));
    }
    let offset = parameters.number("offset", 0, 24 * HOUR * 1_000 - 1)?.unwrap_or(0);
    if offset % (HOUR * 1_000) != 0 || offset > resolution {
        return Err(bad("offset must be whole hours, less than 24 hours and at most the resolution"));
    }
    let limit = parameters.number("limit", 1, RECORDS_MAX)?.unwrap_or(RECORDS_WANTED);
    let order = parameters.word("order", &["asc", "desc"])?.unwrap_or("asc");
    let buckets = Buckets { seconds: resolution / 1_000, offset: offset / 1_000 };
    // Horizon treats 0 as an absent time.
    let time = |name: &str| Ok(parameters.number(name, 0, i64::MAX)?.filter(|millis| *millis != 0));
    let (start_time, end_time) = (time("start_time")?, time("end_time")?);
    if end_time.is_some_and(|end| end < offset) {
        return Err(bad("end_time must be at least the offset"));
    }
    let query = parameters.encoded(&["start_time", "end_time"]);
    let query = AggregationQuery {
        buckets,
        start_time,
        end_time,
        limit: usize::saturating_from(limit),
        descending: order == "desc",
        address: format!("{}{AGGREGATIONS}?{query}", origin(request)),
    };
    if query.first().is_some_and(|first| query.end() < first) {
        return Err(bad("end_time must be after start_time, when both are rounded to the resolution"));
    }
    Ok(query)
}

/// Asset of a question in Horizon's form.
fn horizon_asset(parameters: &Parameters, side: &str) -> Result<Asset, ApiError> {
    let text = |name: &str| parameters.text(&format!("{side}_asset_{name}"));
    match text("type") {
        Some("native") => Ok(Asset::Native),
        Some(kind @ ("credit_alphanum4" | "credit_alphanum12")) => {
            let (Some(code), Some(issuer)) = (text("code"), text("issuer")) else {
                return Err(ApiError::BadParameter(format!(
                    "{side}_asset_code or {side}_asset_issuer is missing"
                )));
            };
            let asset = Asset::issued(code, issuer)
                .map_err(|error| ApiError::BadParameter(format!("{side}: {error}")))?;
            if asset.kind() != kind {
                return Err(ApiError::BadParameter(format!("{side}_asset_code is not one of {kind}")));
            }
            Ok(asset)
        }
        _ => Err(ApiError::BadParameter(format!(
            "{side}_asset_type must be native, credit_alphanum4 or credit_alphanum12"
        ))),
    }
}
