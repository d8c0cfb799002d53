//! Issuers that stand for a code, in outputs whose keys are codes.
//!
//! A code says nothing: anybody may issue it. The assets of [`QUOTE_ASSETS`] stand for theirs. For any other code it is
//! the issuer whose home domain confirms the asset and that has the most volume in 7 days, in dollars: against
//! anchors and XLM, since most assets have no market against an anchor.

use std::collections::BTreeMap;

use super::{
    asset::Asset,
    asset_names::AssetId,
    instant::UnixSeconds,
    market::QUOTE_ASSETS,
    market_snapshot::MarketSnapshot,
    quoted::QuotedStats,
    span::Span,
    symbol_choice::{Candidate, Choices, best_of_week},
    usd::{UsdPrices, XlmPrice},
};

/// Fewest holders of an asset that stands for its code. A home domain alone proves nothing.
const HOLDERS_MIN: i64 = 10;

/// Reason of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolReason {
    /// XLM, or an asset of the fixed list.
    Listed,
    /// Most volume among the verified issuers.
    Volume,
}

/// Choice for one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Asset that stands for the code.
    pub asset: AssetId,
    /// Reason of the choice.
    pub reason: SymbolReason,
    /// Moment from which a stored choice counts. `None` for the fixed list, and before the first choice is stored.
    pub since: Option<UnixSeconds>,
}

/// Choices by code. A code has none while no asset that may stand for it has volume.
#[derive(Clone, Debug, Default)]
pub struct Symbols(BTreeMap<String, Symbol>);

impl SymbolReason {
    /// Name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Volume => "volume",
        }
    }
}

impl Symbols {
    /// Chooses an issuer for every code with volume. `anchors` are the assets that count as one dollar.
    ///
    /// A stored choice wins over the figures of the snapshot. If its asset has no market any more, the code has no
    /// owner: nobody else has led for a week.
    #[must_use]
    pub fn of(snapshot: &MarketSnapshot, anchors: &[Asset], stored: &Choices) -> Self {
        Self::with_xlm(snapshot, anchors, xlm_price(snapshot, anchors).as_ref(), stored)
    }

    /// The same, with a known price of XLM against these anchors. That price reads all their trades of 24 hours.
    #[must_use]
    pub fn with_xlm(
        snapshot: &MarketSnapshot,
        anchors: &[Asset],
        xlm: Option<&XlmPrice>,
        stored: &Choices,
    ) -> Self {
        let names = snapshot.directory().names();
        let mut symbols = BTreeMap::new();
        for (code, candidates) in candidates_with_xlm(snapshot, anchors, xlm) {
            if let Some(asset) = best_of_week(&candidates).and_then(|best| names.id_of(&best.asset)) {
                symbols.insert(code, Symbol { asset, reason: SymbolReason::Volume, since: None });
            }
        }
        for (code, choice) in stored {
            let (Some(asset), since) = choice.at(snapshot.as_of()) else { continue };
            match names.id_of(&asset) {
                Some(asset) => {
                    symbols.insert(code.clone(), Symbol { asset, reason: SymbolReason::Volume, since });
                }
                None => {
                    symbols.remove(code);
                }
            }
        }
        for asset in listed() {
            if let Some(id) = names.id_of(&asset) {
                let symbol = Symbol { asset: id, reason: SymbolReason::Listed, since: None };
                symbols.insert(asset.code().to_owned(), symbol);
            }
        }
        Self(symbols)
    }

    /// Asset that stands for a code.
    #[must_use]
    pub fn of_code(&self, code: &str) -> Option<&Symbol> {
        self.0.get(code)
    }

    /// Returns true if the asset stands for its code.
    #[must_use]
    pub fn stands_for(&self, code: &str, asset: AssetId) -> bool {
        self.0.get(code).is_some_and(|symbol| symbol.asset == asset)
    }

    /// Choices by code.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Symbol)> {
        self.0.iter().map(|(code, symbol)| (code.as_str(), symbol))
    }
}

