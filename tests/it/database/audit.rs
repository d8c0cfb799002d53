//! The audit's own reading of the raw rows.

use stellar_ticker::{
    audit::{
        markets::{ExpectedPair, pairs},
        sums::TradeSums,
    },
    db::{
        recomputation::{Audited, Recomputed},
        toml_files::FileFetch,
    },
    domain::{
        instant::DAY,
        orderbook::{BestPrices, BookFigures, OrderBook, PolledBook},
    },
};

use super::*;

impl Scene {
    /// A scene whose assets are valid, with these trades in one batch.
    async fn audited(trades: Vec<Trade>) -> Self {
        let scene = Self::new().await;
        scene.write(None, trades).await;
        scene.client.batch_execute("UPDATE assets SET is_valid = true").await.unwrap();
        scene
    }

    async fn write(&self, expected: Option<PagingToken>, trades: Vec<Trade>) -> i64 {
        self.database.write_trades(self.epoch, &batch(expected, trades)).await.unwrap().seq
    }

    async fn pairs(&self, seq: i64, as_of: i64) -> Result<Vec<ExpectedPair>, &'static str> {
        match self.database.recompute(Audited { seq, as_of: UnixSeconds(as_of) }, 24).await.unwrap() {
            Recomputed::Expected(expected) => Ok(pairs(&expected.markets)),
            Recomputed::Missed(reason) => Err(reason),
        }
    }
}

fn priced(ledger: u32, price: (i64, i64)) -> Trade {
    Trade { price_n: price.0, price_d: price.1, ..trade(ledger, 0, 1, 10) }
}

#[tokio::test]
async fn sums_and_prices_are_exact_and_edges_are_to_the_second() {
    const MAX: i64 = i64::MAX;
    let scene = Scene::audited(vec![
        priced(1, (2, 1)),         // leaves the day
        priced(2, (MAX, MAX - 2)), // the three differ by less than doubles can express
        priced(3, (MAX, MAX - 1)),
        priced(4, (MAX - 1, MAX)),
        priced(5, (0, 1)), // sets no price
        Trade {
            base_amount: Amount::from_stroops(MAX).unwrap(),
            counter_amount: Amount::from_stroops(MAX).unwrap(),
            ..priced(6, (1, 0))
        },
    ])
    .await;
    let as_of = NOW + 1 + DAY;
    let pairs = scene.pairs(1, as_of).await.unwrap();
    let day = TradeSums {
        trade_count: 5,
        base_volume: i128::from(MAX) + 40,
        counter_volume: i128::from(MAX) + 80,
        open: Some((token(2, 0), (MAX - 2, MAX))),
        low: Some((MAX - 2, MAX)),
        high: Some((MAX, MAX - 1)),
        close: Some((token(4, 0), (MAX, MAX - 1))),
        times: Some((UnixSeconds(NOW + 2), UnixSeconds(NOW + 6))),
    };
    let week = TradeSums {
        trade_count: 6,
        base_volume: day.base_volume + 10,
        counter_volume: day.counter_volume + 20,
        open: Some((token(1, 0), (1, 2))),
        low: Some((1, 2)),
        times: Some((UnixSeconds(NOW + 1), UnixSeconds(NOW + 6))),
        ..day
    };
    let expected = ExpectedPair { name: "XLM_TEA".into(), recent: day, week, ..ExpectedPair::default() };
    assert_eq!(pairs, [expected]);
    let [pair] = scene.pairs(1, NOW + 6 + DAY).await.unwrap().try_into().unwrap();
    assert_eq!((pair.recent, pair.week), (TradeSums::default(), week), "a day without trades");
    assert_eq!(scene.pairs(1, NOW + 6 + 7 * DAY).await.unwrap(), [], "a week without trades");
}

#[tokio::test]
async fn trades_count_by_anchors_and_books_by_the_codes_that_spell_a_name() {
    let scene = Scene::audited(vec![trade(1, 0, 1, 10), trade(2, 0, 2, 10), trade(3, 0, 3, 10)]).await;
    let scene = &scene;
    let change = |sql: String| async move { scene.client.batch_execute(&sql).await };
    let of = |issuer: u8| format!("WHERE issuer = '{}'", address(issuer));
    change(format!("UPDATE assets SET code = 'TEAX', anchor_asset_code = 'TEA' {}", of(2))).await.unwrap();
    change(format!("UPDATE assets SET is_valid = false {}", of(3))).await.unwrap();
    let markets = scene.client.query("SELECT id FROM markets ORDER BY id", &[]).await.unwrap();
    let book = |bid_max, ask_min| PolledBook {
        figures: BookFigures {
            bid_count: 2,
            bid_volume: 1.5,
            bid_max,
            ask_count: 3,
            ask_volume: 2.5,
            ask_min,
        },
        best: BestPrices::default(),
        fetched_at: UnixSeconds(NOW),
    };
    let ids: Vec<i32> = markets.iter().map(|row| row.get(0)).collect();
    let markets = scene.markets(&ids).await.into_iter();
    let books: Vec<_> = markets
        .zip([1.0, 8.0, 9.0])
        .map(|(market, best)| (market, book(best, best), OrderBook::default()))
        .collect();
    let seq = scene.database.record_books(scene.epoch, &books, UnixSeconds(NOW)).await.unwrap().seq.unwrap();
    let [pair] = scene.pairs(seq, NOW + 10).await.unwrap().try_into().unwrap();
    assert_eq!((pair.name.as_str(), pair.recent.trade_count), ("XLM_TEA", 2));
    assert_eq!((pair.book.bid_count, pair.book.bid_max, pair.book.ask_volume), (2, 1.0, 2.5));
    change(format!("UPDATE assets SET code = 'TEA' {}", of(2))).await.unwrap();
    let [pair] = scene.pairs(seq, NOW + 10).await.unwrap().try_into().unwrap();
    assert_eq!((pair.book.bid_count, pair.book.bid_max, pair.book.ask_min), (4, 8.0, 1.0));
    assert_eq!((pair.book.ask_count, pair.book.bid_volume), (6, 3.0));
}

