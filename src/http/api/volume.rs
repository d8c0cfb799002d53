//! `/api/v1/volume`: volume of past windows.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    ListingView,
    history::{StoredPart, held_from, oldest_held},
    volume::{self, Past, Window},
};

use super::{
    Asked, Form, ViewKind, answer,
    candle_reader::{self, CandleReader},
    document::{self, send},
    error::ApiError,
    look::{Look, made_already},
    parameters::Parameters,
};
use crate::{
    db::candles::{VolumeQuery, VolumeSpan},
    domain::{
        asset::Asset,
        candles::{Interval, Stored},
        coverage::TimeSpan,
        instant::{DAY, UnixSeconds},
        market::Market,
        volume::VolumePart,
    },
    http::{requests, state::PublicState},
};

/// Intervals of the answer.
const INTERVALS: [&str; 2] = ["1h", "1d"];
/// Most buckets of an answer: some 40 days by the hour, and years by the day.
const BUCKETS_MAX: i64 = 1_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/volume", volume);
}

async fn volume(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::read(request, &["market", "asset", "from", "to", "interval"])?;
        let (listing, reader) = (view.listing(), &state.candles);
        let window = window(listing, &parameters, reader)?;
        let span = format!("{}/{}/{}", window.from.0, window.to.0, window.interval.name());
        match (parameters.text("market"), parameters.text("asset")) {
            (Some(name), None) => {
                let market = document::pair(listing, name)?;
                let key = format!("volume/{}/{span}", market.name());
                if let Some(made) = made_already(request, view, &key, Look::Json) {
                    return Ok(made);
                }
                let past = CandleReader::all(async {
                    let mut past = anchors(listing, window, reader).await?;
                    past.market = candles(listing, market, window, reader).await?;
                    past.complete.clone_from(&past.market.complete);
                    reader.require(listing, market, &past.market).await?;
                    Ok(past)
                })
                .await?;
                send(request, view, key, move |view| volume::of_market(view, market, window, &past)).await
            }
            (None, Some(name)) => {
                let asset = document::identity(listing, name)?;
                let key = format!("volume/{}/{span}", asset.name());
                if let Some(made) = made_already(request, view, &key, Look::Json) {
                    return Ok(made);
                }
                let past = CandleReader::all(async {
                    let mut past = anchors(listing, window, reader).await?;
                    (past.parts, past.complete) = parts(listing, asset, window, reader).await?;
                    if past.parts.is_empty() {
                        reader.require_asset(listing, asset).await?;
                    }
                    Ok(past)
                })
                .await?;
                send(request, view, key, move |view| volume::of_asset(view, &asset, window, &past)).await
            }
            _ => Err(ApiError::BadParameter("give either market or asset".to_owned())),
        }
    })
    .await
}

/// Window of the question. Before memory's trades it consists of whole candles.
fn window(view: &ListingView, parameters: &Parameters, reader: &CandleReader) -> Result<Window, ApiError> {
    let as_of = view.as_of();
    let (asked_from, to) = parameters.span()?;
    let to = to.unwrap_or(as_of.plus(1));
    let from = asked_from.unwrap_or(to.min(as_of.plus(1)).minus(DAY));
    let name = parameters.word("interval", &INTERVALS)?.unwrap_or("1h");
    let interval = Interval::named(name).unwrap_or(Interval::Hour);
    let is_whole = |stored: Stored| {
        let is_start = |at: UnixSeconds| stored.buckets().start_of(at) == at;
        is_start(from) && (is_start(to) || to >= held_from(view, stored))
    };
    let stored = match interval {
        Interval::Day if is_whole(Stored::Day) => Stored::Day,
        _ => Stored::Hour,
    };
    if from < oldest_held(view) {
        let name = if asked_from.is_some() { "from" } else { "to, less a day," };
        reader.check(view, stored.buckets(), from, name)?;
        if !is_whole(stored) {
            let oldest = oldest_held(view).0;
            return Err(ApiError::BadParameter(format!(
                "before {oldest}, from and to must be full hours (of UTC, in seconds)"
            )));
        }
    }
    let buckets = to.min(as_of).0.saturating_sub(from.0) / interval.buckets().seconds;
    if buckets > BUCKETS_MAX {
        return Err(ApiError::BadParameter(format!(
            "from and to may be at most {BUCKETS_MAX} intervals apart"
        )));
    }
    Ok(Window { from, to, interval, stored })
}

/// Reads the candles of XLM against each anchor before memory.
async fn anchors(view: &ListingView, window: Window, reader: &CandleReader) -> Result<Past, ApiError> {
    let mut past = Past::default();
    for anchor in view.anchors() {
        let Some((market, _)) = Market::of(Asset::Native, *anchor) else { continue };
        past.anchors.push((market, candles(view, market, window, reader).await?));
    }
    Ok(past)
}

async fn candles(
    view: &ListingView,
    market: Market,
    window: Window,
    reader: &CandleReader,
) -> Result<StoredPart, ApiError> {
    let Window { from, to, stored, .. } = window;
    let wanted = candle_reader::CandleRange {
        buckets: stored.buckets(),
        from,
        to,
        limit: usize::MAX,
        newest: true,
        priced: false,
    };
    reader.read(view, market, wanted).await
}

/// Sums up the volumes of an asset's markets before memory.
async fn parts(
    view: &ListingView,
    asset: Asset,
    window: Window,
    reader: &CandleReader,
) -> Result<(Vec<VolumePart>, Vec<TimeSpan>), ApiError> {
    let Window { from, to, stored, interval } = window;
    if from >= oldest_held(view) {
        return Ok((Vec::new(), Vec::new()));
    }
    let to = to.min(held_from(view, stored));
    let anchors = view.anchors().to_vec();
    let spans = match interval {
        Interval::Day => VolumeSpan::by_day(from, to),
        _ => vec![VolumeSpan { stored, from, to }],
    };
    reader.volumes(VolumeQuery { asset, anchors, spans }).await
}
