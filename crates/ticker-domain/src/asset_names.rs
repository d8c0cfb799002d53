//! Identities of all assets that trade, valid or not.

use std::{collections::HashMap, sync::OnceLock};

use super::{
    asset::Asset,
    identity::{ContractId, SpelledAsset},
};

/// Id of an asset in the database.
pub type AssetId = i32;

/// Assets by id and by name. Clones keep their state.
#[derive(Debug, Default)]
pub struct AssetNames {
    by_id: HashMap<AssetId, Asset>,
    by_name: HashMap<Asset, AssetId>,
    /// Assets by their contracts. Computed on first use: few readers spell assets by contract.
    by_contract: OnceLock<HashMap<ContractId, AssetId>>,
}

impl Clone for AssetNames {
    /// The copy computes its contracts again, since it is made to be changed.
    fn clone(&self) -> Self {
        Self { by_id: self.by_id.clone(), by_name: self.by_name.clone(), by_contract: OnceLock::new() }
    }
}

impl AssetNames {
    /// Adds assets.
    pub(super) fn add(&mut self, assets: impl IntoIterator<Item = (AssetId, Asset)>) {
        self.by_contract = OnceLock::new();
        for (id, asset) in assets {
            self.by_id.insert(id, asset);
            self.by_name.insert(asset, id);
        }
    }

    /// Returns true if the asset is known by this id.
    pub(super) fn holds(&self, id: AssetId, asset: &Asset) -> bool {
        self.by_id.get(&id) == Some(asset)
    }

    /// Number of assets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Identity of the asset with this id.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.by_id.get(&id)
    }

    /// Id of an asset. `None` for an asset that never traded.
    #[must_use]
    pub fn id_of(&self, asset: &Asset) -> Option<AssetId> {
        self.by_name.get(asset).copied()
    }

    /// Assets with their ids, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.by_id.iter().map(|(id, asset)| (*id, asset))
    }

    /// Computes the contracts of all assets, so that no look-up has to. Does nothing if they are known.
    pub fn prepare_contracts(&self, passphrase: &str) {
        self.by_contract(passphrase);
    }

    fn by_contract(&self, passphrase: &str) -> &HashMap<ContractId, AssetId> {
        self.by_contract
            .get_or_init(|| self.iter().map(|(id, asset)| (ContractId::of(asset, passphrase), id)).collect())
    }

    /// Asset that a reader spells, on the network with this passphrase. `None` for an asset that never traded.
    ///
    /// Without [`Self::prepare_contracts`], the first look-up by contract hashes every asset.
    /// Every call must pass the same passphrase.
    #[must_use]
    pub fn find(&self, spelled: &SpelledAsset, passphrase: &str) -> Option<AssetId> {
        match spelled {
            SpelledAsset::Classic(asset) => self.by_name.get(asset).copied(),
            SpelledAsset::Contract(contract) => self.by_contract(passphrase).get(contract).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asset::tests::issued, directory::Directory};

    const NETWORK: &str = "Test Network";

    #[test]
    fn an_asset_is_found_by_every_spelling_and_a_clone_keeps_its_state() {
        let (tea, milk) = (issued("TEA", 1), issued("MILK1", 2));
        let mut directory = Directory::default();
        directory.add_names([(1, Asset::Native), (7, tea)]);
        directory.add_markets([(20, 1, 7)]);
        let find =
            |directory: &Directory, text: &str| directory.names().find(&text.parse().unwrap(), NETWORK);
        let contract = ContractId::of(&tea, NETWORK).to_string();
        for text in [tea.name(), tea.to_string(), format!("{}-1", tea.name()), contract] {
            assert_eq!(find(&directory, &text), Some(7), "{text}");
        }
        let before = directory.clone();
        directory.add_names([(8, milk)]);
        let contract = ContractId::of(&milk, NETWORK).to_string();
        assert_eq!((find(&before, &contract), find(&directory, &contract)), (None, Some(8)));
        assert_eq!(directory.market_between(7, 1), Some(20));
        assert_eq!(directory.market_between(7, 8), None);
    }

    #[test]
    fn known_names_copy_nothing() {
        let mut directory = Directory::default();
        directory.add_names([(1, Asset::Native)]);
        let before = directory.clone();
        directory.add_names([(1, Asset::Native)]);
        assert!(std::ptr::eq(before.names(), directory.names()));
    }
}
