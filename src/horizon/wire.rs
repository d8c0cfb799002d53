//! Parser of Horizon's JSON records, in old and new shapes, into domain values. Pure.

mod asset;
mod order_book;
mod trade;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::error::HorizonError;
use crate::domain::{instant::UnixSeconds, plain_text::excerpt};

pub use asset::{AssetAnswer, AssetRecord, AssetsPage, assets_page};
pub use order_book::order_book;
pub use trade::{ReceivedTrade, RecordError, trade, trades_page};

/// Root document of a Horizon.
#[derive(Clone, Debug, Deserialize)]
pub struct Root {
    /// Passphrase of the network that it serves.
    pub network_passphrase: String,
    /// Newest ledger whose trades it has.
    pub history_latest_ledger: u32,
    /// Oldest ledger that it still has, or 0 if it does not say.
    #[serde(default, deserialize_with = "number_or_zero")]
    pub history_elder_ledger: u32,
    /// Newest ledger known to its Stellar Core, or 0 if it does not say.
    #[serde(default, deserialize_with = "number_or_zero")]
    pub core_latest_ledger: u32,
    /// Close time of its newest ledger, or `None` if it is missing or does not parse.
    #[serde(default, deserialize_with = "time_or_none")]
    pub history_latest_ledger_closed_at: Option<UnixSeconds>,
}

/// Most characters of a passphrase in a message. Those of real networks have about 50.
const PASSPHRASE_CHARS_MAX: usize = 200;

impl Root {
    /// Passphrase for a message. The server may send one of any length.
    #[must_use]
    pub fn shown_passphrase(&self) -> Cow<'_, str> {
        excerpt(&self.network_passphrase, PASSPHRASE_CHARS_MAX)
    }
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

/// Most records of a page. Horizon sends 200 at most. A parsed record takes hundreds of bytes, so millions of them,
/// which fit into the largest body, would use up the memory.
const PAGE_RECORDS_MAX: usize = 1_000;

/// Optional text field.
type OptionalText<'a> = Option<Cow<'a, str>>;

/// Deserialises a number that is a string since protocol 18 and was a JSON number before.
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

/// Deserialises a ledger that may be a string, or 0 for anything else, so that the rest of the document stays usable.
fn number_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    Ok(number.and_then(|number| number.try_into().ok()).unwrap_or_default())
}

/// Deserialises a time, or `None` for anything else, so that the rest of the document stays usable.
fn time_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixSeconds>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| UnixSeconds::parse(text).ok()))
}

/// Parses the root document.
pub fn root(body: &Bytes) -> Result<Root, HorizonError> {
    read_owned(body)
}

/// Record of a ledger, with the fields that the ticker uses.
#[derive(Clone, Debug, Deserialize)]
pub struct LedgerRecord {
    /// Hash, in hexadecimal.
    pub hash: String,
    /// Close time, or `None` if it is missing or does not parse.
    #[serde(default, deserialize_with = "time_or_none")]
    pub closed_at: Option<UnixSeconds>,
}

/// Parses the record of a ledger.
pub fn ledger(body: &Bytes) -> Result<LedgerRecord, HorizonError> {
    read_owned(body)
}

/// Parses a page into its records.
fn page_records(body: &Bytes) -> Result<Vec<&RawValue>, HorizonError> {
    let records = read::<Page<'_>>(body)?.embedded.records;
    if records.len() > PAGE_RECORDS_MAX {
        return Err(HorizonError::Unreadable(format!("a page with {} records", records.len())));
    }
    Ok(records)
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

fn read_owned<T: DeserializeOwned>(body: &Bytes) -> Result<T, HorizonError> {
    serde_json::from_slice(body).map_err(|error| HorizonError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
