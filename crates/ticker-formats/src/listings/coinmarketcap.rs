//! CoinMarketCap's formats: `summary`, `assets`, `ticker`, `trades` and the DEX format C1.
//!
//! Pairs are named by code where an issuer stands for it. Others are named `CODE-ISSUER`, so that no name stands for
//! two markets.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;
use ticker_domain::{asset::Asset, decimal, instant::UnixSeconds, span::Span};

use super::{
    asset::AssetView,
    book::QuotedBook,
    market::MarketView,
    one_by_one::{Each, OneByOne},
    own::write_json,
    trades::{Order, TradeRow},
    value::{self, Number},
    view::{IdStyle, ListingView},
};

/// CoinMarketCap's own ids of assets, by identity: a line of names, then an asset and its id on each line.
const UNIFIED_IDS: &str = include_str!("coinmarketcap/unified_ids.csv");

#[derive(Serialize)]
struct SummaryEntry {
    trading_pairs: String,
    base_currency: String,
    quote_currency: String,
    last_price: Number,
    lowest_ask: Number,
    highest_bid: Number,
    base_volume: Number,
    quote_volume: Number,
    price_change_percent_24h: Number,
    highest_price_24h: Number,
    lowest_price_24h: Number,
}

#[derive(Serialize)]
struct AssetEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unified_cryptoasset_id: Option<u32>,
    can_withdraw: bool,
    can_deposit: bool,
    maker_fee: Number,
    taker_fee: Number,
    #[serde(rename = "contractAddress")]
    contract_address: String,
}

#[derive(Serialize)]
struct Ticker {
    #[serde(skip_serializing_if = "Option::is_none")]
    base_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote_id: Option<u32>,
    last_price: Number,
    base_volume: Number,
    quote_volume: Number,
    #[serde(rename = "isFrozen")]
    is_frozen: u8,
}

#[derive(Serialize)]
struct Trade {
    trade_id: u64,
    price: Number,
    base_volume: Number,
    quote_volume: Number,
    timestamp: i64,
    #[serde(rename = "type")]
    side: &'static str,
}

/// Entry of the DEX format: all strings, names never empty.
#[derive(Serialize)]
struct DexPair {
    base_id: String,
    base_name: String,
    base_symbol: String,
    quote_id: String,
    quote_name: String,
    quote_symbol: String,
    last_price: String,
    base_volume: String,
    quote_volume: String,
}

/// Writes `summary`: all markets with their figures of 24 hours. An unknown bid or ask is 0.
pub(crate) fn summary(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let summary = |market: &MarketView<'_>| {
        let (day, prices) = (market.stats(Span::Day), market.day_prices()?);
        let book = market.book();
        Some(SummaryEntry {
            trading_pairs: pair_name(market, style),
            base_currency: symbol(market.base(), view, style),
            quote_currency: symbol(market.quote(), view, style),
            last_price: Number(value::price(Some(prices.close))?),
            lowest_ask: Number::or_zero(book.as_ref().and_then(QuotedBook::ask)),
            highest_bid: Number::or_zero(book.as_ref().and_then(QuotedBook::bid)),
            base_volume: Number(decimal::amount(day.base_volume)),
            quote_volume: Number(decimal::amount(day.quote_volume)),
            price_change_percent_24h: Number::or_zero(value::ratio(prices.change_percent())),
            highest_price_24h: Number(value::price(Some(prices.high))?),
            lowest_price_24h: Number(value::price(Some(prices.low))?),
        })
    };
    write_json(out, &OneByOne::new(&view.listed_markets(), summary))
}

/// Writes `assets`: the assets of all listed markets, by symbol.
pub(crate) fn assets(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let mut entries = BTreeMap::new();
    for market in view.listed_markets() {
        for asset in [market.base(), market.quote()] {
            let entry = AssetEntry {
                name: asset.display_name(),
                unified_cryptoasset_id: unified_id(asset),
                can_withdraw: true,
                can_deposit: true,
                maker_fee: Number::or_zero(None),
                taker_fee: Number::or_zero(None),
                contract_address: asset.contract_id(),
            };
            entries.insert(symbol(asset, view, style), entry);
        }
    }
    write_json(out, &entries)
}

