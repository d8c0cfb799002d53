//! A reader that missed much: it reloads everything, because reading batch by batch would never end or need too much
//! memory.

use stellar_ticker::{actors::aggregator::MarketState, db::DbError};

use super::*;

/// Adds `batches` batches that name a ledger each, `step` ledgers apart, as another replica wrote them.
async fn add_batches(scene: &Scene, batches: i64, step: i64, trades: i64) {
    let sql = format!(
        "INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades)
         SELECT l.seq + n, 'live', (n * {step}::bigint << 32 | 4097) || '-0', (n * {step}::bigint << 32 | 4097) || '-9', {trades}
         FROM ingest_lease l, generate_series(1, {batches}) AS n;
         UPDATE ingest_lease SET seq = seq + {batches}"
    );
    scene.client.batch_execute(&sql).await.unwrap();
}

async fn read(scene: &Scene, after: i64) -> Result<i64, DbError> {
    let edge = UnixSeconds(NOW - 700_000);
    scene.database.load_snapshot(Some(after), &[], edge, &mut |_, _| {}).await.map(|read| read.seq)
}

#[tokio::test]
async fn an_absence_is_caught_up_with_up_to_a_limit_of_batches_and_of_places_and_of_trades() {
    let scene = Scene::new().await;
    add_batches(&scene, 20_000, 1, 20).await;
    assert_eq!(read(&scene, 0).await.unwrap(), 20_000, "one range");
    add_batches(&scene, 2_000, 100, 20).await;
    assert_eq!(read(&scene, 20_000).await.unwrap(), 22_000);
    add_batches(&scene, 1, 100_000_000, 20).await;
    let places = read(&scene, 20_000).await;
    assert!(matches!(places, Err(DbError::TooFarBehind { after: 20_000 })), "{places:?}");
    add_batches(&scene, 5, 1, 100_000).await;
    assert_eq!(read(&scene, 22_001).await.unwrap(), 22_006);
    add_batches(&scene, 1, 1, 1).await;
    let trades = read(&scene, 22_001).await;
    assert!(matches!(trades, Err(DbError::TooFarBehind { .. })), "{trades:?}");
    add_batches(&scene, 50_000, 1, 0).await;
    assert_eq!(read(&scene, 22_007).await.unwrap(), 72_007);
    let batches = read(&scene, 22_006).await;
    assert!(matches!(batches, Err(DbError::TooFarBehind { .. })), "{batches:?}");
}

/// A batch with one late trade names all ledgers from that on.
#[tokio::test]
async fn a_range_with_too_many_other_trades_is_not_collected() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(1, 0, 1, 10)])).await.unwrap();
    let late = batch(Some(token(1, 0)), vec![trade(0, 0, 1, 10), trade(6_000, 0, 1, 10)]);
    scene.database.write_trades(scene.epoch, &late).await.unwrap();
    // Without indexes, which would take most of the time.
    let others = "ALTER TABLE trades DROP CONSTRAINT trades_pkey; DROP INDEX trades_ledger_close_time;
                  INSERT INTO trades SELECT ((1 + n / 100)::bigint << 32) + 4097, n, t.ledger_close_time, t.market_id,
                      t.base_asset_id, t.counter_asset_id, t.base_amount, t.counter_amount, t.price_n, t.price_d,
                      t.base_is_seller, t.base_account, t.counter_account, t.liquidity_pool_id
                  FROM generate_series(1, 500000) AS n, (SELECT * FROM trades LIMIT 1) t";
    scene.client.batch_execute(others).await.unwrap();
    let mut passed = 0;
    let mut count = |_, _| passed += 1;
    let read = scene.database.load_snapshot(Some(1), &[], UnixSeconds(NOW - 700_000), &mut count).await;
    assert!(matches!(read, Err(DbError::TooFarBehind { after: 1 })), "{read:?}");
    assert_eq!(passed, 500_001, "and no more were read");
}

#[tokio::test]
async fn a_read_that_takes_too_long_while_the_database_answers_ends_in_a_reload() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(1, 0, 1, 10)])).await.unwrap();
    let lock = connect(&scene.url).await;
    let read = async |limit| {
        MarketState::read_after_within(limit, &scene.database, 0, &[], UnixSeconds(NOW)).await.map(drop)
    };
    lock.batch_execute("BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let slow = read(Duration::from_millis(500)).await;
    assert!(matches!(slow, Err(DbError::TooFarBehind { after: 0 })), "{slow:?}");
    lock.batch_execute("ROLLBACK").await.unwrap();
    read(Duration::from_secs(60)).await.unwrap();
}
