use serde_json::{Value, json};

use super::*;
use crate::{audit::assets::ExpectedAsset, domain::cursor::PagingToken};

const AS_OF: UnixSeconds = UnixSeconds(1_795_457_237);

fn sums(toid: i64, count: i64) -> TradeSums {
    let at = |toid| PagingToken { toid, order: 0 };
    TradeSums {
        trade_count: count,
        base_volume: 10_000_001,
        counter_volume: i128::from(i64::MAX) * 3,
        open: Some((at(toid), (1, 3))),
        low: Some((1, 7)),
        high: Some((5, 2)),
        close: Some((at(toid + 1), (2, 3))),
        times: Some((AS_OF.minus(600), AS_OF.minus(60))),
    }
}

fn side(code: &str, issuer: &str, pair_code: &str) -> Side {
    Side { code: code.into(), issuer: issuer.into(), pair_code: pair_code.into() }
}

/// XLM/BRL, which has a book, and XLM/BRLT, which is anchored to BRL and traded later. A third market traded only
/// before the requested hours.
fn expected() -> Expected {
    let book =
        PairBook { bid_count: 2, bid_volume: 0.3, bid_max: 1.1, ask_count: 4, ask_volume: 7.7, ask_min: 1.3 };
    let market = |counter, toid, book| ExpectedMarket {
        base: side("XLM", "native", "XLM"),
        counter,
        recent: sums(toid, 3),
        week: sums(toid, 3),
        book,
    };
    let old = ExpectedMarket { recent: TradeSums::default(), ..market(side("OLD", "G3", "OLD"), 1, None) };
    Expected {
        markets: vec![
            old,
            market(side("BRLT", "G2", "BRL"), 20, None),
            market(side("BRL", "G1", "BRL"), 10, Some(book)),
        ],
        assets: vec![ExpectedAsset {
            code: "BRL".into(),
            issuer: "G1".into(),
            object: String::new(),
            answer: r#"{"code":"BRL","issuerAccount":"G1","amount":0.0000001}"#.into(),
        }],
        issuers: vec![("G1".into(), r#"{"publicKey":"G1","name":"<&>"}"#.into())],
    }
}

fn row(name: &str, count: i64, base_volume: f64, counter_volume: f64, book: bool) -> Value {
    let (close, open) = (2.0 / 3.0, 1.0 / 3.0);
    let spread = (1.3 - 1.1) / 1.3;
    let book = if book {
        json!({"bidCount": 2, "bidVolume": 0.1 + 0.2, "bidMax": 1.1, "askCount": 4, "askVolume": 7.7, "askMin": 1.3,
               "spread": spread, "spreadMidPoint": 1.1 + spread / 2.0})
    } else {
        json!({"bidCount": 0, "bidVolume": 0.0, "bidMax": 0.0, "askCount": 0, "askVolume": 0.0, "askMin": 0.0,
               "spread": 0.0, "spreadMidPoint": 0.0})
    };
    json!({"tradePair": name, "baseVolume": base_volume, "counterVolume": counter_volume, "tradeCount": count,
           "open": open, "low": 1.0 / 7.0, "high": 2.5, "close": close, "change": close - open,
           "intervalStart": AS_OF.minus(7 * HOUR).to_rfc3339(), "firstLedgerCloseTime": AS_OF.minus(600).to_rfc3339(),
           "lastLedgerCloseTime": AS_OF.minus(60).to_rfc3339(), "orderbookStats": book})
}

fn answer() -> Value {
    let counter = 2_767_011_611_056.432_7;
    let market = |code: &str, issuer: &str, book| {
        let mut row = row(&format!("XLM:native / {code}:{issuer}"), 3, 1.000_000_1, counter, book);
        for (field, value) in [
            ("baseAssetCode", "XLM"),
            ("baseAssetIssuer", "native"),
            ("counterAssetCode", code),
            ("counterAssetIssuer", issuer),
        ] {
            row[field] = value.into();
        }
        row
    };
    json!({"data": {
        "markets": [market("BRL", "G1", true), market("BRLT", "G2", false)],
        "ticker": [row("XLM_BRL", 6, 2.000_000_2, 5_534_023_222_112.865, true)],
        "assets": [{"code": "BRL", "issuerAccount": "G1", "amount": 1e-7}],
        "issuers": [{"publicKey": "G1", "name": "<&>"}],
    }})
}

fn differences(answer: &Value) -> Vec<(String, String)> {
    let comparison = compare(answer.to_string().as_bytes(), AS_OF, 7, &expected()).unwrap();
    comparison.differences.into_iter().map(|found| (found.entry, found.field)).collect()
}

#[test]
fn a_correct_answer_has_no_differences() {
    assert_eq!(differences(&answer()), []);
    let comparison = compare(answer().to_string().as_bytes(), AS_OF, 7, &expected()).unwrap();
    assert_eq!((comparison.entries, comparison.figures), (5, 2 * 24 + 20 + 3 + 2));
}

#[test]
fn every_field_of_every_list_is_compared() {
    let right = answer();
    let mut changed = 0;
    for (root, rows) in right["data"].as_object().unwrap() {
        for (place, row) in rows.as_array().unwrap().iter().enumerate() {
            let own = row.as_object().unwrap().keys().map(|name| vec![name.as_str()]);
            let book = row.get("orderbookStats").and_then(Value::as_object);
            let of_book = book.into_iter().flat_map(serde_json::Map::keys);
            let of_book = of_book.map(|name| vec!["orderbookStats", name.as_str()]);
            for path in own.filter(|path| path != &["orderbookStats"]).chain(of_book) {
                let mut wrong = right.clone();
                let value = path.iter().fold(&mut wrong["data"][root][place], |row, name| &mut row[*name]);
                *value = match &*value {
                    Value::String(text) => format!("{text}x").into(),
                    Value::Number(number) => (number.as_f64().unwrap() * 1.000_001 + 1e-6).into(),
                    other => panic!("{other}"),
                };
                assert!(!differences(&wrong).is_empty(), "{root} {place} {path:?}");
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 2 * 24 + 20 + 3 + 2);
}

#[test]
fn reports_missing_repeated_and_unordered_rows() {
    let mut wrong = answer();
    wrong["data"]["markets"].as_array_mut().unwrap().reverse();
    assert_eq!(differences(&wrong), [("XLM:native / BRL:G1".into(), "tradePair".into())]);
    for root in ["markets", "ticker", "assets", "issuers"] {
        let mut wrong = answer();
        let rows = wrong["data"][root].as_array_mut().unwrap();
        let gone = rows.remove(0);
        assert_eq!(differences(&wrong).len(), 1, "{root}");
        let rows = wrong["data"][root].as_array_mut().unwrap();
        rows.insert(0, gone.clone());
        rows.insert(0, gone);
        assert_eq!(differences(&wrong).len(), 2, "{root}: repeated, and then unexpected");
    }
}

#[test]
fn rejects_bodies_that_are_not_answers() {
    for body in ["[]", "{}", r#"{"data": 1}"#, r#"{"data": null, "errors": [{"message": "no"}]}"#, ""] {
        assert!(compare(body.as_bytes(), AS_OF, 7, &expected()).is_err(), "{body}");
    }
}
