//! Deleted rows that everything depends on: the program restores them, and no number goes back.

use stellar_ticker::db::{DbError, assets::AssetSweep};

use super::{
    assets::{now, tea},
    *,
};

#[tokio::test]
async fn a_lease_that_was_deleted_is_made_again_with_a_later_epoch_and_numbers_go_on() {
    let scene = Scene::new().await;
    let write = async |epoch, expected, ledger| {
        scene.database.write_trades(epoch, &batch(expected, vec![trade(ledger, 0, 1, 10)])).await
    };
    assert_eq!(write(scene.epoch, None, 5).await.unwrap().seq, 1);
    assert_eq!(write(scene.epoch, Some(token(5, 0)), 6).await.unwrap().seq, 2);
    scene.client.batch_execute("DELETE FROM ingest_lease").await.unwrap();
    assert!(
        !scene.database.renew_lease(scene.epoch, TTL).await.unwrap(),
        "the former leader no longer leads"
    );
    let refused = write(scene.epoch, Some(token(6, 0)), 7).await;
    assert!(matches!(refused, Err(DbError::LeaseLost)), "{refused:?}");

    let epoch = scene.database.take_lease("other", TTL).await.unwrap().expect("anyone may take it");
    assert!(epoch > scene.epoch, "{epoch} {}", scene.epoch);
    let refused = write(scene.epoch, Some(token(6, 0)), 7).await;
    assert!(matches!(refused, Err(DbError::LeaseLost)), "a writer of before stays out: {refused:?}");
    assert_eq!(write(epoch, Some(token(6, 0)), 7).await.unwrap().seq, 3, "without a hole, never back");
    assert_eq!(scene.database.take_lease("third", TTL).await.unwrap(), None, "it is held");
    assert_eq!(scene.count("ingest_lease").await, 1);
}

#[tokio::test]
async fn many_that_find_the_lease_deleted_make_it_once_and_one_takes_it() {
    let scene = Scene::new().await;
    scene.client.batch_execute("DELETE FROM ingest_lease").await.unwrap();
    let take = async |_| scene.database.take_lease("one of many", TTL).await.unwrap();
    let taken = futures_util::future::join_all((0..8).map(take)).await;
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    assert_eq!(scene.count("ingest_lease").await, 1);
}

#[tokio::test]
async fn a_cursor_that_was_deleted_is_made_again_by_the_next_batch() {
    let scene = Scene::new().await;
    let write = async |expected, ledger| {
        scene.database.write_trades(scene.epoch, &batch(expected, vec![trade(ledger, 0, 1, 10)])).await
    };
    write(None, 5).await.unwrap();
    scene.client.batch_execute("DELETE FROM ingest_cursor").await.unwrap();
    write(Some(token(5, 0)), 6).await.unwrap();
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(6, 0)));
    let moved = write(Some(token(5, 0)), 7).await;
    assert!(matches!(moved, Err(DbError::CursorMoved { .. })), "and it is compared as ever: {moved:?}");
    scene.client.batch_execute("DELETE FROM ingest_cursor").await.unwrap();
    assert_eq!(scene.database.cursor("live").await.unwrap(), None);
    write(None, 7).await.unwrap();
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(7, 0)));
}

#[tokio::test]
async fn the_place_of_a_sweep_that_was_deleted_is_made_again_and_assets_stay_due() {
    let scene = Scene::new().await;
    let trades = batch(None, vec![trade(5, 0, 1, 10)]);
    scene.database.write_trades(scene.epoch, &trades).await.unwrap();
    scene.client.batch_execute("DELETE FROM asset_sweep").await.unwrap();
    assert_eq!(scene.database.asset_sweep().await.unwrap(), AssetSweep::default());
    assert_eq!(scene.database.due_assets(&[], 10, now()).await.unwrap().assets, [tea(1)]);
    let sweep = AssetSweep { began_at: Some(now()), token: Some("TEA_x".into()), ..AssetSweep::default() };
    for _ in 0..2 {
        scene.database.record_standings(scene.epoch, &[], true, Some(&sweep), now()).await.unwrap();
        assert_eq!(scene.database.asset_sweep().await.unwrap(), sweep);
    }
    assert_eq!(scene.count("asset_sweep").await, 1);
}
