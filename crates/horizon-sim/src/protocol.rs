//! Accounts, assets and pools as the protocol encodes them (XDR).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use stellar_xdr::{self as xdr, Limits, WriteXdr as _};

/// Fee of liquidity pools, in basis points.
pub(crate) const POOL_FEE_BP: u32 = 30;

/// Public key of an address (`G…`), or `None` for another text.
pub(crate) fn account(address: &str) -> Option<[u8; 32]> {
    stellar_strkey::ed25519::PublicKey::from_string(address).ok().map(|key| key.0)
}

pub(crate) const fn account_id(key: [u8; 32]) -> xdr::AccountId {
    xdr::AccountId(xdr::PublicKey::PublicKeyTypeEd25519(xdr::Uint256(key)))
}

/// Asset of this name, `native` or `CODE:ISSUER`. `None` for another text.
pub(crate) fn asset(name: &str) -> Option<xdr::Asset> {
    if name == "native" {
        return Some(xdr::Asset::Native);
    }
    let (code, issuer) = name.split_once(':')?;
    let issuer = account_id(account(issuer)?);
    if code.len() <= 4 {
        let mut bytes = [0; 4];
        bytes.get_mut(..code.len())?.copy_from_slice(code.as_bytes());
        Some(xdr::Asset::CreditAlphanum4(xdr::AlphaNum4 { asset_code: xdr::AssetCode4(bytes), issuer }))
    } else {
        let mut bytes = [0; 12];
        bytes.get_mut(..code.len())?.copy_from_slice(code.as_bytes());
        Some(xdr::Asset::CreditAlphanum12(xdr::AlphaNum12 { asset_code: xdr::AssetCode12(bytes), issuer }))
    }
}

/// Id of the liquidity pool of two assets, in hexadecimal.
pub(crate) fn pool_id(one: &str, other: &str) -> Option<String> {
    let mut assets = [asset(one)?, asset(other)?];
    assets.sort(); // by type, code and the bytes of the issuer's key, as the protocol orders them
    let [asset_a, asset_b] = assets;
    let fee = i32::try_from(POOL_FEE_BP).ok()?;
    let parameters = xdr::LiquidityPoolParameters::LiquidityPoolConstantProduct(
        xdr::LiquidityPoolConstantProductParameters { asset_a, asset_b, fee },
    );
    let hash = Sha256::digest(parameters.to_xdr(Limits::none()).ok()?);
    let mut hex = String::new();
    hash.iter().try_for_each(|byte| write!(hex, "{byte:02x}")).ok()?;
    Some(hex)
}
