//! Days made ahead, dropped behind, and nothing that grows.

use chrono::{DateTime, TimeDelta, Utc};
use stellar_ticker::db::quarantine::QuarantineEntry;

use super::*;

const DAY: i64 = 86_400;
const KEEP: i64 = 8;
const LEDGERS_A_DAY: u32 = 100;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// A day's trades, one a ledger, with some that are quarantined.
fn day_of_trades(day: u32) -> TradeBatch {
    let begin = NOW - NOW.rem_euclid(DAY) + i64::from(day) * DAY;
    let closed_at = |ledger: u32| UnixSeconds(begin + i64::from(ledger % LEDGERS_A_DAY) * 600);
    let (first, last) = (day * LEDGERS_A_DAY + 1, (day + 1) * LEDGERS_A_DAY - 1);
    let trades: Vec<Trade> = (first..=last)
        .map(|ledger| Trade { closed_at: closed_at(ledger), ..trade(ledger, 0, 1, 10) })
        .collect();
    let spoiled = QuarantineEntry {
        source: "stream",
        token: None,
        reason: format!("day {day}"),
        raw: Bytes::from_static(b"x"),
    };
    TradeBatch {
        kind: BatchKind::Backfill,
        cursor: None,
        quarantine: vec![spoiled],
        covered: Some(LedgerRange {
            from: first,
            to: last + 1,
            from_time: closed_at(first),
            to_time: closed_at(last),
        }),
        trades: trades.into_iter().map(incoming).collect(),
    }
}

#[tokio::test]
async fn thirty_days_leave_a_level_table_and_never_touch_a_served_window() {
    let scene = Scene::new().await;
    let mut sizes = Vec::new();
    for day in 0..30_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
        // Quarantine and batches are dated by the server's own clock: put back to this day.
        let age = NOW + i64::from(day) * DAY;
        let dated = format!(
            "UPDATE quarantine SET seen_at = to_timestamp({age}) WHERE reason = 'day {day}';
             UPDATE ingest_batches SET committed_at = to_timestamp({age}) WHERE committed_at > to_timestamp({age})"
        );
        scene.client.batch_execute(&dated).await.unwrap();
        let now = at(age);
        let cleaned = scene.clean(KEEP, now).await;
        assert_eq!(cleaned.days_left, 0, "no other reader is open");
        let week_ago = now - TimeDelta::days(7);
        let kept = "SELECT count(*) FROM trades WHERE ledger_close_time > $1";
        let in_window: i64 = scene.client.query_one(kept, &[&week_ago]).await.unwrap().get(0);
        let days = i64::from(day.min(7));
        assert!(in_window >= days * 99, "day {day}: {in_window} trades in the window");
        sizes.push(scene.count("pg_inherits WHERE inhparent = 'trades'::regclass").await);
    }
    assert_eq!(sizes[12..].iter().min(), sizes[12..].iter().max(), "level: {sizes:?}");
    assert!(*sizes.last().unwrap() <= KEEP + 4, "{sizes:?}");
    let trades = scene.count("trades").await;
    assert!(trades <= (KEEP + 2) * 99, "{trades} trades of 30 days are left");
    assert!(scene.count("quarantine").await <= KEEP + 2);
    let coverage = scene.database.coverage().await.unwrap();
    let oldest: i64 = scene.client.query_one("SELECT min(toid) >> 32 FROM trades", &[]).await.unwrap().get(0);
    assert_eq!(i64::from(coverage[0].from), oldest, "what was dropped does not count as held");
    assert_eq!(scene.clean(KEEP, at(NOW + 29 * DAY)).await, Cleaned::default());
}

#[tokio::test]
async fn a_pass_that_failed_after_it_dropped_a_day_is_made_up_for_by_the_next() {
    let scene = Scene::new().await;
    for day in 0..4_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
    }
    scene.client.batch_execute("DROP TABLE trades_p20261123").await.unwrap();
    let now = at(NOW + (KEEP + 1) * DAY);
    assert_eq!(scene.clean(KEEP, now).await.days, 0, "it is gone");
    let coverage = scene.database.coverage().await.unwrap();
    assert_eq!(coverage[0].from, LEDGERS_A_DAY + 1, "what was dropped does not count as held: {coverage:?}");
    let before = scene.count("ingest_batches").await;
    scene.clean(KEEP, now).await;
    assert_eq!(scene.count("ingest_batches").await, before, "a pass without work leaves no trace");
}

