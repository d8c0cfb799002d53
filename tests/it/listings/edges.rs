//! Edges of the time that is held, questions with one end only, and a market that does not trade any more.

use stellar_ticker::{
    db::trades::{BatchKind, IncomingTrade, TradeBatch},
    domain::{coverage::LedgerRange, instant::UnixSeconds},
};

use super::{
    priceless::MILK,
    stored::{DAY, HOUR, list, priced_trade, write},
    *,
};

const COCOA: &str = "COCOA-GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC";
/// Ledger of the first trade that is written here.
const FIRST_LEDGER: u32 = 1_000;

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Status of a path that depends on the time, asked within one hour of UTC.
fn status(daemon: &Daemon, path: impl Fn(i64) -> String) -> u16 {
    loop {
        let asked_at = now();
        let status = daemon.get(&path(asked_at)).status;
        if asked_at / HOUR == now() / HOUR {
            return status;
        }
    }
}

/// Trades of an asset, one an hour of these days.
fn hourly(asset: &str, from_day: i64, to_day: i64, now: i64) -> Vec<IncomingTrade> {
    let hours = from_day * 24..to_day * 24;
    hours.zip(0..).map(|(hour, place)| priced_trade(place, now + hour * HOUR, asset, (1, 9))).collect()
}

/// Writes trades of COCOA from 5 to 2 days ago, and marks their ledgers as complete.
async fn write_cocoa(daemon: &Daemon, client: &tokio_postgres::Client, now: i64) {
    write(daemon, client, &hourly(COCOA, -5, -2, now)).await;
    let database = crate::database::open(&daemon.database);
    let epoch = client.query_one("SELECT epoch FROM ingest_lease", &[]).await.unwrap().get(0);
    let covered = LedgerRange {
        from: FIRST_LEDGER,
        to: FIRST_LEDGER + 71,
        from_time: UnixSeconds(now - 5 * DAY),
        to_time: UnixSeconds(now - 2 * DAY - HOUR),
    };
    let batch = TradeBatch {
        kind: BatchKind::Backfill,
        cursor: None,
        trades: Vec::new(),
        quarantine: Vec::new(),
        covered: Some(covered),
    };
    database.write_trades(epoch, &batch).await.unwrap();
    wait_until("the trades are listed", || {
        let path = format!("/api/v1/markets/{COCOA}_XLM/trades?from={}&limit=100", now - 6 * DAY);
        let answer = daemon.get(&path);
        answer.status == 200 && list(&answer.json(), "trades").len() == 72
    });
}

/// With a clock that is a little behind, too.
fn candles_are_given_from_their_first_second_on(daemon: &Daemon) {
    for (interval, days) in
        [("1m", 30), ("5m", 30), ("15m", 30), ("1h", 365), ("4h", 365), ("1d", 365), ("1w", 365)]
    {
        let from = |age: i64| {
            let market = format!("/api/v1/markets/XLM_{USDC}/candles?interval={interval}");
            status(daemon, |now| format!("{market}&from={}", now - age))
        };
        let statuses = [days * DAY, days * DAY + 30, (days + 1) * DAY].map(from);
        assert_eq!(statuses, [200, 200, 410], "{interval}");
        let to = |age: i64| {
            let market = format!("/api/v1/markets/XLM_{USDC}/candles?interval={interval}");
            status(daemon, |now| format!("{market}&to={}", now - age))
        };
        assert_eq!([days * DAY, (days + 1) * DAY].map(to), [200, 410], "an end alone, {interval}");
    }
}

fn volumes_are_given_from_their_first_bucket_on(daemon: &Daemon) {
    for (interval, length) in [("1h", HOUR), ("1d", DAY)] {
        let from = |age: i64| {
            status(daemon, |now| {
                let from = now - age - (now - age).rem_euclid(length);
                format!("/api/v1/volume?asset=XLM&interval={interval}&from={from}&to={}", from + DAY)
            })
        };
        assert_eq!([365 * DAY, 366 * DAY].map(from), [200, 410], "{interval}");
    }
}

