//! Sparklines: the last clean price of each sixth hour of 7 days, drawn on 32 levels.

use std::fmt::Write as _;

use ticker_domain::{
    candles::Buckets,
    conversions::SaturatingFrom,
    instant::{HOUR, UnixSeconds},
    quoted::QuotedStats,
    span::Span,
};

use crate::listings::MarketView;

/// Points of a line, one for every six hours.
const POINTS: usize = 28;
/// Levels of a point: 0 is the lowest.
pub const LEVELS: u8 = 32;
const STEP: i64 = 6 * HOUR;

/// Levels of a line, the oldest first. `None` before the first trade.
pub type Levels = [Option<u8>; POINTS];

/// Levels of a market. The lowest price of the line is at 0 and the highest at 31, or all are at 15 if they are equal.
/// A time without clean trades keeps the price before it. In a week without any, all trades count.
#[must_use]
pub fn levels(market: &MarketView<'_>) -> Levels {
    let as_of = market.view().as_of();
    // The buckets end at the time of the view, so the last point is the last price.
    let buckets = Buckets { seconds: STEP, offset: as_of.0.saturating_add(1).rem_euclid(STEP) };
    let edge = Span::Week.edge(as_of);
    let filled = market.by_bucket(buckets, edge.plus(1)..UnixSeconds(i64::MAX));
    let has_clean = filled.values().any(|stats| stats.clean.trade_count > 0);
    let mut prices: [Option<f64>; POINTS] = [None; POINTS];
    let mut last = None;
    for (place, price) in (0..).zip(&mut prices) {
        let start = UnixSeconds(edge.0.saturating_add(1).saturating_add(STEP.saturating_mul(place)));
        let stats = filled.get(&start).filter(|stats| !has_clean || stats.clean.trade_count > 0);
        let stats = stats.map(|stats| QuotedStats::of(stats, market.is_flipped()));
        last = stats.and_then(|stats| stats.prices).map(|prices| prices.close.to_f64()).or(last);
        *price = last;
    }
    drawn(prices)
}

fn drawn(prices: [Option<f64>; POINTS]) -> Levels {
    let known = || prices.iter().flatten();
    let (least, most) = (
        known().fold(f64::INFINITY, |least, price| least.min(*price)),
        known().fold(0.0, |most: f64, price| most.max(*price)),
    );
    prices.map(|price| price.map(|price| level((price - least) / (most - least))))
}

/// Level of a share from 0 to 1, or the middle one for none.
fn level(share: f64) -> u8 {
    if !share.is_finite() {
        return LEVELS / 2 - 1;
    }
    u8::saturating_from((share * 31.0).round()).min(LEVELS - 1)
}

/// Levels as letters, `A` for 0: the digits of base 32 (RFC 4648). A dash for none.
#[must_use]
pub fn letters(levels: &Levels) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |level: &Option<u8>| level.and_then(|level| LETTERS.get(usize::from(level))).copied();
    levels.iter().map(|level| letter(level).map_or('-', char::from)).collect()
}

/// Points of an SVG polyline 27 wide and 31 high, and the height of the first. `None` for a line without points.
pub(crate) fn points(levels: &Levels) -> Option<(String, u8)> {
    let mut points = String::new();
    let mut start = None;
    for (x, level) in levels.iter().enumerate() {
        let Some(level) = level else { continue };
        let height = 31_u8.saturating_sub(*level);
        // Writing to a String never fails.
        let _ = write!(points, "{}{x},{height}", if start.is_some() { " " } else { "" });
        start.get_or_insert(height);
    }
    start.map(|start| (points, start))
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::view_of_market;

    const NOW: i64 = 1_000_000_000;

    /// Letters of a market with these trades: steps before the last one, amount and price of each.
    fn line(trades: &[(i64, i64, i64)]) -> String {
        let trades = (1..).zip(trades).map(|(ledger, (steps, stroops, price))| {
            let at = NOW - 60 - steps * STEP;
            trade(ledger, 0, at, (*stroops, stroops * price), (*price, 1))
        });
        let assets = (Asset::Native, Asset::issued("A", &address(1)).unwrap());
        let view = view_of_market(assets, NOW, trades);
        let market = view.markets().remove(0);
        letters(&levels(&market))
    }

    #[test]
    fn dust_sets_a_point_only_where_there_is_nothing_else() {
        let clean = [(3, 50_000, 2), (2, 50_000, 3), (1, 50_000, 4)];
        let with_dust = [&clean[..], &[(0, 10, 900)]].concat();
        assert_eq!(line(&with_dust), line(&clean), "a step with dust only keeps the price before it");
        assert!(line(&with_dust).ends_with("77") || line(&with_dust).ends_with("AA"), "{}", line(&with_dust));
        assert_eq!(line(&[(1, 10, 2), (0, 10, 3)]).matches('-').count(), 26, "a week of dust has its line");
    }

    #[test]
    fn the_lowest_and_the_highest_price_are_at_the_edges() {
        let mut prices = [None; POINTS];
        (prices[25], prices[26], prices[27]) = (Some(2.0), Some(4.0), Some(3.0));
        let levels = drawn(prices);
        assert_eq!(levels[24..], [None, Some(0), Some(31), Some(16)]);
        assert_eq!(letters(&levels), format!("{}A7Q", "-".repeat(25)));
        assert_eq!(points(&levels), Some(("25,31 26,0 27,15".to_owned(), 31)));
    }

    #[test]
    fn one_price_is_a_line_in_the_middle_and_none_is_no_line() {
        assert_eq!(letters(&drawn([None; POINTS])), "-".repeat(28));
        assert_eq!(points(&drawn([None; POINTS])), None);
        assert_eq!(letters(&drawn([Some(7.0); POINTS])), "P".repeat(28));
    }
}
