//! Stored candles equal a recomputation from the raw trades, whatever the order in which those came, and outlive them.

use std::{cmp::Ordering, collections::BTreeMap};

use chrono::{DateTime, Utc};
use stellar_ticker::{
    db::{
        DbError,
        candles::{CandleAudit, StoredCandles, StoredQuery},
    },
    domain::{
        candles::{Interval, Stored},
        coverage::TimeSpan,
        trade::PoolId,
        trade_stats::{Prices, TradeStats},
    },
};

use super::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Seconds of a day of the tape.
const BEGIN: i64 = NOW - NOW.rem_euclid(DAY);

/// Numbers that look random, the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub(crate) fn number(&mut self, limit: u64) -> i64 {
        i64::try_from(self.below(limit)).unwrap()
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// A trade of XLM against one of three assets: dust, large ones, without a price, of pools and of either taker.
pub(crate) fn any_trade(ledger: u32, second: i64, dice: &mut Dice) -> Trade {
    let issuer = u8::try_from(20 + dice.below(3)).unwrap();
    let base = [1, 999, 2_000, 1_000_000, 5_000_000_000_000_000_000][usize::try_from(dice.below(5)).unwrap()];
    let mut trade = trade(ledger, 0, issuer, 10);
    trade.closed_at = UnixSeconds(second);
    trade.base_amount = Amount::from_stroops(base + dice.number(1_000)).unwrap();
    trade.counter_amount = Amount::from_stroops(dice.number(3_000_000)).unwrap();
    // Equal prices with other numerators and denominators among them, and 0, which is no price.
    (trade.price_n, trade.price_d) = (dice.number(4) * 5, 1 + dice.number(3) * 4);
    trade.base_is_seller = dice.below(2) == 0;
    if dice.below(4) == 0 {
        trade.base_account = None;
        trade.liquidity_pool = Some(PoolId::parse(&"ab".repeat(32)).unwrap());
    }
    trade
}

pub(crate) fn backfilled(trades: Vec<Trade>) -> TradeBatch {
    let trades = trades.into_iter().map(incoming).collect();
    TradeBatch { kind: BatchKind::Backfill, cursor: None, trades, quarantine: Vec::new(), covered: None }
}

/// Derives all candles that wait. Returns the number of written ones.
pub(super) async fn derive(database: &Database, epoch: i64, now: i64) -> u64 {
    let mut candles = 0;
    loop {
        let step = database.derive_candles(epoch, at(now), || {}).await.unwrap();
        candles += step.candles;
        if step.is_caught_up {
            return candles;
        }
    }
}

async fn stored(database: &Database, issuer: u8, stored: Stored) -> StoredCandles {
    let query = StoredQuery {
        market: trade(1, 0, issuer, 10).market,
        stored,
        from: UnixSeconds(0),
        to: UnixSeconds(BEGIN + 400 * DAY),
        limit: 100_000,
        newest: true,
        priced: false,
    };
    database.candles(query).await.unwrap()
}

/// A raw row, as the recomputation reads it.
#[derive(Clone, Debug)]
struct Raw {
    second: i64,
    token: (i64, i32),
    base: i128,
    counter: i128,
    price: Option<(i128, i128)>,
    is_buy: bool,
    is_pool: bool,
}

impl Raw {
    /// 1 / base + 1 / counter is at most 1 / 1,000.
    fn is_clean(&self) -> bool {
        self.price.is_some() && 1_000 * (self.base + self.counter) <= self.base * self.counter
    }
}

async fn raw_rows(client: &Client, table: &str, issuer: u8) -> Vec<Raw> {
    let sql = format!(
        "SELECT extract(epoch FROM ledger_close_time)::bigint, toid, trade_order, base_amount, counter_amount,
                price_n, price_d, base_is_seller, liquidity_pool_id IS NOT NULL
         FROM {table} t JOIN assets c ON c.id = t.counter_asset_id WHERE c.issuer = $1"
    );
    let rows = client.query(&sql, &[&address(issuer)]).await.unwrap();
    let number = |row: &tokio_postgres::Row, at: usize| i128::from(row.get::<_, i64>(at));
    rows.iter()
        .map(|row| {
            let (n, d) = (number(row, 5), number(row, 6));
            Raw {
                second: row.get(0),
                token: (row.get(1), row.get(2)),
                base: number(row, 3),
                counter: number(row, 4),
                price: (n > 0 && d > 0).then_some((n, d)),
                is_buy: row.get(7),
                is_pool: row.get(8),
            }
        })
        .collect()
}

