//! Documents against each other: they agree, and a wrong figure of each is named.

use ticker_schemas::agreement::{self, Compared, Format, IdStyle as Style, Reference};

use super::*;

fn reference(view: &ListingView) -> Reference {
    let of = |schema| whole(schema, view, IdStyle::Classic);
    Reference::read(&of("markets"), &of("symbols"), &of("assets")).unwrap()
}

fn assert_same(compared: &Compared, least: usize, name: &str) {
    assert!(compared.differences.is_empty() && compared.entries >= least, "{name}: {compared:?}");
}

#[test]
fn all_formats_agree_and_a_wrong_figure_is_named() {
    let view = view();
    let reference = reference(&view);
    assert_same(reference.own(), 4, "markets");
    assert_eq!(reference.markets().iter().filter(|market| market.is_listed).count(), 4);
    for format in Format::ALL {
        for (style, of) in [(IdStyle::Classic, Style::Classic), (IdStyle::Contract, Style::Contract)] {
            let body = whole(format.schema, &view, style);
            assert_same(&reference.compare(&format, of, &body).unwrap(), 3, format.schema);
        }
        let body = String::from_utf8(whole(format.schema, &view, IdStyle::Classic)).unwrap();
        let (field, figure) = match format.schema {
            "coingecko-pairs" => ("pool_id", body.split("\"pool_id\":\"").nth(1).unwrap()),
            "ccxt-tickers" => ("baseVolume", body.split("\"baseVolume\":").nth(1).unwrap()),
            _ => ("base_volume", body.split("\"base_volume\":").nth(1).unwrap().trim_start_matches('"')),
        };
        let end = figure.find(['"', ',']).unwrap();
        let (last, rest) = (figure[..end].chars().last().unwrap(), &figure[..end - 1]);
        let wrong =
            body.replacen(&figure[..end], &format!("{rest}{}", if last == '1' { '2' } else { '1' }), 1);
        let compared = reference.compare(&format, Style::Classic, wrong.as_bytes()).unwrap();
        assert!(compared.differences.len() == 1 && compared.differences[0].contains(field), "{compared:?}");
    }
    for (style, of) in [(IdStyle::Classic, Style::Classic), (IdStyle::Contract, Style::Contract)] {
        let assets = whole("coinmarketcap-assets", &view, style);
        assert_same(&reference.compare_assets(of, &assets).unwrap(), 3, "assets");
    }
}

#[test]
fn a_day_of_dust_alone_has_the_last_clean_price_in_all_formats() {
    let view = view();
    let reference = reference(&view);
    let dusty = reference.markets().iter().find(|market| market.figure("close") == Some("50")).unwrap();
    for (figure, expected) in [("last", "0.1"), ("high", "0.1"), ("low", "0.1"), ("change_percent", "0")] {
        assert_eq!(dusty.figure(figure), Some(expected), "{figure}");
    }
    let id = dusty.figure("id").unwrap();
    let tickers: Value = serde_json::from_slice(&whole("ccxt-tickers", &view, IdStyle::Classic)).unwrap();
    let ticker = tickers.as_array().unwrap().iter().find(|ticker| ticker["id"] == id).unwrap();
    for (field, expected) in [("open", json!(0.1)), ("average", json!(0.1)), ("vwap", Value::Null)] {
        assert_eq!(ticker[field], expected, "{field}");
    }
}

#[test]
fn every_name_of_a_pair_by_symbols_is_understood() {
    let view = view();
    let reference = reference(&view);
    let mut mixed = 0;
    for market in reference.markets() {
        let name = market.figure("symbols").unwrap();
        let found = view.market_of_symbols(name).map(|market| market.name());
        assert_eq!(found.as_deref(), market.figure("id"), "{name}");
        mixed += usize::from(name.ends_with("_USDC") && name.contains('-'));
    }
    assert!(mixed > 0, "a symbol beside an issuer");
    for strange in ["XLM", "XLM_", "_XLM", "XLM_XLM", "XLM_NONE", "USDC-_XLM"] {
        assert!(view.market_of_symbols(strange).is_none(), "{strange}");
    }
}

#[test]
fn a_missing_a_surplus_and_a_repeated_market_are_named() {
    let view = view();
    let reference = reference(&view);
    let tickers = Format::ALL.into_iter().find(|format| format.schema == "coingecko-tickers").unwrap();
    let compare = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut list: Vec<Value> =
            serde_json::from_slice(&whole("coingecko-tickers", &view, IdStyle::Classic)).unwrap();
        change(&mut list);
        reference.compare(&tickers, Style::Classic, &serde_json::to_vec(&list).unwrap()).unwrap().differences
    };
    assert!(compare(&|_| {}).is_empty());
    assert!(compare(&|list| drop(list.remove(0)))[0].ends_with("is missing"));
    assert!(compare(&|list| list.push(list[0].clone()))[0].ends_with("occurs twice"));
    let surplus = compare(&|list| {
        let mut more = list[0].clone();
        more["ticker_id"] = json!("XLM_NONE");
        list.push(more);
    });
    assert_eq!(surplus, ["XLM_NONE is not a listed market of /v1/markets.json"]);
    let without = compare(&|list| drop(list[1].as_object_mut().unwrap().remove("high")));
    assert!(without[0].contains("high is nothing, expected"), "{without:?}");
    assert!(reference.compare(&tickers, Style::Classic, b"{}").is_err());
}