/// A partition that somebody attached by hand, such as trades from an archive.
#[tokio::test]
async fn partitions_with_other_names_stay_and_hold_up_no_pass() {
    let scene = Scene::new().await;
    for day in 0..2_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
    }
    for (name, month) in [("trades_old", "01"), ("\"Trades of March\"", "03"), ("trades_p20201399", "05")] {
        let attach = format!(
            "CREATE TABLE {name} (LIKE trades INCLUDING ALL);
             ALTER TABLE trades ATTACH PARTITION {name}
                 FOR VALUES FROM ('2020-{month}-01 00:00:00+00') TO ('2020-{month}-02 00:00:00+00')"
        );
        scene.client.batch_execute(&attach).await.unwrap();
    }
    assert_eq!(scene.clean(KEEP, at(NOW + (KEEP + 1) * DAY)).await.days, 1);
    let coverage = scene.database.coverage().await.unwrap();
    assert_eq!(coverage[0].from, LEDGERS_A_DAY + 1, "{coverage:?}");
    let others =
        "pg_inherits WHERE inhparent = 'trades'::regclass AND inhrelid::regclass::text !~ '^trades_p2026'";
    assert_eq!(scene.count(others).await, 3);
}

/// A poller without a budget of requests writes many in a day.
#[tokio::test]
async fn batches_beyond_a_number_are_deleted_whatever_their_age() {
    let scene = Scene::new().await;
    for day in 0..3_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
    }
    candles::derive(&scene.database, scene.epoch, NOW).await;
    scene.client.batch_execute("UPDATE ingest_lease SET seq = 1000002").await.unwrap();
    let cleaned = scene.database.clean(scene.epoch, KEEP, at(NOW), || {}).await.unwrap();
    assert_eq!(cleaned.rows, 2);
    let kept = scene.client.query("SELECT seq FROM ingest_batches ORDER BY seq", &[]).await.unwrap();
    let kept: Vec<i64> = kept.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, [3, 1_000_003], "the last one deleted the others");
}

/// Two writers that add touching ranges at once may leave such rows.
#[tokio::test]
async fn overlapping_rows_of_the_coverage_are_merged_before_they_are_shortened() {
    let scene = Scene::new().await;
    let batch = TradeBatch {
        covered: None,
        trades: vec![incoming(Trade { closed_at: UnixSeconds(NOW), ..trade(180, 0, 1, 10) })],
        ..day_of_trades(0)
    };
    scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    let rows = format!(
        "INSERT INTO coverage (from_ledger, to_ledger, from_time, to_time)
         SELECT f, t, to_timestamp({NOW} + (f - 180) * 6000), to_timestamp({NOW} + (t - 180) * 6000)
         FROM (VALUES (100, 189), (150, 300)) AS held (f, t)"
    );
    scene.client.batch_execute(&rows).await.unwrap();
    scene.clean(KEEP, at(NOW + KEEP * DAY)).await;
    let coverage = scene.database.coverage().await.unwrap();
    let ledgers: Vec<_> = coverage.iter().map(|range| (range.from, range.to)).collect();
    assert_eq!(ledgers, [(180, 300)], "from the oldest trade on");
    assert_eq!(scene.count("coverage").await, 1);
}

#[tokio::test]
async fn stellar_toml_files_without_a_link_are_forgotten_after_the_retention() {
    let scene = Scene::new().await;
    let batch = TradeBatch { quarantine: Vec::new(), ..day_of_trades(0) };
    scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    let files = format!(
        "UPDATE assets SET meets_rules = true, toml_url = 'linked' WHERE issuer = '{}';
         INSERT INTO toml_files (url, is_good, good_at, failures, problem, checked_at, next_check_at)
         SELECT url, true, checked_at, 0, '', checked_at, checked_at
         FROM (VALUES ('linked', to_timestamp({old})), ('old', to_timestamp({old})), ('new', to_timestamp({NOW})))
             AS file (url, checked_at)",
        address(1),
        old = NOW - (KEEP + 1) * DAY
    );
    scene.client.batch_execute(&files).await.unwrap();
    assert_eq!(scene.clean(KEEP, at(NOW)).await.rows, 1);
    let left = scene.client.query("SELECT url FROM toml_files ORDER BY url", &[]).await.unwrap();
    let left: Vec<String> = left.iter().map(|row| row.get(0)).collect();
    assert_eq!(left, ["linked", "new"]);
}

