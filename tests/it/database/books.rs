//! Order books that two actors store at the same time.

use stellar_ticker::domain::orderbook::{OrderBook, PolledBook};

use super::*;
use crate::support::reached;

/// A scene with two markets, in the order of their ids.
async fn with_markets() -> (Scene, [i32; 2]) {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    let mut markets: Vec<i32> = written.new_markets.iter().map(|ids| ids.market).collect();
    markets.sort_unstable();
    (scene, markets.try_into().unwrap())
}

fn book(market: i32, fetched_at: UnixSeconds) -> (i32, PolledBook, OrderBook) {
    let book = OrderBook::default();
    (market, PolledBook::of(&book, fetched_at), book)
}

#[tokio::test]
async fn an_older_book_never_replaces_a_newer_one_unless_that_lies_in_the_writers_future() {
    let (scene, [market, _]) = with_markets().await;
    let now = UnixSeconds(NOW);
    for (read, expected) in [(-50, -50), (-100, -50), (-50, -50), (-20, -20), (3_600, 3_600), (-10, -10)] {
        let books = [book(market, now.plus(read))];
        let recorded = scene.database.record_books(scene.epoch, &books, now).await.unwrap();
        assert!(recorded.seq.is_some() && recorded.refused.is_empty(), "{recorded:?}");
        let expected = now.plus(expected);
        let times = scene.database.book_times().await.unwrap();
        assert_eq!(times, [(market, expected.to_utc())], "after a book of {read} s");
        let levels = scene.database.book_levels(market).await.unwrap();
        assert_eq!(levels, Some((OrderBook::default(), expected)), "after a book of {read} s");
    }
    let unchanged = "ingest_batches WHERE kind = 'books' AND from_token IS NULL";
    assert_eq!(scene.count(unchanged).await, 1, "readers read no row for the older book");
}

#[tokio::test]
async fn writers_of_the_same_books_never_wait_for_each_other_in_a_circle() {
    let (scene, [first, second]) = with_markets().await;
    let now = UnixSeconds(NOW);
    let (forth, back) = ([book(first, now), book(second, now)], [book(second, now), book(first, now)]);
    scene.database.record_books(scene.epoch, &forth, now).await.unwrap();
    let holder = connect(&scene.url).await;
    let lock = format!("BEGIN; SELECT FROM orderbook_stats WHERE market_id = {first} FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    let one = scene.database.record_books(scene.epoch, &forth, now);
    // Without one order, this writer would hold the second row now, and wait behind `one` for the first.
    let other = async {
        writers_wait(&scene.client, 1).await;
        scene.database.record_books(scene.epoch, &back, now).await
    };
    let release = async {
        writers_wait(&scene.client, 2).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (one, other, ()) = tokio::join!(one, other, release);
    // On a slow machine a writer may give up its wait for a lock. A circle is an error of its own.
    for written in [one, other] {
        assert!(!written.is_err_and(|error| error.to_string().contains("deadlock")));
    }
}

/// Waits until so many sessions wait for a lock.
async fn writers_wait(client: &Client, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    reached("the writers wait", async || {
        client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) >= count
    })
    .await;
}
