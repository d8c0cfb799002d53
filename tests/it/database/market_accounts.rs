//! Accounts behind the trades of markets.

use stellar_ticker::domain::{
    instant::{DAY, HOUR},
    trade::PoolId,
    trading_accounts::{AccountCount, AccountCounts, MarketAccounts},
};

use super::*;

/// A full hour. The trades of this file closed up to a minute before it.
const UNTIL: UnixSeconds = UnixSeconds(NOW - NOW.rem_euclid(HOUR));

/// Trade of XLM for `issuer`'s TEA, of which each later trade gives more. The maker is an
/// account, or a pool without one.
fn between(order: i32, issuer: u8, maker: Option<u8>, taker: u8, stroops: i64, ago: i64) -> Trade {
    let side = |asset, stroops, account: Option<u8>| Side {
        asset,
        amount: Amount::from_stroops(stroops).unwrap(),
        account: account.map(|byte| AccountId::parse(&address(byte)).unwrap()),
        pool: account.is_none().then(|| PoolId::parse(&"ab".repeat(32)).unwrap()),
    };
    let tea = Asset::issued("TEA", &address(issuer)).unwrap();
    TradeRecord {
        token: token(5, order),
        closed_at: UNTIL.plus(-ago),
        base: side(Asset::Native, stroops, maker),
        counter: side(tea, (2 + i64::from(order)) * stroops, Some(taker)),
        price_n: 2,
        price_d: 1,
        base_is_seller: true,
    }
    .normalise()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_counted_by_market_and_the_last_two_counts_are_kept() {
    let scene = Scene::new().await;
    let trades = vec![
        between(0, 1, Some(1), 2, 6_000, 60),
        between(1, 1, Some(2), 1, 1_500, 120),
        between(2, 1, None, 3, 2_499, 0),
        // Exactly 24 hours ago: not in the window.
        between(3, 1, Some(8), 9, 1_000_000, DAY),
        between(4, 2, Some(4), 5, 7, DAY - 1),
        between(5, 3, None, 5, 7, 60),
    ];
    scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    let sql = "SELECT issuer, m.id FROM markets AS m JOIN assets AS a ON a.id IN (m.base_asset_id, m.counter_asset_id)
               WHERE a.code = 'TEA'";
    let rows = scene.client.query(sql, &[]).await.unwrap();
    let market =
        |issuer: u8| rows.iter().find(|row| row.get::<_, &str>(0) == address(issuer)).unwrap().get(1);

    let count = scene.database.count_market_accounts(UNTIL, UNTIL.plus(180)).await.unwrap();
    let accounts = |takers, makers, largest_pair| MarketAccounts { takers, makers, largest_pair };
    // TEA is the base of new outputs: 16,500 of 26,496 stroops, whichever of the two took.
    assert_eq!(count.markets[&market(1)], accounts(3, 3, 6_227));
    assert_eq!(count.markets[&market(2)], accounts(1, 1, 10_000));
    assert_eq!(count.markets[&market(3)], accounts(1, 1, 0), "a pool is no account of a pair");
    assert_eq!(count.markets.len(), 3);

    let later = |hours: i64| AccountCount {
        until: UNTIL.plus(hours * HOUR),
        counts_from: UNTIL.plus(hours * HOUR + 180),
        ..count.clone()
    };
    for hours in 0..3 {
        scene.database.record_market_accounts(scene.epoch, &later(hours)).await.unwrap();
    }
    let newer = async |known: Option<i64>| {
        let known = known.map(|hours| later(hours).until);
        scene.database.newer_market_accounts(known).await.unwrap()
    };
    let kept = Some(AccountCounts(vec![later(2), later(1)]));
    assert_eq!([newer(None).await, newer(Some(1)).await], [kept.clone(), kept]);
    assert_eq!(newer(Some(2)).await, None, "nothing is newer");
    scene.database.record_market_accounts(scene.epoch, &later(1)).await.unwrap();
    let kept = newer(None).await.unwrap().0;
    assert_eq!(kept.first(), Some(&later(1)), "counts of a clock that was ahead are gone");
    // A leader that was killed counted the same hour, and an account traded in another market since.
    let mut again = AccountCount { counts_from: later(1).counts_from.plus(40), ..later(1) };
    again.markets.insert(1_000, accounts(1, 1, 0));
    let stored = scene.database.record_market_accounts(scene.epoch, &again).await.unwrap();
    assert_eq!((&stored.0, stored.0.first()), (&kept, Some(&later(1))), "all replicas show the first one");
    assert_eq!(newer(None).await.unwrap(), stored);
    let error = scene.database.record_market_accounts(scene.epoch - 1, &later(3)).await.unwrap_err();
    assert!(matches!(error, stellar_ticker::db::DbError::LeaseLost), "{error}");
}
