//! Real actors that panic or hang: each is restarted, its neighbours keep running, and no trade is lost.

use std::collections::BTreeSet;

use actor_tree::supervision::policy::Policy;
use chrono::{DateTime, Utc};

use super::{self_audit::audit_count, *};
use crate::support::{
    figure,
    scripted::{LEDGER, TRADES, figure as published_figure, scene, trade},
    silence_of,
};

/// Types of messages that come often, and who receives them. Each actor also receives `Ping`.
const FREQUENT: [(&str, &str); 3] = [
    ("toml_checker", "AssetsLookedUp"),
    ("aggregator", "TradesCommitted"),
    ("json_writer", "PublicationReady"),
];

/// Types that come rarely. Each has a test of its own.
const RARE: [(&str, &str); 9] = [
    ("aggregator", "RankMarkets"),
    ("aggregator", "AssetsCommitted"),
    ("asset_poller", "AssetsSeen"),
    ("auditor", "AuditNow"),
    ("aggregator", "RebuildMarkets"),
    ("aggregator", "ReloadDirectory"),
    ("backfiller", "RereadLedgers"),
    ("book_fetcher", "FetchBook"), // `listings::asked_books`
    ("nginx", "ReloadNginx"),      // `nginx::process`
];

fn actor(daemon: &Daemon, name: &str) -> Value {
    let all = daemon.admin("/actors.json").json();
    all["actors"].as_array().unwrap().iter().find(|actor| actor["name"] == name).unwrap().clone()
}

fn restarts(daemon: &Daemon) -> Vec<(String, u64)> {
    let all = daemon.admin("/actors.json").json();
    let one =
        |actor: &Value| (actor["name"].as_str().unwrap().to_owned(), actor["restarts"].as_u64().unwrap());
    all["actors"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn each_actor_that_panics_restarts_alone_and_nothing_is_lost() {
    let sim = network(31, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let client = recomputation::connect(&database).await;
        let mut expected = restarts(&daemon);
        let pings: Vec<(String, &str)> = expected.iter().map(|(name, _)| (name.clone(), "Ping")).collect();
        let others = FREQUENT.iter().map(|(name, message)| ((*name).to_owned(), *message));
        for (name, message) in pings.into_iter().chain(others) {
            let name = name.as_str();
            daemon.provoke(name, message);
            let fallen = expected.iter_mut().find(|(actor, _)| actor == name).unwrap();
            fallen.1 += 1;
            wait_until("the actor panicked and is back", || {
                let actor = actor(&daemon, name);
                actor["restarts"] == fallen.1 && actor["state"] != "backoff" && actor["state"] != "stopped"
            });
            assert_eq!(restarts(&daemon), expected, "no other actor restarts");
            let exit = actor(&daemon, name)["last_exit"]["reason"].as_str().unwrap().to_owned();
            assert_eq!(exit, format!("panicked: provoked while handling {message}"));
            assert_eq!((daemon.get("/livez").status, daemon.get("/markets.json").status), (200, 200));
        }
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        compare_published(&daemon, &client).await;
        compare_with_emitted(&client, sim.oracle()).await;
    });
}

#[test]
fn an_aggregator_that_panics_at_a_rare_message_restarts() {
    let sim = network(32, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let often = ["--orderbooks-schedule", "* * * * * *"];
        // Provoked before it leads: the messages come once, when assets are first looked up.
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &often);
        let client = recomputation::connect(&database).await;
        for (name, message) in RARE.into_iter().take(2) {
            let before = actor(&daemon, name)["restarts"].as_u64().unwrap();
            daemon.provoke(name, message);
            wait_until("the actor panicked and is back", || {
                if message == "AssetsCommitted" {
                    // Due files are fetched again, and that is reported.
                    block_in_place(&client, "UPDATE toml_files SET next_check_at = now(), is_good = false");
                }
                let actor = actor(&daemon, name);
                actor["restarts"] == before + 1 && actor["state"] == "publishing"
            });
        }
        wait_for_trades(&client, 200).await;
        // After a panic before the first publication it has no assets yet, and waits for them again.
        wait_for_pairs(&daemon);
        assert!(compare_published(&daemon, &client).await > 0);
        compare_with_emitted(&client, sim.oracle()).await;
    });
}

/// Waits until an actor has restarted `restarts` times in total and runs again.
fn wait_for_fall(daemon: &Daemon, name: &str, message: &str, restarts: u64) {
    wait_until("the actor panicked and is back", || {
        let actor = actor(daemon, name);
        actor["restarts"] == restarts && actor["state"] != "backoff" && actor["state"] != "stopped"
    });
    let exit = actor(daemon, name)["last_exit"]["reason"].as_str().unwrap().to_owned();
    assert_eq!(exit, format!("panicked: provoked while handling {message}"));
}

