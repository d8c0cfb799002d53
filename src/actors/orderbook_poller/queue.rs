//! Order in which books are read. Pure.

use std::collections::HashMap;

use crate::domain::{instant::UnixSeconds, ranking::RankedMarket, windows::MarketId};

/// Factor by which the book of a market without valid assets may wait longer.
const NOT_VALID_WAITS: i64 = 4;

/// Returns the next markets whose books were not read since `since` and are not given up. A book that was read after
/// `now` is due as well: the clock was ahead then.
///
/// The busiest market and the one that waited longest take turns. So busy markets stay fresh, and all books are read in
/// the end, however few requests there are.
pub(super) fn queue(
    ranked: &[RankedMarket],
    read_at: &HashMap<MarketId, UnixSeconds>,
    since: UnixSeconds,
    now: UnixSeconds,
    given_up: impl Fn(MarketId) -> bool,
    limit: usize,
) -> Vec<MarketId> {
    let is_due = |market: &&RankedMarket| {
        let is_read = read_at.get(&market.market).is_some_and(|at| (since..=now).contains(at));
        !is_read && !given_up(market.market)
    };
    let mut busiest: Vec<&RankedMarket> = ranked.iter().filter(is_due).collect();
    let mut waiting = busiest.clone();
    busiest.sort_by_key(|market| !market.is_valid); // stable, so the valid ones stay ordered by activity
    let waited = |market: &&RankedMarket| {
        let at = read_at.get(&market.market).map_or(0, |at| at.0);
        let waited = since.0.saturating_sub(at);
        std::cmp::Reverse(if market.is_valid { waited.saturating_mul(NOT_VALID_WAITS) } else { waited })
    };
    waiting.sort_by_key(waited);
    let mut taken = std::collections::HashSet::new();
    let turns = busiest.iter().zip(&waiting).flat_map(|(busy, waiting)| [busy.market, waiting.market]);
    turns.filter(|market| taken.insert(*market)).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixSeconds = UnixSeconds(130);

    fn none(_: MarketId) -> bool {
        false
    }

    fn market(market: MarketId, day_trades: u64, is_valid: bool) -> RankedMarket {
        RankedMarket { market, base: 1, counter: 2, day_trades, week_trades: day_trades, is_valid }
    }

    #[test]
    fn the_busiest_and_the_one_that_waited_longest_take_turns() {
        let ranked = [1, 2, 3, 4, 5, 6].map(|id| market(id, 100 - u64::try_from(id).unwrap(), true));
        let read_at =
            [(1, 90), (2, 80), (3, 70), (4, 10), (5, 120)].map(|(id, at)| (id, UnixSeconds(at))).into();
        assert_eq!(
            queue(&ranked, &read_at, UnixSeconds(100), NOW, none, 10),
            [1, 6, 2, 4, 3],
            "5 was read since"
        );
        assert_eq!(queue(&ranked, &read_at, UnixSeconds(100), NOW, none, 2), [1, 6]);
        assert_eq!(queue(&ranked, &read_at, UnixSeconds(100), NOW, |market| market == 1, 2), [2, 6]);
    }

    #[test]
    fn a_book_that_was_read_by_a_clock_that_was_ahead_is_due() {
        let ranked = [market(1, 50, true), market(2, 40, true)];
        let read_at = [(1, NOW.0 + 1), (2, NOW.0)].map(|(id, at)| (id, UnixSeconds(at))).into();
        assert_eq!(queue(&ranked, &read_at, UnixSeconds(100), NOW, none, 10), [1]);
    }

    #[test]
    fn markets_without_valid_assets_come_later_but_come() {
        let ranked = [market(1, 50, false), market(2, 40, true), market(3, 30, true)];
        assert_eq!(queue(&ranked, &HashMap::new(), UnixSeconds(100), NOW, none, 10), [2, 3, 1]);
        let read_at = [(1, 10), (2, 95), (3, 96)].map(|(id, at)| (id, UnixSeconds(at))).into();
        assert_eq!(queue(&ranked, &read_at, UnixSeconds(100), NOW, none, 2), [2, 1], "a long wait counts");
    }

    proptest! {
        #[test]
        fn every_due_market_is_in_it_once(times in prop::collection::vec(prop::option::of(0..200_i64), 0..40)) {
            let ranked: Vec<_> = (0..).zip(&times).map(|(id, _)| market(id, 5, id % 3 == 0)).collect();
            let read_at = (0..).zip(&times).filter_map(|(id, at)| at.map(|at| (id, UnixSeconds(at)))).collect();
            let mut queued = queue(&ranked, &read_at, UnixSeconds(100), NOW, none, 1_000);
            queued.sort_unstable();
            let is_due = |at: &Option<i64>| at.is_none_or(|at| !(100..=NOW.0).contains(&at));
            let due = (0..).zip(&times).filter(|(_, at)| is_due(at)).map(|(id, _)| id);
            prop_assert_eq!(queued, due.collect::<Vec<MarketId>>());
        }
    }
}
