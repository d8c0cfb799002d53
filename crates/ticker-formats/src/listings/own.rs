//! Documents of the ticker's own API (`/api/v1`).

mod window;

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use ticker_domain::{
    asset::Asset, decimal, identity::SpelledAsset, instant::UnixSeconds, span::Span, usd::UsdPrice,
};

use super::{
    asset::AssetView,
    book::QuotedBook,
    flags::{self, Flag},
    market::MarketView,
    one_by_one::OneByOne,
    trades::{Order, TradeRow},
    value,
    view::ListingView,
};

use window::MarketWindows;
pub(super) use window::figure;

/// Reason of a null price: no rule of the prices in dollars reaches the asset.
const NO_WAY: &str = "no market with enough volume in 24 hours leads to a dollar";
/// Reason of a null price: the asset has no market with a trade in that time. Markets are held for longer.
const NOT_TRADED: &str = "no trade in the last 7 days";

/// Market: identity, prices and windows.
#[derive(Debug, Serialize)]
pub struct MarketDocument {
    /// `<base>_<quote>`
    pub id: String,
    base: AssetReference,
    quote: AssetReference,
    last: Option<String>,
    last_trade: Option<LastTrade>,
    windows: MarketWindows,
    bid: Option<String>,
    ask: Option<String>,
    spread: Option<String>,
    mid: Option<String>,
    book_age_s: Option<i64>,
    accounts: Option<AccountsDocument>,
    flags: Vec<Flag>,
    usd: MarketUsd,
    pool_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct AssetReference {
    id: String,
    code: String,
    issuer: Option<String>,
    contract_id: String,
    home_domain: Option<String>,
    verified: bool,
    valid: bool,
}

#[derive(Debug, Serialize)]
struct LastTrade {
    /// Number of the trade within its market, or null while its ledger is not complete.
    id: Option<u64>,
    time: String,
    age_s: i64,
}

/// Accounts behind the trades of 24 hours.
#[derive(Debug, Serialize)]
struct AccountsDocument {
    until: String,
    takers: u32,
    makers: u32,
    largest_pair_percent: String,
}

#[derive(Debug, Serialize)]
struct MarketUsd {
    last: Option<String>,
    volume_24h: Option<String>,
}

/// Asset: identity and what its issuer says.
#[derive(Debug, Serialize)]
pub struct AssetDocument {
    id: String,
    code: String,
    issuer: Option<String>,
    contract_id: String,
    name: String,
    home_domain: Option<String>,
    verified: bool,
    valid: bool,
    holders: Option<i64>,
    supply: Option<String>,
    price: PriceDocument,
}

/// Price of an asset in dollars and in XLM.
#[derive(Debug, Serialize)]
pub struct PriceDocument {
    asset: String,
    usd: Option<String>,
    /// Reason for which `usd` is null.
    reason: Option<&'static str>,
    xlm: Option<String>,
    change_24h_percent: Option<String>,
    age_s: Option<i64>,
    confidence: Option<&'static str>,
    method: Option<&'static str>,
    legs: Vec<LegDocument>,
    constituents: Option<Constituents>,
}

#[derive(Debug, Serialize)]
struct LegDocument {
    market: String,
    vwap: Option<String>,
    volume_usd: String,
    age_s: i64,
}

/// Inputs of XLM's median.
#[derive(Debug, Serialize)]
struct Constituents {
    minutes: usize,
    volume_usd: String,
    anchors: Vec<String>,
    depegged: Vec<String>,
}

/// Answer with all markets, or a page of them.
#[derive(Debug, Serialize)]
pub struct MarketList<M = Vec<MarketDocument>> {
    as_of: String,
    seq: i64,
    /// Markets, in the order that the reader chose.
    pub markets: M,
    /// Cursor of the next page, or null at the end.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct AssetList<A> {
    as_of: String,
    seq: i64,
    assets: A,
}

#[derive(Debug, Serialize)]
struct PriceList {
    as_of: String,
    seq: i64,
    prices: Vec<PriceDocument>,
}

#[derive(Debug, Serialize)]
struct TradeList {
    as_of: String,
    seq: i64,
    market: String,
    trades: Vec<TradeRow>,
}

#[derive(Debug, Serialize)]
struct SymbolList {
    as_of: String,
    seq: i64,
    symbols: Vec<SymbolDocument>,
}

#[derive(Debug, Serialize)]
struct SymbolDocument {
    code: String,
    asset: String,
    issuer: Option<String>,
    /// Moment from which the choice counts.
    since: Option<String>,
    reason: &'static str,
}

/// Document of one market.
#[must_use]
pub fn market(market: &MarketView<'_>) -> MarketDocument {
    let week = market.stats(Span::Week);
    let last = week.prices.map(|prices| prices.close);
    let book = market.book();
    let usd_of_quote = market.quote().usd().map(|price| price.rate);
    let rate_of_last = last.and_then(|last| ticker_domain::usd::Rate::new(last.n().into(), last.d().into()));
    MarketDocument {
        id: market.name(),
        base: reference(market.base()),
        quote: reference(market.quote()),
        last: value::price(last),
        last_trade: last_trade(market),
        windows: window::of(market),
        bid: book.as_ref().and_then(QuotedBook::bid),
        ask: book.as_ref().and_then(QuotedBook::ask),
        spread: book.as_ref().and_then(QuotedBook::spread),
        mid: book.as_ref().and_then(QuotedBook::mid),
        book_age_s: market.book_age_s(),
        accounts: accounts(market),
        flags: flags::of(market),
        usd: MarketUsd {
            last: value::rate(rate_of_last.zip(usd_of_quote).and_then(|(last, usd)| last.times(usd))),
            volume_24h: market.day_volume_usd().map(decimal::amount),
        },
        pool_id: market.pool_id(),
    }
}

fn reference(asset: &AssetView<'_>) -> AssetReference {
    AssetReference {
        id: asset.name(),
        code: asset.asset().code().to_owned(),
        issuer: issuer(asset),
        contract_id: asset.contract_id(),
        home_domain: asset.home_domain(),
        verified: asset.is_verified(),
        valid: asset.is_valid(),
    }
}

/// Address of the issuer. XLM has none.
fn issuer(asset: &AssetView<'_>) -> Option<String> {
    Some(asset.asset().issuer()).filter(|issuer| *issuer != "native").map(ToOwned::to_owned)
}

fn last_trade(market: &MarketView<'_>) -> Option<LastTrade> {
    let at = market.last_trade_at()?;
    let mut numbered = market.numbered(Order::NewestFirst, at.minus(1), at);
    Some(LastTrade {
        id: numbered.next().map(|trade| trade.id),
        time: at.to_rfc3339(),
        age_s: market.view().as_of().0.saturating_sub(at.0).max(0), // the network's clock may be ahead
    })
}

fn accounts(market: &MarketView<'_>) -> Option<AccountsDocument> {
    let (until, accounts) = market.view().accounts(market.id())?;
    Some(AccountsDocument {
        until: until.to_rfc3339(),
        takers: accounts.takers,
        makers: accounts.makers,
        largest_pair_percent: accounts.largest_pair_percent(),
    })
}

/// Document of one asset.
#[must_use]
pub fn asset(asset: &AssetView<'_>, view: &ListingView) -> AssetDocument {
    AssetDocument {
        id: asset.name(),
        code: asset.asset().code().to_owned(),
        issuer: issuer(asset),
        contract_id: asset.contract_id(),
        name: asset.display_name(),
        home_domain: asset.home_domain(),
        verified: asset.is_verified(),
        valid: asset.is_valid(),
        holders: asset.holders(),
        supply: asset.supply(),
        price: price(asset, view),
    }
}

/// Price of one asset, with the way to it.
#[must_use]
pub fn price(asset: &AssetView<'_>, view: &ListingView) -> PriceDocument {
    let price = asset.usd();
    let reason = if price.is_some() || view.is_traded(asset) { NO_WAY } else { NOT_TRADED };
    PriceDocument {
        change_24h_percent: price.and_then(|price| change(asset, price, view)),
        ..priced(asset.name(), price, reason, view)
    }
}

/// Price of an asset of no held market: a dollar for an anchor, as for one that has a market, and else none.
fn price_of_untraded(spelled: &SpelledAsset, view: &ListingView) -> PriceDocument {
    let anchors = view.anchors();
    let (name, is_anchor) = match spelled {
        SpelledAsset::Classic(asset) => (asset.name(), anchors.contains(asset)),
        SpelledAsset::Contract(contract) => {
            let anchor = anchors.iter().find(|anchor| view.contract(anchor) == *contract);
            (anchor.map_or_else(|| contract.to_string(), Asset::name), anchor.is_some())
        }
    };
    let price = is_anchor.then(UsdPrice::of_anchor);
    PriceDocument {
        change_24h_percent: is_anchor.then(|| "0".to_owned()),
        ..priced(name, price.as_ref(), NOT_TRADED, view)
    }
}

/// Price of an asset with the way to it, but without its change.
fn priced(
    asset: String,
    price: Option<&UsdPrice>,
    reason: &'static str,
    view: &ListingView,
) -> PriceDocument {
    let xlm = view.usd().xlm();
    let is_xlm = asset == "XLM";
    let in_xlm = price.zip(xlm).and_then(|(price, xlm)| price.rate.times(xlm.rate.inverse()));
    let name_of = |id| view.asset(id).map(|asset| asset.name()).unwrap_or_default();
    PriceDocument {
        asset,
        usd: value::rate(price.map(|price| price.rate)),
        reason: price.is_none().then_some(reason),
        xlm: if is_xlm { Some("1".to_owned()) } else { value::rate(in_xlm) },
        change_24h_percent: None,
        age_s: price.and_then(|price| age(price, xlm.map(|xlm| xlm.age_s))),
        confidence: price.map(|price| price.confidence.name()),
        method: price.map(|price| price.method.name()),
        legs: price.map(|price| legs(price, view)).unwrap_or_default(),
        constituents: xlm.filter(|_| is_xlm).map(|xlm| Constituents {
            minutes: xlm.minutes,
            volume_usd: decimal::amount(xlm.volume),
            anchors: xlm.anchors.iter().copied().map(name_of).collect(),
            depegged: xlm.depegged.iter().copied().map(name_of).collect(),
        }),
    }
}

fn legs(price: &UsdPrice, view: &ListingView) -> Vec<LegDocument> {
    let leg = |leg: &ticker_domain::usd::Leg| LegDocument {
        market: view.market(leg.market).map(|market| market.name()).unwrap_or_default(),
        vwap: value::rate(Some(leg.rate)),
        volume_usd: decimal::amount(leg.volume),
        age_s: leg.age_s,
    };
    price.legs.iter().map(leg).collect()
}

/// Age of the oldest input.
fn age(price: &UsdPrice, xlm_age_s: Option<i64>) -> Option<i64> {
    use ticker_domain::usd::Method;
    let of_legs = price.legs.iter().map(|leg| leg.age_s).max();
    match price.method {
        Method::Anchor => Some(0),
        Method::XlmMedian => xlm_age_s,
        Method::Direct => of_legs,
        Method::ThroughXlm => of_legs.max(xlm_age_s),
    }
}

/// Change of the asset's own leg in 24 hours, in per cent. XLM's is that of its most traded anchor market.
fn change(asset: &AssetView<'_>, price: &UsdPrice, view: &ListingView) -> Option<String> {
    use ticker_domain::usd::Method;
    let market = match price.method {
        Method::Anchor => return Some("0".to_owned()),
        Method::XlmMedian => {
            let anchors = view.usd().xlm()?.anchors.iter().filter_map(|id| view.asset(*id));
            let markets = anchors.filter_map(|anchor| view.market_between(asset, &anchor));
            markets.max_by_key(|market| volume_against(asset, market))?
        }
        Method::Direct | Method::ThroughXlm => view.market(price.legs.first()?.market)?,
    };
    let prices = market.stats(Span::Day).prices?;
    let (before, after) = if market.base().id() == asset.id() {
        (prices.open, prices.close)
    } else {
        (prices.open.inverse(), prices.close.inverse())
    };
    let turned = ticker_domain::quoted::QuotedPrices { open: before, close: after, ..prices };
    value::ratio(turned.change_percent())
}

/// Clean volume of 24 hours in the other asset of a market. Of markets against anchors these volumes are dollars,
/// while a quote may be an anchor in one of them and XLM in another.
fn volume_against(asset: &AssetView<'_>, market: &MarketView<'_>) -> i128 {
    let day = market.stats(Span::Day);
    if market.base().id() == asset.id() {
        day.clean_quote_volume
    } else {
        day.vwap.map_or(0, |(_, base)| base)
    }
}

/// `/api/v1/markets` with these markets.
#[must_use]
pub fn market_list(
    view: &ListingView,
    markets: &[MarketView<'_>],
    next_cursor: Option<String>,
) -> MarketList {
    list_of(view, markets.iter().map(market).collect(), next_cursor)
}

fn list_of<M>(view: &ListingView, markets: M, next_cursor: Option<String>) -> MarketList<M> {
    MarketList { as_of: view.as_of().to_rfc3339(), seq: view.seq(), markets, next_cursor }
}

/// Writes `v1/markets.json`: every market.
pub(crate) fn all_markets(view: &ListingView, out: &mut dyn Write) -> io::Result<()> {
    let markets = view.markets();
    write_json(out, &list_of(view, OneByOne::new(&markets, |of| Some(market(of))), None))
}

/// Writes `/api/v1/assets`: every asset of a market.
pub(crate) fn assets(view: &ListingView, out: &mut dyn Write) -> io::Result<()> {
    let assets = view.assets();
    let assets = OneByOne::new(&assets, |of| Some(asset(of, view)));
    write_json(out, &AssetList { as_of: view.as_of().to_rfc3339(), seq: view.seq(), assets })
}

/// `/api/v1/prices` of these assets, in their order. An asset that is not traded has null prices, and the reason. An
/// anchor is always a dollar.
#[must_use]
pub fn prices(view: &ListingView, assets: &[SpelledAsset]) -> Vec<u8> {
    let of = |spelled: &SpelledAsset| match view.find(spelled) {
        Some(asset) => price(&asset, view),
        None => price_of_untraded(spelled, view),
    };
    let prices = assets.iter().map(of).collect();
    to_bytes(&PriceList { as_of: view.as_of().to_rfc3339(), seq: view.seq(), prices })
}

/// Writes `/api/v1/symbols`: the issuer that stands for each code.
pub(crate) fn symbols(view: &ListingView, out: &mut dyn Write) -> io::Result<()> {
    let document = |(code, symbol): (&str, &ticker_domain::symbols::Symbol)| {
        let asset = view.asset(symbol.asset)?;
        Some(SymbolDocument {
            code: code.to_owned(),
            asset: asset.name(),
            issuer: issuer(&asset),
            since: symbol.since.map(UnixSeconds::to_rfc3339),
            reason: symbol.reason.name(),
        })
    };
    let symbols = view.symbols().iter().filter_map(document).collect();
    write_json(out, &SymbolList { as_of: view.as_of().to_rfc3339(), seq: view.seq(), symbols })
}

/// `/api/v1/markets/{market}/trades`: the newest `limit` trades of complete ledgers that closed from `from`
/// to `to`, both inclusive, the newest first.
#[must_use]
pub fn trades(market: &MarketView<'_>, from: UnixSeconds, to: UnixSeconds, limit: usize) -> Vec<u8> {
    let in_time = market.numbered(Order::NewestFirst, from.minus(1), to).take(limit);
    let view = market.view();
    to_bytes(&TradeList {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        market: market.name(),
        trades: in_time.map(|of| TradeRow::of(&of, market.is_flipped())).collect(),
    })
}

/// Writes any document as JSON.
pub(crate) fn write_json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    // The serializer writes every comma and quote on its own.
    let mut buffered = BufWriter::new(out);
    serde_json::to_writer(&mut buffered, document).map_err(io::Error::from)?;
    buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

/// Any document as JSON.
#[must_use]
pub fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    // Serialising plain structs into memory does not fail.
    serde_json::to_vec(document).unwrap_or_default()
}

#[cfg(test)]
mod tests;
