//! Recorded messages of a real daemon: the way of a trade, unbroken causes, questions, failures.

mod causes;
mod faults;
mod guide;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use stellar_ticker::sim::{FaultPlan, FixedSource, SimServer};

use crate::support::{
    daemon::{Daemon, output_of, program, request},
    network::{PASSPHRASE, block_on, network},
    postgres::fresh_database,
    scripted::{LEDGER, scripted, trade},
    surroundings::clean,
    wait_until,
};

fn records(daemon: &Daemon, question: &str) -> Vec<Value> {
    let answer = daemon.admin(&format!("/trace.json?limit=20000&{question}"));
    assert_eq!(answer.status, 200, "{question}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()["records"].as_array().unwrap().clone()
}

/// Entry of an actor in `/actors.json`.
fn actor(daemon: &Daemon, name: &str) -> Value {
    let all = daemon.admin("/actors.json").json();
    all["actors"].as_array().unwrap().iter().find(|actor| actor["name"] == name).unwrap().clone()
}

/// A daemon that is connected to the stream.
async fn streaming(sim: &SimServer) -> Daemon {
    let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
    wait_until("it streams", || {
        String::from_utf8_lossy(&daemon.admin("/metrics").body).contains("\nticker_stream_connected 1")
    });
    daemon
}

/// Sends a trade, and returns its paging token.
fn push(source: &FixedSource, trade: Value) -> String {
    let token = trade["id"].as_str().unwrap().to_owned();
    source.push_trade(trade).unwrap();
    token
}

/// Sends trades until one comes by the stream, and returns its ledger and paging token. The pages of the newest ledgers
/// may bring a trade before the stream does.
fn push_live(daemon: &Daemon, source: &FixedSource, first: u32) -> (u32, String) {
    let mut ledger = first;
    loop {
        let token = push(source, trade(ledger, 0, Utc::now()));
        let mut stages = Vec::new();
        wait_until("the trade is stored", || {
            let answer = daemon.admin(&format!("/trace.json?trade={token}")).json();
            let records = answer["records"].as_array().unwrap();
            stages = records.iter().map(|record| name(record).to_owned()).collect();
            stages.iter().any(|stage| stage == "transaction")
        });
        if stages.iter().any(|stage| stage == "collect") {
            return (ledger, token);
        }
        ledger += 1;
    }
}

/// The market of the scripted trades, once it is published.
fn market(daemon: &Daemon) -> String {
    let mut market = Value::Null;
    wait_until("its market is published", || {
        market = daemon.get("/api/v1/markets").json()["markets"][0]["id"].clone();
        market.is_string()
    });
    market.as_str().unwrap().to_owned()
}

fn name(record: &Value) -> &str {
    record["type"].as_str().or(record["step"].as_str()).unwrap()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_refused_trade_is_found_with_its_reason() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        // Good trades before and after it in the same ledger: their batch spans the refused one.
        let closed_at = Utc::now();
        let mut refused = trade(LEDGER + 1, 1, closed_at);
        refused["base_amount"] = "-1.0".into();
        push(&source, trade(LEDGER + 1, 0, closed_at));
        let token = push(&source, refused);
        push(&source, trade(LEDGER + 1, 2, closed_at));
        wait_until("it is in quarantine", || {
            let answer = daemon.admin(&format!("/trace.json?trade={token}")).json();
            let entry = &answer["database"]["quarantine"][0];
            entry["reason"].as_str().is_some_and(|reason| reason.contains("amount"))
                && answer["database"]["stored"].is_null()
        });
        wait_until("the batch around it is published", || {
            daemon.get("/api/v1/markets").json()["markets"].as_array().is_some_and(|all| !all.is_empty())
        });
        let answer = daemon.admin(&format!("/trace.json?trade={token}")).json();
        assert_eq!(
            (&answer["parts"], &answer["total_ms"]),
            (&serde_json::json!([]), &Value::Null),
            "{answer}"
        );
    });
}

/// Output and exit code of a command that asks the daemon.
fn command(daemon: &Daemon, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = program(&[]);
    command.args(arguments).args(["--bind", &daemon.public.to_string()]);
    command.args(["--admin-bind", &daemon.admin.to_string()]);
    let output = output_of(clean(&mut command));
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code())
}

