//! Records as Horizon sends them, old shapes and new, made into what the domain knows. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::domain::{
    amount::Amount,
    asset::{AccountId, Asset, AssetError},
    cursor::PagingToken,
    instant::Second,
    trade::{PoolId, Side, Trade, TradeError, TradeRecord},
};

use super::error::HorizonError;

/// A record that is no trade: what it was, as far as could be told, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in history, where that could be read.
    pub token: Option<PagingToken>,
    /// Why it was refused.
    pub reason: String,
    /// As it came.
    pub raw: Bytes,
}

/// A trade and the bytes that it came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// The trade.
    pub trade: Trade,
    /// As it came.
    pub raw: Bytes,
}

/// What the root of a Horizon tells of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Root {
    /// Which network it serves.
    pub network_passphrase: String,
    /// The newest ledger whose trades it has.
    pub history_latest_ledger: u32,
    /// The oldest ledger that it still has; 0 where it does not say.
    #[serde(default)]
    pub history_elder_ledger: u32,
}

/// An asset as `/assets` tells it, as far as the ticker cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRecord {
    /// Who it is.
    pub asset: Asset,
    /// Accounts that hold it and may.
    pub accounts_authorized: u64,
    /// What those hold.
    pub balances_authorized: Amount,
    /// Holders need the issuer's leave.
    pub auth_required: bool,
    /// The issuer can take that leave back.
    pub auth_revocable: bool,
    /// Where its stellar.toml lies, as the issuer says; empty where he says nothing.
    pub toml_url: String,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, rename = "_embedded")]
    embedded: Embedded<'a>,
}

#[derive(Deserialize)]
struct Embedded<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireToken<'a> {
    #[serde(borrow)]
    paging_token: Maybe<'a>,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(borrow)]
    paging_token: Cow<'a, str>,
    #[serde(borrow)]
    ledger_close_time: Cow<'a, str>,
    #[serde(borrow)]
    base_amount: Cow<'a, str>,
    #[serde(borrow)]
    base_asset_type: Cow<'a, str>,
    #[serde(borrow)]
    base_asset_code: Maybe<'a>,
    #[serde(borrow)]
    base_asset_issuer: Maybe<'a>,
    #[serde(borrow)]
    base_account: Maybe<'a>,
    #[serde(borrow)]
    base_liquidity_pool_id: Maybe<'a>,
    #[serde(borrow)]
    counter_amount: Cow<'a, str>,
    #[serde(borrow)]
    counter_asset_type: Cow<'a, str>,
    #[serde(borrow)]
    counter_asset_code: Maybe<'a>,
    #[serde(borrow)]
    counter_asset_issuer: Maybe<'a>,
    #[serde(borrow)]
    counter_account: Maybe<'a>,
    #[serde(borrow)]
    counter_liquidity_pool_id: Maybe<'a>,
    base_is_seller: bool,
    price: WirePrice,
}

#[derive(Deserialize)]
struct WirePrice {
    #[serde(deserialize_with = "text_or_number")]
    n: i64,
    #[serde(deserialize_with = "text_or_number")]
    d: i64,
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

/// Prices are strings since protocol 18 and were numbers before.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber<'a> {
        Number(i64),
        Text(#[serde(borrow)] Cow<'a, str>),
    }
    match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Number(number) => Ok(number),
        TextOrNumber::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// Reads one trade record. `event_id` is the stream event's id, a second source for the record's place.
pub fn trade(raw: Bytes, event_id: Option<&str>) -> Result<Received, Refused> {
    match read_trade(&raw) {
        Ok(trade) => Ok(Received { trade, raw }),
        Err(reason) => {
            let token = serde_json::from_slice::<WireToken<'_>>(&raw)
                .ok()
                .and_then(|record| record.paging_token?.parse().ok())
                .or_else(|| event_id.and_then(|id| id.parse().ok()));
            Err(Refused { token, reason, raw })
        }
    }
}

fn read_trade(raw: &[u8]) -> Result<Trade, String> {
    let wire: WireTrade<'_> = serde_json::from_slice(raw).map_err(|error| error.to_string())?;
    let base = side(
        asset(&wire.base_asset_type, &wire.base_asset_code, &wire.base_asset_issuer),
        &wire.base_amount,
        &wire.base_account,
        &wire.base_liquidity_pool_id,
    );
    let counter = side(
        asset(&wire.counter_asset_type, &wire.counter_asset_code, &wire.counter_asset_issuer),
        &wire.counter_amount,
        &wire.counter_account,
        &wire.counter_liquidity_pool_id,
    );
    let told = |error: TradeError| error.to_string();
    let record = TradeRecord {
        token: wire
            .paging_token
            .parse()
            .map_err(|error: crate::domain::cursor::PagingTokenError| error.to_string())?,
        closed_at: Second::parse(&wire.ledger_close_time).map_err(|error| error.to_string())?,
        base: base.map_err(told)?,
        counter: counter.map_err(told)?,
        price_n: wire.price.n,
        price_d: wire.price.d,
        base_is_seller: wire.base_is_seller,
    };
    record.normalise().map_err(told)
}

/// A field that a server may leave out.
type Maybe<'a> = Option<Cow<'a, str>>;

fn side(
    asset: Result<Asset, AssetError>,
    amount: &str,
    account: &Maybe<'_>,
    pool: &Maybe<'_>,
) -> Result<Side, TradeError> {
    Ok(Side {
        asset: asset?,
        amount: Amount::parse(amount)?,
        account: present(account).map(AccountId::parse).transpose()?,
        pool: present(pool).map(PoolId::parse).transpose()?,
    })
}

fn asset(kind: &str, code: &Maybe<'_>, issuer: &Maybe<'_>) -> Result<Asset, AssetError> {
    match kind {
        "native" => Ok(Asset::Native),
        _ => Asset::issued(code.as_deref().unwrap_or_default(), issuer.as_deref().unwrap_or_default()),
    }
}

fn present<'a>(field: &'a Maybe<'_>) -> Option<&'a str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// The records of a page of trades, in the page's order.
pub fn trades_page(body: &Bytes) -> Result<Vec<Result<Received, Refused>>, HorizonError> {
    let page: Page<'_> = read(body)?;
    Ok(page
        .embedded
        .records
        .iter()
        .map(|record| trade(body.slice_ref(record.get().as_bytes()), None))
        .collect())
}

/// The records of a page of assets; what is no asset is left out.
pub fn assets_page(body: &Bytes) -> Result<Vec<AssetRecord>, HorizonError> {
    let page: Page<'_> = read(body)?;
    Ok(page.embedded.records.iter().filter_map(|record| read_asset(record.get())).collect())
}

/// What the root tells.
pub fn root(body: &Bytes) -> Result<Root, HorizonError> {
    read_owned(body)
}

fn read_asset(text: &str) -> Option<AssetRecord> {
    let wire: WireAsset = serde_json::from_str(text).ok()?;
    let supply = wire.balances.authorized.unwrap_or(wire.amount);
    Some(AssetRecord {
        asset: Asset::issued(&wire.asset_code, &wire.asset_issuer).ok()?,
        accounts_authorized: wire.accounts.authorized.unwrap_or(wire.num_accounts),
        balances_authorized: Amount::parse(&supply).unwrap_or_default(),
        auth_required: wire.flags.auth_required,
        auth_revocable: wire.flags.auth_revocable,
        toml_url: wire.links.toml.href,
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

fn read_owned<T: DeserializeOwned>(body: &Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
