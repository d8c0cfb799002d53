//! Paths whose shape another party has defined: crawlers, wallets and chart libraries add parameters of their own.

use super::*;

#[test]
fn parameters_of_crawlers_wallets_and_chart_libraries_are_ignored_where_others_defined_the_path() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let market = format!("XLM_{USDC}");
        let issuer = USDC.trim_start_matches("USDC-");
        let aggregations = format!(
            "/trade_aggregations?base_asset_type=native&counter_asset_type=credit_alphanum4&counter_asset_code=USDC\
             &counter_asset_issuer={issuer}&resolution=3600000"
        );
        for path in [
            "/api/v1/coingecko/pairs?".to_owned(),
            "/api/v1/coingecko/tickers?".to_owned(),
            format!("/api/v1/coingecko/orderbook?ticker_id={market}"),
            format!("/api/v1/coingecko/orderbook?ticker_id={market}&depth="),
            format!("/api/v1/coingecko/historical_trades?ticker_id={market}"),
            format!(
                "/api/v1/coingecko/historical_trades?ticker_id={market}&type=&limit=&start_time=&end_time="
            ),
            "/api/v1/coinmarketcap/summary?".to_owned(),
            "/api/v1/coinmarketcap/assets?".to_owned(),
            "/api/v1/coinmarketcap/ticker?".to_owned(),
            format!("/api/v1/coinmarketcap/orderbook/{market}?"),
            format!("/api/v1/coinmarketcap/orderbook/{market}?depth=&level="),
            format!("/api/v1/coinmarketcap/trades/{market}?"),
            "/api/v1/coinmarketcap/dex?".to_owned(),
            format!("/udf/symbols?symbol={market}"),
            "/udf/search?query=xlm".to_owned(),
            format!("/udf/history?symbol={market}&resolution=60&from=0&to=9999999999"),
            aggregations.clone(),
            format!("{aggregations}&start_time=&end_time=&limit=&order="),
        ] {
            let answer = daemon.get(&format!("{path}&_=1700000000"));
            let place = answer.header("location").map(str::to_owned);
            let answer = place.map_or(answer, |place| daemon.get(&place));
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        }
        // Old versions of js-stellar-sdk add a random number, and `cursor()` a cursor.
        let records = |path: &str| ok(&daemon, path).json()["_embedded"].clone();
        let random = records(&format!("{aggregations}&order=asc&c=0.4711&cursor=1&end_time=1"));
        assert_eq!(random, records(&format!("{aggregations}&order=asc&end_time=1")));
        let twice = daemon.get(&format!("/api/v1/coingecko/orderbook?ticker_id={market}&ticker_id={market}"));
        assert_eq!(twice.status, 400, "which one is meant?");
        a_price_of_now_is_given_though_the_figures_are_a_little_older(&daemon);
    });
}

fn a_price_of_now_is_given_though_the_figures_are_a_little_older(daemon: &Daemon) {
    let now = chrono::Utc::now().timestamp();
    let price = ok(daemon, &format!("/api/v1/assets/XLM/price?at={}", now + 20)).json();
    let at = chrono::DateTime::parse_from_rfc3339(text(&price, "at")).unwrap().timestamp();
    assert!(at <= now + 20 && at > now - 300, "{price}");
    assert_eq!(daemon.get(&format!("/api/v1/assets/XLM/price?at={}", now + 3_600)).status, 400);
}
