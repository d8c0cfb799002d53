//! Ids of the protocol that follow from an asset or a pair of assets, and all spellings of an asset.
//!
//! Sources: `Stellar-contract.x` and `Stellar-ledger-entries.x` (XDR), SEP-11 (`CODE:ISSUER`), SEP-23 (`C…`).

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use super::{
    asset::{AccountId, Asset, AssetCode, AssetError},
    trade::PoolId,
};

/// `ENVELOPE_TYPE_CONTRACT_ID`.
const ENVELOPE_TYPE_CONTRACT_ID: u32 = 8;
/// `CONTRACT_ID_PREIMAGE_FROM_ASSET`.
const PREIMAGE_FROM_ASSET: u32 = 1;
/// `ASSET_TYPE_NATIVE`.
const NATIVE: u32 = 0;
/// `ASSET_TYPE_CREDIT_ALPHANUM4`.
const ALPHANUM_4: u32 = 1;
/// `ASSET_TYPE_CREDIT_ALPHANUM12`.
const ALPHANUM_12: u32 = 2;
/// `LIQUIDITY_POOL_CONSTANT_PRODUCT`.
const CONSTANT_PRODUCT: u32 = 0;
/// Fee of every pool of the protocol, in basis points.
const POOL_FEE_BP: u32 = 30;

/// Id of the Soroban contract through which smart contracts use a classic asset (SEP-23: `C…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContractId([u8; 32]);

/// Asset as a reader spells it: by code and issuer, or by its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpelledAsset {
    /// `XLM`, `native`, `CODE-ISSUER`, `CODE:ISSUER`, `CODE-ISSUER-1` or `CODE-ISSUER-2`.
    Classic(Asset),
    /// `C…`. Only a list of known assets says which asset it is.
    Contract(ContractId),
}

impl ContractId {
    /// Contract of an asset on the network with this passphrase.
    #[must_use]
    pub fn of(asset: &Asset, passphrase: &str) -> Self {
        let mut preimage = Vec::with_capacity(96);
        preimage.extend(ENVELOPE_TYPE_CONTRACT_ID.to_be_bytes());
        preimage.extend(Sha256::digest(passphrase));
        preimage.extend(PREIMAGE_FROM_ASSET.to_be_bytes());
        ProtocolAsset::of(asset).write(&mut preimage);
        Self(Sha256::digest(preimage).into())
    }

    /// Parses `C…`, and verifies its checksum.
    ///
    /// # Errors
    ///
    /// [`AssetError::Contract`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let contract = stellar_strkey::Contract::from_string(text).map_err(|_| AssetError::Contract)?;
        Ok(Self(contract.0))
    }
}

impl fmt::Display for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(stellar_strkey::Contract(self.0).to_string().as_str())
    }
}

impl fmt::Debug for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Id of the one liquidity pool of two assets, or `None` for an asset and itself.
#[must_use]
pub fn pool_id(one: &Asset, other: &Asset) -> Option<PoolId> {
    if one == other {
        return None;
    }
    let mut assets = [ProtocolAsset::of(one), ProtocolAsset::of(other)];
    assets.sort_unstable();
    let mut preimage = Vec::with_capacity(112);
    preimage.extend(CONSTANT_PRODUCT.to_be_bytes());
    assets.iter().for_each(|asset| asset.write(&mut preimage));
    preimage.extend(POOL_FEE_BP.to_be_bytes());
    Some(PoolId::of_hash(Sha256::digest(preimage).into()))
}

impl FromStr for SpelledAsset {
    type Err = AssetError;

    fn from_str(text: &str) -> Result<Self, AssetError> {
        if matches!(text, "XLM" | "native") {
            return Ok(Self::Classic(Asset::Native));
        }
        if let Ok(contract) = ContractId::parse(text) {
            return Ok(Self::Contract(contract));
        }
        let (code, issuer, kind) = match text.split_once(':') {
            Some((code, issuer)) => (code, issuer, None),
            None => {
                let (code, rest) = text.split_once('-').ok_or(AssetError::Form)?;
                rest.split_once('-').map_or((code, rest, None), |(issuer, kind)| (code, issuer, Some(kind)))
            }
        };
        let code = AssetCode::parse(code)?;
        match kind {
            None => {}
            // The type of the asset: 1 for codes up to 4 letters, 2 for longer ones.
            Some("1") if code.is_short() => {}
            Some("2") if !code.is_short() => {}
            Some(_) => return Err(AssetError::Form),
        }
        Ok(Self::Classic(Asset::Issued { code, issuer: AccountId::parse(issuer)? }))
    }
}

/// Asset as the protocol stores it. Assets are ordered by type, then code, then the bytes of the issuer's key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ProtocolAsset {
    /// `AssetType`.
    kind: u32,
    /// Code, padded with zero bytes.
    code: [u8; 12],
    /// Public key of the issuer.
    issuer: [u8; 32],
}

