//! Markets, assets and issuers leave with the last of their trades.

use chrono::{DateTime, Utc};
use stellar_ticker::actors::aggregator::MarketState;

use super::*;

const DAY: i64 = 86_400;
const KEEP: i64 = 8;
/// Result of a pass that only began or went on with the search for unused markets.
const SEARCHING: Cleaned = Cleaned { days: 0, days_left: 0, rows: 0, is_searching: true };
const DANGLING: &str = "trades t LEFT JOIN markets m ON m.id = t.market_id WHERE m.id IS NULL";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// One trade of XLM for an issuer's `TEA`, the given number of days after the first.
fn on_day(day: i64, ledger: u32, issuer: u8) -> TradeBatch {
    let trade = Trade { closed_at: UnixSeconds(NOW + day * DAY), ..trade(ledger, 0, issuer, 10) };
    TradeBatch {
        kind: BatchKind::Backfill,
        cursor: None,
        trades: vec![incoming(trade)],
        quarantine: Vec::new(),
        covered: None,
    }
}

impl Scene {
    /// The issuers whose `TEA` is in a table, by their numbers in these tests.
    async fn issuers(&self, from: &str) -> Vec<u8> {
        let sql = format!("SELECT DISTINCT a.issuer FROM {from}");
        let rows = self.client.query(&sql, &[]).await.unwrap();
        let of = |text: String| (0..50).find(|number| address(*number) == text);
        let mut issuers: Vec<u8> = rows.iter().filter_map(|row| of(row.get(0))).collect();
        issuers.sort_unstable();
        issuers
    }
}

#[tokio::test]
async fn markets_and_assets_leave_with_the_last_of_their_trades_and_come_back_with_other_numbers() {
    const GONE: u8 = 1;
    const VALID: u8 = 2;
    const CANDIDATE: u8 = 3;
    const WITH_BOOK: u8 = 4;
    const TRADED: u8 = 5;
    let scene = Scene::new().await;
    let other = open(&scene.url); // another process, which leads later
    for issuer in [GONE, VALID, CANDIDATE, WITH_BOOK] {
        scene.database.write_trades(scene.epoch, &on_day(0, issuer.into(), issuer)).await.unwrap();
    }
    other.write_trades(scene.epoch, &on_day(19, 30, TRADED)).await.unwrap();
    other.write_trades(scene.epoch, &on_day(0, 31, GONE)).await.unwrap();
    let (valid, candidate, with_book) = (address(VALID), address(CANDIDATE), address(WITH_BOOK));
    let setting = format!(
        "UPDATE assets SET is_valid = true, meets_rules = true WHERE issuer = '{valid}';
         UPDATE assets SET meets_rules = true WHERE issuer = '{candidate}';
         INSERT INTO issuers (public_key) SELECT issuer FROM assets WHERE issuer <> 'native';
         INSERT INTO orderbook_stats SELECT m.id, 1, 1, 1, 1, 1, 1, now()
         FROM markets m JOIN assets a ON a.id = m.counter_asset_id WHERE a.issuer = '{with_book}'"
    );
    scene.client.batch_execute(&setting).await.unwrap();
    let late = NOW + 20 * DAY;
    let mut follower = MarketState::load(&other, UnixSeconds(late)).await.unwrap();
    let known = |state: &mut MarketState| state.snapshot_at(UnixSeconds(late)).directory().market_count();
    assert_eq!(known(&mut follower), 5);
    let number = "SELECT m.id FROM markets m JOIN assets a ON a.id = m.counter_asset_id WHERE a.issuer = $1";
    let before: i32 = scene.client.query_one(number, &[&address(GONE)]).await.unwrap().get(0);

    let cleaned = scene.clean(KEEP, at(late)).await;
    assert_eq!(cleaned.days, 1);
    let markets = "markets m JOIN assets a ON a.id IN (m.base_asset_id, m.counter_asset_id)";
    assert_eq!(scene.issuers(markets).await, [WITH_BOOK, TRADED]);
    assert_eq!(scene.issuers("assets a").await, [VALID, CANDIDATE, WITH_BOOK, TRADED]);
    let issuers = "(SELECT public_key AS issuer FROM issuers) a";
    assert_eq!(scene.issuers(issuers).await, [VALID, CANDIDATE, WITH_BOOK, TRADED]);
    assert_eq!(scene.count("assets WHERE issuer = 'native'").await, 1, "XLM is always there");
    assert_eq!(scene.count("issuers WHERE public_key = 'native'").await, 1);
    assert_eq!(scene.count(DANGLING).await, 0);

    // Memory follows by the batches' numbers.
    let (seq, marks) = (follower.seq(), follower.unverified());
    let update = MarketState::read_after(&other, seq, &marks, UnixSeconds(late)).await.unwrap();
    assert!(follower.update(&mut update.expect("there is something to follow")));
    assert_eq!(known(&mut follower), 2);

    // Both processes remember the market's old number, and neither uses it.
    for (writer, ledger) in [(&other, 40), (&scene.database, 41)] {
        writer.write_trades(scene.epoch, &on_day(19, ledger, GONE)).await.unwrap();
        assert_eq!(scene.count(DANGLING).await, 0);
    }
    let after: i32 = scene.client.query_one(number, &[&address(GONE)]).await.unwrap().get(0);
    assert!(after > before, "{before} is not given out again");
    let (seq, marks) = (follower.seq(), follower.unverified());
    let update = MarketState::read_after(&other, seq, &marks, UnixSeconds(late)).await.unwrap();
    assert!(follower.update(&mut update.unwrap()));
    assert_eq!(known(&mut follower), 3);
    let again = scene.clean(KEEP, at(late)).await;
    assert_eq!(again, Cleaned::default(), "there is nothing left to do");
}