/// With an end alone, a question is about the time before it.
fn an_end_alone_has_the_day_before_it(daemon: &Daemon, now: i64) {
    let to = now - 3 * DAY + 600;
    let trades = |question: &str| {
        let path = format!("/api/v1/markets/{COCOA}_XLM/trades?{question}");
        list(&ok(daemon, &path).json(), "trades")
    };
    let before = trades(&format!("to={to}"));
    assert_eq!(before.len(), 24);
    assert_eq!(before, trades(&format!("from={}&to={to}", to - DAY + 1)));
    let volume = |question: &str| ok(daemon, &format!("/api/v1/volume?{question}")).json();
    for of in [format!("market={COCOA}_XLM"), format!("asset={COCOA}")] {
        let before = volume(&format!("{of}&to={to}"));
        let counts = list(&before, "buckets");
        let counted: i64 = counts.iter().map(|bucket| bucket["trade_count"].as_i64().unwrap()).sum();
        assert_eq!((counted, &before["complete"]), (24, &json!(true)), "{of}");
    }
    // CoinGecko's clients go back by the end alone, as far as trades are held.
    let historical = format!("/api/v1/coingecko/historical_trades?ticker_id={COCOA}_XLM");
    let newest = |end: i64| {
        let answer = ok(daemon, &format!("{historical}&limit=1&end_time={end}")).json();
        ["buy", "sell"].map(|side| answer[side][0]["trade_timestamp"].as_i64().map(|millis| millis / 1_000))
    };
    let mut found = newest(now - 30 * HOUR);
    found.sort_unstable();
    assert_eq!(found, [-50, -49].map(|hour| Some(now + hour * HOUR)));
    assert_eq!(newest(now - 6 * DAY), [None, None]);
    for (path, status) in [
        (format!("{historical}&end_time={}", now - 8 * DAY), 410),
        (format!("/api/v1/markets/{COCOA}_XLM/trades?to={}", now - 8 * DAY), 410),
        (format!("/api/v1/volume?asset=XLM&to={}", (now - 366 * DAY) / HOUR * HOUR), 410),
    ] {
        assert_eq!(daemon.get(&path).status, status, "{path}");
    }
}

fn an_end_before_the_start_is_refused(daemon: &Daemon, now: i64) {
    for path in [
        format!("/api/v1/markets/XLM_{USDC}/trades"),
        format!("/api/v1/markets/XLM_{USDC}/candles"),
        "/api/v1/volume?asset=XLM".to_owned(),
    ] {
        let mark = if path.contains('?') { '&' } else { '?' };
        let status = |from: i64, to: i64| daemon.get(&format!("{path}{mark}from={from}&to={to}")).status;
        assert_eq!((status(now, now - 1), status(now - 1, now - 1)), (400, 200), "{path}");
    }
}

/// Without a trade, only `complete` tells "none" from "not known".
fn an_empty_volume_is_known_or_not(daemon: &Daemon, now: i64) {
    let volume = |from: i64, to: i64| {
        let path = format!("/api/v1/volume?market=XLM_{USDC}&from={from}&to={to}");
        let volume = ok(daemon, &path).json();
        assert_eq!(volume["buckets"], json!([]));
        volume["complete"].as_bool()
    };
    assert_eq!(volume(now - 4 * DAY, now - 3 * DAY), Some(true));
    assert_eq!(volume(now - 4 * DAY, now - DAY), Some(false), "nobody knows all ledgers of the last days");
    assert_eq!(volume(now - 3 * DAY, now - 3 * DAY), Some(true), "an empty window");
    assert_eq!(ok(daemon, "/api/v1/volume?asset=XLM").json()["complete"], false);
}

/// A market without a trade in memory is known by its stored candles, whatever the time of the question.
fn a_market_that_traded_once_is_known(daemon: &Daemon, now: i64) {
    let history = |name: &str, to: i64| {
        ok(daemon, &format!("/udf/history?symbol={name}&resolution=60&from=0&to={to}")).json()
    };
    let market = format!("{MILK}_XLM");
    assert_eq!(history(&market, now - 15 * DAY), json!({"s": "no_data"}), "before the first bar");
    assert_eq!(history(&market, now)["s"], "ok");
    let unknown = market.replace("MILK", "NONE");
    assert_eq!(history(&unknown, now)["s"], "error");
    for question in
        [format!("from={}", now - 2 * DAY), format!("to={}", now - 15 * DAY), "fill=true&limit=1".to_owned()]
    {
        let candles = |name: &str| daemon.get(&format!("/api/v1/markets/{name}/candles?{question}"));
        let known = candles(&market);
        assert_eq!(known.status, 200, "{question}");
        assert_eq!(list(&known.json(), "candles").is_empty(), !question.contains("fill"), "{question}");
        assert_eq!(candles(&unknown).status, 404, "{question}");
    }
    for of in [format!("market={market}"), format!("asset={MILK}")] {
        let volume = |of: &str| daemon.get(&format!("/api/v1/volume?{of}"));
        assert_eq!((volume(&of).status, &volume(&of).json()["buckets"]), (200, &json!([])), "{of}");
        assert_eq!(volume(&of.replace("MILK", "NONE")).status, 404, "{of}");
    }
}

/// Charts and bots know it by its id as long as it has candles.
fn charts_and_bots_know_it(daemon: &Daemon, now: i64) {
    let market = format!("{MILK}_XLM");
    let unknown = |path: &str| path.replace("MILK", "NONE");
    let symbols = format!("/udf/symbols?symbol={market}");
    let symbol = ok(daemon, &symbols).json();
    assert_eq!((text(&symbol, "ticker"), text(&symbol, "name")), (market.as_str(), "MILK/XLM"));
    assert!(symbol["pricescale"].as_u64() > Some(100), "six digits of its last price: {symbol}");
    assert_eq!(ok(daemon, &unknown(&symbols)).json()["s"], "error");
    let search = format!("/udf/search?query={market}");
    let found = ok(daemon, &search).json();
    assert_eq!((&found[0]["ticker"], &found[1]), (&symbol["ticker"], &Value::Null), "{found}");
    assert_eq!(ok(daemon, &unknown(&search)).json(), json!([]));
    for name in [market, format!("{MILK}/XLM")] {
        let since = (now - 15 * DAY) * 1_000;
        let path = format!("/api/v1/ccxt/ohlcv?symbol={name}&timeframe=1h&since={since}");
        assert!(ok(daemon, &path).json()[0][0].as_i64() > Some(since), "{path}");
        assert_eq!(daemon.get(&unknown(&path)).status, 404, "{path}");
    }
}

