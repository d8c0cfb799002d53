//! Writing: all or nothing, once, in order, and only by the leader.

use stellar_ticker::db::{DbError, trades::QuarantineEntry};

use super::*;

#[tokio::test]
async fn a_batch_is_written_with_its_cursor_coverage_and_number_in_one_go() {
    let scene = Scene::new().await;
    let written = scene
        .database
        .write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10), trade(5, 1, 2, 20)]))
        .await
        .unwrap();
    assert_eq!(
        (written.seq, written.trades.len(), written.new_assets.len(), written.new_markets.len()),
        (1, 2, 2, 2)
    );
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(5, 1)));
    assert_eq!(scene.database.coverage().await.unwrap().len(), 1);
    let row = scene
        .client
        .query_one("SELECT kind, from_token, to_token, trades FROM ingest_batches", &[])
        .await
        .unwrap();
    let stored: (String, String, String, i32) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(stored, ("live".into(), token(5, 0).to_string(), token(5, 1).to_string(), 2));
    let of_their_market = "trades t JOIN markets m
        ON (m.id, m.base_asset_id, m.counter_asset_id) = (t.market_id, t.base_asset_id, t.counter_asset_id)";
    assert_eq!(scene.count(of_their_market).await, 2, "both assets are those of the market");
}

#[tokio::test]
async fn a_batch_is_stored_under_the_name_of_its_kind() {
    let scene = Scene::new().await;
    for (ledger, kind) in [(5, BatchKind::Live), (6, BatchKind::Backfill), (7, BatchKind::Repair)] {
        let batch = TradeBatch { kind, cursor: None, ..batch(None, vec![trade(ledger, 0, 1, 10)]) };
        scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    }
    let rows = scene.client.query("SELECT kind FROM ingest_batches ORDER BY seq", &[]).await.unwrap();
    let kinds: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kinds, ["live", "backfill", "repair"]);
}

#[tokio::test]
async fn a_repeat_changes_nothing() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let again = batch(Some(token(5, 0)), vec![trade(5, 0, 1, 10), trade(6, 0, 1, 10), trade(6, 0, 1, 10)]);
    let written = scene.database.write_trades(scene.epoch, &again).await.unwrap();
    assert_eq!((written.trades.len(), written.repeats, written.conflicts), (1, 2, 0));
    assert_eq!((scene.count("trades").await, scene.count("quarantine").await), (2, 0));
}

#[tokio::test]
async fn the_same_identity_with_other_figures_goes_to_quarantine_whatever_differs() {
    let scene = Scene::new().await;
    scene
        .database
        .write_trades(
            scene.epoch,
            &batch(None, vec![trade(4, 0, 1, 10), trade(5, 0, 1, 10), trade(6, 0, 1, 10)]),
        )
        .await
        .unwrap();
    let mut other_party = trade(4, 0, 1, 10);
    other_party.base_account = Some(AccountId::parse(&address(8)).unwrap());
    let mut other_day = trade(5, 0, 1, 10);
    other_day.closed_at = other_day.closed_at.plus(86_400); // another partition
    let mut other_side = trade(6, 0, 1, 10);
    other_side.base_is_seller = false;
    let lies = vec![other_party, other_day, other_side, trade(7, 0, 1, 10), trade(7, 0, 1, 11)];
    let mut lies = batch(Some(token(6, 0)), lies);
    for (place, lie) in lies.trades.iter_mut().enumerate() {
        lie.raw = format!("{{\"lie\": {place}}}").into();
    }
    let written = scene.database.write_trades(scene.epoch, &lies).await.unwrap();
    assert_eq!((written.trades.len(), written.conflicts), (1, 4));
    assert_eq!((scene.count("trades").await, scene.count("quarantine").await), (4, 4));
    let shown = scene.database.latest_quarantined(10).await.unwrap();
    assert!(
        shown.iter().all(|entry| entry.reason.starts_with("conflict") && entry.raw.starts_with(b"{\"lie\""))
    );
}

