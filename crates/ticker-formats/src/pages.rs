//! Pages for people: the list of markets, a market, an asset. Made on the server: they work without script.
//!
//! The templates escape all texts. `AssetView` strips hidden characters of the texts of strangers.

mod frame;
mod list;
mod message;
mod row;

use askama::Template;
use ticker_domain::{decimal, span::Span, usd::Rate};

pub use frame::{AuditState, BackfillState, BudgetState, TickerState};
pub use list::list;
pub use message::{missing, starting};

use crate::listings::{AssetView, ListingView, MarketView, warnings};
use frame::Frame;

/// Asset as a page names it.
struct Named {
    id: String,
    code: String,
    /// Home domain of the issuer, or its address.
    by: String,
    is_verified: bool,
}

struct Warning {
    flag: &'static str,
    reason: String,
}

struct Link {
    id: String,
    title: String,
}

#[derive(Template)]
#[template(path = "market.html")]
struct MarketPage {
    frame: Frame,
    id: String,
    base: Named,
    quote: Named,
    last: Option<String>,
    last_usd: Option<String>,
    flags: Vec<Warning>,
    base_volume: String,
    quote_volume: String,
    volume_usd: Option<String>,
    high: Option<String>,
    low: Option<String>,
    change_percent: Option<String>,
    trade_count: u64,
    bid: Option<String>,
    ask: Option<String>,
    last_trade: Option<String>,
}

#[derive(Template)]
#[template(path = "asset.html")]
struct AssetPage {
    frame: Frame,
    asset: Named,
    issuer: Option<String>,
    name: String,
    contract_id: String,
    usd: Option<String>,
    xlm: Option<String>,
    method: Option<&'static str>,
    supply: Option<String>,
    holders: Option<i64>,
    markets: Vec<Link>,
}

/// Page of a market.
#[must_use]
pub fn market(market: &MarketView<'_>, state: &TickerState) -> Vec<u8> {
    let (day, last) = (market.stats(Span::Day), market.last());
    let quotient = |price: ticker_domain::price::Price| decimal::quotient(price.n().into(), price.d().into());
    let percent = day.prices.and_then(|prices| prices.change_percent());
    let (bid, ask) = market.best_prices();
    rendered(&MarketPage {
        frame: Frame::of(state, ""),
        id: market.name(),
        base: named(market.base()),
        quote: named(market.quote()),
        last: last.and_then(quotient),
        last_usd: market.last_usd().and_then(|rate: Rate| decimal::quotient(rate.n, rate.d)),
        flags: warnings(market).into_iter().map(|(flag, reason)| Warning { flag, reason }).collect(),
        base_volume: decimal::amount(day.base_volume),
        quote_volume: decimal::amount(day.quote_volume),
        volume_usd: market.day_volume_usd().map(decimal::amount),
        high: day.prices.and_then(|prices| quotient(prices.high)),
        low: day.prices.and_then(|prices| quotient(prices.low)),
        change_percent: percent.and_then(|(n, d)| decimal::quotient(n, d)),
        trade_count: day.trade_count,
        bid,
        ask,
        last_trade: market.last_trade_at().map(|at| at.to_rfc3339()),
    })
}

/// Page of an asset, with at most `markets_max` of its markets.
#[must_use]
pub fn asset(asset: &AssetView<'_>, view: &ListingView, state: &TickerState, markets_max: usize) -> Vec<u8> {
    let price = asset.usd();
    let markets = view.markets_of(asset).into_iter().take(markets_max).map(|market| Link {
        id: market.name(),
        title: format!(
            "{} ({}) / {} ({})",
            market.base().asset().code(),
            named(market.base()).by,
            market.quote().asset().code(),
            named(market.quote()).by
        ),
    });
    let xlm = price.zip(view.xlm_rate()).and_then(|(price, xlm)| price.rate.times(xlm.inverse()));
    rendered(&AssetPage {
        frame: Frame::of(state, ""),
        asset: named(asset),
        issuer: Some(asset.asset().issuer().to_owned()).filter(|issuer| issuer != "native"),
        name: asset.display_name(),
        contract_id: asset.contract_id(),
        usd: price.and_then(|price| decimal::quotient(price.rate.n, price.rate.d)),
        xlm: xlm.and_then(|rate| decimal::quotient(rate.n, rate.d)),
        method: price.map(|price| price.method.name()),
        supply: asset.supply(),
        holders: asset.holders(),
        markets: markets.collect(),
    })
}

fn named(asset: &AssetView<'_>) -> Named {
    let issuer = asset.asset().issuer();
    let by = match (issuer, asset.home_domain()) {
        ("native", _) => "Stellar".to_owned(),
        (issuer, Some(domain)) => {
            let start: String = issuer.chars().take(4).collect();
            format!("{domain}, {start}…")
        }
        (issuer, None) => issuer.to_owned(),
    };
    Named { id: asset.name(), code: asset.asset().code().to_owned(), by, is_verified: asset.is_verified() }
}

fn rendered(page: &impl Template) -> Vec<u8> {
    // Rendering plain fields into memory does not fail.
    page.render().unwrap_or_default().into_bytes()
}
