//! Comparisons with what must be there: a recomputation from the rows, and the trades that the simulation emitted.

use std::time::{Duration, Instant};

use stellar_ticker::sim::Simulation;
use tokio_postgres::Client;

use super::{DEADLINE, daemon::Daemon, recomputation};

/// Time after which the daemon's commits are held up. A busy machine commits again before the last commit is published.
const WITHOUT_LOCK: Duration = Duration::from_secs(5);

/// Compares a publication with a recomputation from the rows of its `seq`, while trades arrive. It tries until
/// nothing was committed between the two. Returns the number of pairs.
pub(crate) async fn compare_published(daemon: &Daemon, client: &Client) -> usize {
    daemon.wait_for_publication();
    let begun = Instant::now();
    let mut has_lock = false;
    loop {
        assert!(begun.elapsed() < DEADLINE, "what was committed last is not published");
        let markets = daemon.get("/markets.json");
        let seq = markets.header("x-ticker-seq").unwrap().parse().unwrap();
        if let Some(pairs) = recomputation::compare_at(client, &markets.json(), Some(seq)).await {
            if has_lock {
                client.batch_execute("COMMIT").await.unwrap();
            }
            return pairs;
        }
        if !has_lock && begun.elapsed() > WITHOUT_LOCK {
            client.batch_execute("BEGIN; LOCK TABLE trades IN SHARE MODE").await.unwrap();
            has_lock = true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the complete ledgers are one range without a gap, and returns that range.
pub(crate) async fn complete_range(client: &Client) -> (i64, i64) {
    let begun = Instant::now();
    loop {
        let rows = client.query("SELECT from_ledger, to_ledger FROM coverage ORDER BY 1", &[]).await.unwrap();
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for (from, to) in rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))) {
            match ranges.last_mut() {
                Some(last) if from <= last.1 + 1 => last.1 = to.max(last.1),
                _ => ranges.push((from, to)),
            }
        }
        if let [range] = ranges.as_slice() {
            return *range;
        }
        assert!(begun.elapsed() < DEADLINE, "gaps stay: {ranges:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the complete ledgers have this number of trades, and compares them as [`compare_with_emitted`] does. A
/// ledger counts as complete some time after its trades are stored. Returns their number.
pub(crate) async fn compare_at_least(least: usize, client: &Client, oracle: &Simulation) -> usize {
    let begun = Instant::now();
    loop {
        let compared = compare_with_emitted(client, oracle).await;
        if compared >= least {
            return compared;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "{compared} trades are in complete ledgers, {least} are expected"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Checks that each trade of the complete ledgers is stored once, with the figures that were
/// emitted. Returns their number.
pub(crate) async fn compare_with_emitted(client: &Client, oracle: &Simulation) -> usize {
    let (from, to) = complete_range(client).await;
    let rows = client
        .query(
            "SELECT t.toid, t.trade_order, t.base_amount, t.counter_amount, t.price_n, t.price_d, t.base_is_seller,
                    b.code, b.issuer, t.liquidity_pool_id
             FROM trades t JOIN assets b ON b.id = t.base_asset_id
             WHERE t.toid >> 32 BETWEEN $1 AND $2 ORDER BY t.toid, t.trade_order",
            &[&from, &to],
        )
        .await
        .unwrap();
    let emitted = oracle.trades(u32::try_from(from).unwrap()..=u32::try_from(to).unwrap());
    let stored: Vec<(i64, i64)> =
        rows.iter().map(|row| (row.get(0), i64::from(row.get::<_, i32>(1)))).collect();
    let expected: Vec<(i64, i64)> = emitted.iter().map(|trade| (trade.id.toid, trade.id.order)).collect();
    assert_eq!(stored, expected, "the same trades, each once");
    for (row, trade) in rows.iter().zip(&emitted) {
        let (code, issuer): (String, String) = (row.get(7), row.get(8));
        let base = if issuer == "native" { "native".to_owned() } else { format!("{code}:{issuer}") };
        let as_emitted = trade.base.asset == base;
        let (side, other) =
            if as_emitted { (&trade.base, &trade.counter) } else { (&trade.counter, &trade.base) };
        let (n, d) = if as_emitted { (trade.price_n, trade.price_d) } else { (trade.price_d, trade.price_n) };
        assert_eq!(side.asset, base);
        assert_eq!((row.get::<_, i64>(2), row.get::<_, i64>(3)), (side.amount, other.amount));
        assert_eq!((row.get::<_, i64>(4), row.get::<_, i64>(5)), (n, d));
        assert_eq!(row.get::<_, bool>(6), trade.base_is_seller == as_emitted);
        assert_eq!(row.get::<_, Option<String>>(9), side.pool.clone().or_else(|| other.pool.clone()));
    }
    stored.len()
}
