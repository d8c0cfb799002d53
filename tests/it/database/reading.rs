//! The schema, the network, and what readers that missed something find.

use std::collections::BTreeMap;

use stellar_ticker::{
    actors::aggregator::MarketState,
    db::{DbError, fault::Fault},
    domain::{trade_stats::WindowTrade, windows::MarketId},
};

use super::*;

/// More than the markets of any test here.
const MARKETS_MAX: MarketId = 100;

pub(super) async fn load(
    database: &Database,
    after: Option<i64>,
) -> (stellar_ticker::db::snapshot::LoadedRows, Vec<(MarketId, WindowTrade)>) {
    let mut trades = Vec::new();
    let received = database
        .load_snapshot(after, &[], UnixSeconds(NOW), &mut |market, trade| trades.push((market, trade)))
        .await
        .unwrap();
    trades.sort_by_key(|(_, trade)| trade.token);
    (received, trades)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_migrate_at_once_leave_one_schema() {
    let url = fresh_database().await;
    let starts = (0..6).map(|_| {
        let database = open(&url);
        tokio::spawn(async move { database.migrate().await })
    });
    let mut applied = 0;
    for start in starts.collect::<Vec<_>>() {
        applied += start.await.unwrap().unwrap().len();
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    assert_eq!(applied, files.count(), "each migration once");
}

#[tokio::test]
async fn another_network_is_refused() {
    let scene = Scene::new().await;
    scene.database.claim_network("one").await.unwrap();
    scene.database.claim_network("one").await.unwrap();
    let refused = scene.database.claim_network("another").await;
    assert!(matches!(refused, Err(DbError::OtherNetwork { .. })), "{refused:?}");
}

/// Errors that a daemon meets first in a database that is not the one of its start: of an existing connection that asks
/// for the lease, of one that reads everything, and of a new one.
async fn meet(database: &Database, url: &str) -> [Option<DbError>; 3] {
    let lease = database.take_lease("me", Duration::from_secs(60)).await.err();
    let read = database.load_snapshot(None, &[], UnixSeconds(0), &mut |_, _| {}).await.err();
    let connecting = open(url);
    connecting.expect_like(database);
    [lease, read, connecting.current_seq().await.err()]
}

#[tokio::test]
async fn a_database_that_is_not_the_one_of_the_start_is_neither_read_nor_led() {
    let scene = Scene::new().await;
    let execute = async |sql: &str| scene.client.batch_execute(sql).await.unwrap();
    execute("UPDATE ingest_lease SET expires_at = '-infinity'").await;
    scene.database.claim_network("one").await.unwrap();
    scene.database.remember_identity().await.unwrap();
    let lease = async || {
        let sql = "SELECT holder || epoch || expires_at FROM ingest_lease";
        scene.client.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let before = lease().await;
    execute("UPDATE network SET passphrase = 'two'").await;
    for error in meet(&scene.database, &scene.url).await {
        let is_other = |held: &str, wanted: &str| (held, wanted) == ("two", "one");
        assert!(
            matches!(&error, Some(DbError::OtherNetwork { held, wanted }) if is_other(held, wanted)),
            "{error:?}"
        );
    }
    execute("UPDATE network SET passphrase = 'one'; UPDATE refinery_schema_history SET applied_on = 'later'")
        .await;
    for error in meet(&scene.database, &scene.url).await {
        assert!(matches!(error, Some(DbError::Replaced)), "{error:?}");
    }
    execute("DELETE FROM network").await;
    for error in meet(&scene.database, &scene.url).await {
        assert!(matches!(error, Some(DbError::Replaced)), "{error:?}");
    }
    assert_eq!(lease().await, before, "nothing is written");
    execute("DROP TABLE network").await;
    let [lease, ..] = meet(&scene.database, &scene.url).await;
    assert_eq!(lease.unwrap().fault(), Fault::NoTables);
}

#[tokio::test]
async fn a_reader_finds_everything_or_what_came_after_a_number() {
    let scene = Scene::new().await;
    let first =
        scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 1, 10)])).await.unwrap();
    let second_batch = batch(Some(token(5, 0)), vec![trade(6, 0, 1, 20), trade(7, 0, 2, 30)]);
    let second = scene.database.write_trades(scene.epoch, &second_batch).await.unwrap();
    let (all, trades) = load(&scene.database, None).await;
    assert_eq!(trades, [first.trades.clone(), second.trades.clone()].concat());
    assert_eq!((all.seq, all.markets.len(), all.assets.len()), (2, 2, 1), "XLM alone is valid");
    assert_eq!(all.latest, Some((7, UnixSeconds(NOW + 7))));
    let (later, trades) = load(&scene.database, Some(1)).await;
    assert_eq!((later.seq, &trades), (2, &second.trades));
    assert_eq!(later.markets.len(), 2);
    let (nothing, trades) = load(&scene.database, Some(2)).await;
    assert!(nothing.seq == 2 && trades.is_empty() && nothing.assets.is_empty());
    scene.client.batch_execute("DELETE FROM ingest_batches WHERE seq = 1").await.unwrap();
    let trimmed = scene.database.load_snapshot(Some(0), &[], UnixSeconds(NOW), &mut |_, _| {}).await;
    assert!(matches!(trimmed, Err(DbError::Trimmed { after: 0 })), "{trimmed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_works_for_others_while_the_thread_that_first_asked_for_it_is_blocked() {
    let scene = Scene::new().await;
    let settings = scene.database.clone();
    let (asked, received) = std::sync::mpsc::channel();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { settings.current_seq().await.unwrap() });
        asked.send(()).unwrap();
        let _ = blocked.recv(); // this thread's own runtime stands still from here on
    });
    stellar_ticker::blocking::run(move || received.recv().unwrap()).await.unwrap();
    for _ in 0..8 {
        tokio::time::timeout(Duration::from_secs(30), scene.database.current_seq()).await.unwrap().unwrap();
    }
    drop(release);
    thread.join().unwrap();
}

