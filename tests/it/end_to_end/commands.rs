//! Commands that do one task of the daemon once.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::*;
use crate::support::daemon::spawn;
use crate::support::postgres::execute;
use crate::support::reached;
use crate::support::scripted::{LEDGER, scripted, trade};

/// Reason of a task that finds a daemon at work.
const DAEMON_RUNS: &str = "a running daemon ingests into this database already";

#[test]
fn the_old_programs_tasks_one_by_one_make_the_same_file() {
    let sim = horizon(SimConfig {
        seed: 61,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 1.0,
        history_hours: 3,
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let (url, gateway) = (sim.url(), format!("{}/_toml", sim.url()));
        let common = [
            "--database-url",
            &database,
            "--horizon-url",
            &url,
            "--network",
            PASSPHRASE,
            "--toml-gateway",
            &gateway,
            "--horizon-requests-per-hour",
            "0",
        ];
        let task = |words: &[&str]| run(&[words, &common[..]].concat());
        for words in [
            &["ingest", "trades", "--num-hours", "2"][..],
            &["ingest", "assets"],
            &["ingest", "orderbooks"],
            &["clean", "trades", "--keep-days", "8"],
            &["clean", "trades", "-k", "9"],
        ] {
            let (code, _, log) = task(words);
            assert_eq!(code, 0, "{words:?}: {log}");
        }
        let client = recomputation::connect(&database).await;
        assert!(compare_with_emitted(&client, sim.oracle()).await > 7_000, "two hours and no more");
        let directory = crate::support::postgres::open_tempdir();
        let file = directory.path().join("markets.json");
        assert_eq!(task(&["generate", "market-data", "-o", file.to_str().unwrap()]).0, 0);
        let markets: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(recomputation::compare(&client, &markets).await > 10);
        for (what, rows) in [("market-data", "pairs"), ("asset-data", "assets")] {
            let (code, printed, log) = task(&["generate", what, "-o", "-"]);
            assert_eq!(code, 0, "{what}: {log}");
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert!(printed[rows].as_array().unwrap().len() > 10, "{what}");
        }
        assert!(!std::path::Path::new("-").exists(), "no file of this name");
        let with_books = markets["pairs"].as_array().unwrap().iter().filter(|pair| pair["bid_count"] != 0);
        assert!(with_books.count() > 10);
        let daemon = Daemon::serve(&url, &database, PASSPHRASE, &[]);
        wait_until("it leads", || daemon.status()["replica"]["leader"] == true);
        let (code, _, log) = task(&["ingest", "assets"]);
        assert_eq!(code, 69, "beside a daemon there is nothing to do: {log}");
        assert!(log.contains(DAEMON_RUNS), "{log}");
        books_are_listed_with_their_ages(&daemon, &client).await;
    });
}

async fn books_are_listed_with_their_ages(daemon: &Daemon, client: &Client) {
    let listed = daemon.get("/api/v1/books").json();
    let books = listed["books"].as_array().unwrap();
    let stored = "SELECT count(*) FROM orderbook_stats o JOIN markets m ON m.id = o.market_id
        JOIN assets b ON b.id = m.base_asset_id JOIN assets c ON c.id = m.counter_asset_id
        WHERE b.is_valid AND c.is_valid AND EXISTS (SELECT FROM trades t WHERE t.market_id = m.id)";
    let stored = number(client, stored).await;
    assert_eq!(i64::try_from(books.len()).unwrap(), stored, "each book has its age");
    let age = |book: &Value| book["age_s"].as_i64().unwrap();
    assert!(books.iter().all(|book| book["market"].as_str().unwrap().contains('_') && age(book) >= 0));
    assert!(books.is_sorted_by_key(|book| -age(book)), "the oldest first");
    assert_eq!(listed["total"].as_u64(), u64::try_from(books.len()).ok());
    let zipped = daemon.get_with("GET", "/api/v1/books", "Accept-Encoding: gzip\r\n");
    assert_eq!((zipped.status, zipped.header("content-encoding")), (200, Some("gzip")));
    assert!(zipped.body.len() < listed.to_string().len() / 2);
    wait_until("a publication outlives two requests", || {
        let tag = daemon.get("/api/v1/books").header("etag").unwrap().to_owned();
        daemon.get_with("GET", "/api/v1/books", &format!("If-None-Match: {tag}\r\n")).status == 304
    });
    assert!(daemon.status()["books"]["oldest_age_s"].as_i64() >= Some(age(&books[0])));
}