#[tokio::test]
async fn a_write_that_is_under_way_keeps_its_market() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &on_day(0, 1, 1)).await.unwrap();
    scene.client.batch_execute("DELETE FROM trades").await.unwrap();
    // The lock that every write holds until it ends.
    let writer = connect(&scene.url).await;
    let hold = "BEGIN; SELECT pg_advisory_xact_lock_shared(8241991830413505)";
    writer.batch_execute(hold).await.unwrap();
    assert_eq!(scene.clean(KEEP, at(NOW)).await, SEARCHING);
    assert_eq!(scene.count("markets").await, 1);
    writer.batch_execute("COMMIT").await.unwrap();
    scene.clean(KEEP, at(NOW)).await;
    assert_eq!(scene.count("markets").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markets_that_are_traded_again_while_they_are_taken_away_never_lose_their_number() {
    let scene = Scene::new().await;
    let cleaner = open(&scene.url);
    let (mut kept, mut taken) = (0, 0);
    for round in 0..40_u32 {
        scene.client.batch_execute("DELETE FROM trades").await.unwrap();
        let markets = scene.count("markets").await;
        let batch = on_day(0, 100 + round, 1);
        let (written, cleaned) = tokio::join!(
            scene.database.write_trades(scene.epoch, &batch),
            cleaner.clean(scene.epoch, KEEP, at(NOW), || {})
        );
        cleaned.unwrap();
        let is_new = !written.unwrap().new_markets.is_empty();
        (kept, taken) = (kept + i32::from(!is_new), taken + i32::from(is_new && markets > 0));
        assert_eq!(scene.count(DANGLING).await, 0, "round {round}");
        assert_eq!(scene.count("markets").await, 1, "round {round}");
    }
    println!("{kept} writes came first, {taken} second");
}

#[tokio::test]
async fn markets_are_looked_for_day_by_day_with_a_sign_of_progress_before_each() {
    const UNTRADED: u8 = 9;
    let scene = Scene::new().await;
    let gone = on_day(0, 90, UNTRADED);
    scene.database.write_trades(scene.epoch, &gone).await.unwrap();
    scene.client.batch_execute("DELETE FROM trades").await.unwrap();
    for day in 0..4_u8 {
        let traded = on_day(day.into(), u32::from(day) + 1, day + 1);
        scene.database.write_trades(scene.epoch, &traded).await.unwrap();
    }
    let reported = std::cell::Cell::new(0);
    let advance = || reported.set(reported.get() + 1);
    let cleaned = scene.database.clean(scene.epoch, KEEP, at(NOW + 3 * DAY), advance).await.unwrap();
    assert_eq!((cleaned.days, cleaned.rows), (0, 2), "a market and its asset");
    assert_eq!(scene.count("markets").await, 4);
    // Three trimmed tables, the markets without books, four days and two later ones, the markets, twice the assets.
    assert!(reported.get() >= 12, "{}", reported.get());
}

#[tokio::test]
async fn a_scan_that_is_held_up_or_cancelled_leaves_its_markets_to_the_next_pass_which_is_not_repeated() {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &on_day(0, 1, 1)).await.unwrap();
    scene.client.batch_execute("DELETE FROM trades").await.unwrap();
    let clean = async || scene.database.clean(scene.epoch, KEEP, at(NOW), || {}).await;
    let lock = connect(&scene.url).await;
    lock.batch_execute("BEGIN; LOCK TABLE trades_p20261123 IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_eq!(clean().await.unwrap(), SEARCHING, "held up");
    let cancel = async {
        let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        loop {
            scene.client.execute(waiting, &[]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let cleaned = tokio::select! {
        cleaned = clean() => cleaned,
        () = cancel => unreachable!("it has no end"),
    };
    assert_eq!(cleaned.unwrap(), SEARCHING, "cancelled, as by a time limit");
    assert_eq!(scene.count("markets").await, 1);
    lock.batch_execute("COMMIT").await.unwrap();
    assert!(!clean().await.unwrap().is_searching);
    assert_eq!(scene.count("markets").await, 0);
}

/// A scene with a market without trades, and trades of other markets on two days.
async fn with_an_untraded_market() -> Scene {
    let scene = Scene::new().await;
    scene.database.write_trades(scene.epoch, &on_day(0, 90, 9)).await.unwrap();
    scene.client.batch_execute("DELETE FROM trades").await.unwrap();
    for day in 0..2_u8 {
        let traded = on_day(day.into(), u32::from(day) + 1, day + 1);
        scene.database.write_trades(scene.epoch, &traded).await.unwrap();
    }
    scene
}

/// Locks the trades of a day until the end of the transaction.
async fn lock_day(client: &Client, day: &str) {
    let lock = format!("BEGIN; LOCK TABLE trades_p{day} IN ACCESS EXCLUSIVE MODE");
    client.batch_execute(&lock).await.unwrap();
}

#[tokio::test]
async fn a_search_goes_on_with_the_days_that_the_last_pass_did_not_scan() {
    let scene = with_an_untraded_market().await;
    let clean = async || scene.database.clean(scene.epoch, KEEP, at(NOW + DAY), || {}).await.unwrap();
    let lock = connect(&scene.url).await;
    lock_day(&lock, "20261123").await;
    assert_eq!(clean().await, SEARCHING, "the older day is locked");
    lock.batch_execute("COMMIT").await.unwrap();
    lock_day(&lock, "20261124").await;
    let cleaned = clean().await;
    assert_eq!(cleaned.rows, 2, "a market and its asset: the newer day is not scanned again");
    assert!(!cleaned.is_searching, "all days are scanned");
    assert_eq!(scene.count("markets").await, 2);
}

/// The scene of [`with_an_untraded_market`] after a pass whose search could not read one day, and the pass's time.
async fn with_an_interrupted_search() -> (Scene, DateTime<Utc>) {
    let scene = with_an_untraded_market().await;
    let lock = connect(&scene.url).await;
    lock_day(&lock, "20261123").await;
    let now = at(NOW + DAY);
    scene.database.clean(scene.epoch, KEEP, now, || {}).await.unwrap();
    lock.batch_execute("COMMIT").await.unwrap();
    (scene, now)
}

#[tokio::test]
async fn a_market_that_is_traded_between_two_passes_of_a_search_stays() {
    let (scene, now) = with_an_interrupted_search().await;
    scene.database.write_trades(scene.epoch, &on_day(1, 91, 9)).await.unwrap();
    scene.database.clean(scene.epoch, KEEP, now, || {}).await.unwrap();
    assert_eq!((scene.count("markets").await, scene.count(DANGLING).await), (3, 0));
}

#[tokio::test]
async fn a_search_that_missed_too_many_batches_begins_afresh() {
    let (scene, now) = with_an_interrupted_search().await;
    scene.client.batch_execute("UPDATE ingest_lease SET seq = seq + 60000").await.unwrap();
    scene.database.clean(scene.epoch, KEEP, now, || {}).await.unwrap();
    assert_eq!(scene.count("markets").await, 2);
}
