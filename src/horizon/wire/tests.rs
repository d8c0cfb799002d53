use super::*;
use crate::domain::asset::Asset;
use crate::domain::cursor::PagingToken;
use crate::domain::test_support::address;
use proptest::prelude::*;
use serde_json::{Value, json};

fn orderbook_trade() -> Value {
    json!({
        "_links": {"self": {"href": ""}},
        "id": "148329556015616001-3",
        "paging_token": "148329556015616001-3",
        "ledger_close_time": "2021-03-21T04:13:21Z",
        "trade_type": "orderbook",
        "base_offer_id": "501126971",
        "base_account": address(1),
        "base_amount": "19.7340000",
        "base_asset_type": "native",
        "counter_offer_id": "4760015574443003905",
        "counter_account": address(2),
        "counter_amount": "0.0001244",
        "counter_asset_type": "credit_alphanum4",
        "counter_asset_code": "BTC",
        "counter_asset_issuer": address(3),
        "base_is_seller": true,
        "price": {"n": "63", "d": "10000000"}
    })
}

/// The same trade at another place.
fn with_id(record: &Value) -> Value {
    let mut record = record.clone();
    record["paging_token"] = json!("148329556015616001-2");
    record
}

fn bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap().into()
}

fn with(field: &str, value: Value) -> Bytes {
    let mut record = orderbook_trade();
    record[field] = value;
    bytes(&record)
}

#[test]
fn prices_may_be_strings_or_numbers() {
    let new = trade(bytes(&orderbook_trade()), None).unwrap().trade;
    let old = trade(with("price", json!({"n": 63, "d": 10_000_000})), None).unwrap().trade;
    assert_eq!(new, old);
    assert_eq!((new.price_n, new.price_d, new.base_amount.stroops()), (63, 10_000_000, 197_340_000));
    assert_eq!(new.closed_at.to_rfc3339(), "2021-03-21T04:13:21Z");
}

#[test]
fn old_servers_send_less() {
    let mut record = orderbook_trade();
    for field in ["trade_type", "base_offer_id", "counter_offer_id", "_links", "id"] {
        record.as_object_mut().unwrap().remove(field);
    }
    assert!(trade(bytes(&record), None).is_ok());
}

#[test]
fn a_pool_has_no_account() {
    let mut record = orderbook_trade();
    record.as_object_mut().unwrap().remove("counter_account");
    record["counter_liquidity_pool_id"] = json!("ab".repeat(32));
    record["liquidity_pool_fee_bp"] = json!(30);
    let trade = trade(bytes(&record), None).unwrap().trade;
    assert!(trade.counter_account.is_none() && trade.liquidity_pool.is_some());
}

#[test]
fn refuses_invalid_trades_with_token_bytes_and_reason() {
    for (field, value, reason) in [
        ("base_amount", json!("1.23456789"), "at most 7 places"),
        ("base_amount", json!("-1.0"), "negative"),
        ("counter_asset_issuer", json!("GABC"), "checksum"),
        ("counter_asset_code", json!("A\u{0}B"), "letters and digits"),
        ("ledger_close_time", json!("yesterday"), "2019-05-02T12:23:57Z"),
        ("price", json!({"n": "1", "d": "-1"}), "negative"),
        ("price", json!({"n": "9223372036854775808", "d": "1"}), "too large"),
        ("price", json!(null), "invalid type"),
        ("base_is_seller", json!("yes"), "invalid type"),
    ] {
        let raw = with(field, value);
        let refused = trade(raw.clone(), None).unwrap_err();
        assert!(refused.reason.contains(reason), "{field}: {}", refused.reason);
        assert_eq!((refused.token.unwrap().order, refused.raw), (3, raw), "{field}");
    }
}

#[test]
fn the_event_id_is_the_fallback_for_the_token() {
    let refused = trade(Bytes::from_static(b"{\"paging_token\": 7, truncat"), Some("99-1")).unwrap_err();
    assert_eq!(refused.token, PagingToken::new(99, 1));
    assert_eq!(trade(Bytes::from_static(b"<html>"), None).unwrap_err().token, None);
}

