//! Comparison of `assets.json` with the rows of the valid assets.

use super::{
    Comparison, UnreadableError,
    rows::{List, row_of},
    served::{ServedFile, compare_head},
};
use crate::domain::instant::UnixSeconds;

/// Comparison rules for the assets of `assets.json`.
const ASSETS: List = List { key: &["code", "issuer"], kind: "an asset", absent: "the asset is not valid" };

/// Asset as it should be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedAsset {
    /// Code. The file is sorted by code, then issuer.
    pub code: String,
    /// Issuer.
    pub issuer: String,
    /// Expected object in `assets.json`, in any JSON layout.
    pub object: String,
    /// Expected object in GraphQL's `assets`, in any JSON layout.
    pub answer: String,
}

/// Compares a served `assets.json` with the expected assets.
///
/// # Errors
///
/// [`UnreadableError`] if the file or an expected object is not valid JSON.
pub fn compare(
    body: &[u8],
    as_of: UnixSeconds,
    expected: &[ExpectedAsset],
) -> Result<Comparison, UnreadableError> {
    let served = ServedFile::read("assets.json", "assets", body)?;
    let mut comparison = Comparison::default();
    compare_head(&mut comparison, &served.head, as_of);
    let wanted = expected.iter().map(|asset| {
        let row =
            row_of(&asset.object).map_err(|error| UnreadableError::expected("a row of assets", &error))?;
        Ok((vec![asset.code.clone(), asset.issuer.clone()], row))
    });
    ASSETS.compare(&mut comparison, &served.entries, wanted.collect::<Result<_, UnreadableError>>()?);
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(code: &str, object: &str) -> ExpectedAsset {
        ExpectedAsset { code: code.into(), issuer: "G1".into(), object: object.into(), answer: String::new() }
    }

    fn file(assets: &str) -> Vec<u8> {
        format!(
            r#"{{"generated_at": 1000, "generated_at_rfc3339": "1970-01-01T00:00:01Z", "assets": [{assets}]}}"#
        )
        .into_bytes()
    }

    fn differences(comparison: &Comparison) -> Vec<(&str, &str)> {
        comparison.differences.iter().map(|found| (found.entry.as_str(), found.field.as_str())).collect()
    }

    #[test]
    fn values_match_in_any_notation_and_differ_by_their_last_digit() {
        let wanted = [expected(
            "A",
            r#"{"code":"A","issuer":"G1","desc":"<&\u001b>","amount":0.0000001,"max_number":9007199254740993,
                "list":["x","y"],"issuer_detail":{"name":"N","url":""}}"#,
        )];
        let same = file(
            r#"{"code": "A", "issuer": "G1", "desc": "\u003c\u0026\u001b\u003e", "amount": 1e-7, "max_number": 9007199254740993,
                "list": ["x", "y"], "issuer_detail": {"url": "", "name": "N"}}"#,
        );
        let comparison = compare(&same, UnixSeconds(1), &wanted).unwrap();
        assert_eq!((differences(&comparison), comparison.figures), (vec![], 10));
        let other = file(
            r#"{"code": "A", "issuer": "G1", "desc": "<&>", "amount": 1.0000000000000002e-7, "max_number": 9007199254740992,
                "list": ["y", "x"], "issuer_detail": {"url": "", "name": 7}}"#,
        );
        let comparison = compare(&other, UnixSeconds(1), &wanted).unwrap();
        let fields: Vec<&str> = differences(&comparison).into_iter().map(|(_, field)| field).collect();
        assert_eq!(fields, ["amount", "desc", "issuer_detail.name", "list", "max_number"]);
    }

    #[test]
    fn reports_missing_unexpected_and_unordered_assets_and_fields() {
        let wanted = ["A", "B", "C"]
            .map(|code| expected(code, &format!(r#"{{"code": "{code}", "issuer": "G1", "status": ""}}"#)));
        let served = file(
            r#"{"code": "C", "issuer": "G1", "status": ""}, {"code": "A", "issuer": "G1", "extra": 1},
               {"code": "Z", "issuer": "G1", "status": ""}"#,
        );
        let comparison = compare(&served, UnixSeconds(2), &wanted).unwrap();
        assert_eq!(
            differences(&comparison),
            [
                ("", "generated_at"),
                ("", "generated_at_rfc3339"),
                ("A:G1", "code"),
                ("A:G1", "status"),
                ("A:G1", "extra"),
                ("Z:G1", ""),
                ("B:G1", "")
            ]
        );
    }

    #[test]
    fn rejects_bodies_that_are_not_assets_json() {
        for body in [&b"[]"[..], b"{}", b"{\"assets\": 1}", b"\xff", b"", b"{\"assets\": [1]}"] {
            assert!(compare(body, UnixSeconds(1), &[]).is_err(), "{body:?}");
        }
    }
}
