//! Faults that a test hook seeds, and that `trace.json`, `flow.json`, `actors.json` and `explain` alone must show.

use super::*;

/// Explanation of a figure. On a busy machine the database may be read too late for an answer, which is 503 then.
fn explained(daemon: &Daemon, market: &str, field: &str) -> Value {
    let mut explained = Value::Null;
    wait_until("the figure is explained", || {
        let answer = daemon.get(&format!("/api/v1/markets/{market}/explain?field={field}"));
        assert!(matches!(answer.status, 200 | 503), "{}: {}", answer.status, answer.json());
        explained = answer.json();
        answer.status == 200
    });
    explained
}

#[test]
fn a_slow_handler_is_found_by_its_times_and_its_trace() {
    let sim = network(545, FaultPlan::none());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        daemon.provoke("json_writer", "slow-PublicationReady");
        // Its record says that the time went into the handling, not into the mailbox.
        let mut slow = None;
        wait_until("the slow message ended", || {
            let mut all = records(&daemon, "min_ms=500&type=PublicationReady").into_iter();
            slow = all.find(|record| record["handled_ms"].as_f64() >= Some(500.0));
            slow.is_some()
        });
        let slow = slow.unwrap();
        assert_eq!((&slow["from"], &slow["to"]), (&"aggregator".into(), &"json_writer".into()));
        // The table of actors names it too. On a busy machine it may name others beside it.
        let times = actor(&daemon, "json_writer")["messages"]["PublicationReady"]["handling"].clone();
        assert!(times["max_ms"].as_f64() >= Some(500.0), "{times}");
    });
}

#[test]
fn a_committed_batch_that_nobody_was_notified_of_is_found() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        daemon.provoke("stream_ingester", "LoseBatch");
        let (_, token) = push_live(&daemon, &source, LEDGER + 1);
        let mut way = Value::Null;
        wait_until("the trade is published all the same", || {
            way = daemon.admin(&format!("/trace.json?trade={token}")).json();
            way["records"].as_array().unwrap().iter().any(|record| name(record) == "publish")
        });
        let shown = way["records"].as_array().unwrap();
        let seq = &shown.iter().find(|record| name(record) == "transaction").unwrap()["subject"]["seq"];
        // The transaction caused no message: the aggregator found the batch by looking into the database.
        assert!(shown.iter().all(|record| name(record) != "TradesCommitted"), "{shown:?}");
        assert!(records(&daemon, &format!("type=TradesCommitted&seq={seq}")).is_empty());
        assert!(!records(&daemon, "type=catch_up").is_empty());
        let parts = way["parts"].as_array().unwrap();
        assert!(parts.iter().all(|part| part["name"] != "queue"), "{parts:?}");
    });
}

