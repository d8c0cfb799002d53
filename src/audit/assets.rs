//! `assets.json` against the rows of the valid assets.

use super::{
    Comparison, Unreadable,
    rows::{List, row_of},
    served::{ServedFile, compare_head},
};
use crate::domain::instant::UnixSeconds;

/// How the assets of `assets.json` are compared.
const ASSETS: List = List { key: &["code", "issuer"], kind: "an asset", absent: "it is not valid" };

/// What an asset should be served as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedAsset {
    /// Its code; the file is sorted by this, then the issuer.
    pub code: String,
    /// Its issuer.
    pub issuer: String,
    /// Its whole object in `assets.json`, in any layout.
    pub object: String,
    /// Its whole object in an answer to GraphQL's `assets`.
    pub answer: String,
}

/// Compares a served `assets.json` with what its assets should be.
///
/// # Errors
///
/// [`Unreadable`]: it is no such file at all, or an expected object is none.
pub fn compare(
    body: &[u8],
    as_of: UnixSeconds,
    expected: &[ExpectedAsset],
) -> Result<Comparison, Unreadable> {
    let served = ServedFile::read("assets.json", "assets", body)?;
    let mut comparison = Comparison::default();
    compare_head(&mut comparison, &served.head, as_of);
    let wanted = expected.iter().map(|asset| {
        let row = row_of(&asset.object).map_err(|error| Unreadable::expected("a row of assets", &error))?;
        Ok((vec![asset.code.clone(), asset.issuer.clone()], row))
    });
    ASSETS.compare(&mut comparison, &served.entries, wanted.collect::<Result<_, Unreadable>>()?);
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
        let comparison = compare(&same, UnixSeconds(1), &wanted).unwrap();
        assert_eq!((told(&comparison), comparison.figures), (vec![], 10));
        let other = file(
            r#"{"code": "A", "issuer": "G1", "desc": "<&>", "amount": 1.0000000000000002e-7, "max_number": 9007199254740992,
                "list": ["y", "x"], "issuer_detail": {"url": "", "name": 7}}"#,
        );
        let comparison = compare(&other, UnixSeconds(1), &wanted).unwrap();
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
        let comparison = compare(&served, UnixSeconds(2), &wanted).unwrap();
        assert_eq!(
            told(&comparison),
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
    fn what_is_no_such_file_is_said_to_be_none() {
        for body in [&b"[]"[..], b"{}", b"{\"assets\": 1}", b"\xff", b"", b"{\"assets\": [1]}"] {
            assert!(compare(body, UnixSeconds(1), &[]).is_err(), "{body:?}");
        }
    }
}
