//! Ranges of unconfirmed ledgers, and how they leave the coverage.

use super::*;

fn range(from: u32, to: u32) -> LedgerRange {
    let at = |ledger: u32| UnixSeconds(NOW + i64::from(ledger));
    LedgerRange { from, to, from_time: at(from), to_time: at(to) }
}

fn ends(ranges: &[LedgerRange]) -> Vec<(u32, u32)> {
    ranges.iter().map(|range| (range.from, range.to)).collect()
}

/// Notes ranges, and returns the stored ones.
async fn noted(scene: &Scene, ranges: &[(u32, u32)]) -> Vec<LedgerRange> {
    for (from, to) in ranges {
        scene.database.add_unconfirmed(scene.epoch, range(*from, *to)).await.unwrap();
    }
    scene.database.unconfirmed_ledgers().await.unwrap()
}

#[tokio::test]
async fn unconfirmed_ledgers_that_touch_are_one_range_with_its_times() {
    let scene = Scene::new().await;
    let stored = noted(&scene, &[(30, 34), (10, 12), (35, 40), (11, 11), (28, 29)]).await;
    assert_eq!(stored, [range(10, 12), range(28, 40)]);
    let refused = scene.database.add_unconfirmed(scene.epoch + 1, range(50, 50)).await;
    assert!(matches!(refused, Err(stellar_ticker::db::DbError::LeaseLost)), "{refused:?}");
    assert_eq!(noted(&scene, &[]).await, [range(10, 12), range(28, 40)]);
}

#[tokio::test]
async fn ledgers_leave_the_coverage_and_only_rows_that_did_not_grow_meanwhile_are_deleted() {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 20, 10)];
    let held = TradeBatch { covered: Some(range(5, 60)), ..batch(None, trades) };
    scene.database.write_trades(scene.epoch, &held).await.unwrap();
    let read = noted(&scene, &[(10, 12), (30, 40)]).await;
    noted(&scene, &[(41, 41)]).await;
    let uncovered = [range(10, 12), range(30, 34)];
    scene.database.clear_unconfirmed(scene.epoch, &read, &uncovered).await.unwrap();
    let covered = scene.database.coverage().await.unwrap();
    assert_eq!(ends(&covered), [(5, 9), (13, 29), (35, 60)]);
    let read = noted(&scene, &[]).await;
    assert_eq!(ends(&read), [(30, 41)], "it grew");
    scene.database.clear_unconfirmed(scene.epoch, &read, &[]).await.unwrap();
    assert_eq!(scene.count("unconfirmed_ranges").await, 0);
}

/// Other writers wait for the lock of the coverage.
#[tokio::test]
async fn a_thousand_ranges_leave_the_coverage_in_one_statement() {
    let scene = Scene::new().await;
    let held = TradeBatch { covered: Some(range(5, 10_100)), ..batch(None, vec![trade(5, 0, 20, 10)]) };
    scene.database.write_trades(scene.epoch, &held).await.unwrap();
    let count = "CREATE TABLE removals (removed_at timestamptz);
         CREATE FUNCTION note_removal() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO removals VALUES (now()); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER DELETE ON coverage FOR EACH STATEMENT EXECUTE FUNCTION note_removal()";
    scene.client.batch_execute(count).await.unwrap();
    let holes: Vec<LedgerRange> = (1..=1_000).map(|number| range(10 * number, 10 * number + 1)).collect();
    scene.database.clear_unconfirmed(scene.epoch, &[], &holes).await.unwrap();
    let covered = scene.database.coverage().await.unwrap();
    assert_eq!(ends(&covered[..2]), [(5, 9), (12, 19)]);
    assert_eq!((covered.len(), ends(&covered[1_000..])), (1_001, vec![(10_002, 10_100)]));
    assert_eq!(scene.count("removals").await, 1);
}

#[tokio::test]
async fn ranges_keep_their_ledgers_beyond_the_settled_ones() {
    let scene = Scene::new().await;
    let held = TradeBatch { covered: Some(range(5, 60)), ..batch(None, vec![trade(5, 0, 20, 10)]) };
    scene.database.write_trades(scene.epoch, &held).await.unwrap();
    noted(&scene, &[(10, 40), (50, 55)]).await;
    scene.database.settle_unconfirmed(scene.epoch, &[range(20, 30)], &[range(20, 24)]).await.unwrap();
    assert_eq!(ends(&scene.database.coverage().await.unwrap()), [(5, 19), (25, 60)]);
    assert_eq!(ends(&noted(&scene, &[]).await), [(10, 19), (31, 40), (50, 55)]);
    scene.database.settle_unconfirmed(scene.epoch, &[range(35, 60)], &[]).await.unwrap();
    assert_eq!(ends(&noted(&scene, &[]).await), [(10, 19), (31, 34)]);
    assert_eq!(ends(&scene.database.coverage().await.unwrap()), [(5, 19), (25, 60)]);
    let refused = scene.database.settle_unconfirmed(scene.epoch + 1, &[range(1, 60)], &[]).await;
    assert!(matches!(refused, Err(stellar_ticker::db::DbError::LeaseLost)), "{refused:?}");
    assert_eq!(scene.count("unconfirmed_ranges").await, 2);
}

#[tokio::test]
async fn a_row_of_an_earlier_version_means_all_ledgers_from_it_on() {
    let scene = Scene::new().await;
    let add = "INSERT INTO unproven_ledgers (from_ledger, from_time) VALUES (20, to_timestamp(0))";
    scene.client.batch_execute(add).await.unwrap();
    let read = noted(&scene, &[(50, 60)]).await;
    assert_eq!(ends(&read), [(20, u32::MAX), (50, 60)]);
    scene.client.batch_execute("UPDATE unproven_ledgers SET from_ledger = 19").await.unwrap();
    scene.database.clear_unconfirmed(scene.epoch, &read, &[]).await.unwrap();
    let read = noted(&scene, &[]).await;
    assert_eq!(ends(&read), [(19, u32::MAX)], "it was lowered meanwhile");
    scene.database.clear_unconfirmed(scene.epoch, &read, &[]).await.unwrap();
    assert_eq!(scene.count("unproven_ledgers").await, 0);
}

#[tokio::test]
async fn of_more_than_a_thousand_ranges_neighbours_are_joined() {
    let scene = Scene::new().await;
    let many = "INSERT INTO unconfirmed_ranges SELECT 10 * n, 10 * n + 1, to_timestamp(n), to_timestamp(n)
                FROM generate_series(1, 1000) n";
    scene.client.batch_execute(many).await.unwrap();
    let stored = noted(&scene, &[(20_000, 20_000)]).await;
    assert_eq!(ends(&stored[..2]), [(10, 21), (30, 41)]);
    assert_eq!((stored.len(), ends(&stored[499..])), (501, vec![(9_990, 10_001), (20_000, 20_000)]));
}
