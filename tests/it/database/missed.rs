//! Trades that a reader of the live stream missed.

use chrono::Utc;
use stellar_ticker::db::missed::{Missed, MissedTrades};

use super::*;

/// A trade that closed this many seconds ago.
fn closed(ledger: u32, order: i32, age: i64) -> Trade {
    Trade { closed_at: UnixSeconds(Utc::now().timestamp() - age), ..trade(ledger, order, 1, 10) }
}

fn filled(trades: Vec<Trade>) -> TradeBatch {
    let trades = trades.into_iter().map(incoming).collect();
    TradeBatch { kind: BatchKind::Backfill, cursor: None, trades, quarantine: Vec::new(), covered: None }
}

async fn missed(scene: &Scene, after: i64, upto: i64) -> MissedTrades {
    match scene.database.missed_trades(after, upto).await.unwrap() {
        Missed::Known(missed) => missed,
        other => panic!("{other:?}"),
    }
}

fn tokens(missed: &MissedTrades) -> Vec<(PagingToken, i64)> {
    missed.trades.iter().map(|missed| (missed.trade.token, missed.seq)).collect()
}

#[tokio::test]
async fn trades_of_the_batches_after_one_are_read_and_only_the_new_ones() {
    let scene = Scene::new().await;
    let write = async |batch: TradeBatch| scene.database.write_trades(scene.epoch, &batch).await.unwrap().seq;
    let first = write(batch(None, vec![closed(10, 0, 30)])).await;
    let second = write(batch(Some(token(10, 0)), vec![closed(11, 0, 20), closed(11, 1, 20)])).await;
    // A late trade, and one that is no news. Their range contains the first batch, whose trade is not read again.
    let late = write(filled(vec![closed(2, 0, 3_600), closed(9, 0, 40)])).await;
    let last = write(batch(Some(token(11, 1)), vec![closed(12, 0, 1)])).await;

    let all = missed(&scene, first, last).await;
    let expected =
        [(token(9, 0), late), (token(11, 0), second), (token(11, 1), second), (token(12, 0), last)];
    assert_eq!(tokens(&all), expected);
    let seqs: Vec<i64> = all.batches.iter().map(|mark| mark.seq).collect();
    assert_eq!(seqs, [first, second, late, last]);
    // Batches that are not published yet are known, but their trades are not.
    let published = missed(&scene, first, second).await;
    assert_eq!((tokens(&published).len(), published.batches.len()), (2, 4));
    assert_eq!(tokens(&missed(&scene, last, last).await), []);
}

#[tokio::test]
async fn a_batch_that_is_not_held_is_later_or_deleted() {
    let scene = Scene::new().await;
    let later = scene.database.missed_trades(1, 1).await.unwrap();
    assert!(matches!(later, Missed::NoSuchBatch { is_later: true }), "{later:?}");
    for ledger in 1..=3 {
        scene.database.write_trades(scene.epoch, &filled(vec![closed(ledger, 0, 1)])).await.unwrap();
    }
    scene.client.execute("DELETE FROM ingest_batches WHERE seq < 3", &[]).await.unwrap();
    for (after, is_later) in [(0, false), (1, false), (2, false), (4, true), (i64::MAX, true)] {
        let missed = scene.database.missed_trades(after, 3).await.unwrap();
        assert!(
            matches!(missed, Missed::NoSuchBatch { is_later: found } if found == is_later),
            "{after}: {missed:?}"
        );
    }
}

#[tokio::test]
async fn more_trades_than_the_bound_are_too_many() {
    let scene = Scene::new().await;
    let first = scene.database.write_trades(scene.epoch, &filled(vec![closed(1, 0, 1)])).await.unwrap().seq;
    let many = |ledger, count| filled((0..count).map(|order| closed(ledger, order, 1)).collect());
    let most = scene.database.write_trades(scene.epoch, &many(2, 20_000)).await.unwrap().seq;
    assert_eq!(missed(&scene, first, most).await.trades.len(), 20_000);
    let more = scene.database.write_trades(scene.epoch, &many(3, 1)).await.unwrap().seq;
    let missed = scene.database.missed_trades(first, more).await.unwrap();
    assert!(matches!(missed, Missed::TooMany), "{missed:?}");
}

/// Adds batches of a kind, as the pollers and other replicas write them.
async fn add_batches(scene: &Scene, kind: &str, count: u32) {
    let add = format!(
        "INSERT INTO ingest_batches (seq, kind, from_token, to_token, trades)
         SELECT l.seq + n, '{kind}', n || '{0}', n || '{0}', 0 FROM ingest_lease l, generate_series(1, {count}) n;
         UPDATE ingest_lease SET seq = seq + {count}",
        if kind == "live" { "-0" } else { "" }
    );
    scene.client.batch_execute(&add).await.unwrap();
}

#[tokio::test]
async fn only_batches_with_trades_make_an_absence_too_long() {
    let scene = Scene::new().await;
    let first = scene.database.write_trades(scene.epoch, &filled(vec![closed(1, 0, 1)])).await.unwrap().seq;
    add_batches(&scene, "books", 40_000).await;
    let last = scene.database.write_trades(scene.epoch, &filled(vec![closed(2, 0, 1)])).await.unwrap().seq;
    let all = missed(&scene, first, last).await;
    assert_eq!((tokens(&all), all.batches.len()), (vec![(token(2, 0), last)], 40_002));
    // A reader may have seen any of them.
    assert_eq!(tokens(&missed(&scene, first + 7, last).await).len(), 1);
    add_batches(&scene, "live", 20_000).await;
    let too_many = scene.database.missed_trades(first, i64::MAX).await.unwrap();
    assert!(matches!(too_many, Missed::TooMany), "{too_many:?}");
    assert_eq!(tokens(&missed(&scene, last, i64::MAX).await), []);
    add_batches(&scene, "books", 40_000).await;
    let too_many = scene.database.missed_trades(first, first).await.unwrap();
    assert!(matches!(too_many, Missed::TooMany), "{too_many:?}");
}
