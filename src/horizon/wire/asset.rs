//! Asset records.

use bytes::Bytes;
use serde::Deserialize;

use super::{HorizonError, page_records};
use crate::domain::{amount::Total, asset::Asset};

/// Page of assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetsPage {
    /// Valid records. Others are skipped.
    pub records: Vec<AssetRecord>,
    /// Number of all records, also of those that are not valid.
    pub count: usize,
    /// Cursor of the next page, or `None` if this page is empty and therefore the last. Also `None` if no record says
    /// which asset it is of: then nothing leads on.
    pub next: Option<String>,
}

/// Answer about one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssetAnswer {
    /// The asset's record.
    Record(AssetRecord),
    /// Records of which none can be read as this asset's. It may still exist.
    Unreadable,
    /// No record: the server does not know the asset, or no account holds it.
    Unknown,
}

/// Record of `/assets`, with the fields that the ticker uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRecord {
    /// Identity of the asset.
    pub asset: Asset,
    /// Number of accounts authorised to hold it.
    pub accounts_authorized: u64,
    /// Supply held by those accounts.
    pub balances_authorized: Total,
    /// True if holders need the issuer's authorisation.
    pub auth_required: bool,
    /// True if the issuer can revoke an authorisation.
    pub auth_revocable: bool,
    /// URL of the stellar.toml as set by the issuer. Empty if not set.
    pub toml_url: String,
}

#[derive(Deserialize)]
struct WireIdentity {
    asset_code: String,
    asset_issuer: String,
}

/// The rest of a record. Every field that is missing, null or of another type makes the record invalid: a default would
/// make the asset invalid, and take its markets out of all lists. Of each figure there is a new and an old name.
#[derive(Deserialize)]
struct WireAsset {
    accounts: Option<WireAccounts>,
    balances: Option<WireBalances>,
    num_accounts: Option<u64>,
    amount: Option<String>,
    flags: WireFlags,
    #[serde(rename = "_links")]
    links: WireLinks,
}

#[derive(Deserialize)]
struct WireAccounts {
    authorized: Option<u64>,
}

#[derive(Deserialize)]
struct WireBalances {
    authorized: Option<String>,
}

#[derive(Deserialize)]
struct WireFlags {
    auth_required: bool,
    auth_revocable: bool,
}

#[derive(Deserialize)]
struct WireLinks {
    toml: WireLink,
}

#[derive(Deserialize)]
struct WireLink {
    href: String,
}

impl AssetsPage {
    /// Returns what a page that was requested for one asset says about it.
    #[must_use]
    pub fn answer_about(self, asset: &Asset) -> AssetAnswer {
        match self.records.into_iter().find(|record| record.asset == *asset) {
            Some(record) => AssetAnswer::Record(record),
            None if self.count == 0 => AssetAnswer::Unknown,
            None => AssetAnswer::Unreadable,
        }
    }
}

/// Parses a page of assets.
pub fn assets_page(body: &Bytes) -> Result<AssetsPage, HorizonError> {
    let all = page_records(body)?;
    let records = all.iter().filter_map(|record| read_asset(record.get())).collect();
    let next = all.last().and_then(|last| {
        let identified = |text: &str| Some(paging_token(&identity(text)?));
        // If nothing identifies the last record, continue after the last one before it. Those between are read again.
        identified(last.get())
            .or_else(|| token(last.get()))
            .or_else(|| all.iter().rev().find_map(|record| identified(record.get())))
    });
    Ok(AssetsPage { records, count: all.len(), next })
}

#[derive(Deserialize)]
struct AssetToken<'a> {
    paging_token: &'a str,
}

/// Paging token of a record, if it has the usual form. Horizon would refuse another one, and the sweep would stop.
fn token(record: &str) -> Option<String> {
    let wire: AssetToken<'_> = serde_json::from_str(record).ok()?;
    let mut parts = wire.paging_token.split('_');
    let asset = Asset::issued(parts.next()?, parts.next()?).ok()?;
    Some(paging_token(&asset)).filter(|token| token == wire.paging_token)
}

fn paging_token(asset: &Asset) -> String {
    format!("{}_{}_{}", asset.code(), asset.issuer(), asset.kind())
}

fn identity(text: &str) -> Option<Asset> {
    let wire: WireIdentity = serde_json::from_str(text).ok()?;
    Asset::issued(&wire.asset_code, &wire.asset_issuer).ok()
}

fn read_asset(text: &str) -> Option<AssetRecord> {
    let asset = identity(text)?;
    let wire: WireAsset = serde_json::from_str(text).ok()?;
    // Old servers send `amount` and `num_accounts` instead.
    let supply = wire.balances.and_then(|balances| balances.authorized).or(wire.amount)?;
    let accounts = wire.accounts.and_then(|accounts| accounts.authorized).or(wire.num_accounts)?;
    Some(AssetRecord {
        asset,
        accounts_authorized: accounts,
        balances_authorized: Total::parse(&supply).ok()?,
        auth_required: wire.flags.auth_required,
        auth_revocable: wire.flags.auth_revocable,
        toml_url: wire.links.toml.href,
    })
}
