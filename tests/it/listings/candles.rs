//! Candles and Horizon's `/trade_aggregations`, against a recomputation by SQL.

use stellar_ticker::domain::candles::Interval;

use super::*;

/// Buckets of the busiest market by SQL: start, trades, base, counter, first and last price as
/// numerator and denominator.
pub(super) async fn buckets(
    client: &tokio_postgres::Client,
    seconds: i64,
) -> Vec<(i64, i64, i128, i128, [i64; 4])> {
    let sql = "SELECT (extract(epoch FROM ledger_close_time)::bigint / $1) * $1, count(*),
                      sum(base_amount)::text, sum(counter_amount)::text,
                      (array_agg(price_n ORDER BY toid, trade_order) FILTER (WHERE price_n > 0 AND price_d > 0))[1],
                      (array_agg(price_d ORDER BY toid, trade_order) FILTER (WHERE price_n > 0 AND price_d > 0))[1],
                      (array_agg(price_n ORDER BY toid DESC, trade_order DESC) FILTER (WHERE price_n > 0 AND price_d > 0))[1],
                      (array_agg(price_d ORDER BY toid DESC, trade_order DESC) FILTER (WHERE price_n > 0 AND price_d > 0))[1]
               FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
               WHERE b.issuer = 'native' AND c.code || '-' || c.issuer = $2 GROUP BY 1 ORDER BY 1";
    let rows = client.query(sql, &[&seconds, &USDC]).await.unwrap();
    rows.iter()
        .map(|row| {
            let sum = |at: usize| row.get::<_, &str>(at).parse().unwrap();
            let prices = [4, 5, 6, 7].map(|at| row.get(at));
            (row.get(0), row.get(1), sum(2), sum(3), prices)
        })
        .collect()
}

pub(super) fn millis(record: &Value) -> i64 {
    text(record, "timestamp").parse().unwrap()
}

#[test]
fn trade_aggregations_equal_a_recomputation_in_both_directions_and_orders() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let client = recomputation::connect(&daemon.database).await;
        let issuer = USDC.strip_prefix("USDC-").unwrap();
        let usdc = |side: &str| {
            format!("{side}_asset_type=credit_alphanum4&{side}_asset_code=USDC&{side}_asset_issuer={issuer}")
        };
        for resolution in [60, 300, 3_600, 86_400] {
            let expected = buckets(&client, resolution).await;
            let start = expected[0].0 * 1_000;
            let ask = |sides: &str, more: &str| {
                let path = format!(
                    "/trade_aggregations?{sides}&resolution={}&start_time={start}&limit=200{more}",
                    resolution * 1_000
                );
                ok(&daemon, &path).json()["_embedded"]["records"].as_array().unwrap().clone()
            };
            let there = format!("base_asset_type=native&{}", usdc("counter"));
            let records = ask(&there, "");
            assert_eq!(records.len(), expected.len());
            for (record, (at, count, base, counter, prices)) in records.iter().zip(&expected) {
                assert_eq!(millis(record), at * 1_000);
                assert_eq!(text(record, "trade_count"), count.to_string());
                assert_amount(&record["base_volume"], Some(*base), "base");
                assert_amount(&record["counter_volume"], Some(*counter), "counter");
                let ratio = |field: &str| {
                    [text(&record[field], "n"), text(&record[field], "d")].map(ToOwned::to_owned)
                };
                assert_eq!(ratio("open_r"), [prices[0], prices[1]].map(|number| number.to_string()));
                assert_eq!(ratio("close_r"), [prices[2], prices[3]].map(|number| number.to_string()));
            }
            let mut newest_first = ask(&there, "&order=desc");
            newest_first.reverse();
            assert_eq!(newest_first, records);
            let back = ask(&format!("{}&counter_asset_type=native", usdc("base")), "");
            for (back, there) in back.iter().zip(&records) {
                assert_eq!(
                    (&back["base_volume"], &back["open_r"]["n"]),
                    (&there["counter_volume"], &there["open_r"]["d"])
                );
                assert_eq!(
                    (&back["high_r"]["n"], &back["low_r"]["d"]),
                    (&there["low_r"]["d"], &there["high_r"]["n"])
                );
            }
        }
        pages_follow_each_other(&daemon, &usdc("counter"));
        for (query, status) in [
            ("base_asset_type=native&counter_asset_type=native&resolution=60000".to_owned(), 400),
            (format!("base_asset_type=native&{}", usdc("counter")), 400),
            (format!("base_asset_type=native&{}&resolution=61000", usdc("counter")), 400),
            (format!("base_asset_type=native&{}&resolution=60000&limit=201", usdc("counter")), 400),
            (format!("base_asset_type=native&{}&resolution=86400000&offset=1", usdc("counter")), 400),
        ] {
            assert_eq!(daemon.get(&format!("/trade_aggregations?{query}")).status, status, "{query}");
        }
        // Older segments than those that are held are left out, as in Horizon.
        let of_all =
            format!("/trade_aggregations?base_asset_type=native&{}&resolution=86400000", usdc("counter"));
        let records = |more: &str| {
            ok(&daemon, &format!("{of_all}{more}")).json()["_embedded"]["records"].as_array().unwrap().len()
        };
        assert!(records("") > 0);
        assert_eq!(records("&start_time=1"), records(""));
        assert_eq!(records("&start_time=1&end_time=86400000"), 0);
        let unknown = usdc("counter").replace("=USDC", "=NONE");
        let none =
            ok(&daemon, &format!("/trade_aggregations?base_asset_type=native&{unknown}&resolution=60000"));
        assert_eq!(none.json()["_embedded"]["records"].as_array().unwrap().len(), 0);
    });
}

