//! A served file, taken apart so far that every figure still stands as it was written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Comparison;
use crate::domain::instant::UnixSeconds;

/// An answer that is none.
#[derive(Debug, thiserror::Error)]
#[error("what is served as {file} cannot be read: {reason}")]
pub struct Unreadable {
    /// Which file.
    pub file: &'static str,
    /// Why.
    pub reason: String,
}

impl Unreadable {
    /// What should be served, instead, is no JSON.
    pub(super) fn expected(file: &'static str, error: &serde_json::Error) -> Self {
        Self { file, reason: error.to_string() }
    }
}

/// The fields of an object, each as it was written: a parser of ours for numbers would round them once more.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The fields of an object.
pub(super) fn fields(raw: &str) -> Result<Fields<'_>, serde_json::Error> {
    serde_json::from_str(raw)
}

/// A served file: its head and its entries.
pub(super) struct ServedFile<'a> {
    /// What stands beside the list.
    pub(super) head: Fields<'a>,
    /// The list.
    pub(super) entries: Vec<Fields<'a>>,
}

impl<'a> ServedFile<'a> {
    /// Takes a file apart whose list is named `list`.
    pub(super) fn read(file: &'static str, list: &str, body: &'a [u8]) -> Result<Self, Unreadable> {
        let unreadable = |reason: String| Unreadable { file, reason };
        let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
        let mut head = fields(text).map_err(|error| unreadable(error.to_string()))?;
        let raw = head.remove(list).ok_or_else(|| unreadable(format!("it has no {list}")))?;
        let entries = serde_json::from_str(raw.get()).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { head, entries })
    }
}

/// The entries of a served file's list, each with its name and not yet taken apart: most of them nobody looks into.
pub(super) fn named_entries<'a>(
    file: &'static str,
    list: &str,
    body: &'a [u8],
) -> Result<Vec<(String, &'a RawValue)>, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
    }
    let unreadable = |reason: String| Unreadable { file, reason };
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let mut head = fields(text).map_err(|error| unreadable(error.to_string()))?;
    let raw = head.remove(list).ok_or_else(|| unreadable(format!("it has no {list}")))?;
    let entries: Vec<&'a RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| unreadable(error.to_string()))?;
    let named = |entry: &'a RawValue| {
        let named: Named = serde_json::from_str(entry.get())?;
        Ok((named.name, entry))
    };
    let named: Result<_, serde_json::Error> = entries.into_iter().map(named).collect();
    named.map_err(|error| unreadable(error.to_string()))
}

/// A field as text, where it is a JSON string.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A field as the double nearest to its digits.
pub(super) fn number(raw: &RawValue) -> Option<f64> {
    // Rust's own parser rounds to nearest; a JSON string or `true` does not parse.
    raw.get().parse().ok()
}

/// Compares what a file says about its own time.
pub(super) fn compare_head(comparison: &mut Comparison, head: &Fields<'_>, as_of: UnixSeconds) {
    for (field, wanted) in [
        ("generated_at", as_of.0.saturating_mul(1_000).to_string()),
        ("generated_at_rfc3339", format!("\"{}\"", as_of.to_rfc3339())),
    ] {
        let told = head.get(field).map_or("nothing", |raw| raw.get());
        comparison.compared(told == wanted, "", field, told, &wanted);
    }
}