/// XLM, and the assets of the fixed list.
fn listed() -> impl Iterator<Item = Asset> {
    QUOTE_ASSETS.iter().filter_map(|name| name.parse().ok()).chain([Asset::Native])
}

/// Assets that may stand for their codes, in no particular order: those that traded in the last 7 days, that their home
/// domains confirm, and that enough accounts hold. Codes of the fixed list have none, nor has `native`.
#[must_use]
pub fn candidates(snapshot: &MarketSnapshot, anchors: &[Asset]) -> BTreeMap<String, Vec<Candidate>> {
    candidates_with_xlm(snapshot, anchors, xlm_price(snapshot, anchors).as_ref())
}

/// Returns true if the asset traded in the last 7 days.
#[must_use]
pub fn is_traded(snapshot: &MarketSnapshot, asset: &Asset) -> bool {
    // Replicas may know different markets without a trade in the windows.
    let has_trades = |market| snapshot.windows().figures_of(market).is_some();
    let directory = snapshot.directory();
    directory.names().id_of(asset).is_some_and(|id| directory.markets_of_asset(id).any(has_trades))
}

fn candidates_with_xlm(
    snapshot: &MarketSnapshot,
    anchors: &[Asset],
    xlm: Option<&XlmPrice>,
) -> BTreeMap<String, Vec<Candidate>> {
    let directory = snapshot.directory();
    let names = directory.names();
    let mut anchors = ids_of(snapshot, anchors);
    anchors.retain(|anchor| xlm.is_none_or(|xlm| !xlm.depegged.contains(anchor)));
    let native = names.id_of(&Asset::Native).zip(xlm.map(|xlm| xlm.rate));
    let fixed: Vec<Asset> = listed().collect();
    let mut candidates: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for (id, listed) in directory.assets() {
        let Some(asset) = names.asset(id) else { continue };
        // `native` means XLM wherever an asset is named. A reader takes `usdc` for USDC.
        let has_code = |fixed: &Asset| fixed.code().eq_ignore_ascii_case(asset.code());
        let is_fixed = asset.code() == "native" || fixed.iter().any(has_code);
        let is_confirmed = listed.is_controlled_by_domain && listed.num_accounts >= HOLDERS_MIN;
        if is_fixed || !is_confirmed || !is_traded(snapshot, asset) {
            continue;
        }
        let volume = |span| {
            let against_anchors: i128 =
                anchors.iter().map(|anchor| volume(snapshot, id, *anchor, span)).sum();
            let against_xlm =
                native.map_or(0, |(native, rate)| rate.worth(volume(snapshot, id, native, span)));
            against_anchors.saturating_add(against_xlm)
        };
        let candidate = Candidate {
            asset: *asset,
            week_volume: volume(Span::Week),
            day_volume: volume(Span::Day),
            holders: listed.num_accounts,
        };
        candidates.entry(listed.code().to_owned()).or_default().push(candidate);
    }
    candidates
}

fn ids_of(snapshot: &MarketSnapshot, assets: &[Asset]) -> Vec<AssetId> {
    let names = snapshot.directory().names();
    assets.iter().filter_map(|asset| names.id_of(asset)).collect()
}

fn xlm_price(snapshot: &MarketSnapshot, anchors: &[Asset]) -> Option<XlmPrice> {
    UsdPrices::of_xlm(snapshot, &ids_of(snapshot, anchors))
}