#[test]
fn commands_print_actors_traces_and_explanations() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        let token = push(&source, trade(LEDGER + 1, 0, Utc::now()));
        let mut market = Value::Null;
        wait_until("its market is published", || {
            market = daemon.get("/api/v1/markets").json()["markets"][0]["id"].clone();
            market.is_string()
        });
        let market = market.as_str().unwrap();

        let (actors, code) = command(&daemon, &["actors"]);
        assert_eq!(code, Some(0), "{actors}");
        let line = actors.lines().find(|line| line.starts_with("aggregator ")).unwrap();
        assert!(line.contains("publishing") && line.contains(" + "), "{actors}");

        let (way, code) = command(&daemon, &["trace", "--trade", &token]);
        assert_eq!(code, Some(0), "{way}");
        for part in
            ["from the ledger's close", "  transaction", "TradesCommitted", "ledger closed", ") committed"]
        {
            assert!(way.contains(part), "{part}: {way}");
        }
        let (lines, code) = command(&daemon, &["trace", "--message", "publish", "--json"]);
        assert_eq!(code, Some(0), "{lines}");
        let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!records.is_empty() && records.iter().all(|record| record["step"] == "publish"));

        let (explained, code) = command(&daemon, &["explain", market, "high"]);
        assert_eq!(code, Some(0), "{explained}");
        for part in [token.as_str(), "1 in the window, 1 counted", "(equal)", "SELECT * FROM trades"] {
            assert!(explained.contains(part), "{part}: {explained}");
        }
        // Another spelling of the market is followed to its own.
        let (base, quote) = market.split_once('_').unwrap();
        let (turned, code) =
            command(&daemon, &["explain", &format!("{quote}_{base}"), "close", "--window", "7d"]);
        assert_eq!(code, Some(0), "{turned}");

        let (cut, code) = command(&daemon, &["trace", "--limit", "1"]);
        assert_eq!(code, Some(0), "{cut}");
        assert!(cut.contains("older records match too") && cut.contains("left_out="), "{cut}");

        let (refused, code) = command(&daemon, &["explain", market, "height"]);
        assert_eq!(code, Some(64), "{refused}");
        assert!(refused.contains("there is no such field"), "{refused}");
        let (refused, code) = command(&daemon, &["trace", "--ledger", "x"]);
        assert_eq!((code, refused.contains("ledger must be a ledger number")), (Some(64), true), "{refused}");
        drop(daemon);
    });
}

#[test]
fn without_a_daemon_the_commands_say_so() {
    for arguments in [&["actors"][..], &["trace"], &["explain", "XLM_A", "high"]] {
        let mut command = program(&[]);
        // Port 1 of loopback has no listener.
        command.args(arguments).args(["--bind", "127.0.0.1:1", "--admin-bind", "127.0.0.1:2"]);
        let output = output_of(clean(&mut command));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.contains("is it running?")), (Some(69), true), "{text}");
    }
}

#[test]
fn wrong_questions_are_refused_and_the_stream_shows_records_as_they_end() {
    let sim = network(542, FaultPlan::none());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        for (question, status) in [
            ("actors=x", 400),
            ("seq=1&seq=2", 400),
            ("limit=0", 400),
            ("trade=x", 400),
            ("since=yesterday", 400),
            ("market=XLM", 400),
            ("market=XLM_XLM", 404),
        ] {
            assert_eq!(daemon.admin(&format!("/trace.json?{question}")).status, status, "{question}");
        }
        let cut = daemon.admin("/trace.json?limit=1").json();
        assert_eq!(cut["records"].as_array().unwrap().len(), 1);
        assert!(
            cut["left_out"].as_u64() >= Some(1) && cut["kept"].as_u64() > cut["left_out"].as_u64(),
            "{cut}"
        );
        for question in ["trade=1-0", "limit=7"] {
            assert_eq!(daemon.admin(&format!("/trace/stream?{question}")).status, 400, "{question}");
        }
        let mut stream = TcpStream::connect(daemon.admin).unwrap();
        write!(stream, "GET /trace/stream?type=render HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let data = lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)).take(2);
        let shown: Vec<Value> = data.map(|data| serde_json::from_str(&data).unwrap()).collect();
        assert!(shown.iter().all(|record| record["step"] == "render"), "{shown:?}");
        assert!(shown[0]["number"].as_u64() < shown[1]["number"].as_u64());
    });
}

#[test]
fn the_pages_work_without_script_and_show_what_needs_attention() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = streaming(&sim).await;
        let page = |path: &str| {
            let answer = daemon.admin(path);
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
                "{policy}"
            );
            let text = String::from_utf8(answer.body).unwrap();
            // Nothing inline, and nothing of another host.
            for refused in [" style=", "<style", "onclick", "http://", "https://", "<script>"] {
                assert!(!text.contains(refused), "{path}: {refused}");
            }
            text
        };
        let token = push(&source, trade(LEDGER + 1, 0, Utc::now()));
        wait_until("its way is shown", || {
            let way = page(&format!("/trace?trade={token}&actor=&seq="));
            way.contains("wait for publication") && way.contains("Stored: its ledger closed at")
        });
        let calm = page("/actors");
        assert!(calm.contains("<p>Nothing.</p>") && calm.contains("/trace?type=TradesCommitted"), "{calm}");
        daemon.provoke("cleaner", "Ping");
        wait_until("the restart needs attention", || {
            page("/actors").contains("cleaner was restarted 1 times, last because it panicked: provoked")
        });
        let cut = page("/trace?limit=1&since=2026-01-01T00:00:00Z");
        assert!(cut.contains("1 records, ") && cut.contains(" older ones left out"), "{cut}");
        assert!(cut.contains("value=\"2026-01-01T00:00:00Z\""), "the form keeps its filters: {cut}");
        let hostile = page("/trace?actor=%3Cscript%3E%22");
        assert!(hostile.contains("&#60;script&#62;&#34;") && hostile.contains("No record fits"), "{hostile}");
        assert_eq!(daemon.admin("/trace?seq=x").status, 400);
        for (path, content_type) in
            [("/admin.css", "text/css; charset=utf-8"), ("/admin.js", "text/javascript; charset=utf-8")]
        {
            assert_eq!(daemon.admin(path).header("content-type"), Some(content_type));
        }
    });
}

