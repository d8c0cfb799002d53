//! Text of strangers that hides, turns lines round or steers a terminal: it breaks no row, no log line and no terminal.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

use chrono::Utc;
use serde_json::{Value, json};
use stellar_ticker::{
    domain::plain_text::is_hidden,
    sim::{FixedSource, TomlReply},
};

use crate::support::{
    daemon::{Daemon, request},
    network::{PASSPHRASE, block_on},
    nginx::{Nginx, conf_with},
    postgres::{fresh_database, open_tempdir},
    progress::{number, wait_for_pairs},
    recomputation,
    scripted::{LEDGER, address, scripted, trade},
    wait_until,
};

/// Clears a screen, sets a title, turns round, hides, begins a line that looks like the log's, and ends a JSON string.
const NASTY: &str = "Tea\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}evil\u{2066}\u{200b}\u{feff}\u{e0041}\u{2028}\r\n{\"level\":\"ERROR\"}\t\u{0}\"\\";

/// Checks that each line is one object and hides nothing.
fn assert_plain_log(log: &str) {
    for line in log.lines() {
        assert!(!line.contains(is_hidden), "{line:?}");
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event["timestamp"].is_string(), "forged: {line}");
    }
}

/// No text of an answer hides anything once it is read.
fn assert_plain(what: &str, value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains(is_hidden), "{what}: {text:?}"),
        Value::Array(items) => items.iter().for_each(|item| assert_plain(what, item)),
        Value::Object(fields) => fields.values().for_each(|field| assert_plain(what, field)),
        _ => {}
    }
}

fn toml_text(text: &str) -> String {
    let escape = |character: char| format!("\\U{:08X}", u32::from(character));
    text.chars().map(escape).collect()
}

fn asset(code: &str, host: &str, byte: u8) -> Value {
    json!({
        "_links": {"toml": {"href": format!("https://{host}/.well-known/stellar.toml")}},
        "asset_type": "credit_alphanum4", "asset_code": code, "asset_issuer": address(byte),
        "paging_token": format!("{code}_{}_credit_alphanum4", address(byte)),
        "accounts": {"authorized": 500}, "balances": {"authorized": "1000.0000000"},
        "flags": {"auth_required": false, "auth_revocable": false}
    })
}

/// Trades of three assets, and records of which one text is hostile.
fn push_trades(source: &FixedSource) {
    for (step, (code, byte)) in [("TEA", 9), ("TEB", 10), ("TEC", 11)].into_iter().enumerate() {
        let mut record = trade(LEDGER + 1 + u32::try_from(step).unwrap(), 0, Utc::now());
        record["counter_asset_code"] = json!(code);
        record["counter_asset_issuer"] = json!(address(byte));
        source.push_trade(record).unwrap();
    }
    for (step, field) in [
        "counter_asset_code",
        "counter_asset_issuer",
        "base_amount",
        "base_account",
        "trade_type",
        "ledger_close_time",
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = trade(LEDGER + 10 + u32::try_from(step).unwrap(), 0, Utc::now());
        record[field] = json!(NASTY);
        source.push_trade(record).unwrap();
    }
    source.push_trade(trade(LEDGER + 20, 0, Utc::now())).unwrap();
}

