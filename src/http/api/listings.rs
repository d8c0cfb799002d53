//! Documents of all markets, and the trades of one market in the formats of CoinGecko and
//! CoinMarketCap, with classic ids and with contract ids.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::{
    listings::{
        IdStyle,
        coingecko::{self, Side, TradeQuery},
        coinmarketcap,
    },
    output::OUTPUTS,
};

use super::{
    Asked, Form, ViewKind, answer,
    document::{self, send_written},
    error::ApiError,
    look::{Look, send_made},
    moment_view::Cache,
    parameters::{Parameters, first_held},
};
use crate::{
    domain::{
        conversions::SaturatingFrom,
        instant::{HOUR, UnixSeconds},
        span::Span,
    },
    http::{requests, state::PublicState},
    published::{Document, ListedMoment},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    for output in OUTPUTS {
        for (path, style) in output.paths() {
            let handler = move |request: HttpRequest, state: web::Data<PublicState>| async move {
                answer(
                    Form::Problem,
                    &request,
                    &state,
                    ViewKind::Pinned,
                    async |Asked { request, view, .. }| {
                        if output.refuses_parameters {
                            Parameters::read(request, &[])?;
                        }
                        let encode = move |moment: &ListedMoment| {
                            Document::written(|out| (output.render)(moment.view(), style, out))
                        };
                        let file = view.made(Cache::Whole, path.to_owned(), encode).await?;
                        Ok(send_made(request, view, &file, Look::Json))
                    },
                )
                .await
            };
            requests::route(config, path, handler);
        }
    }
    for path in ["/api/v1/coingecko/historical_trades", "/api/v1/contract/coingecko/historical_trades"] {
        requests::route(config, path, historical_trades);
    }
    for (path, style) in [
        ("/api/v1/coinmarketcap/trades/{name}", IdStyle::Classic),
        ("/api/v1/contract/coinmarketcap/trades/{name}", IdStyle::Contract),
    ] {
        requests::route(config, path, move |request, state, name| market_trades(request, state, name, style));
    }
}

/// Time of a question: in seconds, or in milliseconds as `trade_timestamp` has it. `round_up` is 999 to round up, 0 to
/// round down.
fn seconds(time: i64, round_up: i64) -> UnixSeconds {
    /// Seconds of the year 5138, and milliseconds of the year 1973.
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    UnixSeconds(if time < MILLISECONDS_FROM { time } else { time.saturating_add(round_up) / 1_000 })
}

async fn historical_trades(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let known = ["ticker_id", "type", "limit", "start_time", "end_time"];
        let parameters = Parameters::tolerant(request, &known)?;
        let ticker_id = parameters
            .text("ticker_id")
            .ok_or_else(|| ApiError::BadParameter("ticker_id is missing".to_owned()))?;
        let canonical = document::market_in_order(view.listing(), ticker_id)?.name();
        let side = parameters.word("type", &["buy", "sell"])?;
        let as_of = view.listing().as_of();
        let time = |name: &str, round_up: i64| {
            Ok(parameters.number(name, 0, i64::MAX)?.map(|time| seconds(time, round_up)))
        };
        let span @ (_, to) = (time("start_time", 999)?, time("end_time", 0)?);
        let limit = parameters.number("limit", 0, i64::MAX)?.filter(|limit| *limit > 0);
        // With an end alone, a reader goes back from there: in parts, or from before the usual time.
        let goes_back = to.is_some_and(|to| limit.is_some() || to <= Span::Day.edge(as_of));
        let default = if goes_back { Span::Week } else { Span::Day };
        let query = TradeQuery {
            side: side.map(|side| if side == "buy" { Side::Buy } else { Side::Sell }),
            limit: limit.map(usize::saturating_from),
            from: first_held(span, ["start_time", "end_time"], default.hours() * HOUR, as_of)?,
            // The network's clock may be ahead of ours.
            to: to.unwrap_or(UnixSeconds(i64::MAX)),
        };
        let key = format!("historical_trades/{canonical}/{query:?}");
        send_written(request, view, key, move |view, out| {
            let market = document::market(view, &canonical);
            market.map_or(Ok(()), |market| coingecko::historical_trades(&market, query, out))
        })
        .await
    })
    .await
}

async fn market_trades(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
    style: IdStyle,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        if let Some(redirect) = document::redirect_symbols(request, view.listing(), &name, style) {
            return Ok(redirect);
        }
        let canonical = document::market_of_symbols(view.listing(), &name)?.name();
        send_written(request, view, format!("market_trades/{canonical}"), move |view, out| {
            let market = document::market(view, &canonical);
            market.map_or(Ok(()), |market| coinmarketcap::trades(&market, out))
        })
        .await
    })
    .await
}
