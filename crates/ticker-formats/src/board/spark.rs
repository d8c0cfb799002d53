//! Sparklines: the last price of each sixth hour of 7 days, drawn on 32 levels.

use std::fmt::Write as _;

use ticker_domain::{
    candles::Buckets,
    instant::{HOUR, UnixSeconds},
    quoted::QuotedStats,
    span::Span,
};

use crate::listings::MarketView;

/// Points of a line, one for every six hours.
pub const POINTS: usize = 28;
/// Levels of a point: 0 is the lowest.
pub const LEVELS: u8 = 32;
const STEP: i64 = 6 * HOUR;

/// Levels of a market, the oldest first. The lowest price of the line is at 0 and the highest at 31, or all are at 15
/// if they are equal. A time without trades keeps the price before it, and the time before the first trade has the
/// first price. `None` without a price.
#[must_use]
pub fn levels(market: &MarketView<'_>) -> Option<[u8; POINTS]> {
    let as_of = market.view().as_of();
    // The buckets end at the time of the view, so the last point is the last price.
    let buckets = Buckets { seconds: STEP, offset: as_of.0.saturating_add(1).rem_euclid(STEP) };
    let edge = Span::Week.edge(as_of);
    let filled = buckets.fill(market.raw_trades_since(edge));
    let mut prices: [Option<f64>; POINTS] = [None; POINTS];
    let mut last = None;
    for (place, price) in (0..).zip(&mut prices) {
        let start = UnixSeconds(edge.0.saturating_add(1).saturating_add(STEP.saturating_mul(place)));
        let stats = filled.get(&start).map(|stats| QuotedStats::of(stats, market.is_flipped()));
        last = stats.and_then(|stats| stats.prices).map(|prices| prices.close.to_f64()).or(last);
        *price = last;
    }
    drawn(prices)
}

fn drawn(prices: [Option<f64>; POINTS]) -> Option<[u8; POINTS]> {
    let first = prices.iter().flatten().next().copied()?;
    let (least, most) = prices
        .iter()
        .flatten()
        .fold((first, first), |(least, most), price| (least.min(*price), most.max(*price)));
    let range = most - least;
    Some(prices.map(|price| level((price.unwrap_or(first) - least) / range)))
}

/// Level of a share from 0 to 1, or the middle one for none.
fn level(share: f64) -> u8 {
    if !share.is_finite() {
        return LEVELS / 2 - 1;
    }
    (0..LEVELS).rev().find(|level| share * 31.0 + 0.5 >= f64::from(*level)).unwrap_or(0)
}

/// Levels as letters, `A` for 0: the digits of base 32 (RFC 4648). 28 dashes for none.
#[must_use]
pub fn letters(levels: Option<[u8; POINTS]>) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |level: u8| LETTERS.get(usize::from(level)).copied().map_or('-', char::from);
    levels.map_or_else(|| "-".repeat(POINTS), |levels| levels.into_iter().map(letter).collect())
}

/// Points of an SVG polyline 27 wide and 31 high.
pub(crate) fn points(levels: &[u8; POINTS]) -> String {
    let mut points = String::new();
    for (x, level) in levels.iter().enumerate() {
        // Writing to a String never fails.
        let _ = write!(points, "{}{x},{}", if x > 0 { " " } else { "" }, 31_u8.saturating_sub(*level));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_and_the_highest_price_are_at_the_edges() {
        let mut prices = [None; POINTS];
        prices[3] = Some(2.0);
        prices[10] = Some(4.0);
        prices[27] = Some(3.0);
        let levels = drawn(prices).unwrap();
        assert_eq!((levels[0], levels[3], levels[10], levels[27]), (0, 0, 31, 16));
        assert!(letters(Some(levels)).starts_with("AAAAAAAAAA7A"));
        assert!(points(&levels).starts_with("0,31 1,31 "));
    }

    #[test]
    fn one_price_is_a_line_in_the_middle_and_none_is_no_line() {
        let mut prices = [None; POINTS];
        assert_eq!(letters(drawn(prices)), "-".repeat(28));
        prices[5] = Some(7.0);
        assert_eq!(letters(drawn(prices)), "P".repeat(28));
    }
}
