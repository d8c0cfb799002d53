//! Waiting for states of the daemon and of its database.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::{DEADLINE, daemon::Daemon, wait_until};

pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until at least `count` trades are stored.
pub(crate) async fn wait_for_trades(client: &Client, count: i64) {
    let begun = Instant::now();
    while number(client, "SELECT count(*) FROM trades").await < count {
        assert!(begun.elapsed() < DEADLINE, "timed out waiting for {count} trades");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a pair is published: its assets were looked up and their files read.
pub(crate) fn wait_for_pairs(daemon: &Daemon) {
    wait_until("pairs are published", || {
        let answer = daemon.get("/markets.json");
        answer.status == 200 && !answer.json()["pairs"].as_array().unwrap().is_empty()
    });
}

/// Waits until the daemon has looked up every asset and read every file, so that it writes to none of them for hours.
pub(crate) async fn wait_until_no_asset_is_due(client: &Client) {
    let due = "SELECT (SELECT count(*) FROM asset_sweep WHERE finished_at IS NULL)
                    + (SELECT count(*) FROM assets WHERE checked_at IS NULL)
                    + (SELECT count(*) FROM assets a LEFT JOIN toml_files f ON f.url = a.toml_url
                       WHERE a.meets_rules AND a.toml_url <> ''
                       AND (f.url IS NULL OR f.is_good AND a.toml_applied_at IS NULL))";
    let begun = Instant::now();
    while number(client, due).await > 0 {
        assert!(begun.elapsed() < DEADLINE, "assets stay due");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until all of the wanted history is stored.
pub(crate) fn wait_until_history_is_complete(daemon: &Daemon) {
    wait_until("the history is complete", || daemon.status()["backfill"]["done_ratio"] == 1.0);
}
