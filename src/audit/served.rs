//! Parser of served files that keeps every figure as it was written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Comparison;
use crate::domain::instant::UnixSeconds;

/// Error for an answer that is not what it claims to be.
#[derive(Debug, thiserror::Error)]
#[error("served {file} is not readable: {reason}")]
pub struct UnreadableError {
    /// Name of the file or answer.
    pub file: &'static str,
    /// Reason, from the parser.
    pub reason: String,
}

impl UnreadableError {
    /// Creates the error for an expected object that is not JSON.
    pub(super) fn expected(file: &'static str, error: &serde_json::Error) -> Self {
        Self { file, reason: error.to_string() }
    }
}

/// Fields of an object, each as written. Parsing numbers here would round them once more.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Parses an object into its fields.
pub(super) fn fields(raw: &str) -> Result<Fields<'_>, serde_json::Error> {
    serde_json::from_str(raw)
}

/// Served file, split into its head and its entries.
pub(super) struct ServedFile<'a> {
    /// Fields beside the list.
    pub(super) head: Fields<'a>,
    /// Entries of the list.
    pub(super) entries: Vec<Fields<'a>>,
}

impl<'a> ServedFile<'a> {
    /// Parses a file whose entries are in the field `list`.
    pub(super) fn read(file: &'static str, list: &str, body: &'a [u8]) -> Result<Self, UnreadableError> {
        let unreadable = |reason: String| UnreadableError { file, reason };
        let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
        let mut head = fields(text).map_err(|error| unreadable(error.to_string()))?;
        let raw = head.remove(list).ok_or_else(|| unreadable(format!("the field {list} is missing")))?;
        let entries = serde_json::from_str(raw.get()).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { head, entries })
    }
}

/// Parses the list of a served file into names and unparsed entries. A slice of the self-audit looks into few of them.
pub(super) fn named_entries<'a>(
    file: &'static str,
    list: &str,
    body: &'a [u8],
) -> Result<Vec<(String, &'a RawValue)>, UnreadableError> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
    }
    let unreadable = |reason: String| UnreadableError { file, reason };
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let mut head = fields(text).map_err(|error| unreadable(error.to_string()))?;
    let raw = head.remove(list).ok_or_else(|| unreadable(format!("the field {list} is missing")))?;
    let entries: Vec<&'a RawValue> =
        serde_json::from_str(raw.get()).map_err(|error| unreadable(error.to_string()))?;
    let named = |entry: &'a RawValue| {
        let named: Named = serde_json::from_str(entry.get())?;
        Ok((named.name, entry))
    };
    let named: Result<_, serde_json::Error> = entries.into_iter().map(named).collect();
    named.map_err(|error| unreadable(error.to_string()))
}

/// Text of a field, or `None` if it is not a JSON string.
pub(super) fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Double nearest to the digits of a field, or `None` if it is not a number.
pub(super) fn number(raw: &RawValue) -> Option<f64> {
    // Rust's parser rounds to nearest. A JSON string or `true` does not parse.
    raw.get().parse().ok()
}

/// Compares the times in a file's head with `as_of`.
pub(super) fn compare_head(comparison: &mut Comparison, head: &Fields<'_>, as_of: UnixSeconds) {
    for (field, wanted) in [
        ("generated_at", as_of.0.saturating_mul(1_000).to_string()),
        ("generated_at_rfc3339", format!("\"{}\"", as_of.to_rfc3339())),
    ] {
        let written = head.get(field).map_or("nothing", |raw| raw.get());
        comparison.record(written == wanted, "", field, written, &wanted);
    }
}
