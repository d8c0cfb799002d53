//! Figures that are sums or choices of trades: volumes of past windows, and explanations.

use serde_json::Value;

use super::{USDC, daemon, horizon, ok, text};
use crate::support::network::block_on;

#[test]
fn volumes_of_past_windows_are_sums_of_the_trades() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let market = format!("XLM_{USDC}");
        let stroops = |value: &Value| -> i128 {
            let (whole, fraction) =
                value.as_str().unwrap().split_once('.').unwrap_or((value.as_str().unwrap(), ""));
            format!("{whole}{fraction:0<7}").parse().unwrap()
        };
        // Half an hour that is over, so that no trade joins it.
        let now = chrono::Utc::now().timestamp();
        let (from, to) = (now - 2_400, now - 600);
        let trades =
            ok(&daemon, &format!("/api/v1/markets/{market}/trades?from={from}&to={}&limit=10000", to - 1));
        let trades = trades.json()["trades"].as_array().unwrap().clone();
        let sum = |maker: &str| -> i128 {
            let of = trades.iter().filter(|trade| maker.is_empty() || trade["maker"] == maker);
            of.map(|trade| stroops(&trade["quote_amount"])).sum()
        };
        let window = format!("from={from}&to={to}");
        for interval in ["1h", "1d"] {
            let answer =
                ok(&daemon, &format!("/api/v1/volume?market={market}&{window}&interval={interval}")).json();
            let buckets = answer["buckets"].as_array().unwrap();
            let total = |field: &str| -> i128 { buckets.iter().map(|bucket| stroops(&bucket[field])).sum() };
            assert!(sum("") > 0, "there are trades");
            assert_eq!((total("quote_volume"), total("pool_volume")), (sum(""), sum("pool")), "{answer}");
            assert_eq!(total("book_volume"), sum("book"));
            // USDC is an anchor: a unit is a dollar.
            assert_eq!(total("usd_volume"), sum(""));
            let count: u64 = buckets.iter().map(|bucket| bucket["trade_count"].as_u64().unwrap()).sum();
            assert_eq!(count, u64::try_from(trades.len()).unwrap());
        }
        // An asset has the trades of all of its markets.
        let count = |question: &str| -> u64 {
            let answer = ok(&daemon, &format!("/api/v1/volume?{question}&{window}")).json();
            answer["buckets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|bucket| bucket["trade_count"].as_u64().unwrap())
                .sum()
        };
        let markets = ok(&daemon, &format!("/api/v1/markets?base={USDC}&limit=1000")).json();
        let quoted = ok(&daemon, &format!("/api/v1/markets?quote={USDC}&limit=1000")).json();
        let of_usdc = [markets, quoted].map(|list| list["markets"].as_array().unwrap().clone()).concat();
        let names = of_usdc.iter().map(|market| text(market, "id"));
        assert_eq!(
            names.map(|name| count(&format!("market={name}"))).sum::<u64>(),
            count(&format!("asset={USDC}"))
        );
        for (question, status) in [
            ("", 400),
            ("asset=XLM&market=XLM", 400),
            ("asset=XLM&interval=1m", 400),
            ("asset=XLM&from=1", 410),
            ("market=XLM_XLM", 404),
        ] {
            assert_eq!(daemon.get(&format!("/api/v1/volume?{question}")).status, status, "{question}");
        }
    });
}

#[test]
fn every_figure_of_every_window_is_explained_by_its_trades() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let market = format!("/api/v1/markets/XLM_{USDC}");
        for window in ["1h", "24h", "7d"] {
            let shown = ok(&daemon, &market).json()["windows"][window].clone();
            // The tests' network began a few hours ago, so nobody knows a whole day of it.
            assert_eq!(shown["complete"], window == "1h", "{window}");
            let fields = shown.as_object().unwrap().keys().filter(|field| *field != "complete");
            for field in fields {
                let explained =
                    ok(&daemon, &format!("{market}/explain?field={field}&window={window}")).json();
                assert_eq!(explained["agrees"], true, "{explained:#}");
                let trades = &explained["trades"];
                let left_out = trades["left_out"].as_array().unwrap();
                let left_out: u64 = left_out.iter().map(|line| line["count"].as_u64().unwrap()).sum();
                assert_eq!(
                    trades["counted"].as_u64().unwrap() + left_out,
                    trades["in_window"].as_u64().unwrap()
                );
                // The deciding trade of a price has that price.
                if ["open", "high", "low", "close"].iter().any(|price| field.starts_with(price)) {
                    assert_eq!(explained["deciding"][0]["price"], explained["value"], "{explained:#}");
                }
            }
        }
        for (question, status) in
            [("field=height", 404), ("", 400), ("field=high&window=2h", 400), ("field=high&from=1", 400)]
        {
            assert_eq!(daemon.get(&format!("{market}/explain?{question}")).status, status, "{question}");
        }
    });
}