#[test]
fn contradictions_within_the_own_markets_are_named() {
    let view = view();
    let markets = String::from_utf8(whole("markets", &view, IdStyle::Classic)).unwrap();
    let own_of = |markets: &str| {
        let reference = Reference::read(
            markets.as_bytes(),
            &whole("symbols", &view, IdStyle::Classic),
            &whole("assets", &view, IdStyle::Classic),
        );
        reference.unwrap().own().differences.clone()
    };
    let mut document: Value = serde_json::from_str(&markets).unwrap();
    document["markets"][0]["windows"]["1h"]["buy_volume"] = json!("0.0000001");
    document["markets"][1]["windows"]["24h"]["open"] = json!("100000");
    document["markets"][2] = document["markets"][3].clone();
    let found = own_of(&document.to_string());
    assert_eq!(found.len(), 3, "{found:?}");
    for (difference, part) in found.iter().zip(["of 1h do not add up", "open of 24h", "different ids"]) {
        assert!(difference.contains(part), "{difference}");
    }
    // An average may be outside of the prices by what whole stroops do to a clean trade, and
    // that of dust by any factor.
    let mut document: Value = serde_json::from_str(&markets).unwrap();
    let week = &mut document["markets"][0]["windows"]["7d"];
    for price in ["open", "high", "low", "close"] {
        week[price] = json!("2");
    }
    for (vwap, clean_count, differences) in
        [("2.002", 1, 0), ("1.998", 1, 0), ("2.1", 1, 1), ("1.9", 1, 1), ("900", 0, 0)]
    {
        let week = &mut document["markets"][0]["windows"]["7d"];
        (week["vwap"], week["clean_count"]) = (json!(vwap), json!(clean_count));
        assert_eq!(own_of(&document.to_string()).len(), differences, "{vwap} of {clean_count} clean trades");
    }
}

#[test]
fn trades_bars_and_books_agree_and_a_wrong_one_is_named() {
    let view = view();
    let market = xlm_usdc(&view);
    let of_gecko = TradeQuery { side: None, limit: None, from: NOW.minus(7_200), to: NOW };
    let (own, gecko, cap) = (
        own::trades(&market, NOW.minus(86_400), NOW, usize::MAX),
        bytes_of(|out| coingecko::historical_trades(&market, of_gecko, out)),
        String::from_utf8(bytes_of(|out| coinmarketcap::trades(&market, out))).unwrap(),
    );
    assert_same(&agreement::trades(&own, &gecko, cap.as_bytes()).unwrap(), 400, "trades");
    let first = serde_json::from_str::<Value>(&cap).unwrap()[5]["trade_id"].to_string();
    for (from, to) in
        [("\"type\":\"buy\"", "\"type\":\"sell\""), (first.as_str(), "5"), ("\"price\":", "\"price\":1")]
    {
        let wrong = cap.replacen(from, to, 1);
        let compared = agreement::trades(&own, &gecko, wrong.as_bytes()).unwrap();
        assert_eq!(compared.differences.len(), 1, "{from}: {compared:?}");
    }
    let (candles, bars, records) = (hourly(&view), hourly_bars(&view), hourly_records(&view));
    assert_same(&agreement::udf_history(&bars, &candles).unwrap(), 15, "bars");
    assert_same(&agreement::aggregations(&records, &candles).unwrap(), 3, "records");
    for (field, is_bars) in [("o", true), ("v", true), ("trade_count", false)] {
        let mut wrong: Value = serde_json::from_slice(if is_bars { &bars } else { &records }).unwrap();
        let compared = if is_bars {
            wrong[field][2] = json!(12345);
            agreement::udf_history(wrong.to_string().as_bytes(), &candles)
        } else {
            wrong["_embedded"]["records"][2][field] = json!("12345");
            agreement::aggregations(wrong.to_string().as_bytes(), &candles)
        };
        let differences = compared.unwrap().differences;
        assert!(differences.len() == 1 && differences[0].contains("12345"), "{field}: {differences:?}");
    }
    let levels = levels(&market);
    let own = orderbook::own(&market, &levels, NOW);
    for (schema, book) in [
        ("coingecko-orderbook", orderbook::coingecko(&market, &levels, IdStyle::Classic)),
        ("coinmarketcap-orderbook", orderbook::coinmarketcap(&levels)),
    ] {
        assert_same(&agreement::book(schema, &book, &own).unwrap(), 3, schema);
        let mut wrong: Value = serde_json::from_slice(&book).unwrap();
        wrong["bids"] = json!([["5", "5"], ["4", "1"]]);
        let differences = agreement::book(schema, wrong.to_string().as_bytes(), &own).unwrap().differences;
        assert_eq!(differences.len(), 3, "a level too many, a wrong price, a wrong amount: {differences:?}");
    }
}
