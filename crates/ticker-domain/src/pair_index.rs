//! Index of the markets of each pair of `markets.json`. It finds the pairs that changed from one snapshot to the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    listed_asset::ListedAsset,
    market_snapshot::MarketSnapshot,
    orderbook::BookFigures,
    ticker::{Pair, pair_name},
    windows::{Figures, MarketId},
};

/// Pairs of the latest snapshot. The index keeps that snapshot, because data shared with the next one is unchanged and
/// needs no comparison.
#[derive(Debug, Default)]
pub struct PairIndex {
    snapshot: MarketSnapshot,
    pairs: BTreeMap<Arc<str>, Members>,
    names: HashMap<MarketId, PairNames>,
}

/// Markets of one pair name, sorted by id. The order matters: adding doubles in another order changes the last digit.
#[derive(Debug, Default)]
struct Members {
    /// Markets whose trades count for this name.
    traded: BTreeSet<MarketId>,
    /// Markets whose codes spell this name, so that their books count for it.
    spelled: BTreeSet<MarketId>,
}

/// Pair names of one market.
#[derive(Clone, Debug)]
struct PairNames {
    /// Name made of anchor codes, for assets that have one.
    pair: Arc<str>,
    /// Name made of the assets' own codes.
    codes: Arc<str>,
}

impl PairIndex {
    /// Moves to another snapshot. Returns the names of all pairs that may have changed or disappeared.
    ///
    /// Costs one comparison per market, and little more for each that changed.
    pub fn advance(&mut self, snapshot: MarketSnapshot) -> BTreeSet<Arc<str>> {
        let mut dirty = BTreeSet::new();
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        let has_same_names = self.snapshot.directory().has_same_names_as(before.directory());
        let has_same_books = self.snapshot.directory().has_same_books_as(before.directory());
        let mut old = before.windows().markets().iter().peekable();
        for (id, market) in self.snapshot.windows().markets() {
            // Both lists are sorted by id: what the old one has before this id is gone.
            while let Some((gone, _)) = old.next_if(|(old, _)| old < id) {
                remove_market(&mut self.pairs, &mut self.names, *gone, &mut dirty);
            }
            let was = old.next_if(|(old, _)| old == id).map(|(_, market)| market);
            let is_same = was.is_some_and(|was| Arc::ptr_eq(was, market));
            if is_same && has_same_names && has_same_books {
                continue; // nearly every market takes this branch
            }
            // Names may differ only for a new market, or if assets or markets changed.
            if was.is_none() || !has_same_names {
                move_market(&mut self.pairs, &mut self.names, &self.snapshot, *id, &mut dirty);
            }
            let Some(names) = self.names.get(id) else { continue };
            if !is_same {
                dirty.insert(Arc::clone(&names.pair));
            }
            if !has_same_books && figures(&before, *id) != figures(&self.snapshot, *id) {
                dirty.insert(Arc::clone(&names.codes));
            }
        }
        for (gone, _) in old {
            remove_market(&mut self.pairs, &mut self.names, *gone, &mut dirty);
        }
        dirty
    }

    /// Current figures of a pair, or `None` if no pair has this name.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<Pair> {
        // A name that only books belong to is not a pair: pairs need trades.
        let members = self.pairs.get(name).filter(|members| !members.traded.is_empty())?;
        let mut sum = Figures::default();
        for market in members.traded.iter().filter_map(|id| self.snapshot.windows().figures_of(*id)) {
            sum.day.merge(&market.day);
            sum.week.merge(&market.week);
        }
        let books = members.spelled.iter().filter_map(|id| figures(&self.snapshot, *id));
        let book = books.reduce(|mut sum, book| {
            sum.merge(&book);
            sum
        });
        Some(Pair::new(name.to_owned(), &sum, book.unwrap_or_default()))
    }
}

fn figures(snapshot: &MarketSnapshot, market: MarketId) -> Option<BookFigures> {
    snapshot.directory().book(market).map(|book| book.figures)
}

type Pairs = BTreeMap<Arc<str>, Members>;

/// Moves a market to its current pair names.
fn move_market(
    pairs: &mut Pairs,
    names: &mut HashMap<MarketId, PairNames>,
    snapshot: &MarketSnapshot,
    id: MarketId,
    dirty: &mut BTreeSet<Arc<str>>,
) {
    let sides = snapshot.directory().valid_sides(id);
    let is_named = |names: &PairNames, (base, counter): (&ListedAsset, &ListedAsset)| {
        spells(&names.pair, base.pair_code(), counter.pair_code())
            && spells(&names.codes, base.code(), counter.code())
    };
    match (names.get(&id), sides) {
        (None, None) => return,
        (Some(names), Some(sides)) if is_named(names, sides) => return,
        _ => remove_market(pairs, names, id, dirty),
    }
    if let Some((base, counter)) = sides {
        let now = PairNames {
            pair: pair_name(base.pair_code(), counter.pair_code()).into(),
            codes: pair_name(base.code(), counter.code()).into(),
        };
        pairs.entry(Arc::clone(&now.pair)).or_default().traded.insert(id);
        pairs.entry(Arc::clone(&now.codes)).or_default().spelled.insert(id);
        dirty.extend([Arc::clone(&now.pair), Arc::clone(&now.codes)]);
        names.insert(id, now);
    }
}

/// Returns true if `name` is the pair name of two codes. Compares without building the name.
fn spells(name: &str, base: &str, counter: &str) -> bool {
    name.strip_prefix(base).and_then(|rest| rest.strip_prefix('_')) == Some(counter)
}

fn remove_market(
    pairs: &mut Pairs,
    names: &mut HashMap<MarketId, PairNames>,
    id: MarketId,
    dirty: &mut BTreeSet<Arc<str>>,
) {
    let Some(PairNames { pair, codes }) = names.remove(&id) else { return };
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
