//! The way of a trade: one tree, whose parts add up to its age at the reader.

use super::*;

/// Difference that the criterion of the way allows.
const TOLERANCE_MS: f64 = 5.0;
/// Parts of the whole way, in their order.
const PARTS: [&str; 11] = [
    "horizon",
    "collect",
    "check_network",
    "transaction",
    "queue",
    "fold",
    "wait_for_publication",
    "render",
    "compress",
    "publish",
    "first_answer",
];

/// Answer to the question for a trade, once it has all these stages.
pub(super) fn way_with(daemon: &Daemon, token: &str, stages: &[&str]) -> Value {
    let mut way = Value::Null;
    wait_until(&format!("its way has {stages:?}"), || {
        way = daemon.admin(&format!("/trace.json?trade={token}")).json();
        let names: BTreeSet<&str> = way["records"].as_array().unwrap().iter().map(name).collect();
        stages.iter().all(|stage| names.contains(stage))
    });
    way
}

/// Record of a stage. There is one, but for the first answer: each publication may have its own.
pub(super) fn stage<'a>(way: &'a Value, wanted: &str) -> &'a Value {
    let of_name = way["records"].as_array().unwrap().iter().filter(|record| name(record) == wanted);
    of_name.min_by_key(|record| time(&record["ended"])).unwrap()
}

/// Requests the explanation of the last price until it names the trade. Returns the reader's clock before that
/// request and after its answer.
fn first_read(daemon: &Daemon, market: &str, token: &str) -> [DateTime<Utc>; 2] {
    let mut times = None;
    wait_until("an answer contains the trade", || {
        let before = Utc::now();
        let answer = daemon.get(&format!("/api/v1/markets/{market}/explain?field=close"));
        let after = Utc::now();
        times = String::from_utf8_lossy(&answer.body).contains(token).then_some([before, after]);
        times.is_some()
    });
    times.unwrap()
}

/// Returns true if the publication was caused by the message that brought the batch, alone or beside others.
fn is_caused_by_the_batch(way: &Value) -> bool {
    let (render, message) = (stage(way, "render"), &stage(way, "TradesCommitted")["span"]);
    render["parent"] == *message
        || render["links"].as_array().unwrap().iter().any(|link| link["span"] == *message)
}

/// Records that `stellar-ticker trace --trade` shows without a cause.
fn roots(daemon: &Daemon, token: &str) -> Vec<String> {
    let (way, code) = command(daemon, &["trace", "--trade", token]);
    assert_eq!(code, Some(0), "{way}");
    let times = way.lines().filter(|line| line.get(8..9) == Some(".") && line.get(2..3) == Some(":"));
    let names = times.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    assert!(names.iter().any(|name| name.starts_with(' ')), "{way}");
    names.into_iter().filter(|name| !name.starts_with(' ')).collect()
}

