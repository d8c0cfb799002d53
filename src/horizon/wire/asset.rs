//! Asset records.

use bytes::Bytes;
use serde::Deserialize;

use super::{HorizonError, Page, read};
use crate::domain::{amount::Total, asset::Asset};

/// Page of assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetsPage {
    /// Valid records. Others are skipped.
    pub records: Vec<AssetRecord>,
    /// Cursor of the next page, or `None` if this page is empty and therefore the last.
    pub next: Option<String>,
}

/// Record of `/assets`, with the fields that the ticker uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRecord {
    /// Identity of the asset.
    pub asset: Asset,
    /// Number of accounts authorised to hold it.
    pub accounts_authorized: u64,
    /// Supply held by those accounts, or `None` if the server's text is not a valid amount.
    pub balances_authorized: Option<Total>,
    /// True if holders need the issuer's authorisation.
    pub auth_required: bool,
    /// True if the issuer can revoke an authorisation.
    pub auth_revocable: bool,
    /// URL of the stellar.toml as set by the issuer. Empty if not set.
    pub toml_url: String,
}

#[derive(Deserialize)]
struct WireAsset {
    asset_code: String,
    asset_issuer: String,
    #[serde(default)]
    accounts: WireAccounts,
    #[serde(default)]
    balances: WireBalances,
    #[serde(default)]
    num_accounts: u64,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    flags: WireFlags,
    #[serde(default, rename = "_links")]
    links: WireLinks,
}

#[derive(Default, Deserialize)]
struct WireAccounts {
    authorized: Option<u64>,
}

#[derive(Default, Deserialize)]
struct WireBalances {
    authorized: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireFlags {
    auth_required: bool,
    auth_revocable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireLinks {
    toml: WireLink,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireLink {
    href: String,
}

/// Parses a page of assets.
pub fn assets_page(body: &Bytes) -> Result<AssetsPage, HorizonError> {
    let page: Page<'_> = read(body)?;
    let records: Vec<AssetRecord> =
        page.embedded.records.iter().filter_map(|record| read_asset(record.get())).collect();
    let next = page.embedded.records.last().and_then(|record| token(record.get()));
    // If the last record has no token, continue after the last valid record. Records between them are read again.
    let next = next.or_else(|| records.last().map(|record| paging_token(&record.asset)));
    Ok(AssetsPage { records, next })
}

#[derive(Deserialize)]
struct AssetToken<'a> {
    paging_token: &'a str,
}

/// Paging token of a record. It goes into the next request unescaped, so a token that needs an escape is ignored.
fn token(record: &str) -> Option<String> {
    let wire: AssetToken<'_> = serde_json::from_str(record).ok()?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!wire.paging_token.is_empty() && plain(wire.paging_token)).then(|| wire.paging_token.to_owned())
}

fn paging_token(asset: &Asset) -> String {
    format!("{}_{}_{}", asset.code(), asset.issuer(), asset.kind())
}

fn read_asset(text: &str) -> Option<AssetRecord> {
    let wire: WireAsset = serde_json::from_str(text).ok()?;
    // Old servers send `amount` and `num_accounts` instead.
    let supply = wire.balances.authorized.unwrap_or(wire.amount);
    Some(AssetRecord {
        asset: Asset::issued(&wire.asset_code, &wire.asset_issuer).ok()?,
        accounts_authorized: wire.accounts.authorized.unwrap_or(wire.num_accounts),
        balances_authorized: Total::parse(&supply).ok(),
        auth_required: wire.flags.auth_required,
        auth_revocable: wire.flags.auth_revocable,
        toml_url: wire.links.toml.href,
    })
}