/// Clean volume of a span against another asset, in stroops of that one.
fn volume(snapshot: &MarketSnapshot, asset: AssetId, other: AssetId, span: Span) -> i128 {
    let directory = snapshot.directory();
    let Some(market) = directory.market_between(asset, other) else { return 0 };
    let is_flipped = directory.sides(market).is_some_and(|(base, _)| base != asset);
    QuotedStats::of(&snapshot.windows().stats(market, span), is_flipped).clean_quote_volume
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        asset::tests::issued,
        directory::Directory,
        instant::UnixSeconds,
        issuer_file::Currency,
        listed_asset::ListedAsset,
        symbol_choice::Choice,
        test_support::{address, trade},
        windows::Windows,
    };

    fn listed(byte: u8, num_accounts: i64, is_controlled_by_domain: bool) -> ListedAsset {
        let currency = Currency { code: "TEA".into(), issuer: address(byte), ..Currency::default() };
        ListedAsset { currency, num_accounts, is_controlled_by_domain, ..ListedAsset::default() }
    }

    #[test]
    fn a_code_that_a_reader_takes_for_a_listed_one_has_no_candidate() {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        for (code, has_candidate) in [("TEA", true), ("usdc", false), ("Xlm", false), ("USDCx", true)] {
            let (mut directory, mut windows) = (Directory::default(), Windows::default());
            directory.add_names([(1, usdc), (2, issued(code, 1))]);
            let mut asset = listed(1, 50, true);
            asset.currency.code = code.to_owned();
            directory.update_assets([(2, Some(asset))]);
            directory.add_markets([(7, 2, 1)]);
            windows.add(7, trade(7, 0, 1_000, (10_000_000, 10_000_000), (1, 1)));
            windows.advance(UnixSeconds(2_000));
            let snapshot = MarketSnapshot::new(windows.view(), directory);
            assert_eq!(candidates(&snapshot, &[usdc]).contains_key(code), has_candidate, "{code}");
        }
    }

    #[test]
    fn the_verified_issuer_with_the_most_volume_stands_for_its_code() {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let choice = |volumes: [i64; 4]| {
            let (mut directory, mut windows) = (Directory::default(), Windows::default());
            directory.add_names([(1, usdc), (9, Asset::Native)]);
            directory.add_names((2..7).zip([1, 2, 3, 4, 5].map(|byte| issued("TEA", byte))));
            directory.update_assets([
                (2, Some(listed(1, 50, true))),
                (3, Some(listed(2, 50, true))),
                (4, Some(listed(3, 50, false))),
                (5, Some(listed(4, 2, true))),
                (6, Some(listed(5, 5_000, true))),
            ]);
            directory.add_markets([(6, 6, 1)]);
            for (place, volume) in (2..6).zip(volumes) {
                directory.add_markets([(place, place, 1)]);
                let volume = volume * 10_000_000;
                windows.add(place, trade(place.into(), 0, 1_000, (volume, volume), (1, 1)));
            }
            windows.advance(UnixSeconds(2_000));
            let snapshot = MarketSnapshot::new(windows.view(), directory);
            let of_tea = &candidates(&snapshot, &[usdc])["TEA"];
            let assets: Vec<Asset> = of_tea.iter().map(|candidate| candidate.asset).collect();
            assert!(!assets.contains(&issued("TEA", 5)), "it has no trade in the windows");
            let symbols = Symbols::of(&snapshot, &[usdc], &Choices::new());
            assert!(symbols.stands_for("USDC", 1) && symbols.stands_for("XLM", 9));
            assert_eq!(symbols.of_code("USDC").unwrap().reason, SymbolReason::Listed);
            let stored = Choice {
                asset: issued("TEA", 4),
                since: UnixSeconds(1_000),
                previous: None,
                challenger: None,
                checked_at: UnixSeconds(1_000),
            };
            let kept = Symbols::of(&snapshot, &[usdc], &Choices::from([("TEA".to_owned(), stored)]));
            let kept = kept.of_code("TEA").unwrap();
            assert_eq!((kept.asset, kept.since), (5, Some(UnixSeconds(1_000))), "a stored choice wins");
            symbols.of_code("TEA").unwrap().asset
        };
        assert_eq!(choice([5, 7, 900, 900]), 3, "not the unverified issuer, nor the one with two holders");
        assert_eq!(choice([8, 7, 1, 1]), 2);
    }

    /// A choice by holders would be stored nowhere, so a code could change its owner from one view to the next.
    #[test]
    fn without_volume_a_code_has_no_owner_and_none_but_a_stored_choice_counts() {
        let [usdc, eurc] = [0, 2].map(|place| QUOTE_ASSETS[place].parse::<Asset>().unwrap());
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, usdc), (2, eurc), (3, issued("TEA", 1)), (4, issued("TEA", 2))]);
        directory.update_assets([(3, Some(listed(1, 50, true))), (4, Some(listed(2, 5_000, true)))]);
        directory.add_markets([(1, 3, 2), (2, 4, 2), (3, 3, 1)]);
        for market in [1, 2] {
            windows.add(market, trade(market.into(), 0, 1_000, (10_000_000, 10_000_000), (1, 1)));
        }
        let symbols = |windows: &mut Windows, stored: &Choices| {
            windows.advance(UnixSeconds(2_000));
            let snapshot = MarketSnapshot::new(windows.view(), directory.clone());
            Symbols::of(&snapshot, &[usdc], stored).of_code("TEA").map(|symbol| symbol.asset)
        };
        assert_eq!(symbols(&mut windows, &Choices::new()), None, "both trade against EURC alone");
        windows.add(3, trade(3, 0, 1_000, (10_000, 10_000), (1, 1)));
        assert_eq!(symbols(&mut windows, &Choices::new()), Some(3));
        let choice = |asset, since| Choice {
            asset,
            since: UnixSeconds(since),
            previous: None,
            challenger: None,
            checked_at: UnixSeconds(1_000),
        };
        let stored = |choice| Choices::from([("TEA".to_owned(), choice)]);
        assert_eq!(symbols(&mut windows, &stored(choice(issued("TEA", 2), 1_000))), Some(4));
        let gone = issued("TEA", 9);
        assert_eq!(symbols(&mut windows, &stored(choice(gone, 1_000))), None, "its markets are gone");
        assert_eq!(symbols(&mut windows, &stored(choice(gone, 3_000))), Some(3), "it counts later");
    }

    /// Most assets have no market against an anchor. One trade for a cent must not take their codes over.
    #[test]
    fn volume_against_xlm_counts_at_its_worth() {
        const UNIT: i64 = 10_000_000;
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, usdc), (2, issued("TEA", 1)), (3, issued("TEA", 2)), (9, Asset::Native)]);
        directory.update_assets([(2, Some(listed(1, 50, true))), (3, Some(listed(2, 5_000, true)))]);
        // XLM costs ten cents in each of ten minutes.
        directory.add_markets([(1, 9, 1), (2, 9, 2), (3, 3, 1)]);
        for minute in 0..10 {
            windows.add(1, trade(minute, 0, 1_000 + 60 * minute, (1_000 * UNIT, 100 * UNIT), (1, 10)));
        }
        windows.add(2, trade(50, 0, 1_500, (500 * UNIT, UNIT), (1, 500)));
        windows.add(3, trade(51, 0, 1_500, (UNIT, 49 * UNIT), (49, 1)));
        windows.advance(UnixSeconds(2_000));
        let snapshot = MarketSnapshot::new(windows.view(), directory);
        let volumes: BTreeMap<Asset, i128> = candidates(&snapshot, &[usdc])["TEA"]
            .iter()
            .map(|one| (one.asset, one.week_volume / i128::from(UNIT)))
            .collect();
        assert_eq!(volumes, BTreeMap::from([(issued("TEA", 1), 50), (issued("TEA", 2), 49)]));
        assert!(Symbols::of(&snapshot, &[usdc], &Choices::new()).stands_for("TEA", 2));
        let usd = UsdPrices::of(&snapshot, &[usdc]);
        assert!(Symbols::with_xlm(&snapshot, &[usdc], usd.xlm(), &Choices::new()).stands_for("TEA", 2));
        let without = Symbols::with_xlm(&snapshot, &[usdc], None, &Choices::new());
        assert!(without.stands_for("TEA", 3), "the volume against XLM has no worth");
    }
}
