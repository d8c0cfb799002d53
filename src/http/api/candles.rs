//! Candles, and Horizon's `/trade_aggregations`.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    aggregations::{self, AggregationQuery},
    candles::{self, CandleQuery},
};

use super::{
    Wanted, answer,
    document::{self, redirect, send},
    error::ApiError,
    parameters::Parameters,
};
use crate::{
    domain::{
        candles::{Buckets, Interval},
        instant::{HOUR, UnixSeconds},
        span::Span,
    },
    http::{requests, state::PublicState},
};

const CANDLES: &str = "/api/v1/markets/{name}/candles";
const AGGREGATIONS: &str = "/trade_aggregations";
/// Candles of an answer, unless the reader says otherwise.
const CANDLES_WANTED: i64 = 100;
/// Most candles of an answer.
const CANDLES_MAX: i64 = 1_000;
/// Horizon's own limits.
const RECORDS_WANTED: i64 = 10;
const RECORDS_MAX: i64 = 200;
/// Horizon's resolutions, in milliseconds.
const RESOLUTIONS: [i64; 6] = [60_000, 300_000, 900_000, 3_600_000, 86_400_000, 604_800_000];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    [CANDLES, AGGREGATIONS].into_iter().for_each(requests::announce);
    config
        .route(CANDLES, web::route().to(market_candles))
        .route(AGGREGATIONS, web::route().to(trade_aggregations));
}

async fn market_candles(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(request, state, CANDLES, Wanted::Live, async |request, view| {
        let parameters = Parameters::read(request, &["interval", "from", "to", "limit", "fill"])?;
        let canonical = document::market(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let names = Interval::ALL.map(Interval::name);
        let interval = parameters.word("interval", &names)?.unwrap_or("1h");
        let interval = Interval::named(interval).unwrap_or(Interval::Hour);
        let as_of = view.listing.as_of();
        let oldest = Span::Week.edge(as_of).plus(1);
        let from = parameters.number("from", 0, i64::MAX)?.map_or(oldest, UnixSeconds);
        let limit = parameters.number("limit", 1, CANDLES_MAX)?.unwrap_or(CANDLES_WANTED);
        let query = CandleQuery {
            interval,
            from,
            to: parameters.number("to", 0, i64::MAX)?.map_or(as_of, UnixSeconds),
            limit: usize::try_from(limit).unwrap_or_default(),
            fill: parameters.word("fill", &["true", "false"])? == Some("true"),
        };
        if from < oldest {
            let oldest = oldest.0;
            return Err(ApiError::Gone(format!(
                "candles are held for 7 days: from must be at least {oldest}"
            )));
        }
        let key = format!("candles/{canonical}?{}", parameters.key(""));
        send(request, view, key, move |view| {
            document::market(view, &canonical)
                .map(|market| candles::candles(&market, query))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn trade_aggregations(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, AGGREGATIONS, Wanted::Live, async |request, view| {
        let parameters = Parameters::read(
            request,
            &[
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
            ],
        )?;
        let base = horizon_asset(&parameters, "base")?;
        let counter = horizon_asset(&parameters, "counter")?;
        if base == counter {
            return Err(ApiError::BadParameter("base and counter are the same asset".to_owned()));
        }
        let query = aggregation_query(request, &parameters)?;
        let oldest = Span::Week.edge(view.listing.as_of()).plus(1).0.saturating_mul(1_000);
        if query.start_time.is_some_and(|start| start < oldest) {
            return Err(ApiError::Gone(format!(
                "trades are held for 7 days: start_time must be at least {oldest}"
            )));
        }
        // The links name the host that this reader asked for, so that no other reader may get them.
        let key = format!("{}#{}", query.address, parameters.key(""));
        let names = (base, counter);
        // An asset that never traded is no error in Horizon: it has no records.
        send(request, view, key, move |view| {
            let assets = (document::asset(view, &names.0), document::asset(view, &names.1));
            match assets {
                (Ok(base), Ok(counter)) => aggregations::trade_aggregations(view, &base, &counter, &query),
                _ => aggregations::none(&query),
            }
        })
        .await
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
    let connection = request.connection_info();
    let query = parameters.encoded(&["start_time", "end_time"]);
    Ok(AggregationQuery {
        buckets: Buckets { seconds: resolution / 1_000, offset: offset / 1_000 },
        start_time: parameters.number("start_time", 0, i64::MAX)?,
        end_time: parameters.number("end_time", 0, i64::MAX)?,
        limit: usize::try_from(limit).unwrap_or_default(),
        descending: order == "desc",
        address: format!("{}://{}{AGGREGATIONS}?{query}", connection.scheme(), connection.host()),
    })
}

/// Asset of a question in Horizon's form, as `CODE-ISSUER` or `native`.
fn horizon_asset(parameters: &Parameters, side: &str) -> Result<String, ApiError> {
    let text = |name: &str| parameters.text(&format!("{side}_asset_{name}"));
    match text("type") {
        Some("native") => Ok("native".to_owned()),
        Some("credit_alphanum4" | "credit_alphanum12") => {
            let (Some(code), Some(issuer)) = (text("code"), text("issuer")) else {
                return Err(ApiError::BadParameter(format!(
                    "{side}_asset_code or {side}_asset_issuer is missing"
                )));
            };
            let name = format!("{code}-{issuer}");
            let parsed = name.parse::<crate::domain::identity::SpelledAsset>();
            parsed.map_err(|error| ApiError::BadParameter(format!("{side}: {error}")))?;
            Ok(name)
        }
        _ => Err(ApiError::BadParameter(format!(
            "{side}_asset_type must be native, credit_alphanum4 or credit_alphanum12"
        ))),
    }
}
