//! Candles of the time before memory: they come from the database, and equal a recomputation from the raw trades.

use std::collections::BTreeMap;

use bytes::Bytes;
use stellar_ticker::{
    db::{
        Database, DbError,
        trades::{BatchKind, IncomingTrade, TradeBatch},
    },
    domain::{
        amount::Amount,
        asset::{AccountId, Asset},
        candles::Interval,
        cursor::PagingToken,
        identity::pool_id,
        instant::UnixSeconds,
        trade::{Side, TradeRecord},
    },
};
use tokio_postgres::error::SqlState;

use super::{
    candles::{buckets, millis},
    *,
};

pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 86_400;
const TEA: &str = "TEA-GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC";

/// Days of the old trades, counted back from now. Memory holds seven.
const OLDEST_DAYS: i64 = 20;

pub(super) fn asset(name: &str) -> Asset {
    name.replacen('-', ":", 1).parse().unwrap()
}

/// A trade of XLM against another asset, `place` in the order of all. Every third one is with a pool.
fn old_trade(place: i64, second: i64, counter: &str) -> IncomingTrade {
    let mut incoming = priced_trade(place, second, counter, (1 + place % 5, 9 + place % 3));
    let trade = &mut incoming.trade;
    trade.base_is_seller = place % 4 < 2;
    if place % 3 == 0 {
        // The maker is a pool, which has no account.
        trade.liquidity_pool = pool_id(trade.market.base(), trade.market.counter());
        let maker = if trade.base_is_seller { &mut trade.base_account } else { &mut trade.counter_account };
        *maker = None;
    }
    incoming
}

/// The same without pools, at a price that Horizon sends: 0/0 is none.
pub(super) fn priced_trade(place: i64, second: i64, counter: &str, price: (i64, i64)) -> IncomingTrade {
    let account = AccountId::parse(&TEA[4..]).unwrap();
    let side = |asset, stroops| Side {
        asset,
        amount: Amount::from_stroops(stroops).unwrap(),
        account: Some(account),
        pool: None,
    };
    let record = TradeRecord {
        token: PagingToken { toid: ((1_000 + place) << 32) + 4_097, order: 0 },
        closed_at: UnixSeconds(second),
        base: side(Asset::Native, 30_000_000 + place % 7 * 1_000_001),
        counter: side(asset(counter), 10_000_000 + place % 11 * 70_001),
        price_n: price.0,
        price_d: price.1,
        base_is_seller: place % 2 == 0,
    };
    IncomingTrade { trade: record.normalise().unwrap(), raw: Bytes::from_static(b"{}") }
}

/// Writes trades of the last twenty days into the daemon's database, as a backfill would, and waits for their candles.
async fn write_old_trades(daemon: &Daemon, client: &tokio_postgres::Client, now: i64) {
    let mut trades = Vec::new();
    for place in 0..1_200 {
        let second = now - OLDEST_DAYS * DAY + place * (OLDEST_DAYS * DAY - 2 * HOUR) / 1_200;
        trades.push(old_trade(2 * place, second, USDC));
        // A market without a trade in memory.
        if second < now - 8 * DAY {
            trades.push(old_trade(2 * place + 1, second + 3, TEA));
        }
    }
    // The late ones first.
    trades.reverse();
    write(daemon, client, &trades).await;
}