#[test]
fn actors_that_panic_during_a_repair_restart_and_the_repair_completes() {
    block_on(async {
        let (_sim, source, database, daemon) = scene(&["--audit-interval", "24h"]).await;
        let count = |daemon: &Daemon| published_figure(daemon, "trade_count");
        daemon.wait_until_the_auditor_rests();
        assert_eq!(audit_count(&daemon, &["markets"]), 1);
        daemon.provoke("auditor", "AuditNow");
        daemon.audit_now();
        wait_for_fall(&daemon, "auditor", "AuditNow", 1);
        // An asset that no actor has seen yet.
        daemon.provoke("asset_poller", "AssetsSeen");
        let mut news = trade(LEDGER + TRADES + 1, 0, Utc::now());
        news["counter_asset_code"] = "NEWS".into();
        source.push_trade(news).unwrap();
        wait_for_fall(&daemon, "asset_poller", "AssetsSeen", 1);
        // A wrong window, and an aggregator that panics at the order to rebuild it.
        daemon.provoke("aggregator", "Skew");
        wait_until("it is published", || count(&daemon) > f64::from(TRADES));
        daemon.provoke("aggregator", "RebuildMarkets");
        daemon.audit_now();
        wait_for_fall(&daemon, "aggregator", "RebuildMarkets", 1);
        wait_until("the reloaded figure is right", || count(&daemon) == f64::from(TRADES));
        // An asset that is gone from memory, and an aggregator that panics at the order to reload it.
        daemon.provoke("aggregator", "SkewDirectory");
        wait_until("it is published", || {
            daemon.get("/markets.json").json()["pairs"] == serde_json::json!([])
        });
        daemon.provoke("aggregator", "ReloadDirectory");
        daemon.audit_now();
        wait_for_fall(&daemon, "aggregator", "ReloadDirectory", 2);
        wait_until("the reloaded figure is right", || count(&daemon) == f64::from(TRADES));
        // Deleted rows, and a backfiller that panics at the order to read them again.
        let client = recomputation::connect(&database).await;
        daemon.provoke("backfiller", "RereadLedgers");
        crate::support::postgres::execute(
            &database,
            &format!("DELETE FROM trades WHERE toid >> 32 = {LEDGER} + 3"),
        )
        .await;
        // It may read them again by chance before the order comes, and the audit then finds nothing: once more.
        wait_until("the actor panicked", || {
            if actor(&daemon, "backfiller")["restarts"] == 0 {
                block_in_place(&client, &format!("DELETE FROM trades WHERE toid >> 32 = {LEDGER} + 3"));
                daemon.audit_now();
            }
            actor(&daemon, "backfiller")["restarts"] == 1
        });
        wait_for_fall(&daemon, "backfiller", "RereadLedgers", 1);
        wait_for_trades(&client, i64::from(TRADES) + 1).await;
        wait_until("all is published", || count(&daemon) == f64::from(TRADES));
    });
}

/// `impl Handler<Envelope<Message>> for Actor` in the sources, with the actors' names as `/actors.json` has them.
fn handled() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/actors")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let handlers = text.lines().filter_map(|line| line.strip_prefix("impl Handler<Envelope<"));
            for (message, rest) in handlers.map(|line| line.split_once(">> for ").unwrap()) {
                let mut actor = String::new();
                for c in rest.trim_end_matches(" {").trim_end_matches("Process").chars() {
                    if c.is_uppercase() && !actor.is_empty() {
                        actor.push('_');
                    }
                    actor.push(c.to_ascii_lowercase());
                }
                found.insert((actor, message.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_message_of_every_actor_has_made_it_panic() {
    let tested = FREQUENT.iter().chain(&RARE).filter(|(_, message)| *message != "Ping");
    let tested: BTreeSet<_> =
        tested.map(|(actor, message)| ((*actor).to_owned(), (*message).to_owned())).collect();
    assert_eq!(handled(), tested);
}

#[test]
fn actors_that_hang_all_at_once_are_ended_and_are_back_and_nothing_is_lost() {
    let sim = network(33, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let names: Vec<String> = restarts(&daemon).into_iter().map(|(name, _)| name).collect();
        let (begun, provoked_at) = (Instant::now(), Utc::now());
        for name in &names {
            // Each hangs for good and leaves its thread free: only the answers to probes are missing.
            daemon.provoke(name, "hang-Ping");
        }
        wait_until("all were ended and are back", || {
            assert!(daemon.is_running());
            names.iter().all(|name| {
                let actor = actor(&daemon, name);
                let is_back = actor["state"] != "backoff" && actor["state"] != "stopped";
                let last = actor["last_exit"]["reason"].as_str().unwrap_or_default().to_owned();
                let is_written = actor["last_exit"]["crash_file"].is_string();
                is_back && is_written && actor["restarts"] == 1 && last == "killed: did not answer its probes"
            })
        });
        let took = begun.elapsed();
        for name in &names {
            let last = actor(&daemon, name)["last_exit"].clone();
            let text = std::fs::read(last["crash_file"].as_str().unwrap()).unwrap();
            let crash: Value = serde_json::from_slice(&text).unwrap();
            assert!(crash["actor"] == name.as_str() && crash["reason"] == last["reason"], "{crash} {last}");
            let exited_at: DateTime<Utc> = last["at"].as_str().unwrap().parse().unwrap();
            let silence = (exited_at - provoked_at).to_std().unwrap();
            let missed = Policy::default().kill_after_missed;
            assert!(
                silence >= silence_of(missed),
                "{name}: fewer than {missed} probes missed in {silence:?}"
            );
        }
        assert_eq!((daemon.get("/livez").status, daemon.get("/markets.json").status), (200, 200));
        let client = recomputation::connect(&database).await;
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        compare_published(&daemon, &client).await;
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        figure!(
            "all actors hang at once while their threads are free: they are restarted, and nothing is lost",
            "{} actors back after {:.2} s; {trades} trades",
            names.len(),
            took.as_secs_f64()
        );
    });
}

/// From the test's own thread, which is no worker of the runtime that drives the connection.
fn block_in_place(client: &Client, sql: &str) {
    let done =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(client.batch_execute(sql)));
    if let Err(error) = done {
        println!("the checker was writing as well, once more: {error}");
    }
}