#[test]
fn one_invalid_record_does_not_lose_the_page() {
    let mut bad = orderbook_trade();
    bad["base_amount"] = json!("x");
    let page = bytes(&json!({"_embedded": {"records": [orderbook_trade(), bad, orderbook_trade()]}}));
    let records = trades_page(&page).unwrap();
    assert_eq!(records.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn rejects_bodies_that_are_not_pages() {
    for body in ["<html>busy</html>", "", "{}", "{\"_embedded\":{\"records\":[{}", "null"] {
        let body = Bytes::from(body);
        assert!(matches!(trades_page(&body), Err(HorizonError::Unreadable(_))), "{body:?}");
    }
}

/// Makes an asset record as a new server sends it.
fn asset_record() -> Value {
    json!({"_links": {"toml": {"href": "https://tea.example/.well-known/stellar.toml"}}, "asset_code": "TEA",
        "asset_issuer": address(1), "accounts": {"authorized": 12, "unauthorized": 3},
        "balances": {"authorized": "7.0000000"}, "flags": {"auth_required": true, "auth_revocable": false}})
}

fn page_of(records: &[Value]) -> AssetsPage {
    assets_page(&bytes(&json!({"_embedded": {"records": records}}))).unwrap()
}

#[test]
fn assets_of_new_and_old_servers() {
    let mut old = asset_record();
    let fields = old.as_object_mut().unwrap();
    ["accounts", "balances"].into_iter().for_each(|name| drop(fields.remove(name)));
    fields.extend([("num_accounts".to_owned(), json!(12)), ("amount".to_owned(), json!("7.0000000"))]);
    let page = page_of(&[asset_record(), old, json!({"asset_code": "?"})]);
    assert_eq!((page.records.len(), page.count), (2, 3));
    assert_eq!(page.next, Some(format!("TEA_{}_credit_alphanum4", address(1))), "the last valid record");
    assert_eq!(page.records[0], page.records[1]);
    let new = &page.records[0];
    assert_eq!((new.accounts_authorized, new.balances_authorized.stroops()), (12, 70_000_000));
    let toml = "https://tea.example/.well-known/stellar.toml";
    assert_eq!((new.toml_url.as_str(), new.auth_required), (toml, true));
}

#[test]
fn the_supply_may_exceed_an_amount_and_an_invalid_one_is_not_zero() {
    let supply = |text: &str| {
        let mut record = asset_record();
        record["balances"]["authorized"] = text.into();
        page_of(&[record]).records.first().map(|record| record.balances_authorized.stroops())
    };
    assert_eq!(supply("1844674407370.9551614"), Some(2 * i128::from(i64::MAX)));
    assert_eq!(supply("0.0000000"), Some(0));
    for garbled in ["", "many", "-1.0", "1e9"] {
        assert_eq!(supply(garbled), None, "{garbled:?}");
    }
}

/// No missing, null or odd field is taken for "no holders", "no file" or "no such asset".
#[test]
fn an_asset_record_with_a_field_of_another_form_is_unreadable_and_not_unknown() {
    let tea = Asset::issued("TEA", &address(1)).unwrap();
    assert!(matches!(page_of(&[asset_record()]).answer_about(&tea), AssetAnswer::Record(_)));
    assert_eq!(page_of(&[]).answer_about(&tea), AssetAnswer::Unknown);
    assert_eq!(page_of(&[json!({"asset_code": 7})]).answer_about(&tea), AssetAnswer::Unreadable);
    let paths = [
        "/accounts/authorized",
        "/balances/authorized",
        "/flags/auth_required",
        "/flags/auth_revocable",
        "/_links/toml/href",
    ];
    for path in paths {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        for depth in 1..=parts.len() {
            let (last, above) = parts[..depth].split_last().unwrap();
            let above: String = above.iter().map(|part| format!("/{part}")).collect();
            for odd in [None, Some(Value::Null), Some(json!([true]))] {
                let mut record = asset_record();
                let fields = record.pointer_mut(&above).unwrap().as_object_mut().unwrap();
                match odd.clone() {
                    None => drop(fields.remove(*last)),
                    Some(odd) => drop(fields.insert((*last).to_owned(), odd)),
                }
                let answer = page_of(&[record]).answer_about(&tea);
                assert_eq!(answer, AssetAnswer::Unreadable, "{path} {depth} {odd:?}");
            }
        }
    }
}

#[test]
fn only_the_network_and_the_newest_ledger_of_a_root_are_needed() {
    let parsed = |elder: Value, core: Value| {
        let document = json!({"network_passphrase": "Test", "history_latest_ledger": 9,
            "history_elder_ledger": elder, "core_latest_ledger": core});
        let root = root(&bytes(&document)).unwrap();
        (root.history_latest_ledger, root.history_elder_ledger, root.core_latest_ledger)
    };
    assert_eq!(parsed(json!(2), json!(10)), (9, 2, 10));
    assert_eq!(parsed(json!("2"), Value::Null), (9, 2, 0));
    for odd in [json!(-1), json!(1.5), json!("x"), json!([2]), json!(1_u64 << 40)] {
        assert_eq!(parsed(odd.clone(), odd.clone()), (9, 0, 0), "{odd}");
    }
    let needed = root(&bytes(&json!({"network_passphrase": "Test", "history_latest_ledger": null})));
    assert!(needed.is_err());
}

#[test]
fn a_page_with_far_more_records_than_any_request_asks_for_is_refused_as_a_whole() {
    let page = |records: usize| bytes(&json!({"_embedded": {"records": vec![0; records]}}));
    assert_eq!(trades_page(&page(PAGE_RECORDS_MAX)).unwrap().len(), PAGE_RECORDS_MAX);
    assert_eq!(assets_page(&page(PAGE_RECORDS_MAX)).unwrap().count, PAGE_RECORDS_MAX);
    let too_many = page(PAGE_RECORDS_MAX + 1);
    assert!(matches!(trades_page(&too_many), Err(HorizonError::Unreadable(_))));
    assert!(matches!(assets_page(&too_many), Err(HorizonError::Unreadable(_))));
}

#[test]
fn a_message_repeats_little_of_what_a_server_sent() {
    let endless = "\u{e9}".repeat(1_000_000);
    let document = json!({"network_passphrase": endless, "history_latest_ledger": 9});
    assert!(root(&bytes(&document)).unwrap().shown_passphrase().len() < 1_000);
    let document = json!({"network_passphrase": "Test", "history_latest_ledger": endless});
    let message = root(&bytes(&document)).unwrap_err().to_string();
    assert!(message.contains("invalid type") && message.len() < 1_000, "{} bytes", message.len());
    let page = json!({"_embedded": {"records": endless}});
    assert!(trades_page(&bytes(&page)).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn the_next_page_begins_after_the_last_record_even_if_invalid() {
    let token = |code: &str| format!("{code}_{}_credit_alphanum4", address(1));
    let next = |records: &[Value]| page_of(records).next;
    assert_eq!(next(&[json!({"paging_token": token("TEA")})]), Some(token("TEA")));
    let mut odd_token = asset_record();
    odd_token["paging_token"] = "x".into();
    assert_eq!(next(&[odd_token]), Some(token("TEA")), "the identity of a record is its token");
    let odd = ["x", "TEA&limit=1", "TEA_GA_credit_alphanum4", &token("TEA").replace("num4", "num12"), ""];
    for refused in odd {
        let record = json!({"paging_token": refused});
        assert_eq!(next(std::slice::from_ref(&record)), None, "{refused:?}: Horizon would refuse it");
        assert_eq!(next(&[asset_record(), record]), Some(token("TEA")), "{refused:?}");
    }
    assert_eq!(page_of(&[]), AssetsPage::default());
}

#[test]
fn books_use_exact_prices() {
    let level =
        |n: Value, amount: &str| json!({"price_r": {"n": n, "d": 3}, "price": "0.3333333", "amount": amount});
    let book = |bid: Value| bytes(&json!({"bids": [bid], "asks": [], "base": {"asset_type": "native"}}));
    let read = order_book(&book(level(json!(1), "2.5"))).unwrap();
    assert_eq!((read.bids[0].price.n(), read.bids[0].price.d(), read.asks.len()), (1, 3, 0));
    assert_eq!(order_book(&book(level(json!("1"), "2.5"))).unwrap(), read, "prices as numbers or strings");
    let many = order_book(&book(level(json!(1), "1844674407370.9551614"))).unwrap();
    assert_eq!(many.bids[0].amount.stroops(), 2 * i128::from(i64::MAX), "the offers of a level are summed");
    let huge = level(json!(i64::MAX), "17014118346046923173168730371588.4105727");
    for bad in
        [level(json!(0), "1"), level(json!(1), "-1"), level(json!(1), "x"), json!({"price": "1"}), huge]
    {
        assert!(matches!(order_book(&book(bad)), Err(HorizonError::Unreadable(_))));
    }
}

#[test]
fn a_side_of_a_book_ends_at_200_levels() {
    let level = json!({"price_r": {"n": 1, "d": 3}, "price": "0.3333333", "amount": "1"});
    let book = json!({"bids": vec![level.clone(); 201], "asks": vec![level; 200]});
    let read = order_book(&bytes(&book)).unwrap();
    assert_eq!((read.bids.len(), read.asks.len()), (200, 200));
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let body = Bytes::from(body);
        let _ = (trade(body.clone(), Some("x")), trades_page(&body), assets_page(&body), root(&body));
        let _ = order_book(&body);
    }

    #[test]
    fn any_text_in_any_field_is_parsed_or_refused(text in "\\PC*", field in 0..16_usize) {
        let names: Vec<String> = orderbook_trade().as_object().unwrap().keys().cloned().collect();
        let raw = with(&names[field % names.len()], json!(text));
        let _ = trade(raw, None);
    }
}

#[test]
fn one_record_that_is_not_utf_8_spoils_no_other() {
    let good = bytes(&orderbook_trade());
    let mut bad = bytes(&with_id(&orderbook_trade())).to_vec();
    let at = bad.windows(5).position(|part| part == b"\"BTC\"").unwrap();
    bad[at + 2] = 0xff;
    let page = [b"{\"_embedded\":{\"records\":[".as_slice(), &good, b",", &bad, b"]}}"].concat();
    let records = trades_page(&page.into()).unwrap();
    let [Ok(_), Err(refused)] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(refused.token, "148329556015616001-2".parse().ok(), "its place is known");
}
