//! `/api/v1/volume`: volume of past windows.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::volume::{self, Window};

use super::{
    Wanted, answer,
    document::{self, send},
    error::ApiError,
    parameters::Parameters,
};
use crate::{
    domain::{candles::Interval, instant::UnixSeconds, span::Span},
    http::{requests, state::PublicState},
};

const PATH: &str = "/api/v1/volume";
/// Intervals of the answer.
const INTERVALS: [&str; 2] = ["1h", "1d"];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::announce(PATH);
    config.route(PATH, web::route().to(volume));
}

async fn volume(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, PATH, Wanted::Live, async |request, view| {
        let parameters = Parameters::read(request, &["market", "asset", "from", "to", "interval"])?;
        let as_of = view.listing.as_of();
        let oldest = Span::Week.edge(as_of).plus(1);
        let from = parameters.number("from", 0, i64::MAX)?.map_or(Span::Day.edge(as_of).plus(1), UnixSeconds);
        let name = parameters.word("interval", &INTERVALS)?.unwrap_or("1h");
        let window = Window {
            from,
            to: parameters.number("to", 0, i64::MAX)?.map_or(as_of.plus(1), UnixSeconds),
            interval: Interval::named(name).unwrap_or(Interval::Hour),
        };
        if from < oldest {
            let oldest = oldest.0;
            return Err(ApiError::Gone(format!(
                "trades are held for 7 days: from must be at least {oldest}"
            )));
        }
        let span = format!("{}/{}/{name}", window.from.0, window.to.0);
        match (parameters.text("market"), parameters.text("asset")) {
            (Some(market), None) => {
                let canonical = document::market(&view.listing, market)?.name();
                send(request, view, format!("volume/{canonical}/{span}"), move |view| {
                    document::market(view, &canonical)
                        .map(|market| volume::of_market(&market, window))
                        .unwrap_or_default()
                })
                .await
            }
            (None, Some(asset)) => {
                let canonical = document::asset(&view.listing, asset)?.name();
                send(request, view, format!("volume/{canonical}/{span}"), move |view| {
                    document::asset(view, &canonical)
                        .map(|asset| volume::of_asset(&asset, view, window))
                        .unwrap_or_default()
                })
                .await
            }
            _ => Err(ApiError::BadParameter("give either market or asset".to_owned())),
        }
    })
    .await
}
