//! Live events: changed markets and new trades, one line of JSON each.

use serde::Serialize;
use ticker_domain::{
    asset_names::AssetId, changes::Changes, decimal, market::Market, market_snapshot::MarketSnapshot,
    quoted::QuotedStats, span::Span, trade_stats::WindowTrade, windows::MarketId,
};

use super::{book::QuotedBook, trades::QuotedTrade, value};

/// Events of one publication.
#[derive(Debug, Default)]
pub struct Lines {
    /// New trades in the order of their tokens.
    pub trades: Vec<Line>,
    /// Changed markets, in the order of their ids.
    pub markets: Vec<Line>,
}

/// One event.
#[derive(Debug)]
pub struct Line {
    /// Market that it is about.
    pub market: MarketId,
    /// Assets of the market.
    pub assets: (AssetId, AssetId),
    /// JSON without line breaks.
    pub json: String,
}

#[derive(Serialize)]
struct TradeEvent<'a> {
    market: &'a str,
    #[serde(flatten)]
    trade: QuotedTrade,
}

#[derive(Serialize)]
struct MarketEvent<'a> {
    market: &'a str,
    last: Option<String>,
    bid: Option<String>,
    ask: Option<String>,
    /// The last 24 hours.
    #[serde(rename = "24h")]
    day: DayEvent,
}

#[derive(Serialize)]
struct DayEvent {
    open: Option<String>,
    high: Option<String>,
    low: Option<String>,
    change_percent: Option<String>,
    base_volume: String,
    quote_volume: String,
    trade_count: u64,
}

/// A market in the orientation of new outputs.
struct Oriented {
    name: String,
    assets: (AssetId, AssetId),
    is_flipped: bool,
}

impl Oriented {
    fn of(snapshot: &MarketSnapshot, market: MarketId) -> Option<Self> {
        let assets = snapshot.directory().sides(market)?;
        let names = snapshot.directory().names();
        let base = *names.asset(assets.0)?;
        let (market, _) = Market::of(base, *names.asset(assets.1)?)?;
        Some(Self { name: market.name(), assets, is_flipped: market.quoted().0 != &base })
    }
}

impl Lines {
    /// Renders changes with the figures of this snapshot. Markets without identity are left out: their assets are not
    /// known yet.
    #[must_use]
    pub fn of(changes: &Changes, snapshot: &MarketSnapshot) -> Self {
        let trade = |(market, trade): &(MarketId, WindowTrade)| {
            let oriented = Oriented::of(snapshot, *market)?;
            let trade = QuotedTrade::of(trade, oriented.is_flipped);
            let event = TradeEvent { market: &oriented.name, trade };
            Some(Line { market: *market, assets: oriented.assets, json: json(&event) })
        };
        let market = |market: &MarketId| {
            let oriented = Oriented::of(snapshot, *market)?;
            let event = market_event(&oriented, *market, snapshot);
            Some(Line { market: *market, assets: oriented.assets, json: json(&event) })
        };
        Self {
            trades: changes.trades.iter().filter_map(trade).collect(),
            markets: changes.markets.iter().filter_map(market).collect(),
        }
    }
}

fn market_event<'a>(oriented: &'a Oriented, market: MarketId, snapshot: &MarketSnapshot) -> MarketEvent<'a> {
    let stats = |span| QuotedStats::of(&snapshot.windows().stats(market, span), oriented.is_flipped);
    let (day, week) = (stats(Span::Day), stats(Span::Week));
    // Once the market has left the list, no event follows when its book grows too old.
    let book = snapshot.directory().book(market).filter(|_| week.trade_count > 0);
    let book = book.and_then(|book| QuotedBook::recent(book, oriented.is_flipped, snapshot.as_of()));
    MarketEvent {
        market: &oriented.name,
        last: value::price(week.prices.map(|prices| prices.close)),
        bid: book.as_ref().and_then(QuotedBook::bid),
        ask: book.as_ref().and_then(QuotedBook::ask),
        day: DayEvent {
            open: value::price(day.prices.map(|prices| prices.open)),
            high: value::price(day.prices.map(|prices| prices.high)),
            low: value::price(day.prices.map(|prices| prices.low)),
            change_percent: value::ratio(day.prices.and_then(|prices| prices.change_percent())),
            base_volume: decimal::amount(day.base_volume),
            quote_volume: decimal::amount(day.quote_volume),
            trade_count: day.trade_count,
        },
    }
}

fn json(event: &impl Serialize) -> String {
    // Serialising plain structs into memory does not fail.
    serde_json::to_string(event).unwrap_or_default()
}
