//! Events of the board for the live stream: the rows that changed since the event before.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use ticker_domain::{instant::UnixSeconds, windows::MarketId};

use super::{
    Board, BoardRow,
    figures::{FeedTotals, Figures, figures},
};
use crate::listings::ListingView;

/// Above this many changed rows readers read all figures again, since the compressed figures are smaller than such an
/// event.
const ROWS_MAX: usize = 3_000;
/// Rows of an event that differ only in their volume in dollars. A new price of XLM changes that of most markets, so
/// they take turns.
const DOLLAR_ROWS_MAX: usize = 200;

/// Rows as the readers of the events have them.
#[derive(Debug, Default)]
pub struct FollowedBoard {
    seq: i64,
    as_of: UnixSeconds,
    rows: HashMap<MarketId, BoardRow>,
    /// Last market that was sent only for its volume in dollars.
    last_turn: MarketId,
}

/// Change from one moment of the board to a later one.
#[derive(Debug, PartialEq, Eq)]
pub enum BoardChange {
    /// Data of an event: JSON without line breaks.
    Rows(String),
    /// Too much changed: readers read all figures again.
    Whole,
}

#[derive(Serialize)]
struct Event<'a> {
    seq: i64,
    as_of: String,
    database: &'a str,
    /// The event applies to figures of this moment or a later one, and of this batch or a later one.
    after: String,
    after_seq: i64,
    ledger: Option<u32>,
    ledger_close_time: Option<String>,
    totals: FeedTotals,
    /// Figures of the changed markets in the order of the columns.
    m: Vec<Figures>,
    /// Markets that left the list: without a trade in the last 7 days.
    gone: Vec<MarketId>,
}

/// Difference between two rows of a market.
#[derive(PartialEq, Eq)]
enum Difference {
    None,
    Dollars,
    Figures,
}

impl FollowedBoard {
    /// Rows of a moment from which events follow.
    #[must_use]
    pub fn of(view: &ListingView, board: &Board) -> Self {
        let rows = board.rows().iter().map(|row| (row.market, *row)).collect();
        Self { seq: view.seq(), as_of: view.as_of(), rows, last_turn: MarketId::MIN }
    }

    /// Advances to the board of this view, and returns what changed. `None` for another view of the same second, whose
    /// changes are part of the next event.
    pub fn advance(&mut self, view: &ListingView, board: &Board) -> Option<BoardChange> {
        let (after_seq, after) = (self.seq, self.as_of);
        if after == view.as_of() {
            return None;
        }
        self.seq = view.seq();
        let Some((changed, gone)) = self.step(view.as_of(), board.rows()) else {
            return Some(BoardChange::Whole);
        };
        let event = Event {
            seq: view.seq(),
            as_of: view.as_of().to_rfc3339(),
            database: view.database(),
            after: after.to_rfc3339(),
            after_seq,
            ledger: view.latest_ledger().map(|(ledger, _)| ledger),
            ledger_close_time: view.latest_ledger().map(|(_, closed_at)| closed_at.to_rfc3339()),
            totals: FeedTotals::of(board),
            m: changed.iter().map(figures).collect(),
            gone,
        };
        // Serialising plain structs into memory does not fail.
        Some(BoardChange::Rows(serde_json::to_string(&event).unwrap_or_default()))
    }

    /// Rows to send and markets that left. `None` if too much changed.
    fn step(&mut self, as_of: UnixSeconds, rows: &[BoardRow]) -> Option<(Vec<BoardRow>, Vec<MarketId>)> {
        let (mut changed, mut dollars) = (Vec::new(), Vec::new());
        for row in rows {
            match self.difference(as_of, row) {
                Difference::None => {}
                Difference::Dollars => dollars.push(*row),
                Difference::Figures => changed.push(*row),
            }
        }
        let present: HashSet<MarketId> = rows.iter().map(|row| row.market).collect();
        let mut gone: Vec<MarketId> =
            self.rows.keys().copied().filter(|market| !present.contains(market)).collect();
        // A clock that was set back makes all events of before look later than this one.
        if changed.len().saturating_add(gone.len()) > ROWS_MAX || as_of < self.as_of {
            self.as_of = as_of;
            self.rows = rows.iter().map(|row| (row.market, *row)).collect();
            return None;
        }
        gone.sort_unstable();
        changed.extend(self.take_turns(dollars));
        changed.sort_unstable_by_key(|row| row.market);
        for market in &gone {
            self.rows.remove(market);
        }
        // The kept ages are as of the kept moment. Rows that stay are not touched: see `difference`.
        self.rebase(as_of);
        self.rows.extend(changed.iter().map(|row| (row.market, *row)));
        Some((changed, gone))
    }