#[tokio::test]
async fn days_are_there_before_their_first_trade() {
    let scene = Scene::new().await;
    scene.clean(KEEP, at(NOW)).await;
    let names = scene
        .client
        .query("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'trades'::regclass ORDER BY 1", &[])
        .await
        .unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["trades_p20261123", "trades_p20261124", "trades_p20261125"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_others_read_waits_for_the_next_pass_and_holds_up_no_batch() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &day_of_trades(0)).await.unwrap();
    scene.client.batch_execute("BEGIN; SELECT count(*) FROM trades").await.unwrap();
    let late = at(NOW + 20 * DAY);
    let cleaned = scene.clean(KEEP, late).await;
    assert_eq!((cleaned.days, cleaned.days_left), (0, 1));
    scene.database.write_trades(scene.epoch, &day_of_trades(19)).await.unwrap();
    scene.client.batch_execute("COMMIT").await.unwrap();
    let cleaned = scene.clean(KEEP, late).await;
    assert_eq!((cleaned.days, cleaned.days_left), (1, 0));
    scene.database.write_trades(scene.epoch, &day_of_trades(0)).await.unwrap();
    assert_eq!(
        scene.count("trades").await,
        198,
        "a day that was dropped is made again if its trades come again"
    );
}

/// Candles of trades that are older than a dropped day are never derived, so no day may go before an older one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_day_is_dropped_before_an_older_one() {
    let scene = Scene::new().await;
    for day in 0..3_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
    }
    scene.client.batch_execute("BEGIN; SELECT count(*) FROM trades_p20261123").await.unwrap();
    let late = at(NOW + 20 * DAY);
    let cleaned = scene.clean(KEEP, late).await;
    assert_eq!((cleaned.days, cleaned.days_left), (0, 3));
    scene.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(scene.clean(KEEP, late).await.days, 3);
}

/// A pass over much data takes minutes. Without a sign of progress the cleaner would be restarted.
#[tokio::test]
async fn a_pass_reports_progress_with_each_transaction() {
    let scene = Scene::new().await;
    for day in 0..3_u32 {
        scene.database.write_trades(scene.epoch, &day_of_trades(day)).await.unwrap();
    }
    candles::derive(&scene.database, scene.epoch, NOW + 2 * DAY).await;
    let reported = std::cell::Cell::new(0);
    let advance = || reported.set(reported.get() + 1);
    let cleaned = scene.database.clean(scene.epoch, KEEP, at(NOW + 20 * DAY), advance).await.unwrap();
    assert_eq!(cleaned.days, 3);
    // Three days, the coverage, three trimmed tables, the scan for markets, the markets and the assets.
    assert!(reported.get() >= 9, "{}", reported.get());
}

#[tokio::test]
async fn cleaning_needs_the_lease() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &day_of_trades(0)).await.unwrap();
    candles::derive(&scene.database, scene.epoch, NOW).await;
    let refused = scene.database.clean(scene.epoch + 1, KEEP, at(NOW + 20 * DAY), || {}).await;
    assert!(matches!(refused, Err(stellar_ticker::db::DbError::LeaseLost)), "{refused:?}");
    assert_eq!(scene.count("trades").await, 99);
}

#[tokio::test]
async fn writers_that_make_the_same_days_at_the_same_moment_all_succeed() {
    const WRITERS: u32 = 8;
    const DAYS: u32 = 12;
    let url = fresh_database().await;
    let first = open(&url);
    first.migrate().await.unwrap();
    let epoch = first.take_lease("me", TTL).await.unwrap().unwrap();
    // Each with a pool and a memory of its own, as processes have.
    let writers = (0..WRITERS).map(|writer| {
        let database = open(&url);
        let issuer = u8::try_from(writer).unwrap() + 20;
        let trades: Vec<Trade> = (0..DAYS)
            .map(|day| Trade {
                closed_at: UnixSeconds(NOW + i64::from((day + writer) % DAYS) * DAY),
                ..trade(1_000 * (writer + 1) + day, 0, issuer, 10)
            })
            .collect();
        let batch = TradeBatch {
            kind: BatchKind::Backfill,
            cursor: None,
            quarantine: Vec::new(),
            covered: None,
            trades: trades.into_iter().map(incoming).collect(),
        };
        tokio::spawn(async move { database.write_trades(epoch, &batch).await })
    });
    let written: Vec<_> = futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
    for written in written {
        let written = written.unwrap().expect("no writer gets in another's way");
        assert_eq!(written.trades.len(), usize::try_from(DAYS).unwrap());
    }
}