#[tokio::test]
async fn rows_of_later_batches_are_left_out_by_their_ranges() {
    let scene = Scene::audited(vec![trade(5, 0, 1, 10), trade(6, 0, 1, 20)]).await;
    let before = scene.pairs(1, NOW + 20).await.unwrap();
    scene.write(Some(token(6, 0)), vec![trade(7, 0, 1, 30), trade(8, 0, 1, 40)]).await;
    scene.write(Some(token(8, 0)), vec![trade(10, 0, 1, 50)]).await;
    let seq = scene.write(Some(token(10, 0)), vec![trade(11, 0, 2, 60)]).await;
    let history =
        TradeBatch { kind: BatchKind::Backfill, cursor: None, ..batch(None, vec![trade(4, 0, 1, 70)]) };
    scene.database.write_trades(scene.epoch, &history).await.unwrap();
    assert_eq!(scene.pairs(1, NOW + 20).await.unwrap(), before);
    let [pair] = scene.pairs(seq - 1, NOW + 20).await.unwrap().try_into().unwrap();
    assert_eq!(pair.week.base_volume, 10 + 20 + 30 + 40 + 50);
    // One that was repaired between two that were held: its batch's range is its own, and still exact.
    let repair =
        TradeBatch { kind: BatchKind::Repair, cursor: None, ..batch(None, vec![trade(9, 0, 1, 80)]) };
    scene.database.write_trades(scene.epoch, &repair).await.unwrap();
    assert_eq!(scene.pairs(1, NOW + 20).await.unwrap(), before);
}

#[tokio::test]
async fn a_publication_that_cannot_be_reconstructed_is_missed() {
    let scene = Scene::audited(vec![trade(5, 0, 1, 10)]).await;
    let missed = |seq| scene.pairs(seq, NOW + 20);
    assert!(missed(2).await.unwrap_err().contains("ahead"), "another database's publication");
    // A range that reaches over a row that was there before.
    let history = vec![trade(4, 0, 1, 1), trade(6, 0, 1, 1)];
    let history = TradeBatch { kind: BatchKind::Backfill, cursor: None, ..batch(None, history) };
    let seq = scene.database.write_trades(scene.epoch, &history).await.unwrap().seq;
    assert!(missed(1).await.unwrap_err().contains("in between"));
    assert!(missed(seq).await.is_ok());
    // Assets that changed. Unchanged ones are ignored.
    let known = &scene;
    let record = |fetches: Vec<FileFetch>| async move {
        let scene = known;
        scene.database.record_files(scene.epoch, &fetches, true, UnixSeconds(NOW).to_utc()).await.unwrap()
    };
    let nothing = record(Vec::new()).await;
    assert!(nothing == seq + 1 && missed(seq).await.is_ok());
    scene
        .client
        .batch_execute("UPDATE assets SET meets_rules = true, toml_url = 'https://tea.example'")
        .await
        .unwrap();
    let good = FileFetch {
        url: "https://tea.example".into(),
        outcome: Ok(stellar_ticker::domain::issuer_file::IssuerFile {
            org: stellar_ticker::domain::issuer_file::Organisation {
                name: "Tea".into(),
                ..Default::default()
            },
            ..Default::default()
        }),
        next_check_at: UnixSeconds(NOW).to_utc(),
    };
    let changed = record(vec![good]).await;
    assert!(missed(nothing).await.unwrap_err().contains("assets or books"));
    assert!(missed(changed).await.is_ok());
    scene.write(Some(token(5, 0)), vec![trade(12, 0, 1, 1)]).await;
    scene.client.batch_execute("DELETE FROM ingest_batches WHERE kind = 'live'").await.unwrap();
    assert!(missed(changed).await.unwrap_err().contains("no longer kept"));
    scene.client.batch_execute("UPDATE ingest_lease SET seq = seq + 100000").await.unwrap();
    assert!(missed(changed).await.unwrap_err().contains("far behind"));
}