#[test]
fn a_mailbox_that_one_sender_fills_is_found_with_the_sender() {
    let sim = network(546, FaultPlan::none());
    block_on(async {
        let often = ["--orderbooks-schedule", "* * * * * *"];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &often);
        daemon.wait_for_publication();
        daemon.provoke("orderbook_poller", "Flood");
        let mut mailboxes = Vec::new();
        wait_until("a mailbox was full", || {
            let all = daemon.admin("/actors.json").json();
            let full = all["actors"].as_array().unwrap().iter().filter(|actor| {
                let mailbox = &actor["mailbox"];
                mailbox["high_water"].as_u64() >= mailbox["capacity"].as_u64()
            });
            mailboxes = full.map(|actor| actor["name"].as_str().unwrap().to_owned()).collect();
            !mailboxes.is_empty()
        });
        assert_eq!(mailboxes, ["aggregator"], "it alone is full");
        // The flow names who sends most to it, and what.
        let mut busiest = Value::Null;
        wait_until("the flood is counted", || {
            let flow = daemon.admin("/flow.json").json();
            let into = flow["edges"].as_array().unwrap().iter().filter(|line| line["to"] == "aggregator");
            busiest = into.max_by_key(|line| line["count"].as_u64()).unwrap().clone();
            busiest["count"].as_u64() >= Some(200)
        });
        assert_eq!(
            (&busiest["from"], &busiest["type"]),
            (&"orderbook_poller".into(), &"RankMarkets".into()),
            "{busiest}"
        );
        // Its messages have one cause: a pass of the sender.
        let mut flood = Value::Null;
        wait_until("the flood is recorded", || {
            let all = records(&daemon, "type=RankMarkets&actor=orderbook_poller");
            let mut by_cause = BTreeMap::<&str, Vec<&Value>>::new();
            for record in &all {
                by_cause.entry(record["parent"].as_str().unwrap()).or_default().push(record);
            }
            let largest = by_cause.into_values().max_by_key(Vec::len).unwrap();
            flood = largest[0].clone();
            largest.len() >= 200
        });
        let (pass, trace) = (&flood["parent"], flood["trace"].as_str().unwrap());
        let mut cause = None;
        wait_until("the pass ended", || {
            let all = records(&daemon, &format!("trace={trace}"));
            cause = all.into_iter().find(|record| record["span"] == *pass);
            cause.is_some()
        });
        let pass = cause.unwrap();
        assert_eq!((name(&pass), &pass["from"]), ("read_books", &"orderbook_poller".into()));
    });
}

#[test]
fn a_publication_of_old_windows_is_found_by_a_trade_that_it_lacks() {
    let (sim, source) = scripted();
    block_on(async {
        // So rarely that the wrong publication stands while it is looked at.
        let rarely = ["--publish-interval", "20s", "--audit-interval", "1h"];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &rarely);
        wait_until("it streams", || {
            String::from_utf8_lossy(&daemon.admin("/metrics").body).contains("\nticker_stream_connected 1")
        });
        let closed_at = Utc::now();
        push(&source, trade(LEDGER + 1, 0, closed_at));
        let market = market(&daemon);
        daemon.provoke("aggregator", "OldWindows");
        let late = push(&source, trade(LEDGER + 2, 0, closed_at));
        let mut publication = Value::Null;
        wait_until("a publication claims to hold the second trade", || {
            let way = daemon.admin(&format!("/trace.json?trade={late}")).json();
            let shown = way["records"].as_array().unwrap().iter().find(|record| name(record) == "publish");
            publication = shown.map_or(Value::Null, |record| record["subject"].clone());
            publication["seq"].is_i64()
        });
        let count = explained(&daemon, &market, "trade_count");
        // The explanation is of that publication, and its window covers the trade, but the trade is not in it …
        assert_eq!(count["seq"], publication["seq"], "{count}");
        assert!(time(&count["to"]) >= closed_at - chrono::TimeDelta::seconds(1), "{count}");
        assert_eq!(count["trades"]["in_window"], 1, "{count}");
        // … although it was folded before. So the windows were right, and the rendering was not of them.
        let way = daemon.admin(&format!("/trace.json?trade={late}")).json();
        let parts: Vec<&str> =
            way["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
        assert!(parts.contains(&"fold") && parts.contains(&"render"), "{parts:?}");
        let renders = records(&daemon, "type=render");
        let times: Vec<&Value> = renders.iter().map(|record| &record["subject"]["as_of"]).collect();
        assert!(times.windows(2).any(|pair| pair[0] == pair[1]), "two publications of one time: {times:?}");
    });
}

