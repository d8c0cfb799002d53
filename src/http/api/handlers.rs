//! The ticker's own API: pages of markets, single markets and assets, prices, trades.

use std::cmp::Reverse;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::Value;
use ticker_formats::listings::{AssetView, ListingView, MarketView, own};

use super::{
    Wanted, answer,
    document::{self, redirect, send},
    error::ApiError,
    parameters::Parameters,
};
use crate::{
    domain::{
        conversions::SaturatingFrom,
        instant::{DAY, UnixSeconds},
        span::Span,
    },
    http::{requests, state::PublicState},
};

/// Markets of a page, unless the reader says otherwise.
const PAGE: i64 = 100;
/// Most markets of a page.
const PAGE_MAX: i64 = 1_000;
/// Most assets in one question for prices.
const PRICES_MAX: usize = 200;
/// Trades of an answer, unless the reader says otherwise.
const TRADES: i64 = 100;
/// Most trades of an answer.
const TRADES_MAX: i64 = 10_000;
/// Stroops in a dollar.
const DOLLAR: i128 = 10_000_000;

/// Patterns of the routes.
const PATHS: [&str; 6] = [
    "/api/v1/markets",
    "/api/v1/markets/{name}",
    "/api/v1/markets/{name}/trades",
    "/api/v1/assets/{name}",
    "/api/v1/assets/{name}/supply",
    "/api/v1/prices",
];

pub(super) fn routes(config: &mut web::ServiceConfig) {
    PATHS.into_iter().for_each(requests::announce);
    config
        .route("/api/v1/markets", web::route().to(markets))
        .route("/api/v1/markets/{name}", web::route().to(market))
        .route("/api/v1/markets/{name}/trades", web::route().to(trades))
        .route("/api/v1/assets/{name}", web::route().to(asset))
        .route("/api/v1/assets/{name}/supply", web::route().to(supply))
        .route("/api/v1/prices", web::route().to(prices));
}

async fn markets(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    let views = std::sync::Arc::clone(&state.views);
    answer(request, state, "/api/v1/markets", Wanted::Pinned, async |request, view| {
        let query = MarketQuery::read(request)?;
        let of_cursor = match &query.cursor {
            None => None,
            Some(cursor) => Some(views.named(cursor.seq, cursor.as_of).ok_or_else(|| {
                ApiError::Gone(
                    "the view of this cursor is not held any more; begin again without a cursor".into(),
                )
            })?),
        };
        let view = of_cursor.as_deref().unwrap_or(view);
        // Checked before the document is made, so that an error is not cached. The rest cannot fail.
        query.assets(&view.listing)?;
        send(request, view, format!("markets?{}", query.key), move |view| query.render(view)).await
    })
    .await
}

