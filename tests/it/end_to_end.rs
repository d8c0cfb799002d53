//! The real binary on a simulated Horizon and a real PostgreSQL, from the stream to the reader.

mod asset_lists;
mod assets;
mod audit;
mod beyond_retention;
mod books;
mod broken_streams;
mod budget;
mod close_times;
mod commands;
mod empty_pages;
mod false_ledgers;
mod far_behind;
mod faults;
mod forgetting;
mod graphql;
mod healthcheck;
mod history;
mod holes;
mod hostile;
mod lives;
mod locked_trades;
mod lookups;
mod minutes;
mod other_database;
mod panics;
mod paused;
mod quiet;
mod readiness;
mod redirected_file;
mod requirements;
mod reset_network;
mod self_audit;
mod silent_database;
mod slow_machine;
mod start_and_stop;
mod start_over;
mod unreadable;

use std::time::{Duration, Instant};

use serde_json::Value;
use stellar_ticker::sim::{FaultPlan, SimConfig, SimServer};
use tokio_postgres::Client;

use crate::support::{
    DEADLINE,
    daemon::{Daemon, request, run},
    network::{PASSPHRASE, block_on, horizon, horizon_at, network},
    oracle::{compare_at_least, compare_published, compare_with_emitted, complete_range},
    postgres::fresh_database,
    progress::{
        number, wait_for_pairs, wait_for_trades, wait_until_history_is_complete, wait_until_no_asset_is_due,
    },
    recomputation, wait_until,
};

#[test]
fn every_figure_equals_a_recomputation_and_every_trade_is_stored_as_it_was_emitted() {
    let sim = network(1, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 500).await;
        daemon.wait_for_publication();
        let pairs = compare_published(&daemon, &client).await;
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        println!("{pairs} pairs and {trades} trades compared");
        assert!(pairs > 10 && trades > 300);
    });
}

#[test]
fn files_hold_what_http_gives_and_their_twins_the_same() {
    let sim = network(2, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("the file is there", || daemon.output("markets.json").exists());
        assert!(daemon.terminate().success());
        let raw = std::fs::read(daemon.output("markets.json")).unwrap();
        let file: Value = serde_json::from_slice(&raw).unwrap();
        let client = recomputation::connect(&database).await;
        // The last publication was made in the drain, of everything that was committed.
        recomputation::compare(&client, &file).await;
        let mut unzipped = Vec::new();
        let gzip = std::fs::read(daemon.output("markets.json.gz")).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut unzipped).unwrap();
        let mut unbrotlied = Vec::new();
        let br = std::fs::read(daemon.output("markets.json.br")).unwrap();
        std::io::Read::read_to_end(&mut brotli::Decompressor::new(&br[..], 4_096), &mut unbrotlied).unwrap();
        assert!(unzipped == raw && unbrotlied == raw);
        let entries = std::fs::read_dir(daemon.output("")).unwrap().map(Result::unwrap);
        // `v1` has files of its own, which come later than these.
        let names: Vec<_> = entries.map(|entry| entry.file_name()).filter(|name| name != "v1").collect();
        assert_eq!(names.len(), 6, "nothing else is left behind: {names:?}");
    });
}

#[test]
fn the_listeners_answer_as_promised() {
    let sim = network(3, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let first = daemon.get("/markets.json").json();
        assert!(
            !first["pairs"].as_array().unwrap().is_empty(),
            "nothing is published before assets are known"
        );
        let plain = daemon.get("/");
        assert_eq!((plain.status, plain.header("vary")), (200, Some("Accept, Accept-Encoding")));
        assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
        for (coding, header) in [("gzip", Some("gzip")), ("br", Some("br")), ("identity", None)] {
            let answer = daemon.get_with("GET", "/markets.json", &format!("Accept-Encoding: {coding}\r\n"));
            assert_eq!((answer.status, answer.header("content-encoding")), (200, header));
        }
        let head = daemon.get_with("HEAD", "/markets.json", "");
        assert!(head.status == 200 && head.body.is_empty() && head.header("content-length").unwrap() != "0");
        wait_until("a publication outlives two requests", || {
            let tag = daemon.get("/markets.json").header("etag").unwrap().to_owned();
            daemon.get_with("GET", "/markets.json", &format!("If-None-Match: {tag}\r\n")).status == 304
        });
        let refused = daemon.get_with("POST", "/markets.json", "Content-Length: 0\r\n");
        assert_eq!((refused.status, refused.header("content-type")), (405, Some("application/problem+json")));
        let without_br =
            daemon.get_with("GET", "/api/v1/coingecko/tickers", "Accept-Encoding: br, identity;q=0\r\n");
        let detail = without_br.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(without_br.status, 406);
        assert!(detail.contains("as gzip and identity,"), "{detail}");
        let lines = "Accept-Encoding: identity;q=0\r\nAccept-Encoding: gzip\r\n";
        let of_lines = daemon.get_with("GET", "/markets.json", lines);
        assert_eq!(
            (of_lines.status, of_lines.header("content-encoding")),
            (200, Some("gzip")),
            "one list in two lines"
        );
        assert_eq!(daemon.get("/no/such/path").status, 404);
        assert_eq!(daemon.get("/web/lis%74.js").status, 200, "a path may spell any letter in hexadecimal");
        assert_eq!(daemon.get_with("OPTIONS", "/", "").status, 204);
        assert_eq!(daemon.get("/livez").status, 200);
        wait_until("all checks are well", || daemon.get("/readyz").json()["status"] == "ok");
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        assert!(
            metrics.contains("# HELP ticker_trades_ingested_total")
                && metrics.contains("ticker_publications_total")
        );
        let actors = daemon.actors();
        for expected in ["stream_ingester", "asset_poller", "aggregator", "json_writer", "cleaner"] {
            assert!(actors.iter().any(|actor| actor == expected), "{expected}: {actors:?}");
        }
        assert!(daemon.admin("/quarantine.json").json()["quarantine"].is_array());
        for (method, path, status, allowed) in [
            ("HEAD", "/metrics", 200, None),
            ("HEAD", "/actors.json", 200, None),
            ("POST", "/metrics", 405, Some("GET, HEAD, OPTIONS")),
            ("OPTIONS", "/trace.json", 204, Some("GET, HEAD, OPTIONS")),
            ("GET", "/audit", 405, Some("POST")),
            ("POST", "/log", 405, Some("PUT")),
            ("PUT", "/no/such/path", 404, None),
        ] {
            let answer = request(daemon.admin, method, path, "").unwrap();
            assert_eq!((answer.status, answer.header("allow")), (status, allowed), "{method} {path}");
            assert!(method != "HEAD" || answer.body.is_empty(), "{path}");
        }
    });
}

#[test]
fn one_shot_commands_work_on_the_same_database() {
    let sim = network(4, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        assert_eq!(
            run(&["migrate", "--database-url", &database]).0,
            0,
            "a second time there is nothing to do"
        );
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        wait_for_pairs(&daemon);
        let bind = daemon.public.to_string();
        assert_eq!(run(&["healthcheck", "--bind", &bind]).0, 0);
        assert!(daemon.terminate().success());
        assert_eq!(run(&["healthcheck", "--bind", &bind]).0, 1);
        let file = daemon.directory.path().join("once.json");
        let file = file.to_str().unwrap();
        let generate =
            ["generate", "market-data", "-o", file, "--database-url", &database, "--network", PASSPHRASE];
        let (code, _, log) = run(&generate);
        assert_eq!(code, 0, "{log}");
        let markets: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(recomputation::compare(&client, &markets).await > 0);
    });
}
