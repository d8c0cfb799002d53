//! Changes from one snapshot to the next, for readers that follow the exchange live.

use std::collections::HashSet;

use super::{
    cursor::PagingToken,
    instant::{MINUTE, UnixSeconds},
    market_snapshot::MarketSnapshot,
    orderbook::PolledBook,
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
    /// Markets whose statistics or book changed, whose book became too old, or that lost their last trade. In order.
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

    /// Compares two snapshots. Costs one comparison per market and per book, and a look at the last trades of each
    /// market that changed.
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
    let aged = aged_books(before, after);
    let mut changed: Vec<MarketId> = Vec::new();
    let mut old = before.windows().shared().peekable();
    for (id, windows) in after.windows().shared() {
        // Both lists are sorted by id: everything that the old one has before this id is gone.
        while let Some((gone, _)) = old.next_if(|(old, _)| *old < id) {
            changed.push(gone);
        }
        let was = old.next_if(|(old, _)| *old == id).map(|(_, was)| was);
        if was != Some(windows) || (!has_same_books && !has_same_book(id)) || aged.contains(&id) {
            changed.push(id);
        }
    }
    changed.extend(old.map(|(gone, _)| gone));
    changed
}

/// Markets whose book stopped being recent between two moments, or is recent again since the clock was set back.
fn aged_books(before: &MarketSnapshot, after: &MarketSnapshot) -> HashSet<MarketId> {
    let (was_as_of, as_of) = (before.as_of(), after.as_of());
    if was_as_of == as_of {
        return HashSet::new();
    }
    let has_aged = |book: &PolledBook| book.is_recent(was_as_of) != book.is_recent(as_of);
    after.directory().books().filter(|(_, book)| has_aged(book)).map(|(market, _)| market).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        orderbook::BOOK_AGE_MAX,
        test_support::{book, directory, trade},
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
    fn a_market_whose_book_became_too_old_has_changed() {
        let of = |fetched_at: UnixSeconds| PolledBook { fetched_at, ..book(1) };
        let assets = [("XLM", "native", ""), ("A", "G1", ""), ("B", "G2", "")];
        let mut directory = directory(&assets, &[(1, 1, 2), (2, 1, 3), (3, 2, 3)], &[]);
        // Market 3 has no trade, so no reader sees its book.
        directory.update_books(vec![(1, of(NOW)), (2, of(NOW.plus(900))), (3, of(NOW))], true);
        let mut all = windows(&[(1, 1, 100), (2, 2, 90)]);
        let mut at = |age| {
            all.advance(NOW.plus(age));
            MarketSnapshot::new(all.view(), directory.clone())
        };
        let last = at(BOOK_AGE_MAX);
        let first = at(BOOK_AGE_MAX + 1);
        assert_eq!(Changes::between(&last, &first).markets, [1]);
        assert_eq!(Changes::between(&first, &at(BOOK_AGE_MAX + 2)), Changes::default(), "it is said once");
        // Publications may be far apart.
        assert_eq!(Changes::between(&last, &at(BOOK_AGE_MAX + 901)).markets, [1, 2]);
        assert_eq!(Changes::between(&first, &last).markets, [1], "the clock was set back");
    }

    #[test]
    fn a_new_book_that_is_too_old_already_has_changed_its_market() {
        let at = |fetched_at: UnixSeconds| {
            let mut all = windows(&[(1, 1, 100)]);
            all.advance(NOW.plus(2 * BOOK_AGE_MAX));
            let mut directory = directory(&[("XLM", "native", ""), ("A", "G1", "")], &[(1, 1, 2)], &[]);
            directory.update_books(vec![(1, PolledBook { fetched_at, ..book(1) })], true);
            (all, directory)
        };
        let ((all, recent), (_, old)) = (at(NOW.plus(BOOK_AGE_MAX)), at(NOW));
        let of = |directory| MarketSnapshot::new(all.view(), directory);
        assert_eq!(Changes::between(&of(recent), &of(old)).markets, [1]);
    }

    #[test]
    fn too_many_changes_are_one_of_everything() {
        let few = windows(&[]);
        let many: Vec<_> = (0..6_000).map(|number| (1, number, 5)).collect();
        assert_eq!(Changes::between(&snapshot(&few), &snapshot(&windows(&many))), Changes::whole());
    }
}
