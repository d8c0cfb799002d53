//! Records as Horizon sends them, old shapes and new, made into what the domain knows. Pure.

mod asset;
mod order_book;
mod trade;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::error::HorizonError;
use crate::domain::instant::UnixSeconds;

pub use asset::{AssetRecord, AssetsPage, assets_page};
pub use order_book::order_book;
pub use trade::{Received, Refused, trade, trades_page};

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
    /// The newest ledger that its core knows; 0 where it does not say.
    #[serde(default)]
    pub core_latest_ledger: u32,
    /// Close time of its newest ledger; none if it is missing or does not parse.
    #[serde(default, deserialize_with = "time_or_none")]
    pub history_latest_ledger_closed_at: Option<UnixSeconds>,
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

/// A field that a server may leave out.
type Maybe<'a> = Option<Cow<'a, str>>;

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

/// A time, or none if there is anything else. The rest of the document is good without it.
fn time_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixSeconds>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| UnixSeconds::parse(text).ok()))
}

/// What the root tells.
pub fn root(body: &Bytes) -> Result<Root, HorizonError> {
    read_owned(body)
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

fn read_owned<T: DeserializeOwned>(body: &Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
