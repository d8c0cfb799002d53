//! Ranking of markets by activity. Requests are limited, so the busiest markets are polled first.

use super::{
    directory::{AssetId, Directory},
    windows::{Figures, MarketId},
};

/// Market with its activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankedMarket {
    /// Id of the market.
    pub market: MarketId,
    /// Base asset.
    pub base: AssetId,
    /// Counter asset.
    pub counter: AssetId,
    /// Trades in the last 24 hours.
    pub day_trades: u64,
    /// Trades in the last 7 days.
    pub week_trades: u64,
    /// True if both assets are valid.
    pub is_valid: bool,
}

/// Ranks all markets with a trade in the last 7 days, the busiest first.
pub fn rank<'a>(
    figures: impl Iterator<Item = (MarketId, &'a Figures)>,
    directory: &Directory,
) -> Vec<RankedMarket> {
    let ranked = |(market, figures): (MarketId, &Figures)| {
        let (base, counter) = directory.sides(market)?;
        Some(RankedMarket {
            market,
            base,
            counter,
            day_trades: figures.day.trade_count,
            week_trades: figures.week.trade_count,
            is_valid: directory.valid_sides(market).is_some(),
        })
    };
    let mut markets: Vec<RankedMarket> = figures.filter_map(ranked).collect();
    markets.sort_unstable_by_key(|market| {
        (std::cmp::Reverse((market.day_trades, market.week_trades)), market.market)
    });
    markets
}

/// Assets of the markets, each once, in the order of first occurrence.
#[must_use]
pub fn assets_of(markets: &[RankedMarket]) -> Vec<AssetId> {
    let mut seen = std::collections::HashSet::new();
    let sides = markets.iter().flat_map(|market| [market.base, market.counter]);
    sides.filter(|asset| seen.insert(*asset)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{test_support::directory, trade_stats::TradeStats};

    #[test]
    fn the_busiest_comes_first_and_each_asset_once() {
        let figures = |day, week| Figures {
            day: TradeStats { trade_count: day, ..TradeStats::default() },
            week: TradeStats { trade_count: week, ..TradeStats::default() },
        };
        let directory =
            directory(&[("XLM", "native", ""), ("A", "G", "")], &[(10, 1, 2), (11, 1, 3), (12, 2, 3)], &[]);
        let all = [(10, figures(0, 9)), (11, figures(5, 5)), (12, figures(0, 9)), (13, figures(8, 8))];
        let ranked = rank(all.iter().map(|(market, figures)| (*market, figures)), &directory);
        let order: Vec<_> = ranked.iter().map(|market| (market.market, market.is_valid)).collect();
        assert_eq!(order, [(11, false), (10, true), (12, false)]);
        assert_eq!(assets_of(&ranked), [1, 3, 2]);
    }
}