async fn market(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(request, state, "/api/v1/markets/{name}", Wanted::Live, async |request, view| {
        Parameters::read(request, &[])?;
        let canonical = document::market(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("market/{canonical}"), move |view| {
            document::market(view, &canonical)
                .map(|market| own::to_bytes(&own::market(&market)))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn trades(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(request, state, "/api/v1/markets/{name}/trades", Wanted::Live, async |request, view| {
        let parameters = Parameters::read(request, &["from", "to", "limit"])?;
        let canonical = document::market(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let as_of = view.listing.as_of();
        let oldest = Span::Week.edge(as_of).plus(1);
        let from = parameters.number("from", 0, i64::MAX)?.map_or(as_of.minus(DAY).plus(1), UnixSeconds);
        // The network's clock may be ahead of ours.
        let to = parameters.number("to", 0, i64::MAX)?.map_or(UnixSeconds(i64::MAX), UnixSeconds);
        let limit = parameters.number("limit", 1, TRADES_MAX)?.unwrap_or(TRADES);
        let limit = usize::saturating_from(limit);
        if from < oldest {
            let oldest = oldest.0;
            return Err(ApiError::Gone(format!(
                "trades are held for 7 days: from must be at least {oldest}"
            )));
        }
        let key = format!("trades/{canonical}?{}", parameters.key(""));
        send(request, view, key, move |view| {
            document::market(view, &canonical)
                .map(|market| own::trades(&market, from, to, limit))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn asset(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    answer(request, state, "/api/v1/assets/{name}", Wanted::Live, async |request, view| {
        Parameters::read(request, &[])?;
        let canonical = document::asset(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("asset/{canonical}"), move |view| {
            let asset = document::asset(view, &canonical);
            asset.map(|asset| own::to_bytes(&own::asset(&asset, view))).unwrap_or_default()
        })
        .await
    })
    .await
}

/// One plain number, which CoinGecko reads.
async fn supply(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(request, state, "/api/v1/assets/{name}/supply", Wanted::Pinned, async |request, view| {
        Parameters::read(request, &[])?;
        let asset = document::asset(&view.listing, &name)?;
        if let Some(redirect) = redirect(request, &name, &asset.name()) {
            return Ok(redirect);
        }
        let unknown = || ApiError::NotFound("the supply of this asset is not known".to_owned());
        let supply = asset.supply().ok_or_else(unknown)?;
        Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .insert_header((header::CACHE_CONTROL, "public, max-age=10"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(supply))
    })
    .await
}

async fn prices(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(request, state, "/api/v1/prices", Wanted::Pinned, async |request, view| {
        let parameters = Parameters::read(request, &["assets"])?;
        let names = parameters.text("assets").filter(|names| !names.is_empty()).ok_or_else(|| {
            ApiError::BadParameter("assets is missing: up to 200 assets, separated by commas".to_owned())
        })?;
        let names: Vec<String> = names.split(',').map(ToOwned::to_owned).collect();
        if names.len() > PRICES_MAX {
            return Err(ApiError::BadParameter(format!("at most {PRICES_MAX} assets at once")));
        }
        let assets = names.iter().map(|name| document::spelled(name)).collect::<Result<Vec<_>, _>>()?;
        let key = format!("prices?{}", names.join(","));
        send(request, view, key, move |view| own::prices(view, &assets)).await
    })
    .await
}

/// Selection and order of `/api/v1/markets`.
struct MarketQuery {
    base: Option<String>,
    quote: Option<String>,
    code: Option<String>,
    issuer: Option<String>,
    verified: Option<bool>,
    min_volume_usd: Option<i64>,
    sort: &'static str,
    limit: usize,
    fields: Option<Vec<String>>,
    cursor: Option<Cursor>,
    /// All of it, as a key of the view's documents.
    key: String,
}

/// Position of a page, and the view that it is a page of: `<seq>.<as_of>.<number of markets before it>`.
struct Cursor {
    seq: i64,
    as_of: UnixSeconds,
    skip: usize,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (seq, as_of, skip) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            seq: seq.parse().ok()?,
            as_of: UnixSeconds(as_of.parse().ok()?),
            skip: skip.parse().ok()?,
        })
    }

    fn print(view: &ListingView, skip: usize) -> String {
        format!("{}.{}.{skip}", view.seq(), view.as_of().0)
    }
}

/// Fields of a market that a reader may select.
const FIELDS: [&str; 15] = [
    "id",
    "base",
    "quote",
    "last",
    "last_trade",
    "windows",
    "bid",
    "ask",
    "spread",
    "mid",
    "book_age_s",
    "accounts",
    "flags",
    "usd",
    "pool_id",
];

impl MarketQuery {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let known = [
            "base",
            "quote",
            "code",
            "issuer",
            "verified",
            "min_volume_usd",
            "sort",
            "limit",
            "fields",
            "cursor",
        ];
        let parameters = Parameters::read(request, &known)?;
        let text = |name: &str| parameters.text(name).map(ToOwned::to_owned);
        let verified = parameters.word("verified", &["true", "false"])?.map(|word| word == "true");
        let sort = parameters.word("sort", &["name", "volume", "trades", "change"])?.unwrap_or("name");
        let limit = parameters.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
        let bad = |text: &str| ApiError::BadParameter(text.to_owned());
        let cursor = match parameters.text("cursor") {
            None => None,
            Some(text) => Some(Cursor::parse(text).ok_or_else(|| bad("cursor is none that this API gave"))?),
        };
        let fields: Option<Vec<String>> =
            parameters.text("fields").map(|fields| fields.split(',').map(ToOwned::to_owned).collect());
        if fields.iter().flatten().any(|field| !FIELDS.contains(&field.as_str())) {
            return Err(ApiError::BadParameter(format!("fields must be among: {}", FIELDS.join(", "))));
        }
        Ok(Self {
            base: text("base"),
            quote: text("quote"),
            code: text("code"),
            issuer: text("issuer"),
            verified,
            min_volume_usd: parameters.number("min_volume_usd", 0, i64::MAX)?,
            sort,
            limit: usize::saturating_from(limit),
            fields,
            cursor,
            key: parameters.key(""),
        })
    }

    /// The assets that `base` and `quote` name.
    fn assets<'a>(&self, view: &'a ListingView) -> Result<[Option<AssetView<'a>>; 2], ApiError> {
        let named =
            |text: &Option<String>| text.as_deref().map(|text| document::asset(view, text)).transpose();
        Ok([named(&self.base)?, named(&self.quote)?])
    }

    /// The markets that match, in order.
    fn select<'a>(&self, view: &'a ListingView) -> Result<Vec<MarketView<'a>>, ApiError> {
        let [base, quote] = self.assets(view)?;
        let is = |wanted: Option<&str>, actual: &str| wanted.is_none_or(|wanted| wanted == actual);
        let either = |market: &MarketView<'_>, test: &dyn Fn(&AssetView<'_>) -> bool| {
            test(market.base()) || test(market.quote())
        };
        let mut markets = view.markets();
        markets.retain(|market| {
            base.is_none_or(|base| base.asset() == market.base().asset())
                && quote.is_none_or(|quote| quote.asset() == market.quote().asset())
                && either(market, &|asset| is(self.code.as_deref(), asset.asset().code()))
                && either(market, &|asset| is(self.issuer.as_deref(), asset.asset().issuer()))
                && self.verified.is_none_or(|verified| market.is_verified() == verified)
                && self.min_volume_usd.is_none_or(|least| {
                    market.day_volume_usd().is_some_and(|volume| volume >= i128::from(least) * DOLLAR)
                })
        });
        match self.sort {
            "volume" => markets.sort_by_cached_key(|market| Reverse(market.day_volume_usd())),
            "trades" => markets.sort_by_cached_key(|market| Reverse(market.stats(Span::Day).trade_count)),
            "change" => markets.sort_by_cached_key(|market| Reverse(market.day_change_millionths())),
            _ => {} // sorted by name already
        }
        Ok(markets)
    }

    fn render(&self, view: &ListingView) -> Vec<u8> {
        let markets = self.select(view).unwrap_or_default();
        let skip = self.cursor.as_ref().map_or(0, |cursor| cursor.skip);
        let page = markets.get(skip..).unwrap_or_default();
        let page = page.get(..self.limit).unwrap_or(page);
        let after = skip.saturating_add(page.len());
        let next = (after < markets.len()).then(|| Cursor::print(view, after));
        let list = own::market_list(view, page, next);
        match &self.fields {
            None => own::to_bytes(&list),
            Some(fields) => own::to_bytes(&only(fields, serde_json::to_value(&list).unwrap_or_default())),
        }
    }
}

/// The list with only these fields of each market.
fn only(fields: &[String], mut list: Value) -> Value {
    if let Some(markets) = list.get_mut("markets").and_then(Value::as_array_mut) {
        for market in markets.iter_mut().filter_map(Value::as_object_mut) {
            market.retain(|name, _| fields.iter().any(|field| field == name));
        }
    }
    list
}
