//! CCXT's unified structures: what its clients expect of an exchange.
//!
//! A symbol is `BASE/QUOTE`. A side is the code if the asset stands for it, else `CODE-ISSUER`, so that no two markets
//! share a symbol: CCXT would silently keep only one of them. Unknown figures are null, since a bot would trade on a 0.

use std::{
    io::{self, Write},
    ops::RangeInclusive,
};

use serde::Serialize;
use ticker_domain::{
    candles::Interval, conversions::SaturatingFrom, decimal, identity::SpelledAsset, instant::UnixSeconds,
    listed_trade::ListedTrade, market::Market, quoted::QuotedStats, span::Span,
};

use super::{
    asset::AssetView,
    book::QuotedBook,
    history::MarketHistory,
    market::{MarketView, price_places},
    one_by_one::OneByOne,
    orderbook::{Numbers, QuotedLevels},
    own::{to_bytes, write_json},
    trades::{Order, TradeRow, whole_seconds},
    value::{self, Number},
    view::{IdStyle, ListingView},
};

/// Decimal places of an amount, which is in whole stroops.
const AMOUNT_PLACES: u32 = 7;
/// Decimal places of a price. A price is a ratio and has no tick of its own, but clients round to the one that is
/// given. CCXT takes no more than 22 places.
const PRICE_PLACES: RangeInclusive<u32> = AMOUNT_PLACES..=18;
/// Timeframes, and the intervals that they mean.
pub const TIMEFRAMES: [(&str, Interval); 7] = [
    ("1m", Interval::Minute),
    ("5m", Interval::FiveMinutes),
    ("15m", Interval::Quarter),
    ("1h", Interval::Hour),
    ("4h", Interval::FourHours),
    ("1d", Interval::Day),
    ("1w", Interval::Week),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CcxtMarket {
    id: String,
    symbol: String,
    base: String,
    quote: String,
    base_id: String,
    quote_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    spot: bool,
    active: bool,
    precision: Precision,
}

#[derive(Serialize)]
struct Precision {
    amount: Number,
    price: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ticker {
    /// Id of the market.
    id: String,
    symbol: String,
    timestamp: i64,
    datetime: String,
    high: Option<Number>,
    low: Option<Number>,
    bid: Option<Number>,
    bid_volume: Option<Number>,
    ask: Option<Number>,
    ask_volume: Option<Number>,
    vwap: Option<Number>,
    open: Option<Number>,
    close: Option<Number>,
    last: Option<Number>,
    previous_close: Option<Number>,
    change: Option<Number>,
    percentage: Option<Number>,
    average: Option<Number>,
    base_volume: Number,
    quote_volume: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    id: String,
    timestamp: i64,
    datetime: String,
    symbol: String,
    side: &'static str,
    taker_or_maker: &'static str,
    price: Number,
    amount: Number,
    cost: Number,
}

#[derive(Serialize)]
struct Book<'a> {
    symbol: String,
    timestamp: i64,
    datetime: String,
    bids: Numbers<'a>,
    asks: Numbers<'a>,
}

/// Selection of trades or candles.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// First close time of interest; without it, the newest ones.
    pub since: Option<UnixSeconds>,
    /// Most entries.
    pub limit: usize,
}

/// Symbol of a market.
#[must_use]
pub fn symbol(market: &MarketView<'_>) -> String {
    format!("{}/{}", side(market.base(), market.view()), side(market.quote(), market.view()))
}

fn side(asset: &AssetView<'_>, view: &ListingView) -> String {
    let code = asset.asset().code();
    if view.symbols().stands_for(code, asset.id()) { code.to_owned() } else { asset.name() }
}

impl ListingView {
    /// Market of a symbol, or `None` if there is no such market with a trade in the last 7 days.
    #[must_use]
    pub fn market_of_ccxt(&self, symbol: &str) -> Option<MarketView<'_>> {
        let market = self.pair_of_ccxt(symbol)?;
        self.market_of(market.base(), market.counter())
    }

    /// Market of a symbol, whether it traded lately or not, or `None` if the symbol names no market.
    #[must_use]
    pub fn pair_of_ccxt(&self, symbol: &str) -> Option<Market> {
        let (base, quote) = symbol.split_once('/')?;
        let asset = |side: &str| match self.symbols().of_code(side) {
            Some(symbol) => self.asset(symbol.asset).map(|asset| *asset.asset()),
            None => match side.parse::<SpelledAsset>().ok()? {
                SpelledAsset::Classic(asset) => Some(asset),
                contract @ SpelledAsset::Contract(_) => self.find(&contract).map(|asset| *asset.asset()),
            },
        };
        let base = asset(base)?;
        let (market, _) = Market::of(base, asset(quote)?)?;
        // A reader who exchanges the sides would take a price for its inverse.
        (*market.quoted().0 == base).then_some(market)
    }
}

