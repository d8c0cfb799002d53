//! Valid assets, markets and order books, by their ids in the database. Clones share their data.

use std::{collections::HashMap, sync::Arc};

use super::{
    asset::Asset, asset_names::AssetNames, listed_asset::ListedAsset, orderbook::PolledBook,
    windows::MarketId,
};

pub use super::asset_names::AssetId;

/// Assets, markets and order books. Shared data is copied on write, so a clone keeps its state.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Identities of XLM and of the assets of markets, valid or not.
    names: Arc<AssetNames>,
    /// Valid assets only.
    assets: Arc<HashMap<AssetId, Arc<ListedAsset>>>,
    /// Base and counter of each market, in the normalised orientation of [`super::market::Market`].
    markets: Arc<HashMap<MarketId, (AssetId, AssetId)>>,
    /// Markets by asset. Each market is listed under its base and under its counter. Sorted.
    by_asset: Arc<Vec<(AssetId, MarketId)>>,
    /// Valid assets by code.
    by_code: Arc<HashMap<String, Vec<AssetId>>>,
    /// Order books that were polled.
    books: Arc<HashMap<MarketId, PolledBook>>,
    /// Valid assets sorted by code, then issuer. Built when first requested.
    listing: Option<Arc<Vec<Arc<ListedAsset>>>>,
}