/// Compares ratios by cross multiplication.
fn by_value(left: &(i128, i128), right: &(i128, i128)) -> Ordering {
    (left.0 * right.1).cmp(&(right.0 * left.1))
}

fn ratio(price: stellar_ticker::domain::price::Price) -> (i128, i128) {
    (price.n().into(), price.d().into())
}

fn assert_prices(prices: Option<Prices>, rows: &[&Raw]) {
    let mut priced: Vec<&&Raw> = rows.iter().filter(|row| row.price.is_some()).collect();
    priced.sort_by_key(|row| row.token);
    let Some(prices) = prices else {
        assert!(priced.is_empty());
        return;
    };
    let (first, last) = (priced.first().unwrap(), priced.last().unwrap());
    assert_eq!((prices.open.token.toid, ratio(prices.open.price)), (first.token.0, first.price.unwrap()));
    assert_eq!((prices.close.token.toid, ratio(prices.close.price)), (last.token.0, last.price.unwrap()));
    let values = || priced.iter().map(|row| row.price.unwrap());
    assert_eq!(by_value(&ratio(prices.max), &values().max_by(by_value).unwrap()), Ordering::Equal);
    assert_eq!(by_value(&ratio(prices.min), &values().min_by(by_value).unwrap()), Ordering::Equal);
}

fn assert_candle(stats: &TradeStats, rows: &[&Raw]) {
    assert_eq!(stats.trade_count, u64::try_from(rows.len()).unwrap());
    let sum = |is_counted: &dyn Fn(&Raw) -> bool| {
        let counted = || rows.iter().filter(|row| is_counted(row));
        (counted().map(|row| row.base).sum::<i128>(), counted().map(|row| row.counter).sum::<i128>())
    };
    assert_eq!((stats.base_volume, stats.counter_volume), sum(&|_| true));
    assert_eq!((stats.bought.base, stats.bought.counter), sum(&|row| row.is_buy));
    assert_eq!((stats.pool.base, stats.pool.counter), sum(&|row| row.is_pool));
    assert_eq!((stats.clean.volume.base, stats.clean.volume.counter), sum(&Raw::is_clean));
    let seconds = || rows.iter().map(|row| row.second);
    let times = stats.times.map(|(first, last)| (first.0, last.0));
    assert_eq!(times, Some((seconds().min().unwrap(), seconds().max().unwrap())));
    assert_prices(stats.prices, rows);
    let clean: Vec<&Raw> = rows.iter().copied().filter(|row| row.is_clean()).collect();
    assert_eq!(stats.clean.trade_count, u64::try_from(clean.len()).unwrap());
    assert_prices(stats.clean.prices, &clean);
}

/// Compares all stored candles, and those that are made of them, with the raw trades. Returns the number of candles.
async fn assert_all_equal(database: &Database, client: &Client) -> usize {
    assert_all_equal_to("trades", database, client).await
}

/// The same with another table that has the columns of `trades`.
pub(crate) async fn assert_all_equal_to(table: &str, database: &Database, client: &Client) -> usize {
    let mut compared = 0;
    for issuer in 20..23 {
        let rows = raw_rows(client, table, issuer).await;
        for interval in Interval::ALL {
            let buckets = interval.buckets();
            // Weeks begin on Mondays. 1970-01-05 was one.
            let first = if interval == Interval::Week { 4 * DAY } else { 0 };
            let mut expected: BTreeMap<i64, Vec<&Raw>> = BTreeMap::new();
            for row in &rows {
                let start = row.second - (row.second - first).rem_euclid(buckets.seconds);
                expected.entry(start).or_default().push(row);
            }
            let candles = buckets.merge(stored(database, issuer, buckets.stored()).await.candles);
            let starts: Vec<i64> = candles.keys().map(|start| start.0).collect();
            assert_eq!(starts, expected.keys().copied().collect::<Vec<_>>(), "{}", interval.name());
            for (stats, rows) in candles.values().zip(expected.values()) {
                assert_candle(stats, rows);
            }
            compared += candles.len();
        }
    }
    compared
}