/// Writes `markets`: the listed markets.
pub(crate) fn markets(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    let market = |market: &MarketView<'_>| CcxtMarket {
        id: market.spelled(style),
        symbol: symbol(market),
        base: side(market.base(), view),
        quote: side(market.quote(), view),
        base_id: market.base().spelled(style),
        quote_id: market.quote().spelled(style),
        kind: "spot",
        spot: true,
        active: true,
        precision: Precision {
            amount: tick(AMOUNT_PLACES),
            price: tick(price_places(market.last(), PRICE_PLACES)),
        },
    };
    write_json(out, &OneByOne::new(&view.listed_markets(), |listed| Some(market(listed))))
}

/// Size of a tick, without an exponent as all numbers: 0.0000001 for 7 places.
fn tick(places: u32) -> Number {
    Number(format!("0.{:0>width$}", 1, width = usize::saturating_from(places)))
}

/// Writes `tickers`: the listed markets with their figures of 24 hours.
pub(crate) fn tickers(view: &ListingView, style: IdStyle, out: &mut dyn Write) -> io::Result<()> {
    write_json(out, &OneByOne::new(&view.listed_markets(), |market| Some(ticker_of(market, style))))
}

/// `ticker` of one market.
#[must_use]
pub fn ticker(market: &MarketView<'_>, style: IdStyle) -> Vec<u8> {
    to_bytes(&ticker_of(market, style))
}

fn ticker_of(market: &MarketView<'_>, style: IdStyle) -> Ticker {
    let (day, book, as_of) = (market.stats(Span::Day), market.book(), market.view().as_of());
    let prices = market.day_prices();
    let number = |text: Option<String>| text.map(Number);
    let price = |price| number(value::price(price));
    let average = prices.and_then(|prices| {
        let [open_n, open_d, close_n, close_d] =
            [prices.open.n(), prices.open.d(), prices.close.n(), prices.close.d()].map(i128::from);
        decimal::quotient(open_n * close_d + close_n * open_d, open_d.checked_mul(close_d)?.checked_mul(2)?)
    });
    Ticker {
        id: market.spelled(style),
        symbol: symbol(market),
        timestamp: as_of.0.saturating_mul(1_000),
        datetime: as_of.to_rfc3339(),
        high: price(prices.map(|prices| prices.high)),
        low: price(prices.map(|prices| prices.low)),
        bid: number(book.as_ref().and_then(QuotedBook::bid)),
        bid_volume: None,
        ask: number(book.as_ref().and_then(QuotedBook::ask)),
        ask_volume: None,
        // Dust alone has no average worth its name either.
        vwap: number(value::ratio(day.vwap.filter(|_| day.prices == prices))),
        open: price(prices.map(|prices| prices.open)),
        close: price(market.last()),
        last: price(market.last()),
        previous_close: None,
        change: number(value::ratio(prices.map(|prices| prices.change()))),
        percentage: number(value::ratio(prices.and_then(|prices| prices.change_percent()))),
        average: number(average),
        base_volume: Number(decimal::amount(day.base_volume)),
        quote_volume: Number(decimal::amount(day.quote_volume)),
    }
}

/// `trades` of complete ledgers with a price, the oldest first.
#[must_use]
pub fn trades(market: &MarketView<'_>, page: Page) -> Vec<u8> {
    let view = market.view();
    let oldest = Span::Week.edge(view.as_of());
    let symbol = symbol(market);
    let (order, edge) = match page.since {
        Some(since) => (Order::OldestFirst, since.minus(1).max(oldest)),
        None => (Order::NewestFirst, oldest),
    };
    let priced = market.numbered(order, edge, UnixSeconds(i64::MAX)).filter(|of| of.trade.price.is_some());
    let listed: Vec<ListedTrade> = match order {
        Order::OldestFirst => whole_seconds(priced, page.limit).collect(),
        Order::NewestFirst => {
            let mut newest: Vec<ListedTrade> = priced.take(page.limit).collect();
            newest.reverse();
            newest
        }
    };
    let rows = listed.iter().map(|listed| TradeRow::of(listed, market.is_flipped())).filter_map(|row| {
        Some(Trade {
            id: row.id.to_string(),
            timestamp: row.millis,
            datetime: UnixSeconds(row.millis / 1_000).to_rfc3339(),
            symbol: symbol.clone(),
            side: row.trade.side,
            taker_or_maker: "taker",
            price: Number(row.trade.price?),
            amount: Number(row.trade.base_amount),
            cost: Number(row.trade.quote_amount),
        })
    });
    to_bytes(&rows.collect::<Vec<_>>())
}

