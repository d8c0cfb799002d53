//! Causes of recorded work: which work may begin a trace, and what requests and transactions belong to.

use super::*;
use crate::{
    lake::{reading_lake, with_lake},
    support::progress::wait_until_history_is_complete,
};

/// Work that a timer, the stream or a new incarnation begins, with its actor. Everything else has a cause. Requests to
/// Horizon that confirm the network before any work are among it.
const EDGES: [(&str, &str); 18] = [
    ("audit", "auditor"),
    ("catch_up", "aggregator"),
    ("check_stellar_toml", "toml_checker"),
    ("clean", "candle_keeper"),
    ("clean", "cleaner"),
    ("collect", "stream_ingester"),
    ("count_accounts", "cleaner"),
    ("derive_candles", "candle_keeper"),
    ("horizon_request", "backfiller"),
    ("horizon_request", "book_fetcher"),
    ("horizon_request", "stream_ingester"),
    ("load", "aggregator"),
    ("look_up_assets", "asset_poller"),
    ("read_again", "backfiller"),
    ("read_books", "orderbook_poller"),
    ("read_history", "backfiller"),
    ("render", "aggregator"),
    ("transaction", "book_fetcher"),
];

/// Actors that have caused a step of this name by one of another name.
fn actors_below(all: &[Value], cause: &str, effect: &str) -> BTreeSet<String> {
    let causes = all.iter().filter(|record| name(record) == cause);
    let spans: BTreeSet<&str> = causes.filter_map(|record| record["span"].as_str()).collect();
    let effects = all.iter().filter(|record| name(record) == effect);
    effects
        .filter(|record| record["parent"].as_str().is_some_and(|parent| spans.contains(parent)))
        .map(|record| record["from"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn requests_and_transactions_are_below_the_work_that_causes_them() {
    let sim = network(547, FaultPlan::none());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        for (cause, effect, actor) in [
            ("look_up_assets", "horizon_request", "asset_poller"),
            ("read_again", "horizon_request", "backfiller"),
            ("read_books", "horizon_request", "orderbook_poller"),
            ("read_history", "horizon_request", "backfiller"),
            ("check_stellar_toml", "transaction", "toml_checker"),
            ("collect", "transaction", "stream_ingester"),
            ("derive_candles", "transaction", "candle_keeper"),
            ("look_up_assets", "transaction", "asset_poller"),
            ("read_books", "transaction", "orderbook_poller"),
        ] {
            let mut actors = BTreeSet::new();
            wait_until(&format!("a {effect} is recorded below {cause}"), || {
                actors = actors_below(&records(&daemon, ""), cause, effect);
                !actors.is_empty()
            });
            assert_eq!(actors.into_iter().collect::<Vec<_>>(), [actor], "{effect} below {cause}");
        }
        wait_until("a pass of the cleaner is recorded", || {
            !records(&daemon, "type=clean&actor=cleaner&outcome=done").is_empty()
        });
    });
}

#[test]
fn each_audit_names_the_markets_the_prices_or_the_publication_that_it_compares() {
    let sim = network(553, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--audit-interval", "100ms"]);
        daemon.wait_for_publication();
        for subject in ["markets", "prices", "seq"] {
            wait_until(&format!("an audit with {subject} is recorded"), || {
                let audits = records(&daemon, "type=audit&outcome=done");
                audits.iter().any(|audit| !audit["subject"][subject].is_null())
            });
        }
    });
}

#[test]
fn a_request_for_the_hash_of_a_ledger_is_below_the_read_of_that_ledger() {
    let sim = with_lake(549, 1.0, 1, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        wait_until("a hash is compared for ledgers of the past", || {
            !actors_below(&records(&daemon, ""), "read_ledgers", "horizon_request").is_empty()
        });
    });
}

#[test]
fn each_read_of_ledgers_of_the_past_causes_a_transaction_and_begins_before_its_requests() {
    let sim = with_lake(551, 1.0, 1, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "1").await;
        wait_until_history_is_complete(&daemon);
        let reads = records(&daemon, "type=read_ledgers&actor=backfiller&outcome=done");
        let mut all = Vec::new();
        wait_until("each read has led to a transaction", || {
            all = records(&daemon, "");
            let transactions = all.iter().filter(|record| name(record) == "transaction");
            let causes: BTreeSet<&str> = transactions.filter_map(|it| it["parent"].as_str()).collect();
            !reads.is_empty() && reads.iter().all(|read| causes.contains(read["span"].as_str().unwrap()))
        });
        for read in all.iter().filter(|record| name(record) == "read_ledgers") {
            let effects = all.iter().filter(|record| record["parent"] == read["span"]);
            for effect in effects {
                assert!(time(&read["began"]) <= time(&effect["queued"]), "{read} {effect}");
            }
        }
    });
}

#[test]
fn no_cause_is_lost_and_flow_and_actors_count_what_the_records_show() {
    let sim = network(541, FaultPlan::none());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("assets were looked up and books read", || {
            ["AssetsCommitted", "AssetsLookedUp", "AssetsSeen", "RankMarkets"]
                .iter()
                .all(|kind| !records(&daemon, &format!("type={kind}")).is_empty())
        });
        let answer = daemon.admin("/trace.json?limit=20000").json();
        assert_eq!(answer["dropped"], 0);
        let all = answer["records"].as_array().unwrap().clone();
        // Causes that are still under way now have ended once these have.
        let missing = |later: &[Value]| {
            let spans: BTreeSet<&str> = later.iter().filter_map(|record| record["span"].as_str()).collect();
            let cut =
                all.iter().filter(|record| record["parent"].as_str().is_some_and(|it| !spans.contains(it)));
            cut.map(|record| format!("{} of {}", name(record), record["from"])).collect::<BTreeSet<_>>()
        };
        let mut cut = BTreeSet::new();
        wait_until("each cause is recorded", || {
            cut = missing(&records(&daemon, ""));
            cut.is_empty()
        });
        // Every message between actors has a cause, and so has every step but those at the edges of the process.
        let roots = all.iter().filter(|record| record["parent"].is_null());
        let roots = roots.map(|record| (name(record), record["from"].as_str().unwrap()));
        let uncaused: BTreeSet<_> = roots.filter(|root| !EDGES.contains(root)).collect();
        assert!(uncaused.is_empty(), "{uncaused:?}");
        let flow = daemon.admin("/flow.json").json();
        let line = flow["edges"].as_array().unwrap().iter().find(|line| line["type"] == "TradesCommitted");
        assert!(line.unwrap()["per_s_1m"].as_f64().unwrap() > 0.0);
        let mut aggregator = Value::Null;
        wait_until("the supervisor saw its thread at work", || {
            aggregator = actor(&daemon, "aggregator");
            aggregator["busy"]["1m"].as_f64().unwrap() > 0.0
        });
        let committed = &aggregator["messages"]["TradesCommitted"];
        assert!(committed["count"].as_u64() >= Some(1) && committed["rate"].as_f64().unwrap() > 0.0);
        assert!(committed["queueing"]["max_ms"].is_number() && committed["handling"]["max_ms"].is_number());
    });
}