/// The command does not see how long the daemon keeps candles, and dropped ones never come back.
#[test]
fn a_pass_of_the_cleaner_drops_candles_only_where_their_retention_is_given() {
    let (sim, source) = scripted();
    source.push_trade(trade(LEDGER + 1, 0, chrono::Utc::now())).unwrap();
    block_on(async {
        let (database, url) = (fresh_database().await, sim.url());
        let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
        let task = |words: &[&str]| {
            let (code, _, log) = run(&[words, &common, &["--horizon-requests-per-hour", "0"]].concat());
            assert_eq!(code, 0, "{words:?}: {log}");
        };
        task(&["ingest", "trades", "--num-hours", "1"]);
        let client = recomputation::connect(&database).await;
        let old = "SELECT ticker_make_candles((now() - interval '400 days')::date);
            INSERT INTO candles_1h (market_id, begins_at, trade_count, base_volume, counter_volume, first_trade_at,
                last_trade_at, bought_base_volume, bought_counter_volume, pool_base_volume, pool_counter_volume, clean_count)
            SELECT 1, at, 1, 1, 1, at, at, 0, 0, 0, 0, 0 FROM (SELECT date_trunc('hour', now() - interval '400 days') AS at) a";
        client.batch_execute(old).await.unwrap();
        let count = "SELECT count(*) FROM candles_1h WHERE begins_at < now() - interval '399 days'";
        task(&["clean", "trades", "-k", "8"]);
        assert_eq!(number(&client, count).await, 1, "they stay");
        task(&["clean", "trades", "-k", "8", "--candle-retention-days", "500"]);
        assert_eq!(number(&client, count).await, 1, "they are kept for 500 days");
        task(&["clean", "trades", "-k", "8", "--candle-retention-days", "365"]);
        assert_eq!(number(&client, count).await, 0);
    });
}

/// A gateway whose every file takes longer than a first try waits.
async fn slow_gateway() -> String {
    const TAKES: Duration = Duration::from_secs(2);
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nVERSION = \"2\"";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(TAKES).await;
                // A client that has given up does not read it.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut connection, ANSWER).await;
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn one_look_at_assets_waits_for_hosts_that_take_their_time() {
    let (sim, source) = scripted();
    source.push_trade(trade(LEDGER + 1, 0, chrono::Utc::now())).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let (url, gateway) = (sim.url(), slow_gateway().await);
        let task = |words: &[&str]| {
            let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
            let unlimited = ["--toml-gateway", &gateway, "--horizon-requests-per-hour", "0"];
            run(&[words, &common, &unlimited].concat())
        };
        let (code, _, log) = task(&["ingest", "assets"]);
        assert_eq!(code, 0, "{log}");
        let client = recomputation::connect(&database).await;
        let valid = "SELECT count(*) FROM assets WHERE is_valid AND code = 'TEA'";
        assert_eq!(number(&client, valid).await, 1, "{log}");
    });
}

