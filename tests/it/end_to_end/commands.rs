//! Commands that do one task of the daemon once.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::*;
use crate::support::daemon::spawn;
use crate::support::scripted::{LEDGER, scripted, trade};

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
        let with_books = markets["pairs"].as_array().unwrap().iter().filter(|pair| pair["bid_count"] != 0);
        assert!(with_books.count() > 10);
        let daemon = Daemon::serve(&url, &database, PASSPHRASE, &[]);
        wait_until("it leads", || daemon.status()["replica"]["leader"] == true);
        let (code, _, log) = task(&["ingest", "assets"]);
        assert_eq!(code, 69, "beside a daemon there is nothing to do: {log}");
        let listed = daemon.get("/api/v1/books").json();
        let books = listed["books"].as_array().unwrap();
        let stored = "SELECT count(*) FROM orderbook_stats o JOIN markets m ON m.id = o.market_id
            JOIN assets b ON b.id = m.base_asset_id JOIN assets c ON c.id = m.counter_asset_id
            WHERE b.is_valid AND c.is_valid AND EXISTS (SELECT FROM trades t WHERE t.market_id = m.id)";
        let stored = number(&client, stored).await;
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
fn what_the_tasks_refuse() {
    let code = |words: &[&str]| run(words).0;
    assert_eq!(code(&["clean", "trades", "--keep-days", "7"]), 78, "the 7-day window needs 8");
    assert_eq!(code(&["clean", "trades", "--keep-days", "many"]), 64);
    assert_eq!(code(&["ingest", "trades", "--num-hours", "x"]), 64);
    assert_eq!(code(&["ingest", "everything"]), 64);
    assert_eq!(code(&["ingest"]), 64);
    assert_eq!(code(&["ingest", "trades", "--help"]), 0);
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