#[test]
fn what_issuers_and_records_say_breaks_nothing() {
    let (sim, source) = scripted();
    let nasty = toml_text(NASTY);
    let file = format!(
        "[DOCUMENTATION]\nORG_NAME=\"{nasty}\"\nORG_TWITTER=\"{nasty}\"\n[[CURRENCIES]]\ncode=\"TEA\"\nissuer=\"{}\"\nname=\"{nasty}\"\ndesc=\"{nasty}\"\nconditions=\"{nasty}\"\nstatus=\"{nasty}\"\ncollateral_addresses=[\"{nasty}\"]\n",
        address(9)
    );
    source.put_toml("tea.example", TomlReply { status: 200, body: file.into_bytes() });
    source.put_asset(asset("TEB", &format!("t{NASTY}.example"), 10)).unwrap();
    source.put_toml("teb.example", TomlReply { status: 200, body: format!("a = {NASTY}").into_bytes() });
    source.put_asset(asset("TEC", "teb.example", 11)).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--log", "debug"]);
        let client = recomputation::connect(&database).await;
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        push_trades(&source);
        wait_for_pairs(&daemon);
        wait_until("the issuer's words are there", || {
            let assets = daemon.get("/assets.json").json();
            assets["assets"]
                .as_array()
                .unwrap()
                .iter()
                .any(|asset| asset["code"] == "TEA" && asset["desc"] != "")
        });
        let assets = daemon.get("/assets.json").json();
        let tea = assets["assets"].as_array().unwrap().iter().find(|asset| asset["code"] == "TEA").unwrap();
        assert_eq!(tea["desc"], NASTY.replace('\0', ""), "the legacy file keeps the text, but for NUL");
        let raw = daemon.get("/assets.json").body;
        assert!(!raw.iter().any(|byte| *byte < b' ' && !b"\n\t".contains(byte)), "and escapes it");
        let answer = daemon.graphql("{assets{code desc} issuers{name}}");
        assert!(answer["data"]["issuers"].to_string().contains("evil"));
        wait_until("all that was pushed is stored or put aside", || {
            block_in_place(number(&client, "SELECT count(*) FROM quarantine")) >= 4
        });
        for (what, answer) in [
            ("/quarantine.json", daemon.admin("/quarantine.json")),
            ("/actors.json", daemon.admin("/actors.json")),
            ("/readyz", daemon.get("/readyz")),
            ("/api/v1/status", daemon.get("/api/v1/status")),
            ("a path", daemon.get("/%E2%80%AE%1B%5B2J")),
        ] {
            assert_plain(what, &answer.json());
        }
        let entries = daemon.admin("/quarantine.json").json();
        println!(
            "{} records in quarantine, {} log lines",
            entries["quarantine"].as_array().unwrap().len(),
            daemon.log().lines().count()
        );
        assert_plain_log(&daemon.log());
    });
}

fn block_in_place<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// A Horizon that refuses everything with a title of its own.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 8_192]);
            let kind = "https://stellar.org/horizon-errors/over_capacity"; // else it would be no word of Horizon's
            let body = json!({"type": kind, "status": 503, "title": NASTY, "detail": NASTY}).to_string();
            let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn what_horizon_says_breaks_neither_log_nor_readyz() {
    let horizon = format!("http://{}", refusing());
    let database = block_on(fresh_database());
    let daemon =
        Daemon::serve(&horizon, &database, PASSPHRASE, &["--log", "debug", "--toml-gateway", &horizon]);
    wait_until("the title is logged", || daemon.log().contains("evil"));
    assert_plain("/readyz", &daemon.get("/readyz").json());
    assert_plain("/actors.json", &daemon.admin("/actors.json").json());
    assert_plain_log(&daemon.log());
}

#[test]
fn what_readers_send_breaks_no_line_of_nginx() {
    let www = open_tempdir();
    let log = www.path().join("access.log");
    let conf =
        conf_with(&[("access_log /dev/stdout ticker", &format!("access_log {} ticker", log.display()))]);
    let nginx = Nginx::start(&conf, "127.0.0.1:1".parse().unwrap(), www.path());
    let seen: String = NASTY.chars().filter(|character| !matches!(character, '\r' | '\n' | '\0')).collect();
    let asked = ["/plain", "/a\u{202e}b", "/%E2%80%AE%1B", "/a\"b\\"];
    for path in asked {
        let _ = request(nginx.address, "GET", path, &format!("User-Agent: {seen}\r\n"));
    }
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("all are logged", || {
        lines().lines().filter(|line| line.contains("\"GET /") || line.contains("(not ASCII)")).count()
            >= asked.len()
    });
    for line in lines().lines() {
        assert!(line.is_ascii() && !line.contains(is_hidden), "{line:?}");
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["time"].is_string());
    }
}
