//! `/m/{market}`: price, figures, candles, order book, trades, and how to read the same by the API.

mod book;
mod caution;
mod chart;

use askama::Template;
use serde_json::json;
use ticker_domain::{
    candles::Interval, decimal, instant::UnixSeconds, quoted::QuotedStats, span::Span,
    trade_stats::WindowTrade, windows::MarketId,
};

use super::{
    Frame, TickerState,
    frame::clock_time,
    gaps, linked_data, rendered,
    row::{Change, ends},
};
use crate::{
    board::{BoardRow, ratio},
    listings::{AssetView, ListingView, MarketView, orderbook::QuotedLevels},
    shown::{self, PriceScale},
};
use book::Book;
use caution::Caution;
use chart::Chart;

/// Trades that are shown.
const TRADES: usize = 14;
/// Markets of the same two codes that are shown.
const SAME_CODES: usize = 8;
/// Note below prices that only dust set.
const ONLY_RAW: &str = "raw: no clean trade";
/// Assets of one code that are looked at for such markets.
const ASSETS_OF_CODE_MAX: usize = 100;

/// Parts of the page that the reader and the moment choose.
#[derive(Clone, Debug)]
pub struct MarketRequest {
    /// Length of a candle.
    pub interval: Interval,
    /// True for candles that count dust as well.
    pub is_raw: bool,
    /// Scheme and host that the reader asked for, for the addresses that are shown.
    pub origin: String,
    /// Levels of the order book, if it has been read.
    pub levels: Option<QuotedLevels>,
}

/// Asset as the head of a page names it.
pub(super) struct Named {
    pub(super) id: String,
    pub(super) code: String,
    /// Home domain that confirms the asset.
    pub(super) domain: Option<String>,
    /// Ends of the issuer's key, or `None` for XLM.
    pub(super) key: Option<String>,
    pub(super) is_verified: bool,
}

impl Named {
    /// Code and issuer, for titles: `USDC of circle.com`, `USDC by GA5Z…KZVN`, `XLM`.
    pub(super) fn label(&self) -> String {
        match (&self.domain, &self.key) {
            (Some(domain), _) => format!("{} of {domain}", self.code),
            (None, Some(key)) => format!("{} by {key}", self.code),
            (None, None) => self.code.clone(),
        }
    }
}

/// One figure of the row below the price.
pub(super) struct Figure {
    pub(super) label: &'static str,
    /// Field that explains it.
    pub(super) field: Option<&'static str>,
    pub(super) value: String,
    pub(super) class: &'static str,
    pub(super) note: String,
    /// Time when the order book was read, in seconds since 1970, if the note is the age of the book.
    pub(super) read_at: Option<i64>,
}

struct TradeLine {
    time: String,
    is_buy: bool,
    price: String,
    amount: String,
    total: String,
    is_pool: bool,
    ledger: String,
}

/// Market of the same two codes.
struct Namesake {
    id: String,
    issuers: String,
    is_this: bool,
    volume: String,
    share: String,
}

struct Choice {
    name: &'static str,
    label: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "market.html")]
struct MarketPage {
    frame: Frame,
    id: String,
    origin: String,
    base: Named,
    quote: Named,
    /// Base and quote.
    sides: Vec<Named>,
    price: String,
    /// Number of the market, by which the stream names it.
    number: MarketId,
    /// The price without thousands separators, from which the script takes the decimals.
    plain_price: String,
    last_trade: String,
    /// Time of the last trade in seconds since 1970, from which the script counts its age on.
    last_trade_at: Option<i64>,
    usd: Option<String>,
    cautions: Vec<Caution>,
    /// Note about ledgers that are not known. Empty if all are.
    gaps: String,
    figures: Vec<Figure>,
    intervals: Vec<Choice>,
    is_raw: bool,
    chart: Option<Chart>,
    book: Option<Book>,
    trades: Vec<TradeLine>,
    namesakes: Vec<Namesake>,
    linked_data: String,
}

