//! Trades that set no price, whose candles have none: they use up no limit, and hide no candle before or after them.

use super::{
    stored::{DAY, HOUR, list, priced_trade, seconds, write},
    *,
};

const COFFEE: &str = "COFFEE-GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC";
/// A market that traded a week ago the last time.
pub(super) const MILK: &str = "MILK-GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC";
/// Hours with a trade each, half of them older than memory.
const HOURS: i64 = 14 * 24;

/// Every fifth hour has a price.
const fn has_price(number: i64) -> bool {
    number % 5 == 2
}

/// Start of each hour with a trade, and whether that trade has a price.
async fn write_trades(daemon: &Daemon, client: &tokio_postgres::Client) -> Vec<(i64, bool)> {
    let now = chrono::Utc::now().timestamp();
    let begin = now - now.rem_euclid(HOUR) - HOURS * HOUR;
    let price = |number| if has_price(number) { (1 + number % 7, 9) } else { (0, 0) };
    let mut trades = Vec::new();
    for number in 0..HOURS {
        let second = begin + number * HOUR + 5;
        trades.push(priced_trade(2 * number, second, COFFEE, price(number)));
        if second < now - 8 * DAY {
            trades.push(priced_trade(2 * number + 1, second, MILK, price(number)));
        }
    }
    write(daemon, client, &trades).await;
    (0..HOURS).map(|number| (begin + number * HOUR, has_price(number))).collect()
}

/// All candles of an hour, read in pages by the time of the last one, as CCXT's clients do.
fn ccxt_pages(daemon: &Daemon, since: i64) -> Vec<i64> {
    let (mut times, mut since) = (Vec::new(), since * 1_000);
    loop {
        let path = format!("/api/v1/ccxt/ohlcv?symbol={COFFEE}_XLM&timeframe=1h&since={since}&limit=7");
        let page = ok(daemon, &path).json();
        let Some(last) = page.as_array().unwrap().last() else { return times };
        since = last[0].as_i64().unwrap() + 1;
        times.extend(page.as_array().unwrap().iter().map(|candle| candle[0].as_i64().unwrap() / 1_000));
    }
}

/// All records of an hour, read by the links of the pages, as Horizon's clients do.
fn horizon_pages(daemon: &Daemon, since: i64) -> Vec<i64> {
    let (code, issuer) = COFFEE.split_once('-').unwrap();
    let mut path = format!(
        "/trade_aggregations?base_asset_type=native&counter_asset_type=credit_alphanum12&counter_asset_code={code}\
         &counter_asset_issuer={issuer}&resolution=3600000&limit=7&start_time={}",
        since * 1_000
    );
    let mut times = Vec::new();
    loop {
        let page = ok(daemon, &path).json();
        let records = list(&page["_embedded"], "records");
        if records.is_empty() {
            return times;
        }
        times.extend(records.iter().map(|record| candles::millis(record) / 1_000));
        let next = page["_links"]["next"]["href"].as_str().unwrap();
        path = next[next.find("/trade_aggregations").unwrap()..].to_owned();
    }
}

