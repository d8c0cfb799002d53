//! From what Horizon says of an asset to what is stored of it. Pure.

use crate::{
    db::assets::AssetStanding,
    domain::{
        asset::Asset,
        validity::{Standing, may_be_valid},
    },
    horizon::wire::AssetRecord,
};

/// What is stored of an asset that Horizon lists.
pub(super) fn standing(record: &AssetRecord, links_count: bool) -> AssetStanding {
    let supply = record.balances_authorized.stroops();
    let told = Standing {
        code: record.asset.code(),
        accounts: record.accounts_authorized,
        supply,
        toml_url: &record.toml_url,
    };
    AssetStanding {
        asset: record.asset,
        meets_rules: may_be_valid(&told, links_count),
        num_accounts: i64::try_from(record.accounts_authorized).unwrap_or(i64::MAX),
        amount: supply,
        auth_required: record.auth_required,
        auth_revocable: record.auth_revocable,
        toml_url: record.toml_url.replace('\0', ""), // PostgreSQL's text cannot hold NUL
    }
}

/// What is stored of an asset that Horizon does not list (any more).
pub(super) const fn gone(asset: Asset) -> AssetStanding {
    AssetStanding::gone(asset)
}