/// Page of a market.
#[must_use]
pub fn market(market: &MarketView<'_>, request: &MarketRequest, state: &TickerState) -> Vec<u8> {
    let row = BoardRow::of(market);
    let book = request.levels.as_ref().map(|levels| Book::of(market, &row, levels, state.now));
    let age = market.last_trade_at().map(|at| state.now.0.saturating_sub(at.0));
    let usd = market.last_usd().and_then(|rate| dollars((rate.n, rate.d)));
    rendered(&MarketPage {
        frame: Frame::of_view(market.view(), state, ""),
        id: market.name(),
        origin: request.origin.clone(),
        base: named(market.base()),
        quote: named(market.quote()),
        sides: [market.base(), market.quote()].map(named).into_iter().collect(),
        price: row.print(row.price),
        number: market.id(),
        plain_price: row.scale.zip(row.price).map(|(scale, units)| scale.plain(units)).unwrap_or_default(),
        last_trade: shown::or_none(age, shown::age),
        last_trade_at: market.last_trade_at().map(|at| at.0),
        usd,
        cautions: Caution::all(market),
        gaps: gaps::of_view(market.view(), &[Span::Day]),
        figures: figures(market, &row, book.as_ref(), state.now),
        intervals: intervals(request.interval),
        is_raw: request.is_raw,
        chart: Chart::of(market, &row, request.interval, request.is_raw),
        trades: trades(market, &row),
        namesakes: namesakes(market),
        linked_data: described(market, &request.origin),
        book,
    })
}

/// Price in dollars, or `None` if it is not positive.
pub(super) fn dollars(ratio: (i128, i128)) -> Option<String> {
    let scale = PriceScale::of(ratio)?;
    Some(format!("${}", scale.print(scale.units(ratio)?)))
}

pub(super) fn named(asset: &AssetView<'_>) -> Named {
    let issuer = asset.asset().issuer();
    Named {
        id: asset.name(),
        code: asset.asset().code().to_owned(),
        domain: asset.confirmed_domain(),
        key: (issuer != "native").then(|| ends(issuer)),
        is_verified: asset.is_verified(),
    }
}

fn figures(market: &MarketView<'_>, row: &BoardRow, book: Option<&Book>, now: UnixSeconds) -> Vec<Figure> {
    let day = market.stats(Span::Day);
    let (clean, raw) = (day.prices, day.raw_prices);
    let print = |price: Option<(i128, i128)>| {
        row.print(row.scale.zip(price).and_then(|(scale, price)| scale.units(price)))
    };
    let [_, change, _] = row.changes;
    let its = Change::of(change);
    let figure = |label, field, value: String, note: String| Figure {
        label,
        field,
        value,
        class: "",
        note,
        read_at: None,
    };
    let (high, low) =
        (print(clean.map(|prices| ratio(prices.high))), print(clean.map(|prices| ratio(prices.low))));
    let high_note = raw_note(&day, &high, &print(raw.map(|prices| ratio(prices.high))));
    let low_note = raw_note(&day, &low, &print(raw.map(|prices| ratio(prices.low))));
    let open = print(clean.map(|prices| ratio(prices.open)));
    let quote = market.quote().asset().code();
    let read_at = market.book_age_s().map(|age| market.view().as_of().minus(age));
    let book_age =
        read_at.map_or_else(|| "no book read yet".to_owned(), |at| shown::age(now.0.saturating_sub(at.0)));
    let (buy, sell) =
        book.map_or_else(|| (shown::NONE.to_owned(), shown::NONE.to_owned()), |book| book.near.clone());
    vec![
        Figure {
            label: "24 h change",
            field: Some("change_percent"),
            value: if change.is_some() { format!("{} %", its.text) } else { its.text },
            class: its.class,
            note: if is_only_dust(&day) {
                format!("from {open}, {ONLY_RAW}")
            } else {
                format!("from {open}")
            },
            read_at: None,
        },
        figure("24 h high", Some("high"), high, high_note),
        figure("24 h low", Some("low"), low, low_note),
        figure("24 h average", Some("vwap"), print(day.vwap), "weighted by volume".to_owned()),
        figure(
            "24 h volume",
            Some("quote_volume"),
            shown::or_none(market.day_volume_usd(), shown::usd_amount),
            format!("{} {quote}", shown::amount(day.quote_volume)),
        ),
        figure(
            "24 h trades",
            Some("trade_count"),
            shown::count(day.trade_count),
            shares(day.book_volume, day.pool_volume),
        ),
        figure("Bid", None, row.print(row.bid), format!("ask {}", row.print(row.ask))),
        Figure {
            read_at: read_at.map(|at| at.0),
            ..figure(
                "Spread",
                None,
                shown::or_none(row.spread, |spread| format!("{} %", shown::percent(spread))),
                book_age,
            )
        },
        figure("Depth ±2 %", None, buy, format!("{sell} to sell")),
    ]
}