/// The link `next` leads through all buckets, each once.
fn pages_follow_each_other(daemon: &Daemon, counter: &str) {
    let first = format!("/trade_aggregations?base_asset_type=native&{counter}&resolution=60000&limit=7");
    let (mut path, mut seen) = (first, Vec::new());
    loop {
        let page = ok(daemon, &path).json();
        let records = page["_embedded"]["records"].as_array().unwrap();
        if records.is_empty() {
            break;
        }
        seen.extend(records.iter().map(millis));
        let next = text(&page["_links"]["next"], "href");
        path = format!("/{}", next.splitn(4, '/').nth(3).unwrap());
    }
    assert!(seen.len() > 50 && seen.is_sorted_by(|one, other| one < other), "{seen:?}");
}

#[test]
fn candles_equal_a_recomputation_and_filled_ones_have_no_holes() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let client = recomputation::connect(&daemon.database).await;
        let path = |more: &str| format!("/api/v1/markets/XLM_{USDC}/candles?limit=1000{more}");
        let trades = recomputed::trades(&client, 0).await;
        // The busiest market, and a part of the others.
        let (busiest, all) = (format!("XLM_{USDC}"), recomputed::markets(&client, 0).await);
        let markets = all.keys().step_by(4).chain([&busiest]);
        for (market, interval) in markets.flat_map(|market| Interval::ALL.map(|of| (market, of))) {
            let expected = recomputed::candles(&trades, market, interval);
            let what = format!("{market} {}", interval.name());
            let question = format!("interval={}&limit=1000", interval.name());
            let answer = ok(&daemon, &format!("/api/v1/markets/{market}/candles?{question}")).json();
            let candles = answer["candles"].as_array().unwrap();
            assert_eq!(candles.len(), expected.len(), "{what}");
            for (candle, (at, stats)) in candles.iter().zip(&expected) {
                assert_eq!(stored::seconds(candle, "time"), *at, "{what}");
                recomputed::compare_candle(candle, stats, &what);
            }
        }
        let minutes = ok(&daemon, &path("&interval=1m&fill=true")).json();
        let times: Vec<i64> = minutes["candles"]
            .as_array()
            .unwrap()
            .iter()
            .map(|candle| chrono::DateTime::parse_from_rfc3339(text(candle, "time")).unwrap().timestamp())
            .collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 60), "{times:?}");
        assert!(minutes["candles"].as_array().unwrap().iter().all(|candle| candle["close"].is_string()));
        let complete = minutes["candles"][1]["complete"].as_bool();
        assert_eq!(complete, Some(true), "all ledgers of the second minute are known");
        for (more, status) in
            [("&interval=2m", 400), ("&fill=yes", 400), ("&from=1", 410), ("&interval=1w", 200)]
        {
            assert_eq!(daemon.get(&path(more)).status, status, "{more}");
        }
        assert_eq!(daemon.get(&format!("/api/v1/markets/XLM_{USDC}/candles?limit=1001")).status, 400);
    });
}

