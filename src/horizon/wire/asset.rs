//! Asset records.

use bytes::Bytes;
use serde::Deserialize;

use super::{HorizonError, Page, read};
use crate::domain::{amount::Total, asset::Asset};

/// A page of assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetsPage {
    /// What it holds; what is no asset is left out.
    pub records: Vec<AssetRecord>,
    /// Where the next page begins; none where this one is empty, and so the last.
    pub next: Option<String>,
}

/// An asset as `/assets` tells it, as far as the ticker cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRecord {
    /// Who it is.
    pub asset: Asset,
    /// Accounts that hold it and may.
    pub accounts_authorized: u64,
    /// What those hold; none where that is told in no way that can be read.
    pub balances_authorized: Option<Total>,
    /// Holders need the issuer's leave.
    pub auth_required: bool,
    /// The issuer can take that leave back.
    pub auth_revocable: bool,
    /// Where its stellar.toml lies, as the issuer says; empty where he says nothing.
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

/// The records of a page of assets.
pub fn assets_page(body: &Bytes) -> Result<AssetsPage, HorizonError> {
    let page: Page<'_> = read(body)?;
    let records: Vec<AssetRecord> =
        page.embedded.records.iter().filter_map(|record| read_asset(record.get())).collect();
    let next = page.embedded.records.last().and_then(|record| token(record.get()));
    // A last record whose place cannot be told: the page is read again from the last one that can.
    let next = next.or_else(|| records.last().map(|record| paging_token(&record.asset)));
    Ok(AssetsPage { records, next })
}

#[derive(Deserialize)]
struct WireToken<'a> {
    paging_token: &'a str,
}

/// A record's own paging token. It goes into the next request as it is, so only what needs no escape is one.
fn token(record: &str) -> Option<String> {
    let wire: WireToken<'_> = serde_json::from_str(record).ok()?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!wire.paging_token.is_empty() && plain(wire.paging_token)).then(|| wire.paging_token.to_owned())
}

fn paging_token(asset: &Asset) -> String {
    format!("{}_{}_{}", asset.code(), asset.issuer(), asset.kind())
}

fn read_asset(text: &str) -> Option<AssetRecord> {
    let wire: WireAsset = serde_json::from_str(text).ok()?;
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