#[test]
fn a_trade_that_a_wrong_rule_left_out_is_found_by_its_stored_price() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        push(&source, trade(LEDGER + 1, 0, Utc::now()));
        let market = market(&daemon);
        let mut ledger = LEDGER + 1;
        let (mut suspects, mut high) = (Vec::new(), Value::Null);
        // The aggregator may find a batch in the database before its message, which the hook needs. That uses it up.
        while suspects.is_empty() {
            assert!(ledger < LEDGER + 100, "no batch is ever misjudged");
            daemon.provoke("aggregator", "Misjudge");
            ledger += 1;
            push(&source, trade(ledger, 0, Utc::now()));
            let held = u64::from(ledger - LEDGER);
            wait_until("the trade is explained", || {
                high = explained(&daemon, &market, "high");
                let left_out = high["trades"]["left_out"].as_array().unwrap().iter();
                let tokens = left_out.flat_map(|left_out| left_out["paging_tokens"].as_array().unwrap());
                suspects = tokens.map(|token| token.as_str().unwrap().to_owned()).collect();
                high["trades"]["in_window"].as_u64() == Some(held)
            });
        }
        assert_eq!(high["trades"]["left_out"][0]["reason"], "it has no price");
        // The row says otherwise: millions of stroops, and a price of 2.
        let mut stored = Value::Null;
        wait_until("the database is read in time", || {
            let way = daemon.admin(&format!("/trace.json?trade={}", suspects[0])).json();
            stored = way["database"]["stored"].clone();
            stored.is_object()
        });
        let figures =
            ["base_stroops", "counter_stroops", "price_n", "price_d"].map(|name| stored[name].as_i64());
        assert_eq!(figures, [Some(30_000_000), Some(60_000_000), Some(2), Some(1)], "{stored}");
        assert_eq!(suspects.len(), 1);
    });
}

/// Records from the one that panicked up to the root of its trace.
fn causes_of_panic(daemon: &Daemon, trace: &str) -> Vec<Value> {
    let all = records(daemon, &format!("trace={trace}"));
    let by_span = |span: &Value| all.iter().find(|record| record["span"] == *span);
    let fatal = all.iter().find(|record| record["outcome"] == "panicked");
    std::iter::successors(fatal, |record| by_span(&record["parent"])).cloned().collect()
}

/// Lets the aggregator panic at what a new trade causes by way of two other actors. Returns the fatal message and its
/// causes: name, sender and receiver of each.
async fn causes_of_a_panic_after_a_trade() -> Vec<String> {
    let (sim, source) = scripted();
    let daemon = streaming(&sim).await;
    wait_until("what the start itself causes is over", || {
        records(&daemon, "type=AssetsCommitted").len() >= 2
    });
    daemon.provoke("aggregator", "AssetsCommitted");
    push(&source, trade(LEDGER + 1, 0, Utc::now()));
    let mut exit = Value::Null;
    wait_until("it panicked", || {
        exit = actor(&daemon, "aggregator")["exits"][0].clone();
        exit.is_object()
    });
    assert_eq!(exit["reason"], "panicked: provoked while handling AssetsCommitted");
    let causes = causes_of_panic(&daemon, exit["trace"].as_str().unwrap());
    let shown = |it: &Value| [name(it), it["from"].as_str().unwrap(), it["to"].as_str().unwrap()].join(" ");
    causes.iter().map(shown).collect()
}

#[test]
fn a_panic_that_was_caused_two_actors_upstream_is_followed_to_the_batch_of_trades() {
    block_on(async {
        let mut shown = Vec::new();
        // A timer may cause the fatal message too. Then another daemon gets another trade.
        for _ in 0..6 {
            shown = causes_of_a_panic_after_a_trade().await;
            if shown.len() > 5 {
                break;
            }
        }
        // The trade came by the stream or by a page, whichever was first.
        let is_live = shown.last().is_some_and(|root| root.starts_with("collect "));
        let (by, step) =
            if is_live { ("stream_ingester", "collect") } else { ("backfiller", "read_history") };
        let expected = [
            "AssetsCommitted toml_checker aggregator".to_owned(),
            "check_stellar_toml toml_checker toml_checker".to_owned(),
            "AssetsLookedUp asset_poller toml_checker".to_owned(),
            "look_up_assets asset_poller asset_poller".to_owned(),
            format!("AssetsSeen {by} asset_poller"),
            format!("transaction {by} {by}"),
            format!("{step} {by} {by}"),
        ];
        assert_eq!(shown, expected);
    });
}