/// Memory knows every market that the database held at the start, traded or not. Another one may have stored candles.
async fn a_quiet_market_is_known_without_stored_candles(daemon: &Daemon, client: &tokio_postgres::Client) {
    client.batch_execute("ALTER TABLE candle_markets RENAME TO candle_markets_away").await.unwrap();
    let candles =
        |asset: &str| daemon.get(&format!("/api/v1/markets/{asset}_XLM/candles?from={}", now() - 2 * DAY));
    let known = candles(MILK);
    assert_eq!(known.status, 200);
    assert!(list(&known.json(), "candles").is_empty());
    assert_eq!(candles(&MILK.replace("MILK", "NONE")).status, 503);
}

/// Without the stored candles, everything is answered that memory holds as a whole.
async fn memory_needs_no_database(daemon: &Daemon, client: &tokio_postgres::Client, now: i64) {
    let issuer = USDC.strip_prefix("USDC-").unwrap();
    let aggregations = format!(
        "/trade_aggregations?base_asset_type=native&counter_asset_type=credit_alphanum4&counter_asset_code=USDC\
         &counter_asset_issuer={issuer}&resolution=60000"
    );
    let candles = format!("/api/v1/markets/XLM_{USDC}/candles?interval=1m&from={}", now - 20 * DAY);
    let paths = [
        format!("{aggregations}&order=desc"),
        format!("{aggregations}&order=desc&limit=20&start_time={}", (now - 20 * DAY) * 1_000),
        format!("{candles}&limit=20"),
        format!("{candles}&limit=20&fill=true"),
    ];
    let read = |path: &str| {
        let answer = ok(daemon, path).json();
        if path.ends_with("fill=true") {
            // The newest of them begins with the minute of the figures, which goes on.
            return json!(list(&answer, "candles").len());
        }
        json!([answer["candles"], answer["_embedded"]])
    };
    let before = paths.clone().map(|path| read(&path));
    let as_of = || ok(daemon, "/api/v1/volume?asset=XLM").header("x-ticker-as-of").unwrap().to_owned();
    client.batch_execute("ALTER TABLE candle_markets RENAME TO candle_markets_away").await.unwrap();
    let renamed_at = as_of();
    wait_until("answers are made of a later publication", || as_of() != renamed_at);
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(read(path), before, "{path}");
    }
    for path in [aggregations, format!("{candles}&limit=1000"), format!("{candles}&limit=1000&fill=true")] {
        assert_eq!(daemon.get(&path).status, 503, "{path}");
    }
}

#[test]
fn all_of_the_documented_time_can_be_asked_for() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        candles_are_given_from_their_first_second_on(&daemon);
        volumes_are_given_from_their_first_bucket_on(&daemon);
        an_end_before_the_start_is_refused(&daemon, now());
    });
}

#[test]
fn an_end_alone_asks_for_the_time_before_it_and_an_empty_answer_says_if_it_is_known() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--retention-days", "40"]).await;
        let (client, now) = (recomputation::connect(&daemon.database).await, now());
        write_cocoa(&daemon, &client, now).await;
        an_end_alone_has_the_day_before_it(&daemon, now);
        an_empty_volume_is_known_or_not(&daemon, now);
    });
}

#[test]
fn a_market_without_a_trade_in_memory_is_known_whatever_the_time_of_the_question() {
    let sim = horizon();
    block_on(async {
        let mut daemon = daemon_with(&sim, &["--retention-days", "40"]).await;
        let (client, now) = (recomputation::connect(&daemon.database).await, now());
        write(&daemon, &client, &hourly(MILK, -14, -8, now)).await;
        a_market_that_traded_once_is_known(&daemon, now);
        charts_and_bots_know_it(&daemon, now);
        assert!(daemon.terminate().success());
        let arguments = ["--backfill-hours", "1", "--retention-days", "40"];
        let daemon = Daemon::serve(&sim.url(), &daemon.database, PASSPHRASE, &arguments);
        daemon.wait_for_publication();
        a_quiet_market_is_known_without_stored_candles(&daemon, &client).await;
    });
}

#[test]
fn what_memory_holds_as_a_whole_is_answered_without_stored_candles() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let client = recomputation::connect(&daemon.database).await;
        memory_needs_no_database(&daemon, &client, now()).await;
    });
}
