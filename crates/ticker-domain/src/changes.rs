//! Changes from one snapshot to the next, for readers that follow the exchange live.

use std::collections::HashSet;

use super::{
    cursor::PagingToken,
    instant::{MINUTE, UnixSeconds},
    market_snapshot::MarketSnapshot,
    trade_stats::WindowTrade,
    windows::MarketId,
};

/// Seconds for which a trade counts as new. Older ones that arrive late change figures only.
pub const NEW_TRADE_S: i64 = 10 * MINUTE;
/// Most changed markets. More are one change of everything.
const MARKETS_MAX: usize = 5_000;
/// Most new trades.
const TRADES_MAX: usize = 5_000;

/// Difference of two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// True if too much changed to be listed. Both lists are empty then.
    pub is_whole: bool,
    /// Markets whose statistics or book changed, or that lost their last trade. In order.
    pub markets: Vec<MarketId>,
    /// Trades of the last ten minutes that are not in the earlier snapshot, in the order of their tokens.
    pub trades: Vec<(MarketId, WindowTrade)>,
}

impl Changes {
    /// A change of everything.
    #[must_use]
    pub fn whole() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Compares two snapshots. Costs one comparison per market, and a look at the last trades of each that changed.
    #[must_use]
    pub fn between(before: &MarketSnapshot, after: &MarketSnapshot) -> Self {
        let markets = changed_markets(before, after);
        if markets.len() > MARKETS_MAX {
            return Self::whole();
        }
        let edge = after.windows().as_of().minus(NEW_TRADE_S);
        let mut trades: Vec<(MarketId, WindowTrade)> = Vec::new();
        for market in &markets {
            let known = tokens(before, *market, edge);
            let new =
                after.windows().trades_since(*market, edge).filter(|trade| !known.contains(&trade.token));
            trades.extend(new.map(|trade| (*market, trade)));
            if trades.len() > TRADES_MAX {
                return Self::whole();
            }
        }
        trades.sort_unstable_by_key(|(_, trade)| trade.token);
        Self { is_whole: false, markets, trades }
    }
}

fn tokens(snapshot: &MarketSnapshot, market: MarketId, edge: UnixSeconds) -> HashSet<PagingToken> {
    snapshot.windows().trades_since(market, edge).map(|trade| trade.token).collect()
}

fn changed_markets(before: &MarketSnapshot, after: &MarketSnapshot) -> Vec<MarketId> {
    let has_same_books = after.directory().has_same_books_as(before.directory());
    let has_same_book = |id: MarketId| before.directory().book(id) == after.directory().book(id);
    let mut changed: Vec<MarketId> = Vec::new();
    let mut old = before.windows().shared().peekable();
    for (id, windows) in after.windows().shared() {
        // Both lists are sorted by id: everything that the old one has before this id is gone.
        while let Some((gone, _)) = old.next_if(|(old, _)| *old < id) {
            changed.push(gone);
        }
        let was = old.next_if(|(old, _)| *old == id).map(|(_, was)| was);
        if was != Some(windows) || (!has_same_books && !has_same_book(id)) {
            changed.push(id);
        }
    }
    changed.extend(old.map(|(gone, _)| gone));
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        test_support::{directory, trade},
        windows::Windows,
    };

    const NOW: UnixSeconds = UnixSeconds(1_000_000_000);

    fn snapshot(windows: &Windows) -> MarketSnapshot {
        let assets = [("XLM", "native", ""), ("A", "G1", ""), ("B", "G2", "")];
        MarketSnapshot::new(windows.view(), directory(&assets, &[(1, 1, 2), (2, 1, 3)], &[]))
    }

    fn windows(trades: &[(MarketId, i64, i64)]) -> Windows {
        let mut windows = Windows::default();
        windows.advance(NOW);
        for (market, ledger, age) in trades {
            windows.add(*market, trade(*ledger, 0, NOW.0 - age, (10, 20), (2, 1)));
        }
        windows
    }

    #[test]
    fn only_changed_markets_and_their_new_trades_are_listed() {
        let mut all = windows(&[(1, 1, 100), (2, 2, 90)]);
        let before = snapshot(&all);
        all.add(2, trade(3, 0, NOW.0 - 5, (10, 20), (2, 1)));
        // A late trade, and one that is too late to be news.
        all.add(2, trade(1, 1, NOW.0 - 95, (10, 20), (2, 1)));
        all.add(2, trade(0, 1, NOW.0 - 2 * NEW_TRADE_S, (10, 20), (2, 1)));
        let changes = Changes::between(&before, &snapshot(&all));
        assert_eq!(changes.markets, [2]);
        let ledgers: Vec<_> = changes.trades.iter().map(|(_, trade)| trade.token.ledger()).collect();
        assert_eq!(ledgers, [1, 3]);
        assert_eq!(Changes::between(&snapshot(&all), &snapshot(&all)), Changes::default());
    }

    #[test]
    fn a_market_that_lost_its_last_trade_has_changed() {
        let mut all = windows(&[(1, 1, 7 * 24 * 3_600 - 10), (2, 2, 90)]);
        let before = snapshot(&all);
        all.advance(NOW.plus(20));
        let changes = Changes::between(&before, &snapshot(&all));
        assert!(changes.markets.contains(&1) && changes.trades.is_empty(), "{changes:?}");
    }

    #[test]
    fn too_many_changes_are_one_of_everything() {
        let few = windows(&[]);
        let many: Vec<_> = (0..6_000).map(|number| (1, number, 5)).collect();
        assert_eq!(Changes::between(&snapshot(&few), &snapshot(&windows(&many))), Changes::whole());
    }
}
