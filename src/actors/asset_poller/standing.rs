//! Conversion of Horizon's record of an asset into what is stored. Pure.

use crate::{
    db::assets::AssetStanding,
    domain::{
        asset::Asset,
        conversions::SaturatingFrom,
        validity::{Standing, may_be_valid},
    },
    horizon::wire::AssetRecord,
};

/// Longest link to a stellar.toml. A home domain has at most 32 characters, and PostgreSQL could not index long links.
const TOML_URL_BYTES_MAX: usize = 512;

/// Returns what is stored of an asset.
pub(super) fn standing(record: &AssetRecord, requires_toml: bool) -> AssetStanding {
    let supply = record.balances_authorized.stroops();
    let link =
        Some(record.toml_url.as_str()).filter(|url| url.len() <= TOML_URL_BYTES_MAX).unwrap_or_default();
    let found =
        Standing { code: record.asset.code(), accounts: record.accounts_authorized, supply, toml_url: link };
    AssetStanding {
        asset: record.asset,
        meets_rules: may_be_valid(&found, requires_toml),
        num_accounts: i64::saturating_from(record.accounts_authorized),
        amount: supply,
        auth_required: record.auth_required,
        auth_revocable: record.auth_revocable,
        toml_url: link.replace('\0', ""), // PostgreSQL's text cannot hold NUL
    }
}

/// Returns what is stored of an asset that Horizon does not list (any more).
pub(super) const fn gone(asset: Asset) -> AssetStanding {
    AssetStanding::gone(asset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{amount::Total, test_support::address};

    #[test]
    fn a_link_that_no_home_domain_can_have_is_dropped() {
        let record = |toml_url: String| AssetRecord {
            asset: Asset::issued("TEA", &address(1)).unwrap(),
            accounts_authorized: 12,
            balances_authorized: Total::from_stroops(7).unwrap(),
            auth_required: true,
            auth_revocable: false,
            toml_url,
        };
        let found = standing(&record("https://tea.example/\0.well-known/stellar.toml".into()), true);
        assert_eq!(found.toml_url, "https://tea.example/.well-known/stellar.toml");
        assert!(found.meets_rules && found.auth_required);
        let found = standing(&record(format!("https://{}.example", "a".repeat(5_000))), true);
        assert_eq!((found.toml_url.as_str(), found.meets_rules), ("", false));
    }
}