#[tokio::test]
async fn what_is_held_is_found_however_far_apart_it_lies_and_what_lies_between_is_left_alone() {
    let scene = Scene::new().await;
    let far = 2_000_000;
    let held = vec![trade(5, 0, 1, 10), trade(6, 0, 1, 10), trade(far, 0, 1, 10)];
    scene.database.write_trades(scene.epoch, &batch(None, held)).await.unwrap();
    let next = vec![trade(far, 0, 1, 11), trade(7, 0, 1, 10), trade(far + 1, 0, 1, 10), trade(5, 0, 1, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(Some(token(far, 0)), next)).await.unwrap();
    assert_eq!((written.trades.len(), written.repeats, written.conflicts), (2, 1, 1));
    assert_eq!(scene.count("trades").await, 5);
}

#[tokio::test]
async fn quarantine_keeps_bytes_as_they_came_once() {
    let scene = Scene::new().await;
    let raw = Bytes::from_static(b"\0\xff not json");
    let entry = QuarantineEntry {
        source: "stream",
        token: None,
        reason: "a reason with \0 in it".into(),
        raw: raw.clone(),
    };
    let mut one = batch(None, vec![trade(5, 0, 1, 10)]);
    one.quarantine = vec![entry.clone(), entry];
    scene.database.write_trades(scene.epoch, &one).await.unwrap();
    let shown = scene.database.latest_quarantined(10).await.unwrap();
    assert_eq!((shown.len(), shown[0].raw.as_slice()), (1, &raw[..]));
}

#[tokio::test]
async fn records_beyond_the_hourly_limit_are_left_out_of_quarantine_and_counted() {
    const BYTES: usize = 64 * 1024;
    let scene = Scene::new().await;
    // With their reasons, 256 of these records exceed 16 MiB.
    let entries = (0..=u8::MAX).map(|byte| QuarantineEntry {
        source: "stream",
        token: None,
        reason: "large".into(),
        raw: vec![byte; BYTES].into(),
    });
    let many = TradeBatch { quarantine: entries.collect(), ..batch(None, vec![trade(5, 0, 1, 10)]) };
    let written = scene.database.write_trades(scene.epoch, &many).await.unwrap();
    let kept = u64::try_from(written.quarantined.len()).unwrap();
    assert!(kept > 0 && written.quarantine_left_out > 0, "{kept}, {}", written.quarantine_left_out);
    assert_eq!(kept + written.quarantine_left_out, 256);
    assert_eq!(scene.database.quarantine_left_out(), written.quarantine_left_out);
    assert_eq!(scene.count("trades").await, 1);
}

#[tokio::test]
async fn who_lost_the_lease_or_the_cursor_writes_nothing() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let before = scene.counts().await;
    let stale = batch(None, vec![trade(6, 0, 3, 10)]);
    let moved = scene.database.write_trades(scene.epoch, &stale).await;
    assert!(matches!(moved, Err(DbError::CursorMoved { .. })), "{moved:?}");
    scene.database.release_lease(scene.epoch).await.unwrap();
    let epoch = scene.database.take_lease("another", TTL).await.unwrap().unwrap();
    assert!(epoch > scene.epoch);
    let fenced =
        scene.database.write_trades(scene.epoch, &batch(Some(token(5, 0)), vec![trade(6, 0, 3, 10)])).await;
    assert!(matches!(fenced, Err(DbError::LeaseLost)), "{fenced:?}");
    assert_eq!(scene.counts().await, before);
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(5, 0)));
}

#[tokio::test]
async fn the_lease_is_one_holders_until_it_ends() {
    let scene = Scene::new().await;
    assert_eq!(scene.database.take_lease("another", TTL).await.unwrap(), None);
    assert!(scene.database.renew_lease(scene.epoch, TTL).await.unwrap());
    assert!(!scene.database.renew_lease(scene.epoch - 1, TTL).await.unwrap());
    scene.database.release_lease(scene.epoch - 1).await.unwrap();
    assert_eq!(
        scene.database.take_lease("another", TTL).await.unwrap(),
        None,
        "only its holder gives it back"
    );
    scene.client.batch_execute("UPDATE ingest_lease SET expires_at = now() - interval '1 ms'").await.unwrap();
    assert!(scene.database.take_lease("another", TTL).await.unwrap() > Some(scene.epoch));
}

#[tokio::test]
async fn a_lease_of_a_clock_that_was_ahead_is_taken_and_its_writer_is_fenced() {
    let scene = Scene::new().await;
    scene
        .client
        .batch_execute("UPDATE ingest_lease SET expires_at = now() + interval '1 hour'")
        .await
        .unwrap();
    let epoch = scene.database.take_lease("another", TTL).await.unwrap().expect("nobody writes such a lease");
    assert!(epoch > scene.epoch);
    assert!(!scene.database.renew_lease(scene.epoch, TTL).await.unwrap());
    assert_eq!(scene.database.take_lease("third", TTL).await.unwrap(), None, "the new one is like any other");
}

