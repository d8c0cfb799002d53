//! Held ledgers and trades as they are compared with Horizon, and ledgers that stop counting as held.

use stellar_ticker::db::DbError;

use super::*;

fn range(from: u32, to: u32) -> LedgerRange {
    let at = |ledger: u32| UnixSeconds(1_795_000_000 + i64::from(ledger));
    LedgerRange { from, to, from_time: at(from), to_time: at(to) }
}

/// Ledgers 5 to 9 with a trade each, held whole from 2 on.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    let trades = (5..10).map(|ledger| trade(ledger, 0, 1, 10)).collect();
    let batch = TradeBatch { covered: Some(range(2, 9)), ..batch(None, trades) };
    scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    scene
}

#[tokio::test]
async fn a_hole_is_cut_out_of_what_counts_as_held_and_numbered_like_every_write() {
    let scene = scene().await;
    scene.database.uncover(scene.epoch, range(4, 6)).await.unwrap();
    let held = scene.database.coverage().await.unwrap();
    let ledgers: Vec<(u32, u32)> = held.iter().map(|range| (range.from, range.to)).collect();
    assert_eq!(ledgers, [(2, 3), (7, 9)]);
    assert_eq!((held[0].to_time, held[1].from_time), (range(4, 6).from_time, range(4, 6).to_time));
    assert_eq!(
        (scene.count("ingest_batches").await, scene.count("trades").await),
        (2, 5),
        "no trade is touched"
    );
    scene.database.uncover(scene.epoch, range(20, 30)).await.unwrap();
    assert_eq!(scene.database.coverage().await.unwrap(), held, "nothing was held there");
    let refused = scene.database.uncover(scene.epoch + 1, range(2, 3)).await;
    assert!(matches!(refused, Err(DbError::LeaseLost)), "{refused:?}");
    assert_eq!(scene.database.coverage().await.unwrap(), held);
}

#[tokio::test]
async fn the_nearest_held_trades_are_found_on_either_side_and_none_at_the_edge() {
    let scene = scene().await;
    let ledger = |found: Option<(PagingToken, UnixSeconds)>| found.map(|(token, _)| token.ledger());
    let newest = async |from, to| ledger(scene.database.newest_held_between(from, to).await.unwrap());
    let oldest = async |from, to| ledger(scene.database.oldest_held_between(from, to).await.unwrap());
    assert_eq!(newest(PagingToken::FIRST, PagingToken::LAST).await, Some(9));
    assert_eq!(oldest(PagingToken::FIRST, PagingToken::LAST).await, Some(5));
    assert_eq!(newest(PagingToken::FIRST, token(7, 0)).await, Some(6), "the end is not in it");
    assert_eq!(oldest(token(7, 0), PagingToken::LAST).await, Some(7), "the beginning is");
    assert_eq!(newest(PagingToken::FIRST, token(5, 0)).await, None);
    let held = scene.database.newest_held(3).await.unwrap();
    assert_eq!(held.iter().map(|(ledger, _)| *ledger).collect::<Vec<_>>(), [9, 8, 7]);
}