#[test]
fn a_task_that_gets_no_lease_names_the_fault_and_a_daemon_only_if_one_runs() {
    let (sim, _source) = scripted();
    block_on(async {
        let (database, url) = (fresh_database().await, sim.url());
        let task = |words: &[&str]| {
            let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
            run(&[words, &common].concat())
        };
        let (code, _, log) = task(&["clean", "trades", "-k", "8"]);
        assert_eq!(code, 0, "{log}");
        for (state, reason) in [
            ("53100", "the database cannot write: its disk is full"),
            ("42501", "the database refuses to renew the lease (SQLSTATE 42501)"),
        ] {
            let refuse = format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                     $$BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END$$;
                 CREATE OR REPLACE TRIGGER refused BEFORE UPDATE ON ingest_lease
                     FOR EACH ROW EXECUTE FUNCTION refuse();"
            );
            execute(&database, &refuse).await;
            let (code, _, log) = task(&["clean", "trades", "-k", "8"]);
            assert_eq!(code, 69, "{log}");
            assert!(log.contains(reason) && !log.contains(DAEMON_RUNS), "{log}");
        }
    });
}

#[test]
fn what_the_tasks_refuse() {
    let code = |words: &[&str]| run(words).0;
    assert_eq!(code(&["clean", "trades", "--keep-days", "7"]), 78, "the 7-day window needs 8");
    assert_eq!(code(&["clean", "trades", "--keep-days", "many"]), 64);
    assert_eq!(code(&["ingest", "trades", "--num-hours", "x"]), 64);
    assert_eq!(code(&["ingest", "everything"]), 64);
    assert_eq!(code(&["ingest"]), 64);
    assert_eq!(code(&["ingest", "trades", "--help"]), 0);
}

/// It would fail to store new trades for ever.
#[test]
fn a_stream_whose_tables_are_gone_ends() {
    let sim = horizon(SimConfig {
        seed: 63,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 5.0,
        history_hours: 0,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    block_on(async {
        let (database, url) = (fresh_database().await, sim.url());
        let words = ["ingest", "trades", "--stream", "--num-hours", "0", "--horizon-requests-per-hour", "0"];
        let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
        let mut child = spawn(&[&words[..], &common].concat());
        let client = recomputation::connect(&database).await;
        reached("new trades are stored", async || {
            let live = "SELECT count(*) FROM ingest_batches WHERE kind = 'live'";
            number(&client, "SELECT count(*) FROM pg_class WHERE relname = 'schema_needs'").await > 0
                && number(&client, live).await > 0
        })
        .await;
        reached("the tables are gone", async || {
            // It may wait for the stream's transaction, and that for this one.
            client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.is_ok()
        })
        .await;
        reached("the command ends", async || child.try_wait().unwrap().is_some()).await;
        let output = child.output();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{log}");
        assert!(log.contains("the database has no ticker tables any more"), "{log}");
    });
}

#[test]
fn a_signal_ends_the_stream_in_order_and_says_of_history_that_it_is_not_whole() {
    let sim = horizon(SimConfig {
        seed: 62,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 3,
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let client = recomputation::connect(&database).await;
        let leads = "SELECT count(*) FROM ingest_lease WHERE expires_at > now()";
        let url = sim.url();
        let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
        let stopped = async |words: &[&str], stored: &str| {
            let child = spawn(&[words, &common].concat());
            let begun = Instant::now();
            while number(&client, "SELECT count(*) FROM pg_class WHERE relname = 'schema_needs'").await == 0
                || number(&client, stored).await == 0
            {
                assert!(begun.elapsed() < DEADLINE, "nothing is ever stored");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
            let output = child.output();
            assert_eq!(number(&client, leads).await, 0, "the lease is given back");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        // 1,800 pages, of which the burst are 100 and a second brings one.
        let slow = ["ingest", "trades", "--num-hours", "1", "--horizon-requests-per-hour", "3600"];
        let (code, log) = stopped(&slow, leads).await;
        assert_eq!(code, Some(69), "{log}");
        assert!(log.contains("SIGTERM: stopped before all work was done"), "{log}");
        let unlimited =
            ["ingest", "trades", "--stream", "--num-hours", "0", "--horizon-requests-per-hour", "0"];
        let (code, log) =
            stopped(&unlimited, "SELECT count(*) FROM ingest_batches WHERE kind = 'live'").await;
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("history is complete"), "{log}");
    });
}
