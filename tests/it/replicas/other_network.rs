//! Horizon turns to another network: a follower gives its readers no order book of that.

use super::*;
use crate::{listings::USDC, support::daemon::Daemon};

fn fetched_books(daemon: &Daemon) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let prefix = r#"ticker_asked_books_total{result="fetched"} "#;
    metrics.lines().find_map(|line| line.strip_prefix(prefix)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_followers_readers_get_the_stored_book_while_horizon_serves_another_network() {
    block_on(async {
        let replicas = Replicas::start(slow_network(64), &[]).await;
        let follower = &replicas.both[1 - replicas.leader()];
        let age_books = "UPDATE orderbook_levels SET fetched_at = now() - interval '1 hour'";
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        // Seconds since the book was read; none without a book.
        let age_s = || {
            let answer = follower.get(&path);
            let book = if answer.status == 200 { answer.json() } else { return None };
            let has_levels = book["bids"].as_array().is_some_and(|bids| !bids.is_empty());
            has_levels.then(|| book["age_s"].as_i64()).flatten()
        };
        reached("the follower reads a book", async || {
            replicas.client.execute(age_books, &[]).await.unwrap();
            age_s().is_some() && fetched_books(follower) > 0
        })
        .await;
        replicas.sim().switch_network("Another Network");
        wait_until("both name it", || {
            replicas.both.iter().all(|daemon| {
                let check = daemon.get("/readyz").json()["checks"]["network"].clone();
                check["ok"] == false && check["detail"].as_str().unwrap().contains("another network")
            })
        });
        reached("the stored book is given", async || {
            replicas.client.execute(age_books, &[]).await.unwrap();
            age_s().is_some_and(|age_s| age_s >= 3_600)
        })
        .await;
        let fetched = fetched_books(follower);
        for _ in 0..3 {
            assert!(age_s().unwrap() >= 3_600, "{path}");
        }
        assert_eq!(fetched_books(follower), fetched);
        replicas.sim().switch_network(PASSPHRASE);
        wait_until("it is read again", || age_s().is_some() && fetched_books(follower) > fetched);
        wait_until("the check names the right network", || {
            follower.get("/readyz").json()["checks"]["network"]["ok"] == true
        });
        replicas.finish().await;
    });
}
