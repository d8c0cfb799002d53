//! A database that lost its last batches, as a standby that was behind has, and gave their numbers out again.

use stellar_ticker::{actors::aggregator::MarketState, db::DbError};

use super::*;

/// A statement for each table, in an order that their references allow.
async fn lose_all_after(scene: &Scene, seq: i64, toid: i64, market: i32, asset: i32) {
    let lost = format!(
        "DELETE FROM trades WHERE toid > {toid}; DELETE FROM ingest_batches WHERE seq > {seq};
         UPDATE ingest_lease SET seq = {seq};
         UPDATE ingest_cursor SET token = '{toid}-0';
         DELETE FROM markets WHERE id > {market}; DELETE FROM assets WHERE id > {asset};
         SELECT setval(pg_get_serial_sequence('markets', 'id'), {market}),
                setval(pg_get_serial_sequence('assets', 'id'), {asset});"
    );
    scene.client.batch_execute(&lost).await.unwrap();
}

async fn largest(scene: &Scene, table: &str) -> i32 {
    scene.client.query_one(&format!("SELECT max(id) FROM {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn numbers_of_markets_that_were_lost_and_given_out_again_are_never_used() {
    let scene = Scene::new().await;
    let written =
        async |cursor, trades| scene.database.write_trades(scene.epoch, &batch(cursor, trades)).await;
    written(None, vec![trade(5, 0, 1, 10)]).await.unwrap();
    let (market, asset) = (largest(&scene, "markets").await, largest(&scene, "assets").await);
    written(Some(token(5, 0)), vec![trade(6, 0, 2, 10)]).await.unwrap();
    lose_all_after(&scene, 1, token(5, 0).toid, market, asset).await;
    // Another replica, without memory of the lost numbers, assigns them to another issuer's asset.
    let other = open(&scene.url);
    other.write_trades(scene.epoch, &batch(Some(token(5, 0)), vec![trade(6, 0, 3, 10)])).await.unwrap();
    written(Some(token(6, 0)), vec![trade(7, 0, 2, 10)]).await.unwrap();
    let issuers = "SELECT a.issuer FROM trades t JOIN assets a ON a.id = t.counter_asset_id ORDER BY t.toid";
    let issuers: Vec<String> =
        scene.client.query(issuers, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(issuers, [address(1), address(3), address(2)], "each trade in its own market");
}

#[tokio::test]
async fn a_state_that_knows_what_was_lost_is_found_out_although_the_numbers_have_been_passed() {
    let scene = Scene::new().await;
    let written =
        async |cursor, trades| scene.database.write_trades(scene.epoch, &batch(cursor, trades)).await;
    written(None, vec![trade(5, 0, 1, 10)]).await.unwrap();
    let mut state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
    let read = async |state: &MarketState| {
        MarketState::read_after(&scene.database, state.seq(), &state.unverified(), UnixSeconds(NOW)).await
    };
    assert!(read(&state).await.unwrap().is_none());
    // One that it follows, and that is lost.
    assert!(state.append(&written(Some(token(5, 0)), vec![trade(6, 0, 1, 20)]).await.unwrap()));
    assert!(read(&state).await.unwrap().is_none());
    let (market, asset) = (largest(&scene, "markets").await, largest(&scene, "assets").await);
    lose_all_after(&scene, 1, token(5, 0).toid, market, asset).await;
    let rewound = read(&state).await;
    assert!(matches!(rewound, Err(DbError::Rewound { seq: 1 })), "{rewound:?}");
    // The same number again, for something else, and one more, which it would follow.
    written(Some(token(5, 0)), vec![trade(7, 0, 1, 30)]).await.unwrap();
    let next = written(Some(token(7, 0)), vec![trade(8, 0, 1, 40)]).await.unwrap();
    assert!(state.append(&next), "the number is the next one");
    let rewound = read(&state).await;
    assert!(matches!(rewound, Err(DbError::Rewound { seq: 3 })), "{rewound:?}");
    // The list of known batches stays bounded.
    let mut state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
    for ledger in 9..30 {
        assert!(
            state.append(&written(Some(token(ledger - 1, 0)), vec![trade(ledger, 0, 1, 50)]).await.unwrap())
        );
        let known = state.unverified();
        assert!(read(&state).await.unwrap().is_none());
        state.verified(&known);
        assert_eq!(state.unverified().len(), 1);
    }
}
