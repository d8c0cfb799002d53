//! `/api/v1/assets/{asset}/price?at=`: the price of an asset at a past moment.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    ListingView,
    history::{StoredPart, oldest_held},
    price_at::{self, Moment},
};

use super::{
    Asked, Form, ViewKind, answer,
    candle_reader::{self, CandleReader},
    document::{self, redirect, send},
    error::ApiError,
    look::{Look, made_already},
    parameters::Parameters,
};
use crate::{
    domain::{
        asset::Asset,
        candles::Stored,
        instant::{DAY, UnixSeconds},
        market::Market,
    },
    http::{requests, state::PublicState},
};

/// Seconds by which a question may be ahead of the figures. It is answered with the price of the figures.
const AHEAD_S: i64 = 60;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/assets/{name}/price", price);
}

async fn price(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, state }| {
        let parameters = Parameters::read(request, &["at"])?;
        let (listing, reader) = (view.listing(), &state.candles);
        let asset = document::identity(listing, &name)?;
        if let Some(redirect) = redirect(request, &name, &asset.name()) {
            return Ok(redirect);
        }
        let moment = moment(listing, &parameters, reader)?;
        let key = format!("price_at/{}/{}", asset.name(), moment.at.0);
        if let Some(made) = made_already(request, view, &key, Look::Json) {
            return Ok(made);
        }
        let stored = CandleReader::all(stored(listing, &asset, moment, reader)).await?;
        send(request, view, key, move |view| price_at::price_at(view, &asset, moment, &stored)).await
    })
    .await
}

/// Moment of the question, and the candles that are held of it.
fn moment(view: &ListingView, parameters: &Parameters, reader: &CandleReader) -> Result<Moment, ApiError> {
    let as_of = view.as_of();
    let at = match parameters.text("at") {
        None => as_of,
        Some(text) => match text.parse() {
            Ok(seconds @ 0..) => UnixSeconds(seconds),
            _ => UnixSeconds::parse(text).map_err(|error| {
                ApiError::BadParameter(format!("at must be seconds since 1970 or a UTC time: {error}"))
            })?,
        },
    };
    // "Now" is often a little later than the figures, by the clock of whoever asks.
    let at = if at <= as_of.plus(AHEAD_S) { at.min(as_of) } else { at };
    if at > as_of {
        return Err(ApiError::BadParameter(format!(
            "at must be at most {}, the time of the figures",
            as_of.0
        )));
    }
    // A day before the moment must be held as well.
    let has_minutes = at.minus(DAY) >= reader.oldest(view, Stored::Minute.buckets());
    let stored = if has_minutes { Stored::Minute } else { Stored::Hour };
    reader.check(view, stored.buckets(), at.minus(DAY), "at, less a day,")?;
    Ok(Moment { at, stored })
}

/// Reads the candles that memory does not hold, of each market that the price may come from.
async fn stored(
    view: &ListingView,
    asset: &Asset,
    moment: Moment,
    reader: &CandleReader,
) -> Result<Vec<(Market, StoredPart)>, ApiError> {
    let (from, to) = (moment.from(view), moment.end(view));
    let mut parts = Vec::new();
    for market in price_at::markets(asset, view.anchors()) {
        let buckets = moment.stored.buckets();
        let wanted =
            candle_reader::CandleRange { buckets, from, to, limit: usize::MAX, newest: true, priced: false };
        let part = if from >= oldest_held(view) {
            StoredPart::default()
        } else {
            reader.read(view, market, wanted).await?
        };
        parts.push((market, part));
    }
    Ok(parts)
}