#[tokio::test]
async fn candles_equal_a_recomputation_with_late_trades_over_restarts_and_take_overs() {
    let mut scene = Scene::new().await;
    let mut dice = Dice(7);
    // Ledgers of three days in a shuffled order, so that most trades are late. Close times are not quite in order.
    let mut ledgers: Vec<u32> = (1..=1_500).collect();
    for place in (1..ledgers.len()).rev() {
        ledgers.swap(place, usize::try_from(dice.below(u64::try_from(place).unwrap())).unwrap());
    }
    let second = |ledger: u32, dice: &mut Dice| BEGIN + i64::from(ledger) * 170 + dice.number(400);
    for (round, part) in ledgers.chunks(50).enumerate() {
        let trades = part.iter().map(|ledger| any_trade(*ledger, second(*ledger, &mut dice), &mut dice));
        scene.database.write_trades(scene.epoch, &backfilled(trades.collect())).await.unwrap();
        match round % 5 {
            0 => drop(scene.database.derive_candles(scene.epoch, at(NOW), || {}).await.unwrap()),
            1 => scene.database = open(&scene.url), // a restart forgets everything in memory
            2 => {
                let old = scene.epoch;
                scene.database.release_lease(old).await.unwrap();
                scene.epoch = scene.database.take_lease("other", TTL).await.unwrap().unwrap();
                let refused = scene.database.derive_candles(old, at(NOW), || {}).await;
                assert!(matches!(refused, Err(DbError::LeaseLost)), "{refused:?}");
            }
            _ => {}
        }
    }
    derive(&scene.database, scene.epoch, NOW).await;
    assert!(assert_all_equal(&scene.database, &scene.client).await > 1_000);
    assert_eq!(derive(&scene.database, scene.epoch, NOW).await, 0, "nothing waits any more");
    // One more trade changes its three candles and no other.
    let late = any_trade(2_000, BEGIN + 5 * HOUR + 7, &mut dice);
    scene.database.write_trades(scene.epoch, &backfilled(vec![late])).await.unwrap();
    assert_eq!(derive(&scene.database, scene.epoch, NOW).await, 3);
    assert_all_equal(&scene.database, &scene.client).await;
}

#[tokio::test]
async fn candles_outlive_their_trades_and_never_change_then() {
    let scene = Scene::new().await;
    let mut dice = Dice(3);
    let trades =
        (1..=300_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * 500, &mut dice)).collect();
    let covered = LedgerRange {
        from: 1,
        to: 300,
        from_time: UnixSeconds(BEGIN),
        to_time: UnixSeconds(BEGIN + 300 * 500),
    };
    let batch = TradeBatch { covered: Some(covered), ..backfilled(trades) };
    scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    let drop_day = format!("SELECT ticker_drop_day('{}')", at(BEGIN).date_naive());
    let refused = scene.client.batch_execute(&drop_day).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55P03", "its candles wait");
    let later = BEGIN + 9 * DAY + HOUR; // the first day is old, the second is not
    let cleaned = scene.database.clean(scene.epoch, 8, at(later), || {}).await.unwrap();
    assert_eq!((cleaned.days, cleaned.days_left), (0, 1), "the candles still wait");
    let span = |from, to| TimeSpan { from: UnixSeconds(from), to: UnixSeconds(to) };
    let known = stored(&scene.database, 20, Stored::Hour).await.complete;
    assert_eq!(known, [span(BEGIN, BEGIN + 499)], "from the first trade on, trades are in no candle");
    derive(&scene.database, scene.epoch, later).await;
    let cleaned = scene.database.clean(scene.epoch, 8, at(later), || {}).await.unwrap();
    assert_eq!((cleaned.days, cleaned.days_left), (1, 0));
    let kept = async || {
        let mut kept = Vec::new();
        for issuer in 20..23 {
            for interval in Stored::ALL {
                kept.push(stored(&scene.database, issuer, interval).await);
            }
        }
        kept
    };
    let dropped_hour = UnixSeconds(BEGIN + HOUR);
    let audited = scene.database.audit_candles(dropped_hour, at(later), || {}).await.unwrap().unwrap();
    assert_eq!(audited, CandleAudit::default(), "candles that outlive their trades do not differ");
    let before = kept().await;
    let count = |kept: &[StoredCandles]| kept.iter().map(|of| of.candles.len()).sum::<usize>();
    let first_day = before.iter().filter(|of| of.candles.iter().any(|(start, _)| start.0 < BEGIN + DAY));
    assert_eq!(first_day.count(), 9, "the candles of the dropped day are still there");
    let (begin, end) = (BEGIN, BEGIN + 300 * 500);
    assert_eq!(before[0].complete, [span(begin, end)], "and known to be complete");
    // Between two late trades nothing counts as complete before they are in candles.
    let late = [(400, end - 999), (401, end - 500)].map(|(ledger, at)| any_trade(ledger, at, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(late.to_vec())).await.unwrap();
    let waiting = stored(&scene.database, 20, Stored::Hour).await;
    assert_eq!(waiting.complete, [span(begin, end - 1_000), span(end - 499, end)]);
    derive(&scene.database, scene.epoch, later).await;
    let before = kept().await;
    assert_eq!(before[0].complete, [span(begin, end)]);
    // Trades of the dropped day come again, and others that never came.
    let again = (1..=400_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * 200, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(again.take(150).collect())).await.unwrap();
    derive(&scene.database, scene.epoch, later).await;
    assert_eq!(kept().await, before);
    assert!(count(&before) > 400);
    // A market that is deleted with its last trade keeps its candles.
    derive(&scene.database, scene.epoch, later).await;
    scene.database.clean(scene.epoch, 8, at(BEGIN + 40 * DAY), || {}).await.unwrap();
    assert_eq!((scene.count("trades").await, scene.count("markets").await), (0, 0));
    assert_eq!(count(&kept().await), count(&before));
    // Minutes are kept for 30 days, hours and days as long as the operator wants.
    let drop_candles = async |keep_days: i64, day: i64| {
        scene.database.drop_candles(scene.epoch, keep_days, at(BEGIN + day * DAY), || {}).await.unwrap()
    };
    let dropped = drop_candles(365, 40).await.partitions;
    assert_eq!((dropped, scene.count("candles_1m").await), (2, 0));
    assert!(scene.count("candles_1h").await > 0 && scene.count("candles_1d").await > 0);
    drop_candles(30, 100).await;
    let left = [scene.count("candles_1h").await, scene.count("candles_1d").await];
    assert_eq!((left, scene.count("candle_coverage").await), ([0, 0], 0));
}

