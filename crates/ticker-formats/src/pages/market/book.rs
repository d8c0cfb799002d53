//! Order book and depth of a market.

use std::fmt::Write as _;

use ticker_domain::instant::UnixSeconds;

use crate::{
    board::BoardRow,
    listings::{MarketView, orderbook::QuotedLevels},
    shown::{self, ratio_of},
};

/// Levels that are shown on each side.
const SHOWN: usize = 11;
/// Distance from the middle that the depth counts, in percent.
const DEPTH_PERCENT: i64 = 2;
/// Distance from the middle beyond which offers are not drawn, in percent.
const DRAWN_PERCENT: i64 = 10;
/// Prices that no decimals of the market can print.
const ASKS_TOO_FAR: &str = "offers to sell are too far from the last price to be shown";
const BIDS_TOO_FAR: &str = "offers to buy are too far from the last price to be shown";
/// Size of the drawing.
const WIDTH: i128 = 1_000;
const HEIGHT: i128 = 160;

/// Order book as the page shows it.
pub(in crate::pages) struct Book {
    pub(in crate::pages) age: String,
    /// Time when it was read, in seconds since 1970, from which the script counts the age on.
    pub(in crate::pages) read_at: i64,
    /// Offers to sell, the highest price first.
    pub(in crate::pages) asks: Vec<LevelRow>,
    /// Offers to buy, the highest price first.
    pub(in crate::pages) bids: Vec<LevelRow>,
    /// Reasons why there are no asks and no bids.
    pub(in crate::pages) lacks: (Option<&'static str>, Option<&'static str>),
    /// Middle of the best prices, or `None` if a side is empty.
    pub(in crate::pages) middle: Option<String>,
    pub(in crate::pages) depth: Option<Depth>,
    /// Worth of the bids and asks near the middle, in dollars.
    pub(in crate::pages) near: (String, String),
}

pub(in crate::pages) struct LevelRow {
    pub(in crate::pages) price: String,
    pub(in crate::pages) amount: String,
    pub(in crate::pages) total: String,
    /// Share of the largest total, in percent.
    pub(in crate::pages) share: i128,
}

/// Offers added up from the middle, as SVG paths.
pub(in crate::pages) struct Depth {
    pub(in crate::pages) bids: String,
    pub(in crate::pages) asks: String,
    pub(in crate::pages) low: String,
    pub(in crate::pages) middle: String,
    pub(in crate::pages) high: String,
}

/// Level in units of the market's scale, with the amounts of the base added up from the best price.
struct Level {
    price: i64,
    exact: (i128, i128),
    amount: i128,
    total: i128,
}

impl Book {
    /// Book of a market. Levels whose prices cannot be shown beside the last one are left out.
    pub(super) fn of(
        market: &MarketView<'_>,
        row: &BoardRow,
        levels: &QuotedLevels,
        now: UnixSeconds,
    ) -> Self {
        let (bids, asks) = (side(levels.bids(), row), side(levels.asks(), row));
        let middle = middle(&bids, &asks);
        let shown = bids.iter().take(SHOWN).chain(asks.iter().take(SHOWN));
        let most = shown.map(|level| level.total).max().unwrap_or(0);
        let rows = |side: &[Level]| -> Vec<LevelRow> {
            side.iter().take(SHOWN).map(|level| LevelRow::of(level, row, most)).collect()
        };
        let mut ask_rows = rows(&asks);
        ask_rows.reverse();
        let near = |side: &[Level]| {
            let usd = middle.and_then(|middle| worth(side, middle, market));
            shown::or_none(usd, shown::usd_amount)
        };
        Self {
            read_at: levels.fetched_at().0,
            age: shown::age(now.0.saturating_sub(levels.fetched_at().0)),
            lacks: (
                lack(asks.is_empty(), levels.asks().next().is_none(), ["no offers to sell", ASKS_TOO_FAR]),
                lack(bids.is_empty(), levels.bids().next().is_none(), ["no offers to buy", BIDS_TOO_FAR]),
            ),
            asks: ask_rows,
            bids: rows(&bids),
            middle: middle.map(|middle| row.print(Some(middle))),
            depth: middle.and_then(|middle| Depth::of(&bids, &asks, middle, row)),
            near: (near(&bids), near(&asks)),
        }
    }
}