fn a_chart_without_bars_learns_where_the_last_one_is(daemon: &Daemon, hours: &[(i64, bool)]) {
    let bars = |market: &str, from: i64, to: i64| {
        let path = format!("/udf/history?symbol={market}&resolution=60&from={from}&to={to}");
        ok(daemon, &path).json()
    };
    let (mut before, mut seen) = (None, 0);
    for (start, has_price) in hours {
        let answer = bars(&format!("{COFFEE}_XLM"), *start, start + 1);
        if *has_price {
            assert_eq!((&answer["s"], &answer["t"]), (&json!("ok"), &json!([start])));
            before = Some(*start);
        } else if before.is_some() {
            assert_eq!(answer, json!({"s": "no_data", "nextTime": before}), "{start}");
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen}");
    let (last, _) = hours[hours.len() - 1];
    let next_time = bars(&format!("{MILK}_XLM"), last, last + HOUR)["nextTime"].as_i64();
    let is_old_bar = |start: i64| hours.contains(&(start, true)) && start < last - 7 * DAY;
    assert!(next_time.is_some_and(is_old_bar), "a market without a trade in memory: {next_time:?}");
}

/// A candle is the same whichever question it answers.
fn candles_have_one_value(daemon: &Daemon, hours: &[(i64, bool)]) {
    let (first, last) = (hours[0].0, hours[hours.len() - 1].0);
    for fill in ["false", "true"] {
        let ask = |from: i64, to: i64| {
            let path = format!(
                "/api/v1/markets/{COFFEE}_XLM/candles?interval=1h&from={from}&to={to}&limit=1000&fill={fill}"
            );
            list(&ok(daemon, &path).json(), "candles")
        };
        let all = ask(first, last);
        assert_eq!(all.len(), hours.len());
        for (candle, (start, has_price)) in all.iter().zip(hours) {
            assert_eq!((seconds(candle, "time"), candle["close"].is_string()), (*start, *has_price));
            assert_eq!(candle["trade_count"], 1);
        }
        for (start, _) in hours.iter().step_by(17) {
            let place = usize::try_from((start - first) / HOUR).unwrap();
            assert_eq!(ask(*start, *start), all[place..=place], "{start}");
        }
    }
}

/// Trades without a price count in the volume of longer candles, and of those that are made of several stored ones.
fn merged_candles_hold_all_trades(daemon: &Daemon, hours: &[(i64, bool)]) {
    let day = hours.iter().map(|(start, _)| *start).find(|start| start % DAY == 0).unwrap();
    let path = format!("/api/v1/markets/{COFFEE}_XLM/candles?interval=4h&from={day}&limit=1000");
    let candles = list(&ok(daemon, &path).json(), "candles");
    let volumes: Vec<f64> = candles
        .iter()
        .filter(|candle| candle["close"].is_string())
        .map(|candle| text(candle, "base_volume").parse().unwrap())
        .collect();
    let whole = candles.iter().filter(|candle| candle["trade_count"] == 4).count();
    assert!(volumes.len() > 50 && whole > 70, "{} {whole}", volumes.len());
    let since = day * 1_000;
    let path = format!("/api/v1/ccxt/ohlcv?symbol={COFFEE}_XLM&timeframe=4h&since={since}&limit=1000");
    let ohlcv = ok(daemon, &path).json();
    let of_ccxt = ohlcv.as_array().unwrap().iter().map(|candle| candle[5].as_f64().unwrap());
    assert_eq!(of_ccxt.collect::<Vec<f64>>(), volumes);
    let path = format!("/udf/history?symbol={COFFEE}_XLM&resolution=240&from={day}&to=9999999999");
    let of_udf = list(&ok(daemon, &path).json(), "v").into_iter().map(|volume| volume.as_f64().unwrap());
    assert_eq!(of_udf.collect::<Vec<f64>>(), volumes);
    let (code, issuer) = COFFEE.split_once('-').unwrap();
    let path = format!(
        "/trade_aggregations?base_asset_type=native&counter_asset_type=credit_alphanum12&counter_asset_code={code}\
         &counter_asset_issuer={issuer}&resolution=86400000&offset=3600000&limit=200&start_time={}",
        (day + HOUR) * 1_000
    );
    let records = list(&ok(daemon, &path).json()["_embedded"], "records");
    let whole = records.iter().filter(|record| text(record, "trade_count") == "24").count();
    assert!(whole >= 11 && whole + 2 >= records.len(), "{records:?}");
}

/// A filled answer begins with the bucket of `from`, at the last close before it, however old that is.
fn filled_candles_begin_at_the_last_close(daemon: &Daemon, hours: &[(i64, bool)]) {
    let ask = |market: &str, interval: &str, from: i64| {
        let path = format!(
            "/api/v1/markets/{market}_XLM/candles?interval={interval}&from={from}&to={}&limit=1000&fill=true",
            from + 3 * HOUR
        );
        list(&ok(daemon, &path).json(), "candles")
    };
    let close_of = |market: &str, interval: &str, at: i64| ask(market, interval, at)[0]["close"].clone();
    let of_age = |days: i64| {
        let (last, _) = hours[hours.len() - 1];
        let priced = hours.iter().filter(|(start, has_price)| *has_price && *start < last - days * DAY);
        priced.map(|(start, _)| *start).next_back().unwrap()
    };
    for start in [of_age(1), of_age(6), of_age(7), of_age(9), of_age(12)] {
        let expected = close_of(COFFEE, "1h", start);
        assert!(expected.is_string());
        for (interval, length) in [("1m", 60), ("15m", 900)] {
            // The trade is in the first bucket of its hour.
            let from = start + 10 * 60 + 900;
            let candles = ask(COFFEE, interval, from);
            assert_eq!(seconds(&candles[0], "time"), from - from.rem_euclid(length));
            assert_eq!((&candles[0]["close"], candles[0]["trade_count"].as_i64()), (&expected, Some(0)));
        }
    }
    // The last price before the answer lies behind stored candles without one.
    for days in [9, 12] {
        let start = of_age(days);
        let path = |limit: i64| {
            let at = start + 3 * HOUR + 600;
            format!(
                "/api/v1/markets/{COFFEE}_XLM/candles?interval=1m&from={start}&to={at}&limit={limit}&fill=true"
            )
        };
        let last = |limit: i64| list(&ok(daemon, &path(limit)).json(), "candles").pop().unwrap();
        assert!(last(1_000)["close"].is_string());
        assert_eq!((last(1), last(2)), (last(1_000), last(1_000)));
    }
    let now = hours[hours.len() - 1].0;
    let old = ask(MILK, "1h", now - 2 * DAY);
    assert_eq!(old.len(), 4, "a market without a trade in memory: {old:?}");
    for candle in &old {
        assert!(candle["close"].is_string() && candle["trade_count"] == 0, "{candle}");
        assert!(candle["close_raw"].is_null() && candle["vwap"].is_null(), "no trade has them: {candle}");
    }
}

#[test]
fn candles_without_a_price_use_up_no_limit_and_hide_no_other() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--retention-days", "40"]).await;
        let client = recomputation::connect(&daemon.database).await;
        let hours = write_trades(&daemon, &client).await;
        let priced: Vec<i64> =
            hours.iter().filter(|(_, has_price)| *has_price).map(|(start, _)| *start).collect();
        wait_until("the newest trade is published", || {
            let path = format!("/api/v1/markets/{COFFEE}_XLM");
            let answer = daemon.get(&path);
            answer.status == 200 && answer.json()["windows"]["7d"]["trade_count"].as_i64() >= Some(7 * 24 - 1)
        });
        for (start, _) in hours.iter().take(6) {
            let expected: Vec<i64> = priced.iter().copied().filter(|at| at >= start).collect();
            assert_eq!(ccxt_pages(&daemon, *start), expected);
            assert_eq!(horizon_pages(&daemon, *start), expected);
        }
        a_chart_without_bars_learns_where_the_last_one_is(&daemon, &hours);
        candles_have_one_value(&daemon, &hours);
        merged_candles_hold_all_trades(&daemon, &hours);
        filled_candles_begin_at_the_last_close(&daemon, &hours);
    });
}