/// True if prices exist, but no clean trade set one.
const fn is_only_dust(stats: &QuotedStats) -> bool {
    stats.prices.is_some() && stats.clean_count == 0
}

/// Note below a price of the clean trades. Without one, the price is that of all trades.
fn raw_note(stats: &QuotedStats, clean: &str, raw: &str) -> String {
    if is_only_dust(stats) {
        ONLY_RAW.to_owned()
    } else if stats.prices.is_none() {
        "no price".to_owned()
    } else if clean == raw {
        "clean and raw".to_owned()
    } else {
        format!("clean; raw {raw}")
    }
}

/// Shares of the volume: `61 % book, 39 % pool`.
fn shares(book: i128, pool: i128) -> String {
    let Some(share) = book.saturating_mul(100).checked_div(book.saturating_add(pool)) else {
        return "no volume".to_owned();
    };
    format!("{share} % book, {} % pool", 100_i128.saturating_sub(share))
}

/// Lengths of candles among which a reader of the page chooses, and their labels. There is no week: a page without
/// script has candles of 7 days.
const INTERVALS: [(Interval, &str); 6] = [
    (Interval::Minute, "1 m"),
    (Interval::FiveMinutes, "5 m"),
    (Interval::Quarter, "15 m"),
    (Interval::Hour, "1 h"),
    (Interval::FourHours, "4 h"),
    (Interval::Day, "1 d"),
];

/// Length of a candle that an address names, or an hour if the page does not offer it.
#[must_use]
pub fn page_interval(name: &str) -> Interval {
    let offered = INTERVALS.into_iter().find(|(interval, _)| interval.name() == name);
    offered.map_or(Interval::Hour, |(interval, _)| interval)
}

fn intervals(chosen: Interval) -> Vec<Choice> {
    let choice = |(interval, label): (Interval, _)| Choice {
        name: interval.name(),
        label,
        is_chosen: interval == chosen,
    };
    INTERVALS.into_iter().map(choice).collect()
}

/// The last trades, the newest first.
fn trades(market: &MarketView<'_>, row: &BoardRow) -> Vec<TradeLine> {
    let as_of = market.view().as_of();
    let since = |span: Span| -> Vec<WindowTrade> { market.raw_trades_since(span.edge(as_of)).collect() };
    // Only a quiet market is read for longer than an hour.
    let enough = Span::ALL.into_iter().map(since).find(|trades| trades.len() >= TRADES);
    let mut trades = enough.unwrap_or_else(|| since(Span::Week));
    trades.sort_unstable_by_key(|trade| std::cmp::Reverse(trade.token));
    let is_flipped = market.is_flipped();
    let line = |trade: &WindowTrade| {
        let (base, quote) = if is_flipped {
            (trade.counter_amount, trade.base_amount)
        } else {
            (trade.base_amount, trade.counter_amount)
        };
        let price = trade.price.map(|price| ratio(if is_flipped { price.inverse() } else { price }));
        TradeLine {
            time: trade.closed_at.to_rfc3339(),
            is_buy: trade.is_buy != is_flipped,
            price: row.print(row.scale.zip(price).and_then(|(scale, price)| scale.units(price))),
            amount: shown::amount(base.stroops().into()),
            total: shown::amount(quote.stroops().into()),
            is_pool: trade.is_pool,
            ledger: shown::count(trade.token.ledger().into()),
        }
    };
    let mut lines: Vec<TradeLine> = trades.iter().take(TRADES).map(line).collect();
    for (line, trade) in lines.iter_mut().zip(&trades) {
        let is_today = trade.closed_at.day() == as_of.day();
        line.time =
            if is_today { clock_time(trade.closed_at) } else { super::frame::date_time(trade.closed_at) };
        line.time = line.time.replace(" UTC", "");
    }
    lines
}