/// Reason why a side shows no offers: there are none, or none of them can be shown.
fn lack(is_blank: bool, is_empty: bool, [none, too_far]: [&'static str; 2]) -> Option<&'static str> {
    is_blank.then_some(if is_empty { none } else { too_far })
}

/// Middle of the best prices. `None` if a side is empty, and if both are too small to be shown.
fn middle(bids: &[Level], asks: &[Level]) -> Option<i64> {
    let sum = bids.first()?.price.checked_add(asks.first()?.price)?;
    sum.checked_div(2).filter(|middle| *middle > 0)
}

/// Levels of a side, the best price first.
fn side<'a>(levels: impl Iterator<Item = (&'a str, &'a str)>, row: &BoardRow) -> Vec<Level> {
    let mut total = 0_i128;
    let mut side = Vec::new();
    for (price, amount) in levels {
        let (Some(exact), Some((n, d))) = (ratio_of(price), ratio_of(amount)) else { continue };
        let stroops = n.checked_mul(10_000_000).and_then(|n| n.checked_div(d));
        let (Some(units), Some(amount)) = (row.scale.and_then(|scale| scale.units(exact)), stroops) else {
            continue;
        };
        total = total.saturating_add(amount);
        side.push(Level { price: units, exact, amount, total });
    }
    side
}

/// True for a price within some percent of the middle.
fn is_near(price: i64, middle: i64, percent: i64) -> bool {
    price.abs_diff(middle).saturating_mul(100) <= middle.unsigned_abs().saturating_mul(percent.unsigned_abs())
}

/// Worth of the offers near the middle in dollars, in stroops.
fn worth(side: &[Level], middle: i64, market: &MarketView<'_>) -> Option<i128> {
    let near = side.iter().filter(|level| is_near(level.price, middle, DEPTH_PERCENT));
    let quote: i128 = near
        .filter_map(|level| level.amount.checked_mul(level.exact.0)?.checked_div(level.exact.1))
        .fold(0, i128::saturating_add);
    market.usd_of_quote(quote)
}

impl LevelRow {
    fn of(level: &Level, row: &BoardRow, most: i128) -> Self {
        Self {
            price: row.print(Some(level.price)),
            amount: shown::amount(level.amount),
            total: shown::amount(level.total),
            share: level.total.saturating_mul(100).checked_div(most).unwrap_or(0),
        }
    }
}

impl Depth {
    fn of(bids: &[Level], asks: &[Level], middle: i64, row: &BoardRow) -> Option<Self> {
        let drawn = |level: &&Level| is_near(level.price, middle, DRAWN_PERCENT);
        let (bids, asks): (Vec<&Level>, Vec<&Level>) =
            (bids.iter().filter(drawn).collect(), asks.iter().filter(drawn).collect());
        let (last_bid, last_ask) = (bids.last()?, asks.last()?);
        let most = last_bid.total.max(last_ask.total);
        let reach = middle.abs_diff(last_bid.price).max(last_ask.price.abs_diff(middle)).max(1);
        let reach = i64::try_from(reach).ok()?;
        // Not below 0: the middle is above it, and offers that are drawn are near the middle.
        let low = middle.checked_sub(reach)?;
        let x = |price: i64| (i128::from(price) - i128::from(low)) * WIDTH / (i128::from(reach) * 2);
        let y = |total: i128| HEIGHT - total.saturating_mul(HEIGHT - 4).checked_div(most).unwrap_or(0);
        let path = |side: &[&Level], edge: i128| {
            let start = side.first().map_or(0, |level| x(level.price));
            let mut path = format!("M{start} {HEIGHT}");
            for level in side {
                // Writing to a String never fails.
                let _ = write!(path, "H{}V{}", x(level.price), y(level.total));
            }
            let _ = write!(path, "H{edge}V{HEIGHT}z");
            path
        };
        Some(Self {
            bids: path(&bids, 0),
            asks: path(&asks, WIDTH),
            low: row.print(Some(low)),
            middle: row.print(Some(middle)),
            high: row.print(middle.checked_add(reach)),
        })
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        amount::Total,
        candles::Interval,
        orderbook::{Level, OrderBook},
        price::Price,
    };

    use super::*;
    use crate::{
        pages::{MarketRequest, TickerState, market},
        test_view::view,
    };

    /// Level of some units at this price.
    fn level(n: i64, d: i64) -> Level {
        Level { price: Price::new(n, d).unwrap(), amount: Total::from_stroops(500_000_000).unwrap() }
    }

    fn page(bids: &[i64], asks: &[i64]) -> String {
        page_at(bids, asks, 10)
    }

    /// Page of a market of XLM and an asset, whose last price is 1, with offers at these prices, in parts of one.
    fn page_at(bids: &[i64], asks: &[i64], parts: i64) -> String {
        let view = view(&[("TEA".to_owned(), 12)]);
        let its = view.market(2).unwrap();
        assert!(its.is_flipped(), "the book has the inverse prices");
        let side = |prices: &[i64]| prices.iter().map(|price| level(parts, *price)).collect();
        let book = OrderBook { bids: side(asks), asks: side(bids) };
        let request = MarketRequest {
            interval: Interval::Hour,
            is_raw: false,
            origin: "http://localhost".to_owned(),
            levels: Some(QuotedLevels::of(&its, &book, UnixSeconds(1_000_000_000))),
        };
        String::from_utf8(market(&its, &request, &TickerState::default())).unwrap()
    }

    #[test]
    fn a_book_with_one_side_shows_it_and_says_that_the_other_is_empty() {
        for (bids, asks, empty, levels) in
            [(&[10][..], &[][..], "no offers to sell", (0, 1)), (&[], &[10], "no offers to buy", (1, 0))]
        {
            let html = page(bids, asks);
            assert!(html.contains(empty) && !html.contains("has not been read"), "{html}");
            let count = |mark: &str| html.matches(mark).count();
            assert_eq!((count(">sell </span>"), count(">buy </span>")), levels, "{html}");
            // No middle, so nothing is near it.
            assert!(html.contains("<dd data-live>–<small>– to sell</small>"), "{html}");
            assert!(!html.contains("class=\"depth\""), "{html}");
        }
        let both = page(&[10], &[11]);
        assert!(!both.contains("no offers") && both.contains("mid price 1.0500"), "{both}");
        let none = page(&[], &[]);
        assert!(none.contains("no offers to sell") && none.contains("no offers to buy"), "{none}");
    }

    #[test]
    fn prices_that_cannot_be_shown_beside_the_last_one_are_no_0_and_no_less() {
        // The last price is 1. A book whose prices round to 0 beside it has no middle and no curve below 0.
        let (tiny, small) = (page_at(&[1], &[1], 10_000_000), page_at(&[1], &[2], 100_000));
        assert!(tiny.contains("buy </span>–") && !tiny.contains("mid price"), "{tiny}");
        assert!(!tiny.contains('−') && !small.contains('−'), "{tiny} {small}");
        let far = page_at(&[1], &[1_000_000_000_000_000], 1);
        assert!(far.contains(ASKS_TOO_FAR) && !far.contains("no offers"), "{far}");
    }
}
