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
    /// Contracts of all assets. Computed on first use.
    contracts: OnceLock<Contracts>,
}

/// Contracts of the assets on one network.
#[derive(Debug)]
struct Contracts {
    by_asset: HashMap<AssetId, ContractId>,
    by_contract: HashMap<ContractId, AssetId>,
}

impl Clone for AssetNames {
    /// The copy computes its contracts again, since it is made to be changed.
    fn clone(&self) -> Self {
        Self { by_id: self.by_id.clone(), by_name: self.by_name.clone(), contracts: OnceLock::new() }
    }
}

impl AssetNames {
    /// Adds assets.
    pub(super) fn add(&mut self, assets: impl IntoIterator<Item = (AssetId, Asset)>) {
        self.contracts = OnceLock::new();
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
        self.contracts(passphrase);
    }

    fn contracts(&self, passphrase: &str) -> &Contracts {
        self.contracts.get_or_init(|| {
            let contract = |(id, asset): (AssetId, &Asset)| (id, ContractId::of(asset, passphrase));
            let by_asset: HashMap<AssetId, ContractId> = self.iter().map(contract).collect();
            let by_contract = by_asset.iter().map(|(id, contract)| (*contract, *id)).collect();
            Contracts { by_asset, by_contract }
        })
    }

    /// Contract of the asset with this id, on the network with this passphrase: the same one as in [`Self::find`].
    #[must_use]
    pub fn contract(&self, id: AssetId, passphrase: &str) -> Option<ContractId> {
        self.contracts(passphrase).by_asset.get(&id).copied()
    }

    /// Asset that a reader spells, on the network with this passphrase. `None` for an asset that never traded.
    ///
    /// Without [`Self::prepare_contracts`], the first look-up by contract hashes every asset.
    /// Every call must pass the same passphrase.
    #[must_use]
    pub fn find(&self, spelled: &SpelledAsset, passphrase: &str) -> Option<AssetId> {
        match spelled {
            SpelledAsset::Classic(asset) => self.by_name.get(asset).copied(),
            SpelledAsset::Contract(contract) => self.contracts(passphrase).by_contract.get(contract).copied(),
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
        let kept = |id| directory.names().contract(id, NETWORK).map(|contract| contract.to_string());
        assert_eq!((kept(7).as_ref(), kept(8)), (Some(&contract), None));
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
