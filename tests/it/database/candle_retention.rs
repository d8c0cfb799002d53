//! Old candles are dropped, and so are the names of markets that have none any more.

use chrono::{DateTime, Utc};
use stellar_ticker::db::candles::DroppedCandles;

use super::*;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Start of the first day.
const BEGIN: i64 = NOW - NOW.rem_euclid(DAY);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// Drops candles the given number of days after the first.
async fn drop_candles(scene: &Scene, keep_days: i64, day: i64) -> DroppedCandles {
    scene.database.drop_candles(scene.epoch, keep_days, at(BEGIN + day * DAY), || {}).await.unwrap()
}

/// A trade of an issuer's market in each of the given hours, and their candles.
async fn with_candles(trades: &[(u8, i64)]) -> Scene {
    let scene = Scene::new().await;
    let trades = trades.iter().zip(1..).map(|((issuer, hour), ledger)| {
        let mut trade = trade(ledger, 0, *issuer, 10);
        trade.closed_at = UnixSeconds(BEGIN + hour * HOUR);
        trade
    });
    scene.database.write_trades(scene.epoch, &candles::backfilled(trades.collect())).await.unwrap();
    candles::derive(&scene.database, scene.epoch, BEGIN).await;
    scene
}

#[tokio::test]
async fn candles_that_others_read_are_left_and_older_ones_are_dropped() {
    let scene = with_candles(&[(20, 0), (20, 24), (20, 48)]).await;
    let second = at(BEGIN + DAY).format("candles_1m_p%Y%m%d");
    scene.client.batch_execute(&format!("BEGIN; SELECT count(*) FROM {second}")).await.unwrap();
    let dropped = DroppedCandles { partitions: 1, left: 2, markets: 0 };
    assert_eq!(drop_candles(&scene, 365, 40).await, dropped);
    scene.client.batch_execute("COMMIT").await.unwrap();
    let dropped = DroppedCandles { partitions: 2, left: 0, markets: 0 };
    assert_eq!(drop_candles(&scene, 365, 40).await, dropped);
}

/// A writer makes the tables of its days before it writes into them, and the cleaner may come in between.
#[tokio::test]
async fn an_empty_day_that_is_dropped_freezes_no_candles() {
    let scene = with_candles(&[(20, 48)]).await;
    let day = at(BEGIN).date_naive();
    let drop = format!("SELECT ticker_make_day('{day}'); SELECT ticker_drop_day('{day}')");
    scene.client.batch_execute(&drop).await.unwrap();
    let mut late = trade(100, 0, 20, 10);
    late.closed_at = UnixSeconds(BEGIN + HOUR);
    scene.database.write_trades(scene.epoch, &candles::backfilled(vec![late])).await.unwrap();
    assert_eq!(candles::derive(&scene.database, scene.epoch, BEGIN).await, 3, "a minute, an hour and a day");
}

#[tokio::test]
async fn candles_of_minutes_are_kept_no_longer_than_others() {
    let scene = with_candles(&[(20, 0), (20, 24)]).await;
    scene.clean(10, at(BEGIN + 12 * DAY)).await;
    let dropped = drop_candles(&scene, 10, 12).await.partitions;
    assert_eq!((dropped, scene.count("candles_1m").await, scene.count("candles_1h").await), (1, 1, 2));
}

/// The audit compares candles with the trades that are stored.
#[tokio::test]
async fn candles_stay_while_their_trades_are_stored() {
    let scene = with_candles(&[(20, 0), (20, 24)]).await;
    assert_eq!(drop_candles(&scene, 10, 12).await, DroppedCandles::default());
    let now = at(BEGIN + 12 * DAY);
    let audit = scene.database.audit_candles(UnixSeconds(BEGIN), now, || {}).await.unwrap().unwrap();
    assert_eq!((audit.compared, audit.differences), (3, Vec::new()), "a minute, an hour and a day");
}

#[tokio::test]
async fn a_market_is_forgotten_with_its_last_candle_if_nothing_else_of_it_is_stored() {
    const GONE: u8 = 20;
    const STORED: u8 = 21;
    const WITH_CANDLES: u8 = 22;
    let scene = with_candles(&[(GONE, 0), (STORED, 0), (WITH_CANDLES, 0), (WITH_CANDLES, 90 * 24)]).await;
    let retired = format!(
        "DELETE FROM markets m USING assets a
         WHERE a.id = m.counter_asset_id AND a.issuer IN ('{}', '{}')",
        address(GONE),
        address(WITH_CANDLES)
    );
    scene.client.batch_execute(&retired).await.unwrap();
    assert_eq!(drop_candles(&scene, 365, 90).await.markets, 0, "all have candles");
    assert_eq!(drop_candles(&scene, 40, 90).await, DroppedCandles::default(), "the trades are still stored");
    let drop_day = format!("SELECT ticker_drop_day('{}')", at(BEGIN).date_naive());
    scene.client.batch_execute(&drop_day).await.unwrap();
    assert_eq!(drop_candles(&scene, 40, 90).await.markets, 1);
    let mut known = Vec::new();
    for issuer in [GONE, STORED, WITH_CANDLES] {
        known.push(scene.database.had_candles(trade(1, 0, issuer, 10).market).await.unwrap());
    }
    assert_eq!(known, [false, true, true]);
}

/// Another program's table, or one that an operator attached.
#[tokio::test]
async fn a_foreign_partition_of_candles_stays_and_stops_no_drop() {
    let scene = Scene::new().await;
    let mut dice = candles::Dice(9);
    scene
        .database
        .write_trades(scene.epoch, &candles::backfilled(vec![candles::any_trade(1, BEGIN, &mut dice)]))
        .await
        .unwrap();
    candles::derive(&scene.database, scene.epoch, NOW).await;
    let foreign = [
        "candles_1m_p99999999",
        "candles_1m_p20200230",
        "candles_1m_p202001",
        "candles_1m_p",
        "odd",
        // The name of a day, with the bounds of a year: of another one, and of the one that begins with that day.
        "candles_1m_p20200101",
        "candles_1m_p19960101",
    ];
    for (name, year) in foreign.iter().zip(1990..) {
        let attach = format!(
            "CREATE TABLE {name} (LIKE candles_1m INCLUDING ALL);
             ALTER TABLE candles_1m ATTACH PARTITION {name} FOR VALUES FROM ('{year}-01-01 00:00Z') TO ('{}-01-01 00:00Z')",
            year + 1
        );
        scene.client.batch_execute(&attach).await.unwrap();
    }
    let dropped = drop_candles(&scene, 365, 40).await.partitions;
    assert_eq!((dropped, scene.count("candles_1m").await), (1, 0));
    for name in foreign {
        assert_eq!(scene.count(name).await, 0, "it is still there");
    }
}