#[test]
fn a_chart_library_finds_a_market_and_reads_its_bars() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let config = ok(&daemon, "/udf/config").json();
        assert_eq!(
            (config["supports_search"].as_bool(), config["supports_time"].as_bool()),
            (Some(true), Some(true))
        );
        let found = ok(&daemon, "/udf/search?query=xlm%2Fusdc&limit=5").json();
        let name = format!("XLM_{USDC}");
        let symbol = found.as_array().unwrap().iter().find(|found| found["ticker"] == name.as_str()).unwrap();
        let symbol = ok(&daemon, &format!("/udf/symbols?symbol={}", text(symbol, "ticker"))).json();
        assert_eq!((text(&symbol, "ticker"), text(&symbol, "session")), (name.as_str(), "24x7"));
        for (resolution, interval) in [("1", "1m"), ("5", "5m"), ("60", "1h"), ("1D", "1d"), ("D", "1d")] {
            let candles =
                ok(&daemon, &format!("/api/v1/markets/{name}/candles?interval={interval}&limit=1000")).json();
            let bars = ok(
                &daemon,
                &format!("/udf/history?symbol={name}&resolution={resolution}&from=0&to=9999999999"),
            );
            let bars = bars.json();
            let candles = candles["candles"].as_array().unwrap();
            assert_eq!(text(&bars, "s"), "ok");
            for field in ["t", "o", "h", "l", "c", "v"] {
                assert_eq!(bars[field].as_array().unwrap().len(), candles.len(), "{resolution} {field}");
            }
            for (place, candle) in candles.iter().enumerate() {
                for (ours, theirs) in
                    [("open", "o"), ("high", "h"), ("low", "l"), ("close", "c"), ("base_volume", "v")]
                {
                    let ours: f64 = text(candle, ours).parse().unwrap();
                    assert_eq!(bars[theirs][place].as_f64(), Some(ours), "{resolution} {candle}");
                }
            }
        }
        let three = ok(
            &daemon,
            &format!("/udf/history?symbol={name}&resolution=1&from=9999999998&to=9999999999&countback=3"),
        );
        assert_eq!(three.json()["t"].as_array().unwrap().len(), 3, "countback wins over from");
        let none =
            ok(&daemon, &format!("/udf/history?symbol={name}&resolution=1&from=9999999998&to=9999999999"))
                .json();
        assert_eq!((text(&none, "s"), none["nextTime"].is_i64()), ("no_data", true));
        for path in [
            "/udf/symbols?symbol=NONE".to_owned(),
            "/udf/history?symbol=XLM_NONE&resolution=1".to_owned(),
            format!("/udf/history?symbol={name}&resolution=7"),
        ] {
            assert_eq!(text(&ok(&daemon, &path).json(), "s"), "error", "{path}");
        }
        let time: i64 = String::from_utf8(ok(&daemon, "/udf/time").body).unwrap().parse().unwrap();
        assert!((time - chrono::Utc::now().timestamp()).abs() < 60);
    });
}

#[test]
fn graphql_has_the_trades_and_candles_of_the_api() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let name = format!("XLM_{USDC}");
        let ask = |query: &str| {
            let body = serde_json::json!({ "query": query }).to_string();
            let answer = daemon.post("/graphql", "content-type: application/json\r\n", body.as_bytes());
            assert_eq!(answer.status, 200);
            answer.json()
        };
        let query = format!(
            "{{ trades(market: \"{name}\", first: 7, orderBy: timestamp) {{ id timestamp type price baseAmount quoteAmount maker
               pair {{ id token0 {{ symbol }} token1 {{ id symbol __typename }} }} }}
               candles(market: \"{name}\", interval: \"5m\", first: 5) {{ time open close vwap baseVolume tradeCount }}
               newest: trades(first: 3) {{ timestamp }} }}"
        );
        let data = ask(&query)["data"].clone();
        let trades = ok(&daemon, &format!("/api/v1/markets/{name}/trades?limit=7")).json()["trades"].clone();
        let (ours, theirs) = (data["trades"].as_array().unwrap(), trades.as_array().unwrap());
        assert_eq!((ours.len(), theirs.len()), (7, 7));
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours["id"], theirs["paging_token"]);
            for (field, of_api) in [
                ("type", "type"),
                ("price", "price"),
                ("maker", "maker"),
                ("baseAmount", "base_amount"),
                ("quoteAmount", "quote_amount"),
            ] {
                assert_eq!(ours[field], theirs[of_api], "{ours} {theirs}");
            }
            let pair = serde_json::json!({"id": name, "token0": {"symbol": "XLM"},
                "token1": {"id": USDC, "symbol": "USDC", "__typename": "Token"}});
            assert_eq!(ours["pair"], pair);
        }
        let candles = ok(&daemon, &format!("/api/v1/markets/{name}/candles?interval=5m&limit=5")).json();
        let (ours, theirs) = (&data["candles"], candles["candles"].as_array().unwrap());
        assert_eq!(ours.as_array().unwrap().len(), 5);
        for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs) {
            for (field, of_api) in [
                ("time", "time"),
                ("open", "open"),
                ("close", "close"),
                ("vwap", "vwap"),
                ("baseVolume", "base_volume"),
                ("tradeCount", "trade_count"),
            ] {
                assert_eq!(ours[field], theirs[of_api], "{ours} {theirs}");
            }
        }
        let newest: Vec<i64> =
            data["newest"].as_array().unwrap().iter().map(|of| of["timestamp"].as_i64().unwrap()).collect();
        assert!(newest.len() == 3 && newest.is_sorted_by(|one, other| one >= other), "{newest:?}");
        for query in [
            "{ trades(first: 1001) { id } }",
            "{ trades(first: 0) { id } }",
            "{ trades(market: \"XLM\") { id } }",
            "{ candles(market: \"XLM_XLM\") { time } }",
            "{ candles(market: \"XLM_XLM\", interval: \"2m\") { time } }",
            "{ trades(orderBy: price) { id } }",
        ] {
            assert!(ask(query)["errors"].is_array(), "{query}");
        }
    });
}