#[tokio::test]
async fn a_step_is_bounded_and_the_next_goes_on_where_it_ended() {
    let scene = Scene::new().await;
    let mut dice = Dice(5);
    // One trade in each of 40 hours: more than a step reads.
    let trades = (1..=40_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * HOUR, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(trades.collect())).await.unwrap();
    let first = scene.database.derive_candles(scene.epoch, at(NOW), || {}).await.unwrap();
    assert!(!first.is_caught_up && first.trades < 40, "{first:?}");
    derive(&scene.database, scene.epoch, NOW).await;
    assert_all_equal(&scene.database, &scene.client).await;
    // Batches that were deleted before they were derived: everything is derived again.
    let late = any_trade(50, BEGIN + 3 * HOUR + 1, &mut dice);
    scene.database.write_trades(scene.epoch, &backfilled(vec![late])).await.unwrap();
    let more = any_trade(51, BEGIN + 4 * HOUR + 1, &mut dice);
    scene.database.write_trades(scene.epoch, &backfilled(vec![more])).await.unwrap();
    scene
        .client
        .batch_execute("DELETE FROM ingest_batches WHERE seq < (SELECT max(seq) FROM ingest_batches)")
        .await
        .unwrap();
    derive(&scene.database, scene.epoch, NOW).await;
    assert_all_equal(&scene.database, &scene.client).await;
}

#[tokio::test]
async fn trades_of_a_market_without_a_row_stop_no_other_candle() {
    let scene = Scene::new().await;
    let mut dice = Dice(7);
    let trades = (1..=60_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * 20, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(trades.collect())).await.unwrap();
    scene.client.batch_execute("DELETE FROM markets WHERE id = 1").await.unwrap();
    assert!(derive(&scene.database, scene.epoch, NOW).await > 0);
    assert!(scene.count("candles_1h").await > 0);
    assert_eq!(derive(&scene.database, scene.epoch, NOW).await, 0, "nothing waits any more");
}

