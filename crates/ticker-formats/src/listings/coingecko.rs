//! CoinGecko's formats (version 8, 2024): `pairs`, `tickers`, `historical_trades`.

use std::io::{self, Write};

use serde::Serialize;
use ticker_domain::{decimal, instant::UnixSeconds, listed_trade::ListedTrade, span::Span};

use super::{
    book::QuotedBook,
    market::MarketView,
    one_by_one::{Each, OneByOne},
    own::write_json,
    trades::{Order, TradeRow},
    value,
    view::{IdStyle, ListingView},
};

#[derive(Serialize)]
struct Pair {
    ticker_id: String,
    base: String,
    target: String,
    pool_id: Option<String>,
}

#[derive(Serialize)]
struct Ticker {
    ticker_id: String,
    base_currency: String,
    target_currency: String,
    pool_id: Option<String>,
    last_price: String,
    base_volume: String,
    target_volume: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<String>,
    high: String,
    low: String,
}

#[derive(Serialize)]
struct Trade {
    trade_id: u64,
    price: String,
    base_volume: String,
    target_volume: String,
    trade_timestamp: i64,
    #[serde(rename = "type")]
    side: &'static str,
}

/// Trades by the side of the taker. Readers of one side expect the other as well.
#[derive(Serialize)]
struct Trades<T> {
    buy: T,
    sell: T,
}

/// Side of the taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The taker bought the base.
    Buy,
    /// The taker sold the base.
    Sell,
}

/// Selection of `historical_trades`.
#[derive(Clone, Copy, Debug)]
pub struct TradeQuery {
    /// One side only. The other one is empty then.
    pub side: Option<Side>,
    /// Most trades of each side, or all.
    pub limit: Option<usize>,
    /// First close time, inclusive.
    pub from: UnixSeconds,
    /// Last close time, inclusive.
    pub to: UnixSeconds,
}

/// Writes `pairs`: the markets.
pub(crate) fn pairs(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let pair = |market: &MarketView<'_>| Pair {
        ticker_id: market.spelled(style),
        base: market.base().spelled(style),
        target: market.quote().spelled(style),
        pool_id: market.pool_id(),
    };
    write_json(out, &OneByOne::new(&view.listed_markets(), |market| Some(pair(market))))
}

/// Writes `tickers`: the markets with their figures of 24 hours. A day in which no trade had a price has no ticker.
pub(crate) fn tickers(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let ticker = |market: &MarketView<'_>| {
        let (day, prices) = (market.stats(Span::Day), market.day_prices()?);
        let book = market.book();
        Some(Ticker {
            ticker_id: market.spelled(style),
            base_currency: market.base().spelled(style),
            target_currency: market.quote().spelled(style),
            pool_id: market.pool_id(),
            last_price: value::price(Some(prices.close))?,
            base_volume: decimal::amount(day.base_volume),
            target_volume: decimal::amount(day.quote_volume),
            bid: book.as_ref().and_then(QuotedBook::bid),
            ask: book.as_ref().and_then(QuotedBook::ask),
            high: value::price(Some(prices.high))?,
            low: value::price(Some(prices.low))?,
        })
    };
    write_json(out, &OneByOne::new(&view.listed_markets(), ticker))
}

/// Writes `historical_trades`: trades of complete ledgers with a price, the newest first.
///
/// # Errors
///
/// Errors of the writer.
pub fn historical_trades(market: &MarketView<'_>, query: TradeQuery, out: &mut dyn Write) -> io::Result<()> {
    let is_flipped = market.is_flipped();
    let of_side = |side: Side| {
        let is_wanted = query.side.is_none_or(|only| only == side);
        let limit = if is_wanted { query.limit.unwrap_or(usize::MAX) } else { 0 };
        let is_of_side = move |of: &ListedTrade| (of.trade.is_buy != is_flipped) == (side == Side::Buy);
        let trades = move || {
            let listed =
                market.numbered(Order::NewestFirst, query.from.minus(1), query.to).filter(is_of_side);
            let trades = listed.filter_map(move |of| trade(TradeRow::of(&of, is_flipped)));
            trades.take(limit)
        };
        Each(trades)
    };
    write_json(out, &Trades { buy: of_side(Side::Buy), sell: of_side(Side::Sell) })
}

fn trade(row: TradeRow) -> Option<Trade> {
    Some(Trade {
        trade_id: row.id,
        price: row.trade.price?,
        base_volume: row.trade.base_amount,
        target_volume: row.trade.quote_amount,
        trade_timestamp: row.millis,
        side: row.trade.side,
    })
}
