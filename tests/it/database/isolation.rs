//! A server, database or role whose transactions are isolated more strictly by default, as managed servers allow it.

use super::{candles::derive, *};
use crate::support::reached;

/// A database whose sessions begin serializable transactions, with the lease taken.
async fn strict() -> Scene {
    let mut scene = Scene::new().await;
    let sql = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L',
                                          current_database(), 'serializable'); END $$";
    scene.client.batch_execute(sql).await.unwrap();
    scene.database = open(&scene.url);
    scene.client = connect(&scene.url).await;
    scene
}

/// Runs `call` while another session holds what `lock` locks, until it waits for that. Then runs `meanwhile` and lets
/// it go on.
pub(super) async fn held_up<T>(
    scene: &Scene,
    lock: &str,
    call: impl Future<Output = T>,
    meanwhile: &str,
) -> T {
    let holder = connect(&scene.url).await;
    holder.batch_execute(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; {lock}")).await.unwrap();
    let release = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let client = connect(&scene.url).await;
        reached("the call waits", async || {
            client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        holder.batch_execute(&format!("{meanwhile}; COMMIT")).await.unwrap();
    };
    tokio::join!(call, release).0
}

/// Change of the row of the lease, as each write of trades makes one.
const OTHER_WRITE: &str = "UPDATE ingest_lease SET seq = seq";

#[tokio::test]
async fn writes_wait_for_each_other_whatever_the_default_isolation_is() {
    let scene = strict().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(4, 0, 1, 10)])).await.unwrap();
    let trades = batch(Some(token(4, 0)), vec![trade(5, 0, 1, 10)]);
    let write = scene.database.write_trades(scene.epoch, &trades);
    let written = held_up(&scene, "LOCK TABLE trades IN EXCLUSIVE MODE", write, OTHER_WRITE).await;
    assert_eq!(written.unwrap().trades.len(), 1);
}

#[tokio::test]
async fn candles_are_derived_while_trades_are_written_whatever_the_default_isolation_is() {
    let scene = strict().await;
    let trades = batch(None, vec![trade(5, 0, 1, 10)]);
    scene.database.write_trades(scene.epoch, &trades).await.unwrap();
    let lock = "SELECT FROM candle_progress FOR UPDATE";
    let step = scene.database.derive_candles(scene.epoch, UnixSeconds(NOW).to_utc(), || {});
    let step = held_up(&scene, lock, step, OTHER_WRITE).await;
    assert_eq!(step.unwrap().trades, 1);
    let mend = scene.database.mend_candles(
        scene.epoch,
        UnixSeconds(NOW - NOW.rem_euclid(3_600)),
        UnixSeconds(NOW).to_utc(),
        || {},
    );
    held_up(&scene, lock, mend, OTHER_WRITE).await.unwrap();
    derive(&scene.database, scene.epoch, NOW).await;
    assert_eq!(scene.count("candle_progress WHERE seq = 1").await, 1);
}

#[tokio::test]
async fn the_lease_is_renewed_and_released_during_writes_whatever_the_default_isolation_is() {
    let scene = strict().await;
    let lock = "SELECT FROM ingest_lease FOR UPDATE";
    let renew = scene.database.renew_lease(scene.epoch, TTL);
    assert!(held_up(&scene, lock, renew, OTHER_WRITE).await.unwrap());
    let release = scene.database.release_lease(scene.epoch);
    held_up(&scene, lock, release, OTHER_WRITE).await.unwrap();
    let take = scene.database.take_lease("other", TTL);
    assert!(held_up(&scene, lock, take, OTHER_WRITE).await.unwrap().is_some());
}