#[tokio::test]
async fn the_audit_finds_each_wrong_candle_and_mends_it() {
    let scene = Scene::new().await;
    let mut dice = Dice(11);
    let trades = (1..=400_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * 20, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(trades.collect())).await.unwrap();
    derive(&scene.database, scene.epoch, NOW).await;
    let (first, last) = scene.database.audited_hours().await.unwrap().unwrap();
    assert_eq!((first.0, last.0), (BEGIN, BEGIN + 2 * HOUR));
    let hour = UnixSeconds(BEGIN + HOUR);
    let audit = async || scene.database.audit_candles(hour, at(NOW), || {}).await.unwrap().unwrap();
    let clean = audit().await;
    assert!(clean.differences.is_empty() && clean.compared > 60, "{clean:?}");
    let of_hour =
        format!("begins_at >= to_timestamp({}) AND begins_at < to_timestamp({})", hour.0, hour.0 + HOUR);
    let one = |table: &str, change: &str| {
        format!(
            "UPDATE {table} SET {change} WHERE {of_hour} AND ctid =
                 (SELECT ctid FROM {table} WHERE {of_hour} AND low_n > 0 ORDER BY market_id, begins_at LIMIT 1)"
        )
    };
    for (spoil, figure) in [
        (one("candles_1m", "base_volume = base_volume + 1"), "base_volume"),
        (one("candles_1m", "bought_base_volume = bought_base_volume + 1"), "bought_volume"),
        (one("candles_1h", "high_n = high_n + 1"), "prices"),
        (one("candles_1h", "close_d = 0"), "missing"),
        (one("candles_1h", "high_n = NULL"), "missing"),
        (one("candles_1m", "low_d = NULL"), "missing"),
        ("UPDATE candles_1d SET open_order = NULL".to_owned(), "missing"),
        (one("candles_1m", "market_id = 9"), "without trades"),
        (format!("DELETE FROM candles_1m WHERE {of_hour} AND market_id = 1"), "missing"),
        ("UPDATE candles_1d SET pool_base_volume = pool_base_volume + 1".to_owned(), "sum of its hours"),
    ] {
        scene.client.batch_execute(&spoil).await.unwrap();
        let found = audit().await.differences;
        assert!(found.iter().any(|difference| difference.figure == figure), "{spoil}: {found:?}");
        scene.database.mend_candles(scene.epoch, hour, at(NOW), || {}).await.unwrap();
        assert!(audit().await.differences.is_empty(), "{spoil}");
        assert_all_equal(&scene.database, &scene.client).await;
    }
    // Trades that wait are no difference.
    let late = any_trade(900, BEGIN + HOUR + 5, &mut dice);
    scene.database.write_trades(scene.epoch, &backfilled(vec![late])).await.unwrap();
    assert!(audit().await.differences.is_empty());
    let refused = scene.database.mend_candles(scene.epoch + 1, hour, at(NOW), || {}).await;
    assert!(matches!(refused, Err(DbError::LeaseLost)), "{refused:?}");
}

#[tokio::test]
async fn unreadable_candles_stop_neither_those_of_other_markets_nor_their_own_repair() {
    let scene = Scene::new().await;
    let mut dice = Dice(12);
    // An hour for each of the three markets to be in.
    let trades = (1..=600_u32).map(|ledger| any_trade(ledger, BEGIN + i64::from(ledger) * 30, &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(trades.collect())).await.unwrap();
    derive(&scene.database, scene.epoch, NOW).await;
    let hour = |number: i64| UnixSeconds(BEGIN + number * HOUR);
    for (number, change) in [(1, "high_n = NULL"), (2, "close_d = 0")] {
        let spoil =
            format!("UPDATE candles_1h SET {change} WHERE begins_at = to_timestamp({})", hour(number).0);
        assert_eq!(scene.client.execute(&spoil, &[]).await.unwrap(), 3);
    }
    // Trades of the three markets, in an hour that is readable.
    let late = (900..930).map(|ledger| any_trade(ledger, BEGIN + 4 * HOUR + i64::from(ledger), &mut dice));
    scene.database.write_trades(scene.epoch, &backfilled(late.collect())).await.unwrap();
    derive(&scene.database, scene.epoch, NOW).await;
    for number in [1, 2] {
        let audit =
            async || scene.database.audit_candles(hour(number), at(NOW), || {}).await.unwrap().unwrap();
        let found = audit().await.differences;
        assert_eq!(
            found.iter().filter(|of| (of.figure, of.start) == ("missing", hour(number))).count(),
            3,
            "{found:?}"
        );
        scene.database.mend_candles(scene.epoch, hour(number), at(NOW), || {}).await.unwrap();
        assert!(audit().await.differences.is_empty());
    }
    assert_all_equal(&scene.database, &scene.client).await;
}

/// A subquery that depends on a row runs once for each candle, which takes quadratic time. Whether
/// it does must not be the planner's choice.
#[tokio::test]
async fn no_read_of_candles_runs_a_query_for_each_candle() {
    let scene = Scene::new().await;
    let statements = [
        include_str!("../../../src/db/sql/candles/first.sql"),
        include_str!("../../../src/db/sql/candles/last.sql"),
    ];
    for statement in statements {
        let mut statement = statement.replace(":candles", "candles_1m");
        for (parameter, value) in [
            ("$1", "'a'"),
            ("$2", "'b'"),
            ("$3", "now() - interval '1 day'"),
            ("$4", "now()"),
            ("$5", "10"),
            ("$6", "true"),
        ] {
            statement = statement.replace(parameter, value);
        }
        let rows = scene.client.query(&format!("EXPLAIN {statement}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("InitPlan") && !plan.contains("SubPlan"), "{plan}");
    }
}