impl Directory {
    /// Updates assets. `None` removes an asset that is no longer valid.
    pub fn update_assets(&mut self, updates: impl IntoIterator<Item = (AssetId, Option<ListedAsset>)>) {
        let mut updates = updates.into_iter().peekable();
        // Without updates, keep the listing and copy nothing.
        if updates.peek().is_none() {
            return;
        }
        self.listing = None;
        let assets = Arc::make_mut(&mut self.assets);
        for (id, asset) in updates {
            let code = asset.as_ref().map(|asset| asset.code().to_owned());
            let previous = match asset {
                Some(asset) => assets.insert(id, Arc::new(asset)),
                None => assets.remove(&id),
            };
            // The code of an id never changes, so the index changes only if validity does.
            match (previous, code) {
                (None, Some(code)) => Arc::make_mut(&mut self.by_code).entry(code).or_default().push(id),
                (Some(previous), None) => {
                    let by_code = Arc::make_mut(&mut self.by_code);
                    if let Some(ids) = by_code.get_mut(previous.code()) {
                        ids.retain(|other| *other != id);
                        if ids.is_empty() {
                            by_code.remove(previous.code());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds identities of assets. Only unknown ones copy shared data.
    pub fn add_names(&mut self, names: impl IntoIterator<Item = (AssetId, Asset)>) {
        let mut new = names.into_iter().filter(|(id, asset)| !self.names.holds(*id, asset)).peekable();
        if new.peek().is_some() {
            let new: Vec<_> = new.collect();
            Arc::make_mut(&mut self.names).add(new);
        }
    }

    /// Replaces the identities of all assets.
    pub fn replace_names(&mut self, names: impl IntoIterator<Item = (AssetId, Asset)>) {
        let mut all = AssetNames::default();
        all.add(names);
        self.names = Arc::new(all);
    }

    /// Identities of all assets that trade, valid or not.
    #[must_use]
    pub fn names(&self) -> &AssetNames {
        &self.names
    }

    /// Market of two assets, on either side. Looks through the markets of the asset that has fewer: XLM has one with
    /// nearly every other.
    #[must_use]
    pub fn market_between(&self, one: AssetId, other: AssetId) -> Option<MarketId> {
        let is_turned = self.count_markets_of(other) < self.count_markets_of(one);
        let (one, other) = if is_turned { (other, one) } else { (one, other) };
        let is_other = |market: &MarketId| {
            self.sides(*market).is_some_and(|sides| sides == (one, other) || sides == (other, one))
        };
        self.markets_of_asset(one).find(is_other)
    }

    /// Adds markets: id, base, counter.
    pub fn add_markets(&mut self, markets: impl IntoIterator<Item = (MarketId, AssetId, AssetId)>) {
        self.apply_markets(markets, false);
    }

    /// Replaces the markets. Adds new ones and removes those that are not among `markets`.
    pub fn replace_markets(&mut self, markets: impl IntoIterator<Item = (MarketId, AssetId, AssetId)>) {
        self.apply_markets(markets, true);
    }

    fn apply_markets(
        &mut self,
        listed: impl IntoIterator<Item = (MarketId, AssetId, AssetId)>,
        is_complete: bool,
    ) {
        let listed: HashMap<MarketId, (AssetId, AssetId)> =
            listed.into_iter().map(|(market, base, counter)| (market, (base, counter))).collect();
        let has_removed = is_complete && self.markets.keys().any(|market| !listed.contains_key(market));
        // Markets never change, so a list without additions and removals needs no copy.
        if !has_removed && listed.keys().all(|market| self.markets.contains_key(market)) {
            return;
        }
        let (markets, by_asset) = (Arc::make_mut(&mut self.markets), Arc::make_mut(&mut self.by_asset));
        if has_removed {
            markets.retain(|market, _| listed.contains_key(market));
            markets.shrink_to_fit();
            by_asset.retain(|(_, market)| listed.contains_key(market));
            by_asset.shrink_to_fit();
        }
        // The sides of a market never change.
        for (market, (base, counter)) in listed {
            if markets.insert(market, (base, counter)).is_none() {
                by_asset.extend([(base, market), (counter, market)]);
            }
        }
        by_asset.sort(); // sorted except for the new entries at the end, which a stable sort handles fast
        by_asset.dedup();
    }

    /// Updates order books. If `is_complete` is true, `books` replaces all order books.
    pub fn update_books(&mut self, books: Vec<(MarketId, PolledBook)>, is_complete: bool) {
        if is_complete {
            self.books = Arc::new(books.into_iter().collect());
        } else if !books.is_empty() {
            Arc::make_mut(&mut self.books).extend(books);
        }
    }

    /// Returns true if this directory shares its markets and assets with `other`. False does not imply that they
    /// differ.
    #[must_use]
    pub(crate) fn has_same_names_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.assets, &other.assets) && Arc::ptr_eq(&self.markets, &other.markets)
    }

    /// Returns true if this directory shares its order books with `other`. False does not imply that they differ.
    #[must_use]
    pub(crate) fn has_same_books_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.books, &other.books)
    }

    /// Number of markets.
    #[must_use]
    pub fn market_count(&self) -> usize {
        self.markets.len()
    }

    /// Number of valid assets.
    #[must_use]
    pub fn asset_count(&self) -> usize {
        self.assets.len()
    }

    /// Markets, in no particular order.
    pub fn markets(&self) -> impl Iterator<Item = MarketId> {
        self.markets.keys().copied()
    }

    /// Base and counter of a market.
    #[must_use]
    pub fn sides(&self, market: MarketId) -> Option<(AssetId, AssetId)> {
        self.markets.get(&market).copied()
    }

    /// Base and counter of a market, or `None` if either asset is not valid. Only such markets count in outputs.
    #[must_use]
    pub(crate) fn valid_sides(&self, market: MarketId) -> Option<(&ListedAsset, &ListedAsset)> {
        let (base, counter) = self.markets.get(&market)?;
        Some((self.assets.get(base)?, self.assets.get(counter)?))
    }

    /// Valid asset with this id, or `None` if it is not valid.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&ListedAsset> {
        self.assets.get(&id).map(AsRef::as_ref)
    }

    /// Valid assets, in no particular order.
    pub fn assets(&self) -> impl Iterator<Item = (AssetId, &ListedAsset)> {
        self.assets.iter().map(|(id, asset)| (*id, asset.as_ref()))
    }

    /// Order books, in no particular order.
    pub fn books(&self) -> impl Iterator<Item = (MarketId, &PolledBook)> {
        self.books.iter().map(|(market, book)| (*market, book))
    }

    /// Valid assets with this code.
    #[must_use]
    pub(crate) fn assets_of_code(&self, code: &str) -> &[AssetId] {
        self.by_code.get(code).map_or(&[], Vec::as_slice)
    }

    /// Markets with this asset on either side, sorted by id.
    pub fn markets_of_asset(&self, asset: AssetId) -> impl Iterator<Item = MarketId> {
        // The list is sorted by asset: a binary search finds its first market.
        let from = self.by_asset.partition_point(|(of, _)| *of < asset);
        let of_it = self.by_asset.iter().skip(from).take_while(move |(of, _)| *of == asset);
        of_it.map(|(_, market)| *market)
    }

    /// Number of markets with an asset of this code on either side. A market with such assets on both sides counts
    /// twice.
    #[must_use]
    pub(crate) fn count_markets_of_code(&self, code: &str) -> usize {
        self.assets_of_code(code).iter().map(|asset| self.count_markets_of(*asset)).sum()
    }

    fn count_markets_of(&self, asset: AssetId) -> usize {
        let from = self.by_asset.partition_point(|(of, _)| *of < asset);
        self.by_asset.partition_point(|(of, _)| *of <= asset) - from
    }

    /// Order book of a market, or `None` if it was never polled.
    #[must_use]
    pub fn book(&self, market: MarketId) -> Option<&PolledBook> {
        self.books.get(&market)
    }

    /// All valid assets, sorted by the bytes of code, then issuer.
    pub fn listing(&mut self) -> Arc<Vec<Arc<ListedAsset>>> {
        let assets = &self.assets;
        Arc::clone(self.listing.get_or_insert_with(|| {
            let mut all: Vec<_> = assets.values().cloned().collect();
            all.sort_unstable_by(|a, b| (a.code(), a.issuer()).cmp(&(b.code(), b.issuer())));
            Arc::new(all)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{directory, listed};

    #[test]
    fn clones_keep_their_state() {
        let mut directory = directory(&[("XLM", "native", ""), ("B", "G", "")], &[(7, 1, 2)], &[(7, 3)]);
        let (before, listing) = (directory.clone(), directory.listing());
        directory.update_assets([(2, None), (3, Some(listed("A", "G", "")))]);
        directory.update_books(Vec::new(), true);
        directory.add_markets([(8, 1, 3)]);
        assert!(before.valid_sides(7).is_some() && before.book(7).is_some() && before.sides(8).is_none());
        assert!(directory.valid_sides(7).is_none() && directory.book(7).is_none());
        assert_eq!(directory.sides(7), Some((1, 2)));
        let codes = |listing: &[Arc<ListedAsset>]| {
            listing.iter().map(|asset| asset.code().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (codes(&listing), codes(&directory.listing())),
            (vec!["B".into(), "XLM".into()], vec!["A".into(), "XLM".into()])
        );
    }

    #[test]
    fn assets_are_listed_by_the_bytes_of_code_then_issuer() {
        let assets =
            [("b", "G1", ""), ("A", "G2", ""), ("XLM", "native", ""), ("A", "G10", ""), ("A1", "G1", "")];
        let listing = directory(&assets, &[], &[]).listing();
        let names: Vec<_> = listing.iter().map(|asset| (asset.code(), asset.issuer())).collect();
        assert_eq!(names, [("A", "G10"), ("A", "G2"), ("A1", "G1"), ("XLM", "native"), ("b", "G1")]);
    }

    #[test]
    fn removing_markets_leaves_nothing_behind() {
        let mut directory = directory(
            &[("XLM", "native", ""), ("B", "G", ""), ("C", "G", "")],
            &[(7, 1, 2), (8, 1, 3), (9, 2, 3)],
            &[],
        );
        let before = directory.clone();
        directory.replace_markets([(8, 1, 3), (10, 2, 3)]);
        assert_eq!([7, 8, 9, 10].map(|market| directory.sides(market).is_some()), [false, true, false, true]);
        let of = |directory: &Directory, asset| directory.markets_of_asset(asset).collect::<Vec<_>>();
        assert_eq!([1, 2, 3].map(|asset| of(&directory, asset)), [vec![8], vec![10], vec![8, 10]]);
        assert_eq!(directory.market_count(), 2);
        assert_eq!(["XLM", "B", "C"].map(|code| directory.count_markets_of_code(code)), [1, 1, 2]);
        assert_eq!(of(&before, 1), [7, 8], "a clone keeps its state");
        // Repeating all or some of the markets changes nothing.
        let same = directory.clone();
        directory.replace_markets([(10, 2, 3), (8, 1, 3)]);
        directory.add_markets([(10, 2, 3)]);
        assert!(directory.has_same_names_as(&same));
        // A market that returns has a new id.
        directory.add_markets([(11, 1, 2)]);
        assert_eq!(of(&directory, 2), [10, 11]);
    }

    #[test]
    fn removing_assets_leaves_nothing_behind() {
        let mut directory = Directory::default();
        for round in 0..10 {
            let code = format!("C{round}");
            directory.update_assets([(1, Some(listed("TWO", "G", ""))), (2, Some(listed("TWO", "H", "")))]);
            directory.update_assets([(10 + round, Some(listed(&code, "G", "")))]);
            assert_eq!(directory.assets_of_code("TWO"), [1, 2]);
            assert_eq!(directory.assets_of_code(&code), [10 + round]);
            directory.update_assets([(1, None), (10 + round, None)]);
            assert_eq!(directory.assets_of_code("TWO"), [2]);
            assert_eq!(directory.assets_of_code(&code), [0; 0]);
            directory.update_assets([(2, None)]);
            assert_eq!((directory.asset_count(), directory.by_code.len()), (0, 0), "nothing is left");
        }
    }
}
