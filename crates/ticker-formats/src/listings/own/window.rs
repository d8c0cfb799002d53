//! Windows of a market's document.

use serde::Serialize;
use ticker_domain::{decimal, quoted::QuotedStats, span::Span};

use crate::listings::{market::MarketView, value};

/// Window, and whether all its trades are known.
#[derive(Debug, Serialize)]
pub(super) struct MarketWindow {
    complete: bool,
    #[serde(flatten)]
    figures: WindowDocument,
}

#[derive(Debug, Serialize)]
struct WindowDocument {
    open: Option<String>,
    high: Option<String>,
    low: Option<String>,
    close: Option<String>,
    open_raw: Option<String>,
    high_raw: Option<String>,
    low_raw: Option<String>,
    close_raw: Option<String>,
    vwap: Option<String>,
    change: Option<String>,
    change_percent: Option<String>,
    base_volume: String,
    quote_volume: String,
    trade_count: u64,
    clean_count: u64,
    buy_volume: String,
    sell_volume: String,
    book_volume: String,
    pool_volume: String,
}

/// Figure of a window by its name, as its document shows it; null for an unknown name.
pub(in crate::listings) fn figure(stats: &QuotedStats, name: &str) -> serde_json::Value {
    let document = serde_json::to_value(document(stats)).unwrap_or_default();
    document.get(name).cloned().unwrap_or_default()
}

/// Window of a market.
pub(super) fn of(market: &MarketView<'_>, span: Span) -> MarketWindow {
    MarketWindow { complete: market.view().is_whole(span), figures: document(&market.stats(span)) }
}

fn document(stats: &QuotedStats) -> WindowDocument {
    let clean = stats.prices;
    let raw = stats.raw_prices;
    WindowDocument {
        open: value::price(clean.map(|prices| prices.open)),
        high: value::price(clean.map(|prices| prices.high)),
        low: value::price(clean.map(|prices| prices.low)),
        close: value::price(clean.map(|prices| prices.close)),
        open_raw: value::price(raw.map(|prices| prices.open)),
        high_raw: value::price(raw.map(|prices| prices.high)),
        low_raw: value::price(raw.map(|prices| prices.low)),
        close_raw: value::price(raw.map(|prices| prices.close)),
        vwap: value::ratio(stats.vwap),
        change: value::ratio(clean.map(|prices| prices.change())),
        change_percent: value::ratio(clean.and_then(|prices| prices.change_percent())),
        base_volume: decimal::amount(stats.base_volume),
        quote_volume: decimal::amount(stats.quote_volume),
        trade_count: stats.trade_count,
        clean_count: stats.clean_count,
        buy_volume: decimal::amount(stats.buy_volume),
        sell_volume: decimal::amount(stats.sell_volume),
        book_volume: decimal::amount(stats.book_volume),
        pool_volume: decimal::amount(stats.pool_volume),
    }
}