    fn difference(&self, as_of: UnixSeconds, row: &BoardRow) -> Difference {
        let Some(sent) = self.rows.get(&row.market) else { return Difference::Figures };
        // Without a new trade the age grows with the clock, which readers do by themselves.
        let elapsed = as_of.0.saturating_sub(self.as_of.0);
        let sent = BoardRow { age_s: sent.age_s.map(|age| age.saturating_add(elapsed)), ..*sent };
        if sent == *row {
            Difference::None
        } else if (BoardRow { volume_usd: row.volume_usd, ..sent }) == *row {
            Difference::Dollars
        } else {
            Difference::Figures
        }
    }

    /// The next rows that differ only in dollars, beginning after the last one that was sent.
    fn take_turns(&mut self, mut rows: Vec<BoardRow>) -> Vec<BoardRow> {
        let last = self.last_turn;
        rows.sort_unstable_by_key(|row| (row.market <= last, row.market));
        rows.truncate(DOLLAR_ROWS_MAX);
        self.last_turn = rows.last().map_or(last, |row| row.market);
        rows
    }

    /// Moves the ages of all rows to a later moment.
    fn rebase(&mut self, as_of: UnixSeconds) {
        let elapsed = as_of.0.saturating_sub(self.as_of.0);
        for age in self.rows.values_mut().filter_map(|row| row.age_s.as_mut()) {
            *age = age.saturating_add(elapsed);
        }
        self.as_of = as_of;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Flags;

    fn row(market: MarketId, trades: u64, volume_usd: i128, age_s: i64) -> BoardRow {
        BoardRow {
            market,
            scale: None,
            price: None,
            changes: [None; 3],
            low: None,
            high: None,
            bid: None,
            ask: None,
            spread: None,
            volume_usd: Some(volume_usd),
            volume: 0,
            trades,
            age_s: Some(age_s),
            flags: Flags::default(),
        }
    }

    fn followed(rows: &[BoardRow]) -> FollowedBoard {
        let rows = rows.iter().map(|row| (row.market, *row)).collect();
        FollowedBoard { seq: 1, as_of: UnixSeconds(100), rows, last_turn: MarketId::MIN }
    }

    fn markets(rows: &[BoardRow]) -> Vec<MarketId> {
        rows.iter().map(|row| row.market).collect()
    }

    #[test]
    fn only_rows_that_differ_are_sent_and_those_that_left_are_named() {
        let mut followed = followed(&[row(1, 5, 7, 10), row(2, 5, 7, 10), row(3, 5, 7, 10), row(9, 1, 1, 1)]);
        // 1 only aged, 2 traded, 3 has a new price in dollars, 4 is new, 9 left.
        let now = [row(1, 5, 7, 12), row(2, 6, 7, 1), row(3, 5, 8, 12), row(4, 1, 1, 0)];
        let (changed, gone) = followed.step(UnixSeconds(102), &now).unwrap();
        assert_eq!((markets(&changed), gone), (vec![2, 3, 4], vec![9]));
        let later = now.map(|row| BoardRow { age_s: row.age_s.map(|age| age + 5), ..row });
        let (changed, gone) = followed.step(UnixSeconds(107), &later).unwrap();
        assert_eq!((markets(&changed), gone), (vec![], vec![]), "ages grow by themselves");
    }

    #[test]
    fn rows_that_differ_only_in_dollars_take_turns_until_all_are_sent() {
        let many = |usd: i128| (0..450).map(|market| row(market, 1, usd, 0)).collect::<Vec<_>>();
        let mut followed = followed(&many(1));
        let mut sent = Vec::new();
        for _ in 0..3 {
            let (changed, _) = followed.step(UnixSeconds(100), &many(2)).unwrap();
            assert!(changed.len() <= DOLLAR_ROWS_MAX);
            sent.extend(markets(&changed));
        }
        assert_eq!(sent, (0..450).collect::<Vec<_>>());
        assert_eq!(followed.step(UnixSeconds(100), &many(2)).unwrap().0, []);
        // The turn goes round: those after the last one come first.
        followed.last_turn = 440;
        let (changed, _) = followed.step(UnixSeconds(100), &many(3)).unwrap();
        let expected: Vec<MarketId> = (0..191).chain(441..450).collect();
        assert_eq!(markets(&changed), expected);
    }

    #[test]
    fn too_many_changes_are_a_change_of_everything_and_the_next_event_follows_from_it() {
        let many = |trades| (0..3_001).map(|market| row(market, trades, 1, 0)).collect::<Vec<_>>();
        let mut followed = followed(&many(1));
        assert_eq!(followed.step(UnixSeconds(100), &many(2)), None);
        assert_eq!(followed.step(UnixSeconds(100), &many(2)).unwrap().0, []);
        assert_eq!(followed.step(UnixSeconds(50), &many(2)), None, "the clock was set back");
    }
}