/// Writes `ticker`: all markets by pair.
pub(crate) fn ticker(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let ticker = |market: &MarketView<'_>| {
        let day = market.stats(Span::Day);
        let ticker = Ticker {
            base_id: unified_id(market.base()),
            quote_id: unified_id(market.quote()),
            last_price: Number(value::price(Some(market.day_prices()?.close))?),
            base_volume: Number(decimal::amount(day.base_volume)),
            quote_volume: Number(decimal::amount(day.quote_volume)),
            is_frozen: 0,
        };
        Some((pair_name(market, style), ticker))
    };
    write_json(out, &view.listed_markets().iter().filter_map(ticker).collect::<BTreeMap<_, _>>())
}

/// Writes `trades/{pair}`: all trades of complete ledgers in the last 24 hours with a price, the newest first.
///
/// # Errors
///
/// Errors of the writer.
pub fn trades(market: &MarketView<'_>, out: &mut dyn Write) -> io::Result<()> {
    let edge = Span::Day.edge(market.view().as_of());
    let trade = |row: TradeRow| {
        Some(Trade {
            trade_id: row.id,
            price: Number(row.trade.price?),
            base_volume: Number(row.trade.base_amount),
            quote_volume: Number(row.trade.quote_amount),
            timestamp: row.millis,
            side: row.trade.side,
        })
    };
    let newest_first = || market.numbered(Order::NewestFirst, edge, UnixSeconds(i64::MAX));
    let rows = || newest_first().map(|of| TradeRow::of(&of, market.is_flipped()));
    write_json(out, &Each(|| rows().filter_map(trade)))
}

/// Writes `dex`: all markets by `<base_id>_<quote_id>`.
pub(crate) fn dex(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let pair = |market: &MarketView<'_>| {
        let (base, quote, day) = (market.base(), market.quote(), market.stats(Span::Day));
        let pair = DexPair {
            base_id: base.spelled(style),
            base_name: base.display_name(),
            base_symbol: base.asset().code().to_owned(),
            quote_id: quote.spelled(style),
            quote_name: quote.display_name(),
            quote_symbol: quote.asset().code().to_owned(),
            last_price: value::price(Some(market.day_prices()?.close))?,
            base_volume: decimal::amount(day.base_volume),
            quote_volume: decimal::amount(day.quote_volume),
        };
        Some((market.spelled(style), pair))
    };
    write_json(out, &view.listed_markets().iter().filter_map(pair).collect::<BTreeMap<_, _>>())
}

/// Code of an asset that stands for it, else the asset's full name.
pub(super) fn symbol(asset: &AssetView<'_>, view: &ListingView, style: IdStyle) -> String {
    match style {
        IdStyle::Contract => asset.spelled(style),
        IdStyle::Classic if view.symbols().stands_for(asset.asset().code(), asset.id()) => {
            asset.asset().code().to_owned()
        }
        IdStyle::Classic => asset.name(),
    }
}

/// Name of a market in `summary` and `ticker`.
#[must_use]
pub fn pair_name(market: &MarketView<'_>, style: IdStyle) -> String {
    let view = market.view();
    format!("{}_{}", symbol(market.base(), view, style), symbol(market.quote(), view, style))
}

fn unified_id(asset: &AssetView<'_>) -> Option<u32> {
    let name = match asset.asset() {
        Asset::Native => "native".to_owned(),
        issued @ Asset::Issued { .. } => issued.to_string(),
    };
    unified_ids().find(|(known, _)| *known == name).map(|(_, id)| id)
}

fn unified_ids() -> impl Iterator<Item = (&'static str, u32)> {
    UNIFIED_IDS.lines().skip(1).filter_map(|line| {
        let (asset, id) = line.split_once(',')?;
        Some((asset, id.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_an_asset_with_an_id_of_its_own() {
        assert!(UNIFIED_IDS.starts_with("asset,id\n"));
        let lines = UNIFIED_IDS.lines().count() - 1;
        let ids: BTreeMap<&str, u32> = unified_ids().collect();
        let assets: BTreeMap<u32, &str> = unified_ids().map(|(asset, id)| (id, asset)).collect();
        assert_eq!((ids.len(), assets.len()), (lines, lines), "{ids:?}");
        for name in ids.keys() {
            let asset = name.parse::<Asset>().map(|asset| asset.to_string());
            assert!(*name == "native" || asset.as_deref() == Ok(*name), "{name}");
        }
        assert_eq!(ids["native"], 512);
    }
}
