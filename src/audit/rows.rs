//! Field-by-field comparison of served rows with expected rows.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    Comparison,
    served::{Fields, fields, number, text},
};

/// Maximum relative difference between two sums of doubles that were added in different orders.
const SUM_TOLERANCE: f64 = 1e-9;
/// Maximum nesting of objects to look into. Served objects nest one level deep.
const NESTING_MAX: u32 = 4;

/// Expected value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    /// This double, to the last bit.
    Exact(f64),
    /// Sum of doubles whose order of addition is unspecified.
    Near(f64),
    /// This text.
    Text(String),
    /// This JSON value in any notation. Numbers are compared as parsed, to the last bit.
    Json(String),
}

impl Figure {
    fn matches(&self, served: &RawValue) -> bool {
        match self {
            Self::Exact(expected) => number(served).is_some_and(|served| served == *expected),
            Self::Near(expected) => number(served).is_some_and(|served| {
                (served - expected).abs() <= SUM_TOLERANCE * expected.abs().max(served.abs())
            }),
            Self::Text(expected) => text(served).is_some_and(|served| served == *expected),
            Self::Json(expected) => same(served.get(), expected),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Exact(number) | Self::Near(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Json(json) => json.clone(),
        }
    }
}

/// Expected row, by field name. A field of a nested object is named `object.field`.
pub(super) type Row = BTreeMap<String, Figure>;

/// Parses a JSON object into an expected row.
pub(super) fn row_of(object: &str) -> Result<Row, serde_json::Error> {
    let json = |(name, raw): (String, &RawValue)| (name, Figure::Json(raw.get().to_owned()));
    Ok(flat(&fields(object)?).into_iter().map(json).collect())
}

/// Comparison rules for one list.
pub(super) struct List {
    /// Fields that the list is sorted by and that identify a row.
    pub(super) key: &'static [&'static str],
    /// Name of a row in reports.
    pub(super) kind: &'static str,
    /// Reason why a served row without a counterpart is unexpected.
    pub(super) absent: &'static str,
}

impl List {
    /// Compares the served rows with the expected ones, matched by their key fields.
    pub(super) fn compare(
        &self,
        comparison: &mut Comparison,
        served: &[Fields<'_>],
        mut wanted: BTreeMap<Vec<String>, Row>,
    ) {
        comparison.entries = comparison.entries.saturating_add(served.len());
        let mut last: Option<Vec<String>> = None;
        for fields in served {
            let part = |name: &&str| fields.get(*name).and_then(|raw| text(raw)).unwrap_or_default();
            let key: Vec<String> = self.key.iter().map(part).collect();
            let entry = key.join(":");
            // Equal keys are reported too: a row must not be listed twice.
            if last.as_ref().is_some_and(|last| *last >= key) {
                let field = self.key.first().copied().unwrap_or_default();
                comparison.add_difference(&entry, field, "out of order, or twice", "in order, and once");
            }
            match wanted.remove(&key) {
                Some(row) => compare_row(comparison, &entry, fields, &row),
                None => comparison.add_difference(&entry, "", self.kind, self.absent),
            }
            last = Some(key);
        }
        for key in wanted.into_keys() {
            comparison.add_difference(&key.join(":"), "", "nothing", self.kind);
        }
    }
}

/// Compares all fields of a row, and reports served fields that are not expected.
pub(super) fn compare_row(comparison: &mut Comparison, entry: &str, served: &Fields<'_>, row: &Row) {
    let served = flat(served);
    for (field, figure) in row {
        let raw = served.get(field);
        let written = raw.map_or("nothing", |raw| raw.get());
        let is_equal = raw.is_some_and(|raw| figure.matches(raw));
        comparison.record(is_equal, entry, field, written, &figure.shown());
    }
    for (field, raw) in served.iter().filter(|(field, _)| !row.contains_key(*field)) {
        comparison.add_difference(entry, field, raw.get(), "no such field");
    }
}

/// Flattens nested objects into one map.
fn flat<'a>(object: &Fields<'a>) -> Fields<'a> {
    let mut out = Fields::new();
    let mut open = vec![(String::new(), object.clone(), 0)];
    while let Some((path, object, depth)) = open.pop() {
        for (name, raw) in object {
            let name = format!("{path}{name}");
            match fields(raw.get()) {
                Ok(inner) if depth < NESTING_MAX => open.push((format!("{name}."), inner, depth + 1)),
                // Not an object, or nested too deep: compare it as a whole.
                _ => {
                    out.insert(name, raw);
                }
            }
        }
    }
    out
}

/// Returns true if both texts denote the same JSON value.
fn same(served: &str, expected: &str) -> bool {
    // Compare whole numbers first: two distinct 64-bit integers may round to the same double.
    let whole = |raw: &str| raw.parse::<i64>().ok();
    if let (Some(served), Some(expected)) = (whole(served), whole(expected)) {
        return served == expected;
    }
    // Rust's parser rounds to nearest. A JSON string or `true` does not parse.
    let double = |raw: &str| raw.parse::<f64>().ok();
    if let (Some(served), Some(expected)) = (double(served), double(expected)) {
        return served == expected;
    }
    let value = |raw: &str| serde_json::from_str::<Value>(raw).ok();
    value(served).is_some_and(|served| Some(served) == value(expected))
}