#[test]
fn a_panic_names_its_message_and_leaves_a_crash_file() {
    let sim = network(543, FaultPlan::none());
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        daemon.provoke("aggregator", "TradesCommitted");
        let mut exit = Value::Null;
        wait_until("it restarted and its crash file is named", || {
            exit = actor(&daemon, "aggregator")["exits"][0].clone();
            exit["crash_file"].is_string()
        });
        assert_eq!(exit["message"], "TradesCommitted");
        assert_eq!(exit["reason"], "panicked: provoked while handling TradesCommitted");
        // The trace of the fatal message leads to the batch that caused it.
        let trace = exit["trace"].as_str().unwrap();
        let fatal = records(&daemon, &format!("trace={trace}"));
        let outcomes: Vec<_> =
            fatal.iter().map(|record| (name(record), record["outcome"].as_str().unwrap())).collect();
        assert!(outcomes.contains(&("TradesCommitted", "panicked")), "{outcomes:?}");
        assert!(outcomes.contains(&("transaction", "done")), "{outcomes:?}");
        let crash: Value =
            serde_json::from_slice(&std::fs::read(exit["crash_file"].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(crash["actor"], "aggregator");
        let shown = crash["records"].as_array().unwrap();
        assert!(shown.len() <= 200 && shown.iter().any(|record| record["outcome"] == "panicked"));
        daemon.wait_for_publication();
    });
}

#[test]
fn a_blocked_thread_leaves_a_crash_file_with_its_actor_and_the_message_under_way() {
    let (sim, source) = scripted();
    block_on(async {
        let mut daemon = streaming(&sim).await;
        daemon.provoke("aggregator", "block-TradesCommitted");
        push(&source, trade(LEDGER + 1, 0, Utc::now()));
        assert_eq!(daemon.wait().code(), Some(71), "hung");
        let files = std::fs::read_dir(daemon.directory.path().join("data/crash")).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let crash: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(crash["actor"], "aggregator");
        assert_eq!(crash["reason"], "the thread of aggregator is blocked");
        let under_way = &crash["handling"]["aggregator"][0];
        assert_eq!(under_way["type"], "TradesCommitted", "{crash}");
        // The file also has the earlier records of its sender, back to the batch.
        let causes =
            crash["records"].as_array().unwrap().iter().filter(|it| it["trace"] == under_way["trace"]);
        let causes: Vec<_> = causes.map(|record| (name(record), &record["from"])).collect();
        assert!(causes.contains(&("transaction", &under_way["from"])), "{causes:?}");
    });
}

#[test]
fn too_many_restarts_leave_a_crash_file_of_the_whole_process() {
    let sim = network(548, FaultPlan::none());
    block_on(async {
        let mut daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let admin = daemon.admin;
        wait_until("the process gave up", || {
            // No answer once the listener is closed.
            let _ = request(admin, "POST", "/provoke/cleaner/Ping", "Content-Length: 0\r\n");
            !daemon.is_running()
        });
        assert_eq!(daemon.wait().code(), Some(70), "escalated");
        let files = std::fs::read_dir(daemon.directory.path().join("data/crash")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.to_string_lossy().ends_with("-process.json"));
        assert_eq!(files.len(), 1, "{files:?}");
        let crash: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(crash["actor"], Value::Null);
        let shown = crash["records"].as_array().unwrap();
        let actors: BTreeSet<&str> = shown.iter().filter_map(|record| record["to"].as_str()).collect();
        assert!(actors.len() > 1, "the records of all actors: {actors:?}");
    });
}

#[test]
fn nothing_is_recorded_if_recording_is_off() {
    let sim = network(544, FaultPlan::none());
    block_on(async {
        let daemon =
            Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &["--trace-messages", "off"]);
        daemon.wait_for_publication();
        assert!(records(&daemon, "").is_empty());
        for path in ["/trace.json", "/flow.json"] {
            assert_eq!(daemon.admin(path).json()["recording"], false, "{path}");
        }
        for page in ["/trace", "/actors"] {
            let text = String::from_utf8(daemon.admin(page).body).unwrap();
            assert!(text.contains("not recorded (<code>--trace-messages off</code>)"), "{page}: {text}");
        }
    });
}
