//! Order books that readers ask for when the stored one is not fresh.

use super::*;

/// Lets every stored book be an hour old.
async fn age_books(daemon: &Daemon) {
    let client = recomputation::connect(&daemon.database).await;
    client.execute("UPDATE orderbook_levels SET fetched_at = now() - interval '1 hour'", &[]).await.unwrap();
}

fn asked(daemon: &Daemon) -> u64 {
    daemon.status()["budget"]["requests"]["asked_books"].as_u64().unwrap()
}

#[test]
fn an_old_book_is_read_again_once_for_all_its_readers() {
    let sim = horizon();
    block_on(async {
        // The poller would make the books fresh in its own time.
        let daemon = daemon(&sim).await;
        age_books(&daemon).await;
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        let books: Vec<Value> = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..40).map(|_| scope.spawn(|| ok(&daemon, &path).json())).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for book in &books {
            assert!(book["age_s"].as_i64().unwrap() <= 60, "{book}");
            assert_eq!((&book["bids"], &book["asks"]), (&books[0]["bids"], &books[0]["asks"]));
        }
        wait_until("it is counted", || asked(&daemon) > 0);
        assert_eq!(asked(&daemon), 1);
        reached("the leader stores it for everybody", async || stored_again(&daemon).await > 0).await;
        let transactions = "/trace.json?type=transaction&actor=book_fetcher";
        wait_until("its transaction is recorded", || {
            !daemon.admin(transactions).json()["records"].as_array().unwrap().is_empty()
        });
    });
}

/// Number of books that were stored since [`age_books`].
async fn stored_again(daemon: &Daemon) -> i64 {
    let client = recomputation::connect(&daemon.database).await;
    let sql = "SELECT count(*) FROM orderbook_levels WHERE fetched_at > now() - interval '50 minutes'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Seconds of a time in a document.
fn seconds(time: &Value) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp()
}

#[test]
fn a_book_that_cannot_be_stored_is_given_to_its_readers_and_stored_later() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        age_books(&daemon).await;
        let mut client = recomputation::connect(&daemon.database).await;
        // Readers of the table go on. Writers wait.
        let lock = client.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE orderbook_levels IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        let age_s = || ok(&daemon, &path).json()["age_s"].as_i64().unwrap();
        wait_until("the reader gets a fresh one", || age_s() <= 60);
        wait_until("the daemon could not store it", || {
            daemon.log().contains("storing order books that readers asked for")
        });
        lock.rollback().await.unwrap();
        reached("it is stored without another reader", async || stored_again(&daemon).await > 0).await;
    });
}

#[test]
fn a_stored_book_with_a_time_in_the_future_is_read_again() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let client = recomputation::connect(&daemon.database).await;
        let sql = "UPDATE orderbook_levels SET fetched_at = now() + interval '1 hour'";
        client.execute(sql, &[]).await.unwrap();
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        wait_until("the reader gets one of the present", || {
            let fetched_at = seconds(&ok(&daemon, &path).json()["fetched_at"]);
            fetched_at < chrono::Utc::now().timestamp() + 1_800
        });
    });
}

/// A view that pauses stands for a slow database, and its sequence counts the reads. Without sharing, two reads at a
/// time and a deadline of 3 s are enough for some twenty readers.
#[test]
fn many_readers_of_a_book_cost_few_reads_and_none_is_refused() {
    const READERS: i64 = 80;
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let client = recomputation::connect(&daemon.database).await;
        let slow = "ALTER TABLE orderbook_levels RENAME TO held_levels;
                    CREATE SEQUENCE reads;
                    CREATE VIEW orderbook_levels AS
                        WITH slow AS MATERIALIZED (SELECT nextval('reads') AS number, pg_sleep(0.3))
                        SELECT market_id, bids, asks, fetched_at FROM held_levels, slow WHERE slow.number > 0;
                    UPDATE held_levels SET fetched_at = now()";
        client.batch_execute(slow).await.unwrap();
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| ok(&daemon, &path))).collect();
            readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
        });
        // The last value of a sequence is 1 before its first use too.
        let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM reads";
        let reads: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        assert!((1..=READERS / 2).contains(&reads), "{reads} reads for {READERS} readers");
        reached("the stored book that changed is shown", async || {
            // Of this moment, so that Horizon is not asked.
            let sql = "UPDATE held_levels SET bids = '[]', asks = '[]', fetched_at = now()";
            client.execute(sql, &[]).await.unwrap();
            ok(&daemon, &path).json()["bids"].as_array().unwrap().is_empty()
        })
        .await;
    });
}

#[test]
fn without_horizon_a_reader_gets_the_stored_book_with_its_time() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        age_books(&daemon).await;
        sim.stop();
        for path in [
            format!("/api/v1/markets/XLM_{USDC}/orderbook"),
            format!("/api/v1/coingecko/orderbook?ticker_id=XLM_{USDC}"),
        ] {
            let book = ok(&daemon, &path).json();
            assert!(!book["bids"].as_array().unwrap().is_empty(), "{book}");
            let age_s = book["age_s"].as_i64();
            assert!(age_s.is_none_or(|age_s| (3_600..3_700).contains(&age_s)), "{book}");
        }
        let metrics = String::from_utf8_lossy(&daemon.admin("/metrics").body).into_owned();
        let failed =
            metrics.lines().find(|line| line.starts_with("ticker_asked_books_total{result=\"failed\"}"));
        let late = metrics.lines().find(|line| line.starts_with("ticker_asked_books_total{result=\"late\"}"));
        assert!(!(failed.unwrap().ends_with(" 0") && late.unwrap().ends_with(" 0")), "{failed:?} {late:?}");
    });
}

#[test]
fn a_fetcher_that_panics_costs_freshness_and_restarts() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        age_books(&daemon).await;
        daemon.provoke("book_fetcher", "FetchBook");
        let path = format!("/api/v1/markets/XLM_{USDC}/orderbook");
        let stored = ok(&daemon, &path).json();
        assert!(stored["age_s"].as_i64().unwrap() >= 3_600, "{stored}");
        wait_until("the next reader gets a fresh one", || {
            ok(&daemon, &path).json()["age_s"].as_i64().unwrap() <= 60
        });
        let all = daemon.admin("/actors.json").json();
        let actor =
            all["actors"].as_array().unwrap().iter().find(|actor| actor["name"] == "book_fetcher").unwrap();
        assert_eq!(actor["restarts"], 1);
    });
}