impl ProtocolAsset {
    fn of(asset: &Asset) -> Self {
        match asset {
            Asset::Native => Self { kind: NATIVE, code: [0; 12], issuer: [0; 32] },
            Asset::Issued { code, issuer } => {
                let kind = if code.is_short() { ALPHANUM_4 } else { ALPHANUM_12 };
                Self { kind, code: *code.padded(), issuer: issuer.key() }
            }
        }
    }

    /// Appends its XDR.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.kind.to_be_bytes());
        if self.kind == NATIVE {
            return;
        }
        let length = if self.kind == ALPHANUM_4 { 4 } else { 12 };
        bytes.extend(self.code.iter().take(length));
        bytes.extend(0_u32.to_be_bytes()); // the type of the issuer's key: ed25519
        bytes.extend(self.issuer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asset::tests::issued, market::QUOTE_ASSETS};
    use proptest::prelude::*;

    const PUBLIC: &str = "Public Global Stellar Network ; September 2015";

    fn usdc() -> Asset {
        QUOTE_ASSETS[0].parse().unwrap()
    }

    #[test]
    fn contracts_are_those_of_the_public_network() {
        let native = ContractId::of(&Asset::Native, PUBLIC).to_string();
        assert_eq!(native, "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA");
        let usdc = ContractId::of(&usdc(), PUBLIC);
        assert_eq!(usdc.to_string(), "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75");
        assert_eq!(ContractId::parse(&usdc.to_string()), Ok(usdc));
        assert_ne!(ContractId::of(&Asset::Native, "Test").to_string(), native);
    }

    #[test]
    fn the_pool_of_two_assets_is_that_of_the_public_network() {
        let expected = "a468d41d8e9b8f3c7209651608b74b7db7ac9952dcae0cdf24871d1d9c7b0088";
        assert_eq!(pool_id(&Asset::Native, &usdc()).unwrap().as_str(), expected);
        assert_eq!(pool_id(&usdc(), &Asset::Native).unwrap().as_str(), expected);
        assert_eq!(pool_id(&usdc(), &usdc()), None);
    }

    #[test]
    fn issuers_are_ordered_by_their_keys_and_not_by_their_text() {
        // `Z` sorts after `2` in text and before it in base 32.
        let pairs = (0..=u8::MAX).flat_map(|one| [(issued("TEA", one), issued("TEA", one.wrapping_add(7)))]);
        let differ = pairs.filter(|(one, other)| {
            let by_text = one.issuer().cmp(other.issuer());
            by_text != ProtocolAsset::of(one).cmp(&ProtocolAsset::of(other))
        });
        assert!(differ.count() > 0, "no pair shows the difference");
        let (long, short) = (issued("TEA12", 1), issued("ZZZ", 2));
        assert!(ProtocolAsset::of(&short) < ProtocolAsset::of(&long), "short codes come first");
    }

    #[test]
    fn all_spellings_of_an_asset_are_accepted() {
        let usdc = usdc();
        let (code, issuer) = (usdc.code(), usdc.issuer());
        for text in [format!("{code}-{issuer}"), format!("{code}:{issuer}"), format!("{code}-{issuer}-1")] {
            assert_eq!(text.parse(), Ok(SpelledAsset::Classic(usdc)), "{text}");
        }
        let long = issued("yUSDC", 3);
        let name = format!("yUSDC-{}-2", long.issuer());
        assert_eq!(name.parse(), Ok(SpelledAsset::Classic(long)));
        for text in ["XLM", "native"] {
            assert_eq!(text.parse(), Ok(SpelledAsset::Classic(Asset::Native)));
        }
        let contract = ContractId::of(&usdc, PUBLIC);
        assert_eq!(contract.to_string().parse(), Ok(SpelledAsset::Contract(contract)));
    }

    #[test]
    fn other_texts_are_refused() {
        let usdc = usdc();
        let (code, issuer) = (usdc.code(), usdc.issuer());
        for text in [
            String::new(),
            "USDC".to_owned(),
            "xlm".to_owned(),
            format!("{code}-{issuer}-2"),
            format!("{code}-{issuer}-3"),
            format!("{code}:{issuer}-1"),
            format!("{code}_{issuer}"),
            format!("{code}-{}", &issuer[1..]),
            "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI76".to_owned(),
        ] {
            assert!(text.parse::<SpelledAsset>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_asset_reads_back_from_its_name(code in "[A-Za-z0-9]{1,12}", byte: u8) {
            let asset = issued(&code, byte);
            prop_assert_eq!(asset.name().parse(), Ok(SpelledAsset::Classic(asset)));
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC*") {
            let _ = text.parse::<SpelledAsset>();
        }
    }
}