#[tokio::test]
async fn a_lease_with_the_mark_of_a_blind_leader_is_taken_only_by_a_replica_that_sees() {
    let scene = Scene::new().await;
    let blind = async || scene.database.is_led_by_blind().await.unwrap();
    assert!(!blind().await);
    assert_eq!(scene.database.take_lease_from_blind("sees", TTL).await.unwrap(), None, "the leader sees too");
    assert!(scene.database.renew_lease_as_blind(scene.epoch, TTL).await.unwrap());
    assert!(scene.database.renew_lease_as_blind(scene.epoch, TTL).await.unwrap());
    assert!(blind().await);
    assert_eq!(scene.database.lease_view().await.unwrap().unwrap().holder, "me", "the mark is no part of it");
    assert_eq!(scene.database.take_lease("blind too", TTL).await.unwrap(), None);
    assert!(scene.database.renew_lease(scene.epoch, TTL).await.unwrap());
    assert!(!blind().await, "it sees again");
    assert!(scene.database.renew_lease_as_blind(scene.epoch, TTL).await.unwrap());
    let epoch = scene.database.take_lease_from_blind("sees", TTL).await.unwrap();
    assert!(epoch > Some(scene.epoch) && !blind().await);
    assert!(!scene.database.renew_lease(scene.epoch, TTL).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_at_once_are_numbered_without_holes() {
    let scene = Scene::new().await;
    scene.client.batch_execute("INSERT INTO ingest_cursor VALUES ('one'), ('two')").await.unwrap();
    let write = |name: &'static str, first: u32| {
        let (database, epoch) = (scene.database.clone(), scene.epoch);
        tokio::spawn(async move {
            let mut expected = None;
            for step in 0..40 {
                let mut batch = batch(expected, vec![trade(first + step, 0, 1, 10)]);
                batch.cursor.as_mut().unwrap().name = name.into();
                // Coverage of both touches; a conflict between the two passes and is tried again.
                while let Err(error) = database.write_trades(epoch, &batch).await {
                    assert!(error.is_transient(), "{error}");
                }
                expected = Some(batch.cursor.as_ref().unwrap().to);
            }
        })
    };
    let (one, two) = tokio::join!(write("one", 1_000), write("two", 2_000));
    one.unwrap();
    two.unwrap();
    let row =
        scene.client.query_one("SELECT count(*), min(seq), max(seq) FROM ingest_batches", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (80, 1, 80));
    let ranges = scene.database.coverage().await.unwrap();
    let held: Vec<_> = ranges.iter().map(|range| (range.from, range.to)).collect();
    assert_eq!(held, [(1_000, 1_039), (2_000, 2_039)]);
}

#[tokio::test]
async fn a_partition_that_was_dropped_is_made_again() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    scene.client.batch_execute("DROP TABLE trades_p20261123").await.unwrap();
    scene
        .database
        .write_trades(scene.epoch, &batch(Some(token(5, 0)), vec![trade(6, 0, 1, 10)]))
        .await
        .unwrap();
    assert_eq!(scene.count("trades").await, 1);
}

#[tokio::test]
async fn a_connection_that_is_killed_is_a_passing_fault() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut next = batch(Some(token(5, 0)), vec![trade(6, 0, 1, 10)]);
    for step in 7..12 {
        scene.client.query_one(kill, &[]).await.unwrap();
        while let Err(error) = scene.database.write_trades(scene.epoch, &next).await {
            assert!(error.is_transient(), "{error}");
        }
        next = batch(next.cursor.map(|cursor| cursor.to), vec![trade(step, 0, 1, 10)]);
    }
    assert_eq!(scene.count("trades").await, 6);
}

#[tokio::test]
async fn a_batch_of_a_quiet_network_may_span_years() {
    const DAYS: i64 = 500;
    let scene = Scene::new().await;
    let of_day = |day: i64| {
        let ledger = u32::try_from(day).unwrap() + 1;
        Trade { closed_at: UnixSeconds(NOW - (DAYS - day) * 86_400), ..trade(ledger, 0, 1, 10) }
    };
    let written = scene
        .database
        .write_trades(scene.epoch, &batch(None, (0..DAYS).map(of_day).collect()))
        .await
        .unwrap();
    assert_eq!((written.trades.len(), scene.count("trades").await), (500, 500));
}

#[tokio::test]
async fn what_is_in_quarantine_already_uses_up_no_number() {
    let scene = Scene::new().await;
    let quarantine = |reason: &str| TradeBatch {
        kind: BatchKind::Repair,
        cursor: None,
        trades: Vec::new(),
        quarantine: vec![QuarantineEntry {
            source: "pages",
            token: None,
            reason: reason.into(),
            raw: Bytes::from_static(b"{}"),
        }],
        covered: None,
    };
    for _ in 0..50 {
        scene.database.write_trades(scene.epoch, &quarantine("again and again")).await.unwrap();
    }
    scene.database.write_trades(scene.epoch, &quarantine("once")).await.unwrap();
    assert_eq!(scene.count("quarantine WHERE id <= 2").await, 2, "the oldest are dropped by their numbers");
}

/// The search reads all batches. Whoever asked has long given up.
#[tokio::test]
async fn the_search_for_a_trade_has_a_time_limit() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let origin = scene.database.trade_origin(token(5, 0)).await.unwrap();
    assert!(origin.stored.is_some());
    assert_eq!(origin.batches.iter().map(|batch| batch.seq).collect::<Vec<_>>(), [1]);
    let lock = connect(&scene.url).await;
    lock.batch_execute("BEGIN; LOCK TABLE ingest_batches IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(60), scene.database.trade_origin(token(5, 0)));
    assert!(asked.await.expect("it has ended").is_err());
}

#[tokio::test]
async fn the_search_for_a_trade_returns_its_row() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let stored = scene.database.trade_origin(token(5, 0)).await.unwrap().stored.unwrap();
    assert_eq!(stored.ledger_close_time.timestamp(), NOW + 5);
    assert_eq!((stored.base_stroops, stored.counter_stroops, stored.price_n, stored.price_d), (10, 20, 2, 1));
    assert_eq!(scene.count(&format!("markets WHERE id = {}", stored.market)).await, 1);
}