/// Writes trades into the daemon's database and derives their candles, without the daemon's rests.
pub(super) async fn write(daemon: &Daemon, client: &tokio_postgres::Client, trades: &[IncomingTrade]) {
    let (database, epoch) = commit(daemon, client, trades).await;
    // Later batches follow all the time.
    let written: i64 = client.query_one("SELECT seq FROM ingest_lease", &[]).await.unwrap().get(0);
    let sql = "SELECT seq > $1 OR (seq = $1 AND rest_toid IS NULL) FROM candle_progress";
    reached("all candles are derived", async || {
        match database.derive_candles(epoch, chrono::Utc::now(), || {}).await {
            Ok(_) => {}
            // The daemon's own candle keeper is at work.
            Err(DbError::Postgres(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        client.query_one(sql, &[&written]).await.unwrap().get(0)
    })
    .await;
}

/// Commits trades under the daemon's own lease, as a backfill would. Returns the database and the lease's epoch.
async fn commit(
    daemon: &Daemon,
    client: &tokio_postgres::Client,
    trades: &[IncomingTrade],
) -> (Database, i64) {
    let database = crate::database::open(&daemon.database);
    let epoch = client.query_one("SELECT epoch FROM ingest_lease", &[]).await.unwrap().get(0);
    for part in trades.chunks(500) {
        let batch = TradeBatch {
            kind: BatchKind::Backfill,
            cursor: None,
            trades: part.to_vec(),
            quarantine: Vec::new(),
            covered: None,
        };
        database.write_trades(epoch, &batch).await.unwrap();
    }
    (database, epoch)
}

pub(super) fn seconds(value: &Value, field: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text(value, field)).unwrap().timestamp()
}

pub(super) fn list(answer: &Value, field: &str) -> Vec<Value> {
    answer[field].as_array().unwrap().clone()
}

async fn candles_equal(daemon: &Daemon, client: &tokio_postgres::Client, oldest: i64) {
    let trades = recomputed::trades(client, 0).await;
    let market = format!("XLM_{USDC}");
    for interval in Interval::ALL {
        let mut expected = recomputed::candles(&trades, &market, interval);
        expected.retain(|at, _| *at > oldest);
        let name = interval.name();
        let path = format!("/api/v1/markets/{market}/candles?interval={name}&from={oldest}&limit=1000");
        let candles = list(&ok(daemon, &path).json(), "candles");
        // The newest 1,000 of them.
        let wanted = || expected.iter().skip(expected.len().saturating_sub(1_000));
        let from = *wanted().next().unwrap().0;
        let candles: Vec<Value> = candles.into_iter().filter(|of| seconds(of, "time") >= from).collect();
        assert_eq!(candles.len(), wanted().count(), "{name}");
        for (candle, (at, stats)) in candles.iter().zip(wanted()) {
            assert_eq!(seconds(candle, "time"), *at, "{name}");
            recomputed::compare_candle(candle, stats, name);
        }
    }
    // An old span alone, without any trade of memory.
    let to = oldest + 5 * DAY;
    let path = format!("/api/v1/markets/XLM_{USDC}/candles?interval=1h&from={oldest}&to={to}&limit=7");
    let times: Vec<i64> =
        list(&ok(daemon, &path).json(), "candles").iter().map(|of| seconds(of, "time")).collect();
    assert!(times.len() == 7 && times.iter().all(|at| *at <= to && *at > to - 9 * HOUR), "{times:?}");
}

async fn aggregations_equal(daemon: &Daemon, client: &tokio_postgres::Client, oldest: i64) {
    let issuer = USDC.strip_prefix("USDC-").unwrap();
    let sides = format!(
        "base_asset_type=native&counter_asset_type=credit_alphanum4&counter_asset_code=USDC&counter_asset_issuer={issuer}"
    );
    for length in [900, HOUR, DAY] {
        let expected: BTreeMap<i64, i64> =
            buckets(client, length).await.into_iter().map(|(at, count, ..)| (at, count)).collect();
        let ask = |more: &str| {
            let start = oldest * 1_000;
            let resolution = length * 1_000;
            let path = format!("/trade_aggregations?{sides}&resolution={resolution}&limit=200{more}");
            let path = if more.contains("order=desc") { path } else { format!("{path}&start_time={start}") };
            list(&ok(daemon, &path).json()["_embedded"], "records")
        };
        let first: Vec<i64> = expected.keys().copied().filter(|at| *at >= oldest).take(200).collect();
        let records = ask("");
        assert_eq!(records.iter().map(|record| millis(record) / 1_000).collect::<Vec<_>>(), first);
        for record in &records {
            assert_eq!(text(record, "trade_count"), expected[&(millis(record) / 1_000)].to_string());
        }
        let newest = ask("&order=desc");
        let last: Vec<i64> = expected.keys().rev().copied().take(200).collect();
        assert_eq!(newest.iter().map(|record| millis(record) / 1_000).collect::<Vec<_>>(), last);
    }
    // Days of another time zone are made of hours.
    let path = format!(
        "/trade_aggregations?{sides}&resolution=86400000&offset=10800000&limit=200&start_time={}",
        (oldest + 3 * HOUR) * 1_000
    );
    let records = list(&ok(daemon, &path).json()["_embedded"], "records");
    let total: i64 = records.iter().map(|record| text(record, "trade_count").parse::<i64>().unwrap()).sum();
    let hours = buckets(client, HOUR).await;
    let wanted = hours.iter().filter(|(at, ..)| *at >= oldest + 3 * HOUR).map(|(_, count, ..)| count);
    assert_eq!(total, wanted.sum::<i64>());
}

async fn volumes_equal(daemon: &Daemon, client: &tokio_postgres::Client, oldest: i64) {
    let (from, to) = (oldest, oldest + 10 * DAY);
    let sum = async |condition: &str, amount: &str| -> i128 {
        let sql = format!(
            "SELECT sum({amount})::text FROM trades t JOIN assets b ON b.id = t.base_asset_id
             JOIN assets c ON c.id = t.counter_asset_id
             WHERE ledger_close_time >= to_timestamp({from}) AND ledger_close_time < to_timestamp({to}) AND {condition}"
        );
        client.query_one(&sql, &[]).await.unwrap().get::<_, &str>(0).parse().unwrap()
    };
    let stroops = |value: &Value| -> i128 {
        let text = value.as_str().unwrap();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{fraction:0<7}").parse().unwrap()
    };
    let total = |question: &str, field: &str| -> i128 {
        let path = format!("/api/v1/volume?{question}&from={from}&to={to}");
        list(&ok(daemon, &path).json(), "buckets").iter().map(|bucket| stroops(&bucket[field])).sum()
    };
    let of_usdc = sum("c.code = 'USDC'", "counter_amount").await;
    for interval in ["1h", "1d"] {
        let question = format!("market=XLM_{USDC}&interval={interval}");
        assert_eq!(total(&question, "quote_volume"), of_usdc);
        assert_eq!(total(&question, "usd_volume"), of_usdc, "USDC counts as a dollar");
        let of_pools = sum("c.code = 'USDC' AND t.liquidity_pool_id IS NOT NULL", "counter_amount").await;
        assert_eq!(total(&question, "pool_volume"), of_pools);
        for (field, condition) in [("pool_volume", "IS NOT NULL"), ("book_volume", "IS NULL")] {
            let expected = sum(&format!("t.liquidity_pool_id {condition}"), "base_amount").await;
            assert_eq!(total(&format!("asset=XLM&interval={interval}"), field), expected, "{field}");
        }
        let tea = total(&format!("market={TEA}_XLM&interval={interval}"), "quote_volume");
        assert_eq!(tea, sum("c.code = 'TEA'", "base_amount").await, "a market without a trade in memory");
    }
    // The ends of a window that does not begin at midnight are made of hours, its days are the same.
    let days = |from: i64, to: i64| {
        let path = format!("/api/v1/volume?asset=XLM&from={from}&to={to}&interval=1d");
        list(&ok(daemon, &path).json(), "buckets")
    };
    let (whole, shifted) = (days(from, to), days(from + 5 * HOUR, to - 7 * HOUR));
    assert_eq!((whole.len(), shifted.len()), (10, 10));
    assert_eq!(whole[1..9], shifted[1..9]);
    assert!(whole[0] != shifted[0] && whole[9] != shifted[9]);
    // The day's dollars of XLM are its worth at the day's price.
    let path = format!("/api/v1/volume?market={TEA}_XLM&from={from}&to={}&interval=1d", from + DAY);
    let day = list(&ok(daemon, &path).json(), "buckets")[0].clone();
    let sql = format!(
        "SELECT sum(base_amount)::text, sum(counter_amount)::text FROM trades t JOIN assets c ON c.id = t.counter_asset_id
         WHERE c.code = 'USDC' AND ledger_close_time >= to_timestamp({from}) AND ledger_close_time < to_timestamp({})",
        from + DAY
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    let [xlm, dollars] = [0, 1].map(|at| row.get::<_, &str>(at).parse::<i128>().unwrap());
    assert_eq!(stroops(&day["usd_volume"]), stroops(&day["quote_volume"]) * dollars / xlm);
}

fn charts_reach_back(daemon: &Daemon, oldest: i64) {
    let name = format!("XLM_{USDC}");
    let candles = list(
        &ok(daemon, &format!("/api/v1/markets/{name}/candles?interval=1d&from={oldest}&limit=1000")).json(),
        "candles",
    );
    let bars =
        ok(daemon, &format!("/udf/history?symbol={name}&resolution=1D&from={oldest}&to=9999999999")).json();
    let times =
        |bars: &Value| -> Vec<i64> { list(bars, "t").iter().map(|at| at.as_i64().unwrap()).collect() };
    assert_eq!(times(&bars), candles.iter().map(|of| seconds(of, "time")).collect::<Vec<_>>());
    let back =
        ok(daemon, &format!("/udf/history?symbol={name}&resolution=1D&to=9999999999&countback=15")).json();
    assert_eq!(times(&back), times(&bars)[times(&bars).len() - 15..]);
    let ohlcv = ok(
        daemon,
        &format!("/api/v1/ccxt/ohlcv?symbol={name}&timeframe=1d&since={}&limit=1000", oldest * 1_000),
    );
    let ohlcv: Vec<i64> =
        ohlcv.json().as_array().unwrap().iter().map(|bar| bar[0].as_i64().unwrap()).collect();
    assert_eq!(ohlcv, times(&bars).iter().map(|at| at * 1_000).collect::<Vec<_>>());
    let tea = ok(daemon, &format!("/udf/history?symbol={TEA}_XLM&resolution=60&from={oldest}&to=9999999999"));
    assert_eq!(text(&tea.json(), "s"), "ok", "a market without a trade in memory");
}

/// A price of now is that of `/api/v1/prices`, and one of the past comes from the trades before it.
async fn prices_of_the_past(daemon: &Daemon, client: &tokio_postgres::Client, oldest: i64) {
    let now = ok(daemon, "/api/v1/prices?assets=XLM");
    let as_of = now.header("x-ticker-as-of").unwrap().to_owned();
    let at_now = ok(daemon, &format!("/api/v1/assets/XLM/price?at={as_of}")).json();
    for field in ["usd", "xlm", "method", "confidence", "age_s"] {
        assert_eq!(at_now[field], now.json()["prices"][0][field], "{field}");
    }
    assert_eq!((&at_now["as_of"], at_now["resolution_s"].as_i64()), (&at_now["at"], Some(1)));
    let at = oldest + 2 * DAY + 12 * HOUR + 30;
    let past = ok(daemon, &format!("/api/v1/assets/XLM/price?at={at}")).json();
    assert_eq!((text(&past, "method"), past["resolution_s"].as_i64()), ("xlm_median", Some(60)));
    let as_of = seconds(&past, "as_of");
    assert_eq!(as_of, at - at.rem_euclid(60) - 1, "no trade of the running minute counts");
    // The median of the newest ten minutes with trades is the price of one of them.
    let sql = format!(
        "SELECT sum(counter_amount)::text, sum(base_amount)::text, max(extract(epoch FROM ledger_close_time))::bigint
         FROM trades t JOIN assets c ON c.id = t.counter_asset_id
         WHERE c.code = 'USDC' AND ledger_close_time <= to_timestamp({as_of})
         GROUP BY date_trunc('minute', ledger_close_time) ORDER BY 3 DESC LIMIT 10"
    );
    let minutes = client.query(&sql, &[]).await.unwrap();
    let is_of = |row: &tokio_postgres::Row| {
        let [n, d] = [0, 1].map(|at| row.get::<_, &str>(at).parse::<i128>().unwrap());
        text(&past, "usd") == recomputed::rounded(n, d)
    };
    assert!(minutes.iter().any(is_of), "{past}");
    assert_eq!(past["age_s"].as_i64(), Some(as_of - minutes[0].get::<_, i64>(2)));
    let tea = ok(daemon, &format!("/api/v1/assets/{TEA}/price?at={at}")).json();
    assert!(tea["usd"].is_null() && tea["reason"].is_string(), "too little volume: {tea}");
    assert_eq!(tea["complete"], false, "a backfill without coverage");
    let now = chrono::Utc::now().timestamp();
    for (path, status) in [
        (format!("/api/v1/assets/XLM/price?at={}", now - 100 * DAY), 200),
        (format!("/api/v1/assets/XLM/price?at={}", now - 366 * DAY), 410),
        (format!("/api/v1/assets/XLM/price?at={}", now + 100 * DAY), 400),
        ("/api/v1/assets/XLM/price?at=yesterday".to_owned(), 400),
        ("/api/v1/assets/native/price".to_owned(), 301),
        (format!("/api/v1/assets/NONE-{}/price", &TEA[4..]), 200),
    ] {
        assert_eq!(daemon.get(&path).status, status, "{path}");
    }
}

#[test]
fn answers_of_older_spans_come_from_the_database_and_equal_a_recomputation() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--retention-days", "40"]).await;
        let client = recomputation::connect(&daemon.database).await;
        let now = chrono::Utc::now().timestamp();
        write_old_trades(&daemon, &client, now).await;
        // The first whole day of the old trades.
        let oldest = now - OLDEST_DAYS * DAY + DAY;
        let oldest = oldest - oldest.rem_euclid(DAY);
        candles_equal(&daemon, &client, oldest).await;
        aggregations_equal(&daemon, &client, oldest).await;
        volumes_equal(&daemon, &client, oldest).await;
        charts_reach_back(&daemon, oldest);
        prices_of_the_past(&daemon, &client, oldest).await;
        let month_ago = now - 31 * DAY;
        for (path, status) in [
            (format!("/api/v1/markets/XLM_{USDC}/candles?interval=1m&from={month_ago}"), 410),
            (format!("/api/v1/markets/XLM_{USDC}/candles?interval=1h&from={month_ago}"), 200),
            (format!("/api/v1/markets/NONE-{}_XLM/candles?from={month_ago}", &TEA[4..]), 404),
            (format!("/api/v1/volume?asset=XLM&from={}", oldest + 1), 400),
            (format!("/api/v1/volume?asset=XLM&from={}&interval=1h", now - 60 * DAY), 400),
            (format!("/api/v1/volume?asset=NONE-{}&from={oldest}", &TEA[4..]), 404),
        ] {
            assert_eq!(daemon.get(&path).status, status, "{path}");
        }
    });
}

/// The daemon's own candle keeper derives the candle: the test only commits the trade.
#[test]
fn a_late_trade_is_in_the_stored_candles() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--retention-days", "40"]).await;
        let client = recomputation::connect(&daemon.database).await;
        let sql = "SELECT coalesce(p.seq >= l.seq, false) AND p.rest_toid IS NULL
                   FROM candle_progress p, ingest_lease l";
        reached("all candles are derived", async || client.query_one(sql, &[]).await.unwrap().get(0)).await;
        let second = chrono::Utc::now().timestamp() - 9 * DAY;
        commit(&daemon, &client, &[old_trade(1, second, TEA)]).await;
        let start = second - second.rem_euclid(HOUR);
        let path = format!("/api/v1/markets/{TEA}_XLM/candles?interval=1h&from={start}&to={second}");
        reached("the late trade is in its candle", async || {
            let answer = daemon.get(&path);
            answer.status == 200 && {
                let candles = list(&answer.json(), "candles");
                candles.len() == 1 && seconds(&candles[0], "time") == start && candles[0]["trade_count"] == 1
            }
        })
        .await;
    });
}