/// Markets whose assets have the same two codes, the largest volume first.
fn namesakes(market: &MarketView<'_>) -> Vec<Namesake> {
    let view = market.view();
    let (bases, quotes) = (namesakes_of(market.base(), view), namesakes_of(market.quote(), view));
    let pairs = bases.iter().flat_map(|base| quotes.iter().map(move |quote| (base, quote)));
    let mut found: Vec<(MarketView<'_>, Option<i128>)> = pairs
        .filter_map(|(base, quote)| view.market_between(base, quote))
        .map(|market| (market, market.day_volume_usd()))
        .collect();
    // If both sides have the same code, each market was found from both.
    found.sort_by_key(|(market, _)| market.id());
    found.dedup_by_key(|(market, _)| market.id());
    found.sort_by_key(|(_, volume)| std::cmp::Reverse(*volume));
    // An unknown volume is no part of the total. Otherwise anybody could hide the shares of all others with a pair of
    // two assets without a price.
    let total = found.iter().filter_map(|(_, volume)| *volume).fold(0, i128::saturating_add);
    let share = |volume: i128| shown::hundredths((volume.saturating_mul(100), total.max(1)));
    let namesake = |(other, volume): &(MarketView<'_>, Option<i128>)| Namesake {
        id: other.name(),
        issuers: [other.base(), other.quote()].into_iter().filter_map(issuer).collect::<Vec<_>>().join(" / "),
        is_this: other.id() == market.id(),
        volume: shown::or_none(*volume, shown::amount),
        share: shown::or_none(volume.and_then(share), |share| format!("{} %", shown::percent(share))),
    };
    found.iter().take(SAME_CODES).map(namesake).collect()
}

/// Assets with the code of this one, itself included.
fn namesakes_of<'a>(own: &AssetView<'a>, view: &'a ListingView) -> Vec<AssetView<'a>> {
    let mut assets = view.assets_of_code(own.asset().code());
    assets.truncate(ASSETS_OF_CODE_MAX);
    if assets.iter().all(|asset| asset.id() != own.id()) {
        assets.push(*own);
    }
    assets
}

/// Domain with the ends of the key, or these alone.
fn issuer(asset: &AssetView<'_>) -> Option<String> {
    let named = named(asset);
    let key = named.key?;
    Some(named.domain.map_or_else(|| key.clone(), |domain| format!("{domain} {key}")))
}

/// Description for search engines.
fn described(market: &MarketView<'_>, origin: &str) -> String {
    let last = market.last().and_then(|last| decimal::quotient(last.n().into(), last.d().into()));
    linked_data(&json!({
        "@context": "https://schema.org",
        "@type": "ExchangeRateSpecification",
        "url": format!("{origin}/m/{}", market.name()),
        "name": format!("{} in {}", named(market.base()).label(), named(market.quote()).label()),
        "currency": market.base().asset().code(),
        "currentExchangeRate": {
            "@type": "UnitPriceSpecification",
            "price": last,
            "priceCurrency": market.quote().asset().code(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::view_of_market;

    /// Page of a market with trades of these ages in hours, amounts in stroops and prices.
    fn page(trades: &[(i64, i64, i64)]) -> String {
        const NOW: i64 = 1_000_000_000;
        let trades = (1..).zip(trades).map(|(ledger, (hours, stroops, price))| {
            trade(ledger, 0, NOW - 3_600 * hours, (*stroops, stroops * price), (*price, 1))
        });
        let assets = (Asset::issued("A", &address(1)).unwrap(), Asset::Native);
        let view = view_of_market(assets, NOW, trades);
        let request =
            MarketRequest { interval: Interval::Hour, is_raw: false, origin: String::new(), levels: None };
        let its = view.markets().remove(0);
        String::from_utf8(market(&its, &request, &TickerState::default())).unwrap()
    }

    #[test]
    fn a_namesake_without_a_volume_in_dollars_has_no_share() {
        assert!(page(&[(2, 50_000, 2)]).contains("(this)</td><td>–</td><td>–</td>"), "XLM has no price here");
    }

    #[test]
    fn no_price_of_dust_is_called_clean() {
        let dust = page(&[(30, 50_000, 2), (1, 10, 900)]);
        for (label, note) in [
            ("24 h high", "raw: no clean trade"),
            ("24 h low", "raw: no clean trade"),
            ("24 h change", "from 900.0000, raw: no clean trade"),
        ] {
            let (_, figure) = dust.split_once(&format!("{label}</a></dt>")).unwrap();
            let (_, small) = figure.split_once("<small>").unwrap();
            assert!(small.starts_with(&format!("{note}</small>")), "{label}: {small}");
        }
        assert!(!dust.contains("clean and raw") && !dust.contains("so it shows them too"), "{dust}");
        let clean = page(&[(2, 50_000, 2), (1, 10, 900)]);
        assert!(clean.contains("<small>clean; raw 900.0000</small>"), "{clean}");
        assert!(clean.contains("<small>clean and raw</small>"), "the lows are equal");
        assert!(page(&[(2, 10, 2)]).contains("The last 7 days have no other trade, so it shows them too."));
        assert!(page(&[(30, 50_000, 2)]).contains("<small>no price</small>"));
    }
}