#[tokio::test]
async fn assets_that_were_looked_up_in_this_very_run_do_not_stand_for_those_of_the_trades() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(1, 0, 1, 10)])).await.unwrap();
    let now = async || -> chrono::DateTime<chrono::Utc> {
        scene.client.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0)
    };
    let (after, before) = (now().await, UnixSeconds(NOW).to_utc() - chrono::TimeDelta::days(3_650));
    let is_known = async |begun| {
        let state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
        state.was_validated_before(begun)
    };
    assert!(!is_known(after).await, "no asset was looked up");
    scene.client.batch_execute("UPDATE assets SET checked_at = now()").await.unwrap();
    assert!(!is_known(before).await, "the trades came since this run began");
    assert!(is_known(after).await, "trades from an earlier run, whenever assets were last looked up");
}

/// Two replicas show the same only if memory does not depend on the way by which it reached a batch.
#[tokio::test]
async fn memory_is_the_same_after_a_load_after_updates_and_after_appended_batches() {
    let scene = Scene::new().await;
    let now = UnixSeconds(NOW);
    let mut appended = MarketState::load(&scene.database, now).await.unwrap();
    let mut updated = MarketState::load(&scene.database, now).await.unwrap();
    // A valid asset that nobody trades, as a sweep finds it.
    let untraded = format!(
        "INSERT INTO assets (code, issuer, type, is_valid) VALUES ('TEA', '{}', 'credit_alphanum4', true)",
        address(9)
    );
    scene.client.batch_execute(&untraded).await.unwrap();
    let mut cursor = None;
    for (ledger, issuer) in [(5, 1), (6, 2), (7, 1), (8, 3)] {
        let batch = batch(cursor, vec![trade(ledger, 0, issuer, 10), trade(ledger, 1, issuer + 10, 20)]);
        assert!(appended.append(&scene.database.write_trades(scene.epoch, &batch).await.unwrap()));
        cursor = Some(token(ledger, 1));
        let read = async |state: &MarketState| {
            MarketState::read_after(&scene.database, state.seq(), &state.unverified(), now).await.unwrap()
        };
        assert!(read(&appended).await.is_none(), "there is nothing left to read");
        assert!(updated.update(&mut read(&updated).await.unwrap()));
        let mut loaded = MarketState::load(&scene.database, now).await.unwrap();
        let loaded = contents(&mut loaded);
        assert_eq!(contents(&mut appended), loaded, "appended");
        assert_eq!(contents(&mut updated), loaded, "updated");
    }
}

/// Figures, markets and names of assets.
fn contents(state: &mut MarketState) -> (Vec<String>, BTreeMap<MarketId, String>, BTreeMap<i32, String>) {
    let snapshot = state.snapshot_at(UnixSeconds(NOW));
    let directory = snapshot.directory();
    let figures = snapshot.windows().figures().map(|(market, of)| format!("{market} {of:?}")).collect();
    let all_markets = (1..=MARKETS_MAX).filter_map(|market| Some((market, directory.sides(market)?)));
    let names = directory.names().iter().map(|(id, asset)| (id, asset.to_string()));
    (figures, all_markets.map(|(market, sides)| (market, format!("{sides:?}"))).collect(), names.collect())
}

/// A table that a list forgets would stay behind at `start-over`, or fail a writer in the middle of its work.
#[tokio::test]
async fn every_table_is_set_aside_and_every_right_is_checked() {
    let scene = Scene::new().await;
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
               AND NOT relispartition ORDER BY 1";
    let tables: Vec<String> =
        scene.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 15, "{tables:?}");
    let moved = include_str!("../../../src/db/sql/set_aside/move.sql");
    let checked = include_str!("../../../src/db/sql/requirements/missing_rights.sql");
    for table in tables {
        assert!(moved.contains(&format!("'{table}'")), "{table} is not set aside");
        // Only migrations write these.
        let is_of_migrations = ["refinery_schema_history", "schema_needs"].contains(&table.as_str());
        assert!(
            is_of_migrations || checked.contains(&format!("('{table}'")),
            "no right on {table} is checked"
        );
    }
}
