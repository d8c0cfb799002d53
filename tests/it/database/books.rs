//! Order books that two actors store at the same time.

use stellar_ticker::{
    db::market_assets::BookOfMarket,
    domain::orderbook::{OrderBook, PolledBook},
};

use super::*;
use crate::support::reached;

/// A scene with two markets, in the order of their ids.
async fn with_markets() -> (Scene, [MarketAssets; 2]) {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    let mut markets: Vec<i32> = written.new_markets.iter().map(|ids| ids.market).collect();
    markets.sort_unstable();
    let markets = scene.markets(&markets).await;
    (scene, markets.try_into().unwrap())
}

fn book(market: MarketAssets, fetched_at: UnixSeconds) -> BookOfMarket {
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
        assert_eq!(times, [(market.market, expected.to_utc())], "after a book of {read} s");
        let levels = scene.database.book_levels(market.market).await.unwrap();
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
    let lock = format!("BEGIN; SELECT FROM orderbook_stats WHERE market_id = {} FOR UPDATE", first.market);
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

#[tokio::test]
async fn books_are_removed_in_the_order_in_which_they_are_stored() {
    const MANY: usize = 2_000;
    let scene = Scene::new().await;
    // The order of the table is not that of ids, and no index gives that order either: only the statement can.
    let many = format!(
        "INSERT INTO assets (code, issuer, type)
         SELECT 'T' || n, '{}', 'credit_alphanum12' FROM generate_series(1, {MANY}) n;
         INSERT INTO markets (base_asset_id, counter_asset_id)
         SELECT xlm.id, a.id FROM assets a, assets xlm WHERE a.issuer <> 'native' AND xlm.issuer = 'native';
         INSERT INTO orderbook_stats (market_id, bid_count, bid_volume, bid_max, ask_count, ask_volume, ask_min, fetched_at)
         SELECT id, 0, 0, 0, 0, 0, 0, now() FROM markets ORDER BY md5(id::text);
         ALTER TABLE orderbook_stats DROP CONSTRAINT orderbook_stats_pkey CASCADE",
        address(1)
    );
    scene.client.batch_execute(&many).await.unwrap();
    let holder = connect(&scene.url).await;
    let lock = "BEGIN; SELECT FROM orderbook_stats ORDER BY market_id LIMIT 1 FOR UPDATE";
    holder.batch_execute(lock).await.unwrap();
    let removal = scene.database.keep_books_of(scene.epoch, &[]);
    let free = async {
        writers_wait(&scene.client, 1).await;
        let free = "SELECT FROM orderbook_stats FOR UPDATE SKIP LOCKED";
        let free = scene.client.query(free, &[]).await.unwrap().len();
        holder.batch_execute("COMMIT").await.unwrap();
        free
    };
    let (removed, free) = tokio::join!(removal, free);
    assert_eq!(free, MANY - 1, "the removal waits for the first row and holds no later one");
    // On a slow machine it may give up its wait for the lock.
    if let Ok(removed) = removed {
        assert_eq!(removed, 2_000);
    }
}

#[tokio::test]
async fn a_book_is_not_stored_under_an_id_that_another_market_has_by_now() {
    let (scene, [first, second]) = with_markets().await;
    let now = UnixSeconds(NOW);
    // As after a fail-over that lost the batch of the first market: another pair has its id.
    let lost = MarketAssets { market: first.market, ..second };
    let books = [book(lost, now.plus(-5)), book(second, now.plus(-9))];
    let recorded = scene.database.record_books(scene.epoch, &books, now).await.unwrap();
    assert!(recorded.seq.is_some());
    assert_eq!(recorded.refused, [first.market]);
    let times = scene.database.book_times().await.unwrap();
    assert_eq!(times, [(second.market, now.plus(-9).to_utc())]);
    assert_eq!(scene.database.book_levels(first.market).await.unwrap(), None);
}

/// Waits until so many sessions wait for a lock.
pub(super) async fn writers_wait(client: &Client, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    reached("the writers wait", async || {
        client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) >= count
    })
    .await;
}
