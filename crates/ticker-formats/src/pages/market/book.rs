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
    pub(in crate::pages) middle: String,
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
    /// Book of a market, or `None` if a side is empty or has prices that cannot be shown.
    pub(super) fn of(
        market: &MarketView<'_>,
        row: &BoardRow,
        levels: &QuotedLevels,
        now: UnixSeconds,
    ) -> Option<Self> {
        let (bids, asks) = (side(levels.bids(), row), side(levels.asks(), row));
        let (bid, ask) = (bids.first()?.price, asks.first()?.price);
        let middle = bid.checked_add(ask)?.checked_div(2)?;
        let shown_most = |side: &[Level]| side.iter().take(SHOWN).map(|level| level.total).max();
        let most = shown_most(&bids)?.max(shown_most(&asks)?);
        let rows = |side: &[Level]| -> Vec<LevelRow> {
            side.iter().take(SHOWN).map(|level| LevelRow::of(level, row, most)).collect()
        };
        let mut ask_rows = rows(&asks);
        ask_rows.reverse();
        let near = |side: &[Level]| {
            shown::or_none(worth(side, middle, market), |usd| format!("${}", shown::amount(usd)))
        };
        Some(Self {
            read_at: levels.fetched_at().0,
            age: shown::age(now.0.saturating_sub(levels.fetched_at().0)),
            asks: ask_rows,
            bids: rows(&bids),
            middle: row.print(Some(middle)),
            depth: Depth::of(&bids, &asks, middle, row),
            near: (near(&bids), near(&asks)),
        })
    }
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
    market.usd_volume(quote)
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
            high: row.print(middle.checked_add(reach)),
        })
    }
}
