//! `markets.json` recomputed from the raw rows of the database, by the simplest code.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::{Client, NoTls};

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// Figures of a pair, computed by the simplest code.
#[derive(Debug, Default, Clone)]
struct Sums {
    base: i128,
    counter: i128,
    count: i64,
    /// (toid, order, base per counter), in that order.
    prices: Vec<(i64, i32, f64)>,
}

/// A client of a test database.
pub(crate) async fn connect(database: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(database, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

/// Compares a `markets.json` with the rows that are there now, when nothing is committed any more.
pub(crate) async fn compare(client: &Client, markets: &Value) -> usize {
    compare_at(client, markets, None).await.unwrap()
}

/// Compares a `markets.json` that was made of everything up to `seq` with the rows that are there now; none if those
/// are of another `seq`. Returns the number of pairs.
pub(crate) async fn compare_at(client: &Client, markets: &Value, seq: Option<i64>) -> Option<usize> {
    let as_of = markets["generated_at"].as_i64().unwrap() / 1_000;
    let rows = client
        .query(
            "SELECT coalesce(nullif(b.anchor_asset_code, ''), b.code) || '_' || coalesce(nullif(c.anchor_asset_code, ''), c.code),
                    extract(epoch FROM t.ledger_close_time)::bigint, t.toid, t.trade_order, t.base_amount, t.counter_amount, t.price_n, t.price_d,
                    (SELECT seq FROM ingest_lease) -- of the same moment as the rows
             FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
             WHERE b.is_valid AND c.is_valid AND extract(epoch FROM t.ledger_close_time) > $1::bigint",
            &[&(as_of - WEEK)],
        )
        .await
        .unwrap();
    let read: Option<i64> = rows.first().map(|row| row.get(8));
    if seq.is_some() && seq != read {
        return None;
    }
    let mut expected: BTreeMap<String, (Sums, Sums, i64)> = BTreeMap::new();
    for row in &rows {
        let (pair, closed_at): (String, i64) = (row.get(0), row.get(1));
        let (day, week, last) = expected.entry(pair).or_default();
        *last = (*last).max(closed_at);
        let (n, d): (i64, i64) = (row.get(6), row.get(7));
        for sums in [Some(week), (closed_at > as_of - DAY).then_some(day)].into_iter().flatten() {
            sums.base += i128::from(row.get::<_, i64>(4));
            sums.counter += i128::from(row.get::<_, i64>(5));
            sums.count += 1;
            if n > 0 && d > 0 {
                sums.prices.push((row.get(2), row.get(3), d as f64 / n as f64));
            }
        }
    }
    let pairs = markets["pairs"].as_array().unwrap();
    let names: Vec<&str> = pairs.iter().map(|pair| pair["name"].as_str().unwrap()).collect();
    assert_eq!(names, expected.keys().map(String::as_str).collect::<Vec<_>>(), "pairs, sorted by name");
    for pair in pairs {
        let (day, week, last) = &expected[pair["name"].as_str().unwrap()];
        compare_pair(pair, day, week, *last);
    }
    Some(pairs.len())
}

fn compare_pair(pair: &Value, day: &Sums, week: &Sums, last: i64) {
    let sorted = |sums: &Sums| {
        let mut prices = sums.prices.clone();
        prices.sort_by_key(|(toid, order, _)| (*toid, *order));
        prices.into_iter().map(|(_, _, price)| price).collect::<Vec<f64>>()
    };
    let (day_prices, week_prices) = (sorted(day), sorted(week));
    let last_price = week_prices.last().copied().unwrap_or(0.0);
    let shown = if day.count == 0 { vec![last_price] } else { day_prices };
    for (suffix, sums, prices) in [("", day, &shown), ("_7d", week, &week_prices)] {
        let field = |name: &str| pair[format!("{name}{suffix}")].as_f64().unwrap();
        close(field("base_volume"), sums.base as f64 / 1e7, pair);
        close(field("counter_volume"), sums.counter as f64 / 1e7, pair);
        assert_eq!(field("trade_count"), sums.count as f64, "{pair}");
        let (first, final_) = (prices.first().copied().unwrap_or(0.0), prices.last().copied().unwrap_or(0.0));
        close(field("open"), first, pair);
        close(field("low"), prices.iter().copied().reduce(f64::min).unwrap_or(0.0), pair);
        close(field("high"), prices.iter().copied().reduce(f64::max).unwrap_or(0.0), pair);
        assert!(
            (field("change") - (final_ - first)).abs() <= 1e-12 * first.abs().max(final_.abs()),
            "{pair}"
        );
    }
    close(pair["close"].as_f64().unwrap(), last_price, pair);
    close(pair["price"].as_f64().unwrap(), last_price, pair);
    let close_time = chrono::DateTime::parse_from_rfc3339(pair["close_time"].as_str().unwrap()).unwrap();
    assert_eq!(close_time.timestamp(), last, "{pair}");
}

/// Equal but for the last bits of a division of two doubles.
fn close(published: f64, expected: f64, pair: &Value) {
    assert!((published - expected).abs() <= 1e-14 * expected.abs(), "{published} is not {expected}: {pair}");
}
