//! Selections by more than one argument, or in more than one unit.

use super::*;

pub(super) fn check(daemon: &Daemon) {
    code_and_issuer_are_of_one_side(daemon);
    any_letter_of_a_path_may_be_encoded(daemon);
}

fn code_and_issuer_are_of_one_side(daemon: &Daemon) {
    let found = |query: &str| {
        let markets = ok(daemon, &format!("/api/v1/markets?{query}")).json();
        markets["markets"].as_array().unwrap().len()
    };
    let issuer = USDC.split_once('-').unwrap().1;
    assert!(found("code=XLM") > 0 && found(&format!("code=USDC&issuer={issuer}")) > 0);
    assert_eq!(found(&format!("code=XLM&issuer={issuer}")), 0);
}

fn any_letter_of_a_path_may_be_encoded(daemon: &Daemon) {
    for path in ["/api/v1/contract/ccxt/ticker", "/api/v1/ccxt/ticker"] {
        let id = |path: &str| ok(daemon, &format!("{path}?symbol=XLM/USDC")).json()["id"].clone();
        assert_eq!(id(&path.replace("ticker", "tick%65r")), id(path), "{path}");
    }
}

/// CoinGecko's trades, of which the answer for one day is given.
pub(super) fn times_may_be_in_milliseconds(daemon: &Daemon, name: &str, of_day: &Value) {
    let bought = of_day["buy"].as_array().unwrap();
    let since = bought.get(bought.len() / 2).unwrap()["trade_timestamp"].as_i64().unwrap();
    let path = format!("/api/v1/coingecko/historical_trades?ticker_id={name}&type=buy&start_time=");
    // Ledgers may follow between two answers.
    let oldest =
        |since: i64| ok(daemon, &format!("{path}{since}")).json()["buy"].as_array().unwrap().last().cloned();
    let by_second = oldest(since / 1_000);
    assert!(by_second.is_some() && by_second == oldest(since));
    assert_eq!(by_second.unwrap()["trade_timestamp"], since);
    let not_asked = ok(daemon, &format!("{path}{since}")).json()["sell"].clone();
    assert!(not_asked.as_array().is_some_and(Vec::is_empty), "{not_asked}");
}
