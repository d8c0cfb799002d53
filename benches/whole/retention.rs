//! Dropping a day of trades while batches are written.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use stellar_ticker::{
    db::trades::{BatchKind, IncomingTrade, TradeBatch},
    domain::instant::{DAY, UnixSeconds},
};

use super::{
    bench::{Bench, Store, timed},
    copy,
    report::{Row, Unit},
    start,
    synthetic::{LEDGER_TRADES, Synthetic},
};

/// Trades of the day that is dropped.
const DAY_TRADES: u64 = 1_500_000;
const MARKETS: u64 = 30_000;
const KEEP_DAYS: i64 = 8;
/// Number of batches before the drop, and after it.
const BATCHES_AROUND: usize = 50;
/// Pause between two batches.
const BATCH_PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    bench.block_on(async {
        let store = bench.store().await;
        let now = Utc::now();
        let midnight = UnixSeconds(UnixSeconds::from(now).day() * DAY);
        let old = Synthetic::new(DAY_TRADES, MARKETS, midnight.minus(10 * DAY + 60), DAY - 120);
        copy::make_days(&store.client, "trades", &old).await;
        copy::seed_markets(&store.client, &old).await;
        copy::send(&store.client, "trades", copy::encode(&old, 0..DAY_TRADES)).await;
        store.client.batch_execute("BEGIN").await.unwrap();
        let (deleted_s, _) = timed(store.client.execute("DELETE FROM trades", &[])).await;
        store.client.batch_execute("ROLLBACK").await.unwrap();
        let (before, during, dropped_s) = drop_under_load(&store, MARKETS, now).await;
        let left: i64 = store
            .client
            .query_one(
                "SELECT count(*) FROM trades WHERE ledger_close_time < $1",
                &[&midnight.minus(DAY).to_utc()],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(left, 0, "the day is gone");
        store.close().await;
        vec![
            Row::new("dropping a day of 1.5 million trades", dropped_s, Unit::Seconds)
                .baseline("DELETE", deleted_s)
                .goal(0.1),
            Row::new("longest batch of 115 trades meanwhile", during, Unit::Seconds)
                .baseline("before it", before)
                .goal(0.05),
        ]
    })
}

/// Returns the time of the longest batch before the drop, of the longest one during it, and of the drop, in seconds.
async fn drop_under_load(store: &Store, markets: u64, now: chrono::DateTime<Utc>) -> (f64, f64, f64) {
    // A day is dropped only once its candles are derived.
    start::derive_candles(store).await;
    let epoch = store.database.take_lease("bench", Duration::from_secs(600)).await.unwrap().unwrap();
    // The first pass creates the next days, so that the second one has nothing to do.
    store.database.clean(epoch, 3 * KEEP_DAYS, now, || {}).await.unwrap();
    let (idle_s, idle) = timed(store.database.clean(epoch, 3 * KEEP_DAYS, now, || {})).await;
    assert_eq!(idle.unwrap().days, 0);
    let live = Synthetic::new(2_000 * LEDGER_TRADES, markets, UnixSeconds::from(now), 3_600);
    let (is_over, longest, count) = (Cell::new(false), RefCell::new(vec![0.0_f64; 2]), Cell::new(0_usize));
    let (has_begun, drop_s) = (Cell::new(false), Cell::new(0.0));
    let write = async {
        while !is_over.get() {
            let first = count.get() as u64 * LEDGER_TRADES;
            count.set(count.get() + 1);
            let batch = batch(&live, first);
            let (seconds, written) = timed(store.database.write_trades(epoch, &batch)).await;
            written.unwrap();
            if count.get() > 1 {
                let mut longest = longest.borrow_mut();
                let slot = longest.get_mut(usize::from(has_begun.get())).unwrap();
                *slot = slot.max(seconds);
            }
            tokio::time::sleep(BATCH_PAUSE).await;
        }
    };
    let reach = async |batches: usize| {
        while count.get() < batches {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let clean = async {
        reach(BATCHES_AROUND).await;
        has_begun.set(true);
        let (seconds, cleaned) = timed(store.database.clean(epoch, KEEP_DAYS, now, || {})).await;
        assert_eq!(cleaned.unwrap().days, 1, "one day is dropped at the first try");
        drop_s.set(seconds - idle_s);
        reach(count.get() + BATCHES_AROUND).await;
        is_over.set(true);
    };
    tokio::join!(write, clean);
    let longest = longest.into_inner();
    let [before, during] = <[f64; 2]>::try_from(longest).unwrap();
    (before, during, drop_s.get())
}

/// Returns a ledger as a batch of the stream.
pub(crate) fn batch(synthetic: &Synthetic, first: u64) -> TradeBatch {
    let trades = (first..first + LEDGER_TRADES).map(|number| IncomingTrade {
        trade: synthetic.make(number).trade(),
        raw: Bytes::from_static(b"{}"),
    });
    TradeBatch {
        kind: BatchKind::Live,
        cursor: None,
        trades: trades.collect(),
        quarantine: Vec::new(),
        covered: None,
    }
}
