//! Documents of many markets as tables of texts.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::UnreadableError;

/// Fields of an entry. A number is the text of its digits, and null is `None`.
pub(super) type Entry = BTreeMap<String, Option<String>>;

/// Reads a list of objects.
pub(super) fn list(document: &'static str, body: &[u8]) -> Result<Vec<Entry>, UnreadableError> {
    let entries: Vec<BTreeMap<String, Box<RawValue>>> =
        serde_json::from_slice(body).map_err(|error| UnreadableError::new(document, error))?;
    Ok(entries.into_iter().map(texts).collect())
}

/// Reads an object of objects.
pub(super) fn map(document: &'static str, body: &[u8]) -> Result<BTreeMap<String, Entry>, UnreadableError> {
    let entries: BTreeMap<String, BTreeMap<String, Box<RawValue>>> =
        serde_json::from_slice(body).map_err(|error| UnreadableError::new(document, error))?;
    Ok(entries.into_iter().map(|(key, entry)| (key, texts(entry))).collect())
}

fn texts(entry: BTreeMap<String, Box<RawValue>>) -> Entry {
    entry.into_iter().map(|(name, value)| (name, text(&value))).collect()
}

/// Text of a value: of a string its content, of anything else its JSON.
pub(super) fn text(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        json => Some(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
    }
}

/// Field of an object, or null.
pub(super) fn at<'a>(value: &'a Value, field: &str) -> &'a Value {
    value.get(field).unwrap_or(&Value::Null)
}
