//! Issuers that stand for a code, in outputs whose keys are codes.
//!
//! A code says nothing: anybody may issue it. The assets of [`QUOTE_ASSETS`] stand for theirs. For any other code it is
//! the issuer whose home domain vouches for the asset and that has the most volume against anchors in 7 days.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    asset::Asset, asset_names::AssetId, market::QUOTE_ASSETS, market_snapshot::MarketSnapshot,
    quoted::QuotedStats, span::Span,
};

/// Fewest holders of an asset that stands for its code. A home domain alone proves nothing.
const HOLDERS_MIN: i64 = 10;

/// Reason of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolReason {
    /// XLM, or an asset of the fixed list.
    Listed,
    /// Most volume against anchors among the verified issuers.
    Volume,
}

/// Choice for one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Asset that stands for the code.
    pub asset: AssetId,
    /// Reason of the choice.
    pub reason: SymbolReason,
}

/// Choices by code. A code without a verified issuer has none.
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
    /// Chooses an issuer for every code. `anchors` are the assets that count as one dollar.
    #[must_use]
    pub fn of(snapshot: &MarketSnapshot, anchors: &[Asset]) -> Self {
        let directory = snapshot.directory();
        let names = directory.names();
        let anchors: Vec<AssetId> = anchors.iter().filter_map(|anchor| names.id_of(anchor)).collect();
        let mut best: BTreeMap<String, (i128, i64, Reverse<String>, AssetId)> = BTreeMap::new();
        for (id, listed) in directory.assets() {
            if !listed.is_controlled_by_domain || listed.num_accounts < HOLDERS_MIN {
                continue;
            }
            let volume = anchors.iter().map(|anchor| volume(snapshot, id, *anchor)).sum();
            let rank = (volume, listed.num_accounts, Reverse(listed.issuer().to_owned()), id);
            let place = best.entry(listed.code().to_owned()).or_insert_with(|| rank.clone());
            *place = rank.max(place.clone());
        }
        let by_volume = best
            .into_iter()
            .map(|(code, (.., asset))| (code, Symbol { asset, reason: SymbolReason::Volume }));
        let mut symbols: BTreeMap<String, Symbol> = by_volume.collect();
        let listed = QUOTE_ASSETS.iter().filter_map(|name| name.parse().ok()).chain([Asset::Native]);
        for asset in listed {
            if let Some(id) = names.id_of(&asset) {
                symbols.insert(asset.code().to_owned(), Symbol { asset: id, reason: SymbolReason::Listed });
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

/// Clean volume of 7 days against an anchor, in its stroops.
fn volume(snapshot: &MarketSnapshot, asset: AssetId, anchor: AssetId) -> i128 {
    let directory = snapshot.directory();
    let Some(market) = directory.market_between(asset, anchor) else { return 0 };
    let is_flipped = directory.sides(market).is_some_and(|(base, _)| base != asset);
    QuotedStats::of(&snapshot.windows().stats(market, Span::Week), is_flipped).clean_quote_volume
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
        test_support::{address, trade},
        windows::Windows,
    };

    fn listed(byte: u8, num_accounts: i64, is_controlled_by_domain: bool) -> ListedAsset {
        let currency = Currency { code: "TEA".into(), issuer: address(byte), ..Currency::default() };
        ListedAsset { currency, num_accounts, is_controlled_by_domain, ..ListedAsset::default() }
    }

    #[test]
    fn the_verified_issuer_with_the_most_volume_stands_for_its_code() {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let choice = |volumes: [i64; 4]| {
            let (mut directory, mut windows) = (Directory::default(), Windows::default());
            directory.add_names([(1, usdc), (9, Asset::Native)]);
            directory.add_names((2..6).zip([1, 2, 3, 4].map(|byte| issued("TEA", byte))));
            directory.update_assets([
                (2, Some(listed(1, 50, true))),
                (3, Some(listed(2, 50, true))),
                (4, Some(listed(3, 50, false))),
                (5, Some(listed(4, 2, true))),
            ]);
            for (place, volume) in (2..6).zip(volumes) {
                directory.add_markets([(place, place, 1)]);
                let volume = volume * 10_000_000;
                windows.add(place, trade(place.into(), 0, 1_000, (volume, volume), (1, 1)));
            }
            windows.advance(UnixSeconds(2_000));
            let symbols = Symbols::of(&MarketSnapshot::new(windows.view(), directory), &[usdc]);
            assert!(symbols.stands_for("USDC", 1) && symbols.stands_for("XLM", 9));
            assert_eq!(symbols.of_code("USDC").unwrap().reason, SymbolReason::Listed);
            symbols.of_code("TEA").unwrap().asset
        };
        assert_eq!(choice([5, 7, 900, 900]), 3, "not the unverified issuer, nor the one with two holders");
        assert_eq!(choice([8, 7, 1, 1]), 2);
    }
}
