//! Records of `/assets`.

use super::asset_cursor::{AssetKey, token};
use super::catalog::Asset;
use super::num::{low, mix};
use super::render::amount;
use serde_json::{Value, json};

/// Sort key of an asset.
pub(crate) fn key(asset: &Asset) -> AssetKey {
    (asset.code.clone(), asset.issuer.clone(), asset.kind.to_owned())
}

/// Record of an asset.
pub(crate) fn record(asset: &Asset, legacy: bool) -> Value {
    let href = if asset.home_domain.is_empty() {
        String::new()
    } else {
        format!("https://{}/.well-known/stellar.toml", asset.home_domain)
    };
    let hash = u64::from(asset.holders) ^ asset.supply.unsigned_abs();
    let flag = |bit: u32| asset.flags & (1 << bit) != 0;
    let mut record = json!({
        "_links": {"toml": {"href": href}},
        "asset_type": asset.kind,
        "asset_code": asset.code,
        "asset_issuer": asset.issuer,
        "paging_token": token(&key(asset)),
        "contract_id": asset.contract,
        "num_claimable_balances": low(mix(hash)) % 50,
        "num_liquidity_pools": low(mix(hash ^ 1)) % 20,
        "num_contracts": low(mix(hash ^ 2)) % 5,
        "accounts": {
            "authorized": asset.holders,
            "authorized_to_maintain_liabilities": 0,
            "unauthorized": low(mix(hash ^ 3)) % 10,
        },
        "claimable_balances_amount": amount(asset.supply / 1000),
        "liquidity_pools_amount": amount(asset.supply / 100),
        "contracts_amount": amount(asset.supply / 10_000),
        "balances": {
            "authorized": amount(asset.supply),
            "authorized_to_maintain_liabilities": "0.0000000",
            "unauthorized": "0.0000000",
        },
        "flags": {
            "auth_required": flag(0),
            "auth_revocable": flag(1),
            "auth_immutable": flag(2),
            "auth_clawback_enabled": flag(3),
        },
    });
    if legacy && let Some(members) = record.as_object_mut() {
        members.insert("amount".to_owned(), json!(amount(asset.supply)));
        members.insert("num_accounts".to_owned(), json!(asset.holders));
    }
    record
}