/// `ohlcv`: candles with trades from the bucket `from` on, the oldest first, each `[ms, open,
/// high, low, close, base volume]`.
#[must_use]
pub fn ohlcv(history: &MarketHistory<'_>, interval: Interval, from: UnixSeconds, page: Page) -> Vec<u8> {
    let (buckets, end) = (interval.buckets(), UnixSeconds(i64::MAX));
    let filled = match page.since {
        Some(_) => history.quoted(buckets, from, end),
        None => history.newest(buckets, from..end, page.limit, |stats| stats.prices.is_some()),
    };
    let candle = |(start, stats): (UnixSeconds, QuotedStats)| {
        let prices = stats.prices?;
        let price = |price| value::price(Some(price)).map(Number);
        let volume = Number(decimal::amount(stats.base_volume));
        Some((
            start.0.saturating_mul(1_000),
            price(prices.open)?,
            price(prices.high)?,
            price(prices.low)?,
            price(prices.close)?,
            volume,
        ))
    };
    to_bytes(&page.of(filled.into_iter().filter_map(candle).collect()))
}

/// `orderbook` of one market.
#[must_use]
pub fn orderbook(market: &MarketView<'_>, levels: &QuotedLevels) -> Vec<u8> {
    let (bids, asks) = levels.numbers();
    let fetched_at = levels.fetched_at();
    to_bytes(&Book {
        symbol: symbol(market),
        timestamp: fetched_at.0.saturating_mul(1_000),
        datetime: fetched_at.to_rfc3339(),
        bids,
        asks,
    })
}

impl Page {
    /// The first entries since a time, or else the newest.
    fn of<T>(self, mut all: Vec<T>) -> Vec<T> {
        if self.since.is_some() {
            all.truncate(self.limit);
        } else {
            all.drain(..all.len().saturating_sub(self.limit));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        asset::Asset, directory::Directory, market::QUOTE_ASSETS, market_snapshot::MarketSnapshot,
        test_support::trade, windows::Windows,
    };

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// View of the market of XLM in USDC, whose only trade has this price. It has no order book.
    fn of_one_trade(price: (i64, i64)) -> (ListingView, Asset) {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, usdc)]);
        directory.add_markets([(1, 1, 2)]);
        windows.add(1, trade(1, 0, NOW.0, (10_000, 10_000), price));
        windows.advance(NOW);
        let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
        (ListingView::new(7, snapshot, "Test".into(), &[], &Arc::default()), usdc)
    }

    /// Tick of the price of XLM in USDC, whose last price is this one.
    fn tick_of(price: (i64, i64)) -> String {
        let (view, usdc) = of_one_trade(price);
        let market = view.market_of(&Asset::Native, &usdc).unwrap();
        tick(price_places(market.last(), PRICE_PLACES)).0
    }

    #[test]
    fn an_unknown_figure_is_null() {
        let of_book = ["bid", "bidVolume", "ask", "askVolume", "previousClose"];
        let of_prices = ["high", "low", "vwap", "open", "close", "last", "change", "percentage", "average"];
        for (price, has_price) in [((1, 3), true), ((0, 0), false)] {
            let (view, usdc) = of_one_trade(price);
            let market = view.market_of(&Asset::Native, &usdc).unwrap();
            let ticker: serde_json::Value =
                serde_json::from_slice(&ticker(&market, IdStyle::Classic)).unwrap();
            for figure in of_book {
                assert!(ticker.get(figure).is_some_and(serde_json::Value::is_null), "{figure}: {ticker}");
            }
            for figure in of_prices {
                assert_eq!(ticker.get(figure).map(serde_json::Value::is_number), Some(has_price), "{figure}");
                assert_eq!(ticker[figure].is_null(), !has_price, "{figure}: {ticker}");
            }
            assert!(ticker["baseVolume"].as_f64() > Some(0.0), "{ticker}");
        }
    }

    #[test]
    fn a_price_of_any_size_keeps_six_digits() {
        for (price, expected) in [
            ((314_159_265, 1), "0.0000001"),
            ((1, 3), "0.0000001"),
            ((314_159, 10_000_000), "0.0000001"),
            ((99_999, 10_000_000), "0.00000001"),
            ((1, 1_000_000_000), "0.00000000000001"),
            ((1, i64::MAX), "0.000000000000000001"),
            ((0, 0), "0.0000001"),
        ] {
            assert_eq!(tick_of(price), expected, "{price:?}");
        }
    }
}
