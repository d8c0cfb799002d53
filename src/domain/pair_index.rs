//! Which markets make which pair of `markets.json`, and which pairs changed from one board to the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    board::Board,
    orderbook::BookFigures,
    ticker::{Pair, pair_name},
    windows::{Figures, MarketId},
};

/// The pairs of the board that it was last shown. Keeps that board, so that what is shared with the next one can be told
/// from what was copied because it changed.
#[derive(Debug, Default)]
pub struct PairIndex {
    board: Board,
    pairs: BTreeMap<Arc<str>, Members>,
    names: HashMap<MarketId, Names>,
}

/// The markets of one name, by their numbers: doubles added in another order differ in their last digit.
#[derive(Debug, Default)]
struct Members {
    /// Whose trades are its trades.
    traded: BTreeSet<MarketId>,
    /// Whose codes spell it, so that their books are its books.
    spelled: BTreeSet<MarketId>,
}

/// What a market belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// By its assets' anchors, where they have one.
    pair: Arc<str>,
    /// By its assets' codes.
    codes: Arc<str>,
}

impl PairIndex {
    /// Moves on to another board, and gives the names of all pairs that may be other now, or gone. Costs a comparison a
    /// market, and little more for each that changed.
    pub fn advance(&mut self, board: Board) -> BTreeSet<Arc<str>> {
        let mut dirty = BTreeSet::new();
        let before = std::mem::replace(&mut self.board, board);
        let has_same_names = self.board.directory().names_as(before.directory());
        let has_same_books = self.board.directory().books_as(before.directory());
        let (old, new) = (before.windows().markets(), self.board.windows().markets());
        for gone in old.iter().filter(|(id, _)| new.binary_search_by_key(id, |(id, _)| *id).is_err()) {
            forget(&mut self.pairs, &mut self.names, gone.0, &mut dirty);
        }
        let mut old = old.iter().peekable();
        for (id, market) in new {
            while old.peek().is_some_and(|(old, _)| old < id) {
                old.next();
            }
            let was = old.peek().filter(|(old, _)| old == id).map(|(_, market)| market);
            if was.is_none() || !has_same_names {
                rename(&mut self.pairs, &mut self.names, &self.board, *id, &mut dirty);
            }
            let Some(names) = self.names.get(id) else { continue };
            if was.is_none_or(|was| !Arc::ptr_eq(was, market)) {
                dirty.insert(Arc::clone(&names.pair));
            }
            if !has_same_books && figures(&before, *id) != figures(&self.board, *id) {
                dirty.insert(Arc::clone(&names.codes));
            }
        }
        dirty
    }

    /// A pair as it stands; none where there is none of this name.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<Pair> {
        let members = self.pairs.get(name).filter(|members| !members.traded.is_empty())?;
        let mut sum = Figures::default();
        for market in members.traded.iter().filter_map(|id| self.board.windows().figures_of(*id)) {
            sum.day.merge(&market.day);
            sum.week.merge(&market.week);
        }
        let books = members.spelled.iter().filter_map(|id| figures(&self.board, *id));
        let book = books.reduce(|mut sum, book| {
            sum.merge(&book);
            sum
        });
        Some(Pair::new(name.to_owned(), &sum, book.unwrap_or_default()))
    }
}

fn figures(board: &Board, market: MarketId) -> Option<BookFigures> {
    board.directory().book(market).map(|book| book.figures)
}

type Pairs = BTreeMap<Arc<str>, Members>;

/// Puts a market where its assets' names say now.
fn rename(
    pairs: &mut Pairs,
    names: &mut HashMap<MarketId, Names>,
    board: &Board,
    id: MarketId,
    dirty: &mut BTreeSet<Arc<str>>,
) {
    let now = board.directory().valid_sides(id).map(|(base, counter)| Names {
        pair: pair_name(base.pair_code(), counter.pair_code()).into(),
        codes: pair_name(base.code(), counter.code()).into(),
    });
    if names.get(&id) == now.as_ref() {
        return;
    }
    forget(pairs, names, id, dirty);
    if let Some(now) = now {
        pairs.entry(Arc::clone(&now.pair)).or_default().traded.insert(id);
        pairs.entry(Arc::clone(&now.codes)).or_default().spelled.insert(id);
        dirty.extend([Arc::clone(&now.pair), Arc::clone(&now.codes)]);
        names.insert(id, now);
    }
}

fn forget(
    pairs: &mut Pairs,
    names: &mut HashMap<MarketId, Names>,
    id: MarketId,
    dirty: &mut BTreeSet<Arc<str>>,
) {
    let Some(Names { pair, codes }) = names.remove(&id) else { return };
    for name in [pair, codes] {
        if let Some(members) = pairs.get_mut(&name) {
            members.traded.remove(&id);
            members.spelled.remove(&id);
            if members.traded.is_empty() && members.spelled.is_empty() {
                pairs.remove(&name);
            }
        }
        dirty.insert(name);
    }
}