#[test]
fn the_way_of_a_trade_is_one_tree_whose_parts_add_up_to_its_age_at_the_first_reader() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        let (mut ledger, _) = push_live(&daemon, &source, LEDGER + 1);
        let market = market(&daemon);
        // The aggregator may find a batch in the database before it gets the message, which then causes nothing.
        let (way, token, [before, after]) = loop {
            assert!(ledger < LEDGER + 100, "no message ever comes before its publication");
            let token;
            (ledger, token) = push_live(&daemon, &source, ledger + 1);
            let times = first_read(&daemon, &market, &token);
            let way = way_with(&daemon, &token, &["TradesCommitted", "first_answer", "write_files"]);
            if time(&stage(&way, "TradesCommitted")["began"]) <= time(&stage(&way, "render")["queued"]) {
                break (way, token, times);
            }
        };
        // Each stage is caused by the one before it.
        for (effect, cause) in [
            ("transaction", "collect"),
            ("TradesCommitted", "transaction"),
            ("compress", "render"),
            ("publish", "compress"),
            ("PublicationReady", "publish"),
            ("write_files", "PublicationReady"),
        ] {
            assert_eq!(
                stage(&way, effect)["parent"],
                stage(&way, cause)["span"],
                "{effect} is caused by {cause}"
            );
        }
        assert!(is_caused_by_the_batch(&way), "{way}");
        let roots = roots(&daemon, &token);
        assert!(roots.len() == 1 && roots[0].starts_with("collect"), "{roots:?}");
        assert!(way["records"].as_array().unwrap().iter().all(|record| record["outcome"] == "done"), "{way}");
        // The reader's own clock says how old the trade was when it came, up to the length of the request.
        let closed_at = time(&way["database"]["stored"]["ledger_close_time"]);
        let age_ms = |at: DateTime<Utc>| (at - closed_at).num_microseconds().unwrap() as f64 / 1e3;
        let [youngest, oldest] = [before, after].map(age_ms);
        let total = way["total_ms"].as_f64().unwrap();
        assert!(
            (youngest - TOLERANCE_MS..=oldest + TOLERANCE_MS).contains(&total),
            "{total} ms, but at the reader {youngest} to {oldest} ms: {way}"
        );
        let parts = way["parts"].as_array().unwrap();
        let sum: f64 = parts.iter().map(|part| part["ms"].as_f64().unwrap()).sum();
        assert!((total - sum).abs() < 0.001, "{parts:?}");
        assert_eq!(parts.iter().map(|part| part["name"].as_str().unwrap()).collect::<Vec<_>>(), PARTS);
        let seq = &stage(&way, "transaction")["subject"]["seq"];
        assert_eq!(way["database"]["batches"][0]["seq"], *seq);
        // The same batch is found by its market, ledger and seq.
        for question in [
            format!("market={market}&type=TradesCommitted"),
            format!("ledger={ledger}&type=TradesCommitted"),
            format!("seq={seq}&type=TradesCommitted"),
        ] {
            assert!(!records(&daemon, &question).is_empty(), "{question}");
        }
    });
}

#[test]
fn two_batches_of_one_publication_have_one_tree_each() {
    let (sim, source) = scripted();
    block_on(async {
        // So rarely that both are committed before the publication that follows the first one.
        let rarely = ["--publish-interval", "5s", "--audit-interval", "1h"];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &rarely);
        let mut ledger = LEDGER + 1;
        push(&source, trade(ledger, 0, Utc::now()));
        market(&daemon);
        let ways = loop {
            assert!(ledger < LEDGER + 100, "no two batches share a publication");
            let tokens = [(); 2].map(|()| {
                ledger += 1;
                let token = push(&source, trade(ledger, 0, Utc::now()));
                way_with(&daemon, &token, &["transaction"]);
                token
            });
            let ways = tokens.map(|token| {
                let way = way_with(&daemon, &token, &["TradesCommitted", "write_files"]);
                (token, way)
            });
            let is_in_time = |way: &Value| {
                time(&stage(way, "TradesCommitted")["began"]) <= time(&stage(way, "render")["queued"])
            };
            let [publication, other] = [0, 1].map(|place: usize| &stage(&ways[place].1, "render")["span"]);
            if publication == other && ways.iter().all(|(_, way)| is_in_time(way)) {
                break ways;
            }
        };
        for (token, way) in &ways {
            assert!(is_caused_by_the_batch(way), "{way}");
            let roots = roots(&daemon, token);
            assert_eq!(roots.len(), 1, "{roots:?}");
        }
    });
}

#[test]
fn a_reader_who_comes_some_publications_later_ends_the_way() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        let token = push(&source, trade(LEDGER + 1, 0, Utc::now()));
        let way = way_with(&daemon, &token, &["publish"]);
        let published = stage(&way, "publish")["number"].as_u64();
        wait_until("two more publications were made", || {
            let later = records(&daemon, "type=publish");
            later.iter().filter(|publish| publish["number"].as_u64() > published).count() >= 2
        });
        let before = Utc::now();
        assert_eq!(daemon.get("/markets.json").status, 200);
        let after = Utc::now();
        let way = way_with(&daemon, &token, &["first_answer"]);
        let answered = time(&stage(&way, "first_answer")["ended"]);
        let late = chrono::TimeDelta::milliseconds(5);
        assert!(
            (before - late..=after + late).contains(&answered),
            "{answered}, not from {before} to {after}"
        );
        assert_eq!(way["parts"].as_array().unwrap().last().unwrap()["name"], "first_answer", "{way}");
        let roots = roots(&daemon, &token);
        assert_eq!(roots.len(), 1, "{roots:?}");
    });
}
