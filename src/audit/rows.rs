//! Rows of a served list against what they should be, field by field.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};

use super::{
    Comparison,
    served::{Fields, fields, number, text},
};

/// Sums of doubles in another order may differ so much, relatively.
const SUM_TOLERANCE: f64 = 1e-9;
/// Objects within objects that are looked into; none of ours has more than one.
const NESTING_MAX: u32 = 4;

/// What a field should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    /// This double, to the last bit.
    Exact(f64),
    /// A sum of doubles, whose order of adding is not laid down.
    Near(f64),
    /// This text.
    Text(String),
    /// This JSON, however it is written; numbers to the last bit of what they are read as.
    Json(String),
}

impl Figure {
    fn agrees(&self, served: &RawValue) -> bool {
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

/// A whole row by its fields' names; those of an object in it are named `object.field`.
pub(super) type Row = BTreeMap<String, Figure>;

/// The row that a JSON object stands for.
pub(super) fn row_of(object: &str) -> Result<Row, serde_json::Error> {
    let json = |(name, raw): (String, &RawValue)| (name, Figure::Json(raw.get().to_owned()));
    Ok(flat(&fields(object)?).into_iter().map(json).collect())
}

/// How a list is to be compared.
pub(super) struct List {
    /// The fields that it is sorted by, and by which each row is found.
    pub(super) key: &'static [&'static str],
    /// What a row is called.
    pub(super) kind: &'static str,
    /// Why one that is served should not be there.
    pub(super) absent: &'static str,
}

impl List {
    /// Compares the rows that are served with what they should be, by the values of their key.
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
            if last.as_ref().is_some_and(|last| *last >= key) {
                let field = self.key.first().copied().unwrap_or_default();
                comparison.differs(&entry, field, "out of order, or twice", "in order, and once");
            }
            match wanted.remove(&key) {
                Some(row) => compare_row(comparison, &entry, fields, &row),
                None => comparison.differs(&entry, "", self.kind, self.absent),
            }
            last = Some(key);
        }
        for key in wanted.into_keys() {
            comparison.differs(&key.join(":"), "", "nothing", self.kind);
        }
    }
}

/// Compares all fields of a row, and looks for such as should not be there.
pub(super) fn compare_row(comparison: &mut Comparison, entry: &str, served: &Fields<'_>, row: &Row) {
    let served = flat(served);
    for (field, figure) in row {
        let raw = served.get(field);
        let told = raw.map_or("nothing", |raw| raw.get());
        let agrees = raw.is_some_and(|raw| figure.agrees(raw));
        comparison.compared(agrees, entry, field, told, &figure.shown());
    }
    for (field, raw) in served.iter().filter(|(field, _)| !row.contains_key(*field)) {
        comparison.differs(entry, field, raw.get(), "no such field");
    }
}

/// The fields of objects within an object beside its own.
fn flat<'a>(object: &Fields<'a>) -> Fields<'a> {
    let mut out = Fields::new();
    let mut open = vec![(String::new(), object.clone(), 0)];
    while let Some((path, object, depth)) = open.pop() {
        for (name, raw) in object {
            let name = format!("{path}{name}");
            match fields(raw.get()) {
                Ok(inner) if depth < NESTING_MAX => open.push((format!("{name}."), inner, depth + 1)),
                _ => {
                    out.insert(name, raw);
                }
            }
        }
    }
    out
}

/// The same value, however it is written.
fn same(served: &str, expected: &str) -> bool {
    let whole = |raw: &str| raw.parse::<i64>().ok();
    if let (Some(served), Some(expected)) = (whole(served), whole(expected)) {
        return served == expected;
    }
    // Rust's own parser rounds to nearest; a JSON string or `true` does not parse.
    let double = |raw: &str| raw.parse::<f64>().ok();
    if let (Some(served), Some(expected)) = (double(served), double(expected)) {
        return served == expected;
    }
    let value = |raw: &str| serde_json::from_str::<Value>(raw).ok();
    value(served).is_some_and(|served| Some(served) == value(expected))
}
