//! `assets.json` against the rows of the valid assets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, value::RawValue};

use super::{
    super::instant::Second,
    Comparison, Unreadable,
    served::{Fields, ServedFile, expected_head, fields, number, text},
};

/// What an asset should be served as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedAsset {
    /// Its code; the file is sorted by this, then the issuer.
    pub code: String,
    /// Its issuer.
    pub issuer: String,
    /// The whole object as JSON, in any layout.
    pub object: String,
}

/// Compares a served `assets.json` with what its assets should be.
///
/// # Errors
///
/// [`Unreadable`]: it is no such file at all, or an expected object is none.
pub fn compare(body: &[u8], as_of: Second, expected: &[ExpectedAsset]) -> Result<Comparison, Unreadable> {
    let served = ServedFile::read("assets.json", "assets", body)?;
    let mut comparison = Comparison { entries: served.entries.len(), ..Comparison::default() };
    for (field, wanted) in expected_head(as_of) {
        let told = served.head.get(field).map_or("nothing", |raw| raw.get());
        comparison.compared(told == wanted, "", field, told, &wanted);
    }
    let mut wanted: BTreeMap<(String, String), &ExpectedAsset> =
        expected.iter().map(|asset| ((asset.code.clone(), asset.issuer.clone()), asset)).collect();
    let mut last = None;
    for asset in &served.entries {
        let part = |name: &str| asset.get(name).and_then(|raw| text(raw)).unwrap_or_default();
        let key = (part("code"), part("issuer"));
        let name = format!("{}:{}", key.0, key.1);
        if last.as_ref().is_some_and(|last| *last >= key) {
            comparison.differs(&name, "code", "out of order, or twice", "sorted by code, then issuer");
        }
        match wanted.remove(&key) {
            Some(expected) => {
                let expected = fields(&expected.object)
                    .map_err(|error| Unreadable { file: "a row of assets", reason: error.to_string() })?;
                compare_objects(&mut comparison, &name, "", asset, &expected);
            }
            None => comparison.differs(&name, "", "an asset", "it is not valid"),
        }
        last = Some(key);
    }
    for (code, issuer) in wanted.into_keys() {
        comparison.differs(&format!("{code}:{issuer}"), "", "nothing", "a valid asset");
    }
    Ok(comparison)
}

fn compare_objects(
    comparison: &mut Comparison,
    entry: &str,
    path: &str,
    served: &Fields<'_>,
    expected: &Fields<'_>,
) {
    let names: BTreeSet<&String> = served.keys().chain(expected.keys()).collect();
    for name in names {
        let field = format!("{path}{name}");
        let (told, wanted) = (served.get(name), expected.get(name));
        match (told, wanted) {
            (Some(told), Some(wanted)) => match (fields(told.get()), fields(wanted.get())) {
                (Ok(told), Ok(wanted)) => {
                    compare_objects(comparison, entry, &format!("{field}."), &told, &wanted);
                }
                _ => comparison.compared(same(told, wanted), entry, &field, told.get(), wanted.get()),
            },
            _ => {
                let shown = |raw: Option<&&RawValue>| raw.map_or("nothing", |raw| raw.get()).to_owned();
                comparison.differs(entry, &field, &shown(told), &shown(wanted));
            }
        }
    }
}

/// The same value, however it is written; numbers to the last bit of what they are read as.
fn same(served: &RawValue, expected: &RawValue) -> bool {
    let whole = |raw: &RawValue| raw.get().parse::<i64>().ok();
    if let (Some(served), Some(expected)) = (whole(served), whole(expected)) {
        return served == expected;
    }
    if let (Some(served), Some(expected)) = (number(served), number(expected)) {
        return served == expected;
    }
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    value(served).is_some_and(|served| Some(served) == value(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(code: &str, object: &str) -> ExpectedAsset {
        ExpectedAsset { code: code.into(), issuer: "G1".into(), object: object.into() }
    }

    fn file(assets: &str) -> Vec<u8> {
        format!(
            r#"{{"generated_at": 1000, "generated_at_rfc3339": "1970-01-01T00:00:01Z", "assets": [{assets}]}}"#
        )
        .into_bytes()
    }

    fn told(comparison: &Comparison) -> Vec<(&str, &str)> {
        comparison.differences.iter().map(|told| (told.entry.as_str(), told.field.as_str())).collect()
    }

    #[test]
    fn values_agree_however_they_are_written_and_differ_by_their_last_digit() {
        let wanted = [expected(
            "A",
            r#"{"code":"A","issuer":"G1","desc":"<&\u001b>","amount":0.0000001,"max_number":9007199254740993,
                "list":["x","y"],"issuer_detail":{"name":"N","url":""}}"#,
        )];
        let same = file(
            r#"{"code": "A", "issuer": "G1", "desc": "\u003c\u0026\u001b\u003e", "amount": 1e-7, "max_number": 9007199254740993,
                "list": ["x", "y"], "issuer_detail": {"url": "", "name": "N"}}"#,
        );
        let comparison = compare(&same, Second(1), &wanted).unwrap();
        assert_eq!((told(&comparison), comparison.figures), (vec![], 10));
        let other = file(
            r#"{"code": "A", "issuer": "G1", "desc": "<&>", "amount": 1.0000000000000002e-7, "max_number": 9007199254740992,
                "list": ["y", "x"], "issuer_detail": {"url": "", "name": 7}}"#,
        );
        let comparison = compare(&other, Second(1), &wanted).unwrap();
        let fields: Vec<&str> = told(&comparison).into_iter().map(|(_, field)| field).collect();
        assert_eq!(fields, ["amount", "desc", "issuer_detail.name", "list", "max_number"]);
    }

    #[test]
    fn assets_and_fields_that_are_missing_too_many_or_out_of_order_are_told() {
        let wanted = ["A", "B", "C"]
            .map(|code| expected(code, &format!(r#"{{"code": "{code}", "issuer": "G1", "status": ""}}"#)));
        let served = file(
            r#"{"code": "C", "issuer": "G1", "status": ""}, {"code": "A", "issuer": "G1", "extra": 1},
               {"code": "Z", "issuer": "G1", "status": ""}"#,
        );
        let comparison = compare(&served, Second(2), &wanted).unwrap();
        assert_eq!(
            told(&comparison),
            [
                ("", "generated_at"),
                ("", "generated_at_rfc3339"),
                ("A:G1", "code"),
                ("A:G1", "extra"),
                ("A:G1", "status"),
                ("Z:G1", ""),
                ("B:G1", "")
            ]
        );
    }

    #[test]
    fn what_is_no_such_file_is_said_to_be_none() {
        for body in [&b"[]"[..], b"{}", b"{\"assets\": 1}", b"\xff", b"", b"{\"assets\": [1]}"] {
            assert!(compare(body, Second(1), &[]).is_err(), "{body:?}");
        }
    }
}
