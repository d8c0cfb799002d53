//! Assets and markets of a view.

use std::cmp::Reverse;

use ticker_domain::{
    asset::Asset, asset_names::AssetId, identity::SpelledAsset, market::Market, usd::Rate, windows::MarketId,
};

use super::{asset::AssetView, market::MarketView, view::ListingView};

impl ListingView {
    /// Asset that a reader spells, or `None` if it is in no market that the database holds. It may have a market
    /// without a trade in the last 7 days: markets are held as long as their trades.
    #[must_use]
    pub fn find(&self, spelled: &SpelledAsset) -> Option<AssetView<'_>> {
        let id = self.snapshot().directory().names().find(spelled, self.passphrase())?;
        self.asset(id)
    }

    pub(crate) fn asset(&self, id: AssetId) -> Option<AssetView<'_>> {
        AssetView::new(self, id)
    }

    /// All assets of a code: the one that stands for it, then those that the most accounts hold, then by issuer.
    #[must_use]
    pub(crate) fn assets_of_code(&self, code: &str) -> Vec<AssetView<'_>> {
        let named = self.snapshot().directory().names().iter().filter(|(_, asset)| asset.code() == code);
        let mut assets: Vec<AssetView<'_>> = named.filter_map(|(id, _)| self.asset(id)).collect();
        assets.sort_by_cached_key(|asset| {
            let holders = asset.listed().map_or(0, |listed| listed.num_accounts);
            (!self.symbols().stands_for(code, asset.id()), Reverse(holders), *asset.asset())
        });
        assets
    }

    /// Market of two assets, in either order, or `None` if they never traded in the last 7 days.
    #[must_use]
    pub fn market_between(&self, one: &AssetView<'_>, other: &AssetView<'_>) -> Option<MarketView<'_>> {
        let market = self.snapshot().directory().market_between(one.id(), other.id())?;
        self.snapshot().windows().figures_of(market)?;
        self.market(market)
    }

    /// Market of its base and its quote with `_` between them, as CoinMarketCap's formats name
    /// pairs: each by its symbol, or in any spelling.
    #[must_use]
    pub fn market_of_symbols(&self, name: &str) -> Option<MarketView<'_>> {
        let (base, quote) = name.split_once('_')?;
        let asset = |text: &str| match self.symbols().of_code(text) {
            Some(choice) => self.asset(choice.asset),
            None => self.find(&text.parse().ok()?),
        };
        self.market_in_order(&asset(base)?, &asset(quote)?)
    }

    /// Market of this base and this quote.
    fn market_in_order(&self, base: &AssetView<'_>, quote: &AssetView<'_>) -> Option<MarketView<'_>> {
        self.market_between(base, quote).filter(|market| market.base().id() == base.id())
    }

    /// Market of two assets, in either order, or `None` if they never traded in the last 7 days.
    pub(super) fn market_of(&self, one: &Asset, other: &Asset) -> Option<MarketView<'_>> {
        let names = self.snapshot().directory().names();
        let (one, other) = (names.id_of(one)?, names.id_of(other)?);
        self.market_between(&self.asset(one)?, &self.asset(other)?)
    }

    /// Returns true if the database held the market at the last reload, or if it traded since. It may have no trade
    /// in the last 7 days: markets are held as long as their trades.
    #[must_use]
    pub fn holds_market(&self, market: &Market) -> bool {
        let directory = self.snapshot().directory();
        let id = |asset: &Asset| directory.names().id_of(asset);
        let sides = id(market.base()).zip(id(market.counter()));
        sides.is_some_and(|(base, counter)| directory.market_between(base, counter).is_some())
    }

    /// The market with this id.
    pub(crate) fn market(&self, id: MarketId) -> Option<MarketView<'_>> {
        MarketView::new(self, id)
    }

    /// Markets of an asset with a trade in the last 7 days, sorted by name.
    #[must_use]
    pub(crate) fn markets_of(&self, asset: &AssetView<'_>) -> Vec<MarketView<'_>> {
        let ids = self.snapshot().directory().markets_of_asset(asset.id());
        let traded = ids.filter(|id| self.snapshot().windows().figures_of(*id).is_some());
        let mut markets: Vec<MarketView<'_>> = traded.filter_map(|id| self.market(id)).collect();
        markets.sort_by_cached_key(MarketView::name);
        markets
    }

    /// Returns true if the asset has a market with a trade in the last 7 days.
    pub(super) fn is_traded(&self, asset: &AssetView<'_>) -> bool {
        let mut ids = self.snapshot().directory().markets_of_asset(asset.id());
        ids.any(|id| self.snapshot().windows().figures_of(id).is_some())
    }

    /// Dollars per XLM.
    #[must_use]
    pub(crate) fn xlm_rate(&self) -> Option<Rate> {
        self.usd().xlm().map(|xlm| xlm.rate)
    }

    /// All markets with a trade in the last 7 days, sorted by name. The first call sorts them.
    #[must_use]
    pub fn markets(&self) -> Vec<MarketView<'_>> {
        if let Some(ids) = self.by_name().get() {
            return ids.iter().filter_map(|id| self.market(*id)).collect();
        }
        let mut markets: Vec<MarketView<'_>> =
            self.snapshot().windows().figures().filter_map(|(id, _)| self.market(id)).collect();
        markets.sort_by_cached_key(MarketView::name);
        self.by_name().get_or_init(|| markets.iter().map(MarketView::id).collect());
        markets
    }

    /// Markets of valid assets with a price of the last 24 hours, sorted by name: those of listing formats.
    #[must_use]
    pub(crate) fn listed_markets(&self) -> Vec<MarketView<'_>> {
        self.markets().into_iter().filter(MarketView::is_listed).collect()
    }

    /// All assets of markets with a trade in the last 7 days, sorted by name.
    #[must_use]
    pub fn assets(&self) -> Vec<AssetView<'_>> {
        let directory = self.snapshot().directory();
        let sides = self.snapshot().windows().figures().filter_map(|(id, _)| directory.sides(id));
        let mut ids: Vec<AssetId> = sides.flat_map(|(base, counter)| [base, counter]).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut assets: Vec<AssetView<'_>> = ids.into_iter().filter_map(|id| self.asset(id)).collect();
        assets.sort_by_cached_key(AssetView::name);
        assets
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::{directory::Directory, test_support::address, windows::Windows};

    use super::*;
    use crate::test_view::{self, view_of};

    #[test]
    fn all_markets_are_sorted_by_name_at_every_call() {
        let view = test_view::view(&["TEA", "ALE", "MILK"].map(|code| (code.to_owned(), 1)));
        let names = || view.markets().iter().map(MarketView::name).collect::<Vec<_>>();
        let (first, second) = (names(), names());
        assert_eq!((first.len(), first.is_sorted()), (4, true), "{first:?}");
        assert_eq!(second, first);
    }

    #[test]
    fn a_market_without_a_trade_is_held() {
        let asset = |code| Asset::issued(code, &address(1)).unwrap();
        let market = |code| Market::of(Asset::Native, asset(code)).unwrap().0;
        let mut directory = Directory::default();
        directory.add_names([(1, Asset::Native), (2, asset("TEA")), (3, asset("MILK"))]);
        directory.add_markets([(7, 1, 2)]);
        let view = view_of(directory, &Windows::default(), &[]);
        assert!(view.markets().is_empty());
        let held = ["TEA", "MILK", "COFFEE"].map(|code| view.holds_market(&market(code)));
        assert_eq!(held, [true, false, false]);
    }

    /// A page shows the first of them only. A hundred copies must not crowd out the one that people hold, nor may the
    /// order differ between replicas.
    #[test]
    fn assets_of_a_code_have_one_order_however_many_there_are() {
        const HELD: u8 = 77;
        let tea = |byte| Asset::issued("TEA", &address(byte)).unwrap();
        let mut directory = Directory::default();
        directory.add_names((1..=100).map(|byte| (byte.into(), tea(byte))));
        let held = ticker_domain::listed_asset::ListedAsset {
            num_accounts: 5,
            ..ticker_domain::test_support::listed("TEA", &address(HELD), "")
        };
        directory.update_assets([(HELD.into(), Some(held))]);
        let view = view_of(directory, &Windows::default(), &[]);
        let found: Vec<Asset> = view.assets_of_code("TEA").iter().map(|asset| *asset.asset()).collect();
        let mut others: Vec<Asset> = (1..=100).filter(|byte| *byte != HELD).map(tea).collect();
        others.sort_unstable();
        assert_eq!(found, [vec![tea(HELD)], others].concat());
        assert!(view.assets_of_code("COFFEE").is_empty());
    }
}
