//! History through the whole program: pages are served, decoded, committed, added to the windows and published.
//!
//! Only the work of Horizon is left out: its pages are rendered beforehand. Nearly all markets are new, pages are read
//! from new to old, and a publication is made and written to files each second.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use serde_json::Value;
use stellar_ticker::domain::instant::UnixSeconds;

use super::{
    bench::{Bench, Store, timed},
    copy,
    freshness::UNLIMITED,
    horizon::Rendered,
    report::{Row, Unit},
    start::{BATCH, Daemon, MARKETS, get},
    synthetic::{LEDGER_TRADES, Synthetic},
};

/// Longest wait for a publication. A longer run has failed.
const DEADLINE: Duration = Duration::from_secs(300);
/// Longest time for which a message may occupy the aggregator, in seconds.
const OCCUPIED_MAX_S: f64 = 0.050;
/// Pause between two checks of the progress.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let synthetic = Synthetic::week(bench.sized(500_000, 1_000_000), MARKETS, UnixSeconds::from(Utc::now()));
    let rendered = Rendered::of(&synthetic);
    let first_request = rendered.first_request();
    let address = rendered.serve();
    bench.block_on(async {
        let store = bench.store().await;
        let before = copy::raw(&store, &synthetic).await;
        seed(&store, &synthetic).await;
        let daemon = Daemon::on(&store.url, &format!("http://{address}"), &UNLIMITED);
        let published = all_published(&store, &daemon, synthetic.trades).await;
        // The daemon reads pages before its first publication already, so the clock starts with the first page.
        let seconds = first_request.get().unwrap().elapsed().as_secs_f64();
        let read = synthetic.trades - LEDGER_TRADES; // The others were in the database before.
        let counted = |pair: &Value| pair["trade_count_7d"].as_u64().unwrap();
        let counted: u64 = published["pairs"].as_array().unwrap().iter().map(counted).sum();
        assert_eq!(counted, synthetic.trades, "all trades are published");
        let messages = longest_of_each(&daemon);
        let longest = messages.iter().max_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
        drop(daemon);
        // Before and after, because the disk may grow slower or faster in the minutes between.
        let copied = f64::midpoint(before, copy::raw(&store, &synthetic).await);
        store.close().await;
        let what = "history through the whole program, from pages to published";
        let mut rows = vec![
            Row::new(what, read as f64 / seconds, Unit::PerSecond)
                .baseline("raw binary COPY, mean of before and after", copied)
                .goal(60_000.0)
                .goal_ratio(0.2),
            Row::new(
                format!("the longest time for which one message occupied the aggregator: {}", longest.0),
                longest.1,
                Unit::Seconds,
            )
            .goal(OCCUPIED_MAX_S),
        ];
        let snapshot = "the longest snapshot of all markets: RankMarkets, and each publication takes one too";
        let ranking = messages.iter().find(|(name, _)| name == "RankMarkets");
        rows.extend(
            ranking.map(|(_, seconds)| Row::new(snapshot, *seconds, Unit::Seconds).goal(OCCUPIED_MAX_S)),
        );
        rows
    })
}

/// Seeds the database. All assets are known and valid, so that everything is published. It holds only the trades and
/// markets of the oldest ledger.
async fn seed(store: &Store, synthetic: &Synthetic) {
    copy::make_days(&store.client, "trades", synthetic).await;
    copy::seed_markets(&store.client, synthetic).await;
    let oldest: Vec<Bytes> = copy::encode(synthetic, 0..LEDGER_TRADES).collect();
    copy::send(&store.client, "trades", oldest.into_iter()).await;
    let forget = "DELETE FROM markets WHERE id NOT IN (SELECT market_id FROM trades)";
    let next = "SELECT setval(pg_get_serial_sequence('markets', 'id'), (SELECT max(id) FROM markets))";
    for sql in [forget, next, BATCH] {
        store.client.batch_execute(sql).await.unwrap();
    }
}

/// Waits until all trades are stored and published. Returns the publication.
async fn all_published(store: &Store, daemon: &Daemon, trades: u64) -> Value {
    let begun = Instant::now();
    let stored = "SELECT coalesce(sum(trades), 0)::bigint, max(seq) FROM ingest_batches";
    loop {
        let row = store.client.query_one(stored, &[]).await.unwrap();
        let (count, seq): (i64, i64) = (row.get(0), row.get(1));
        if u64::try_from(count).unwrap() + LEDGER_TRADES == trades {
            while daemon.published_seq().is_none_or(|published| published < seq) {
                tokio::time::sleep(POLL).await;
            }
            let (_, body) = timed(async { get(daemon.public, "/markets.json").unwrap() }).await;
            return serde_json::from_slice(&body).unwrap();
        }
        assert!(begun.elapsed() < DEADLINE, "{count} of {trades} trades are stored");
        tokio::time::sleep(POLL).await;
    }
}

/// Returns the longest time for which each kind of message occupied the aggregator, in seconds.
fn longest_of_each(daemon: &Daemon) -> Vec<(String, f64)> {
    let answer: Value = serde_json::from_slice(&get(daemon.admin, "/actors.json").unwrap()).unwrap();
    let actors = answer["actors"].as_array().unwrap();
    let aggregator = actors.iter().find(|actor| actor["name"] == "aggregator").unwrap();
    let messages = aggregator["messages"].as_object().unwrap().iter();
    messages.map(|(name, times)| (name.clone(), times["max_ms"].as_f64().unwrap() / 1_000.0)).collect()
}
