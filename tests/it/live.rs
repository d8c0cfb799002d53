//! `/api/v1/stream`: events, filters, resumption, the end.

mod held;
mod resumption;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use chrono::Utc;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    daemon::Daemon,
    network::{PASSPHRASE, block_on},
    postgres::fresh_database,
    scripted::{LEDGER, address, scripted, trade},
    wait_until,
};

/// A server-sent event.
#[derive(Clone, Debug)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

/// A reader of the stream.
struct Reader(Box<dyn Iterator<Item = Event>>);

impl Reader {
    fn open(daemon: &Daemon, question: &str, last_seen: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(daemon.public).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let seen = last_seen.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(socket, "GET /api/v1/stream{question} HTTP/1.1\r\nHost: x\r\n{seen}\r\n").unwrap();
        let mut socket = BufReader::new(socket);
        let status = head(&mut socket);
        assert!(status.contains(" 200 "), "{status}");
        let lines = BufReader::new(Chunks { socket, left: 0 }).lines().map_while(Result::ok);
        let (mut id, mut name) = (None, String::new());
        let events = lines.filter_map(move |line| {
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(text).unwrap();
                return Some(Event { id: id.take(), name: std::mem::take(&mut name), data });
            }
            None
        });
        Self(Box::new(events))
    }

    /// The next event that is not a sign of life.
    fn next(&mut self) -> Event {
        self.0.find(|event| event.name != "quiet").expect("another event")
    }

    /// Skips to the next event of this name.
    fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next();
            if event.name == name {
                return event;
            }
        }
    }
}

/// Reads the head of an answer, and returns its first line.
fn head(socket: &mut impl BufRead) -> String {
    let mut lines = socket.lines().map_while(Result::ok);
    let status = lines.next().unwrap();
    lines.find(String::is_empty).unwrap();
    status
}

/// A body that comes in chunks.
struct Chunks {
    socket: BufReader<TcpStream>,
    /// Bytes of the present chunk.
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut line = String::new();
        while self.left == 0 {
            line.clear();
            if self.socket.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            // An empty line ends the chunk before.
            self.left = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        }
        let most = buffer.len().min(self.left);
        let read = self.socket.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

fn paging_token(ledger: u32, order: i64) -> String {
    trade(ledger, order, Utc::now())["id"].as_str().unwrap().to_owned()
}

fn market_of(daemon: &Daemon) -> String {
    let mut market = Value::Null;
    wait_until("the market is published", || {
        market = daemon.get("/api/v1/markets").json()["markets"][0]["id"].clone();
        market.is_string()
    });
    market.as_str().unwrap().to_owned()
}

#[test]
fn head_of_a_stream_ends_at_once_and_an_old_reader_gets_no_chunks() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        market_of(&daemon);
        for (address, path) in [(daemon.public, "/api/v1/stream"), (daemon.admin, "/trace/stream")] {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            write!(socket, "HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut socket = BufReader::new(socket);
            assert!(head(&mut socket).contains(" 200 "), "{path}");
            write!(socket.get_mut(), "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
            let heads = (&mut socket).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let heads: Vec<String> = heads.map(|line| line.to_lowercase()).collect();
            assert!(heads[0].starts_with("http/1.0 200"), "{heads:?}");
            assert!(heads.contains(&"content-type: text/event-stream".to_owned()), "{heads:?}");
            assert!(!heads.iter().any(|line| line.starts_with("transfer-encoding")), "{heads:?}");
            let event = (&mut socket).lines().map_while(Result::ok).next().unwrap();
            assert!(event.contains(':'), "no length of a chunk: {event}");
        }
    });
}

#[test]
fn a_reader_gets_trades_and_markets_and_resumes_without_a_gap() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        let market = market_of(&daemon);
        let mut reader = Reader::open(&daemon, "", None);
        assert_eq!(reader.next().name, "hello");

        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        let new = reader.next_of("trade");
        assert_eq!((&new.data["market"], &new.data["maker"]), (&market.clone().into(), &"book".into()));
        assert_eq!(new.data["paging_token"], paging_token(LEDGER + 2, 0));
        let changed = reader.next_of("market");
        assert_eq!(changed.data["24h"]["trade_count"], 2);
        // The event agrees with the document of the market.
        let document = daemon.get(&format!("/api/v1/markets/{market}")).json();
        assert_eq!(changed.data["last"], document["last"]);
        assert_eq!(changed.data["24h"]["quote_volume"], document["windows"]["24h"]["quote_volume"]);
        let seen = reader.next_of("published").id.unwrap();
        drop(reader);

        // Away for two ledgers.
        source.push_trade(trade(LEDGER + 3, 0, Utc::now())).unwrap();
        source.push_trade(trade(LEDGER + 4, 0, Utc::now())).unwrap();
        wait_until("both are published", || {
            daemon.get(&format!("/api/v1/markets/{market}")).json()["windows"]["24h"]["trade_count"] == 4
        });
        let mut reader = Reader::open(&daemon, "", Some(&seen));
        for ledger in [LEDGER + 3, LEDGER + 4] {
            assert_eq!(reader.next_of("trade").data["paging_token"], paging_token(ledger, 0));
        }
    });
}

#[test]
fn a_reader_of_a_market_that_never_traded_gets_its_first_trade() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        let mut of_milk = trade(LEDGER + 2, 0, Utc::now());
        of_milk["counter_asset_code"] = "MILK".into();
        for trade in [trade(LEDGER + 1, 0, Utc::now()), of_milk] {
            source.push_trade(trade).unwrap();
        }
        let issuer = address(9);
        let milk = format!("MILK-{issuer}_XLM");
        wait_until("both are published", || daemon.get(&format!("/api/v1/markets/{milk}")).status == 200);
        let market = format!("MILK-{issuer}_TEA-{issuer}");
        assert_eq!(daemon.get(&format!("/api/v1/markets/{market}")).status, 404);
        let mut reader = Reader::open(&daemon, &format!("?markets={market}"), None);
        assert_eq!(reader.next().name, "hello");
        let closed_at = Utc::now();
        let mut first = trade(LEDGER + 3, 0, closed_at);
        first["base_asset_type"] = "credit_alphanum4".into();
        first["base_asset_code"] = "MILK".into();
        first["base_asset_issuer"] = issuer.as_str().into();
        source.push_trade(trade(LEDGER + 3, 1, closed_at)).unwrap();
        source.push_trade(first).unwrap();
        let event = reader.next_of("trade");
        assert_eq!(
            (&event.data["market"], &event.data["paging_token"]),
            (&market.into(), &paging_token(LEDGER + 3, 0).into())
        );
    });
}

#[test]
fn what_lies_between_the_documents_and_the_first_event_is_in_the_events() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        // This pins a view: the next reader of the list may get the same one.
        let market = market_of(&daemon);
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        wait_until("the second trade is published", || {
            daemon.get(&format!("/api/v1/markets/{market}")).json()["windows"]["24h"]["trade_count"] == 2
        });
        let mut reader = Reader::open(&daemon, "", None);
        let hello = reader.next();
        let list = daemon.get("/api/v1/markets");
        let seq: i64 = list.header("x-ticker-seq").unwrap().parse().unwrap();
        assert!(hello.data["seq"].as_i64().unwrap() <= seq, "{hello:?} {seq}");
        source.push_trade(trade(LEDGER + 3, 0, Utc::now())).unwrap();
        let first = reader.next_of("trade").data["paging_token"].clone();
        let known = list.json()["markets"][0]["windows"]["24h"]["trade_count"].as_u64().unwrap();
        let expected = if known == 1 { LEDGER + 2 } else { LEDGER + 3 };
        // On a slow machine the pinned view may have been replaced; then the event may repeat what the list has.
        assert!(
            first == paging_token(expected, 0) || first == paging_token(LEDGER + 2, 0),
            "{known} {first}"
        );
    });
}

#[test]
fn filters_select_and_bad_ones_are_refused() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        let market = market_of(&daemon);
        let (base, quote) = market.split_once('_').unwrap();
        let questions = [
            format!("?markets={market}"),
            format!("?markets={quote}_{base}"),
            format!("?assets={base}"),
            format!("?assets={quote}"),
        ];
        let mut readers: Vec<Reader> =
            questions.iter().map(|question| Reader::open(&daemon, question, None)).collect();
        for reader in &mut readers {
            assert_eq!(reader.next().name, "hello");
        }
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        for (reader, question) in readers.iter_mut().zip(&questions) {
            assert_eq!(reader.next_of("trade").data["market"], market, "{question}");
        }
        for (question, status) in [
            ("?market=x".to_owned(), 400),
            ("?markets=x".to_owned(), 400),
            (format!("?markets={market},XLM_XLM"), 404),
            ("?assets=NONE-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN".to_owned(), 404),
        ] {
            assert_eq!(daemon.get(&format!("/api/v1/stream{question}")).status, status, "{question}");
        }
    });
}

#[test]
fn streams_end_with_a_reason_when_the_process_stops_and_readers_are_counted() {
    let (sim, source) = scripted();
    block_on(async {
        let mut daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        market_of(&daemon);
        let mut reader = Reader::open(&daemon, "", None);
        assert_eq!(reader.next().name, "hello");
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        assert!(metrics.contains("\nticker_live_readers 1"), "{metrics}");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(reader.next_of("end").data["reason"], "the ticker stops");
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

/// Rows of the events of the board by their number, applied to figures.
fn apply(figures: &mut std::collections::BTreeMap<i64, Value>, event: &Value) {
    for row in event["m"].as_array().unwrap() {
        figures.insert(row[0].as_i64().unwrap(), row.clone());
    }
    for number in event["gone"].as_array().unwrap() {
        figures.remove(&number.as_i64().unwrap());
    }
}

/// Rows of `/api/v1/board/figures` in the form of the events, without the ages, and their `as_of`.
fn figures(daemon: &Daemon) -> (String, std::collections::BTreeMap<i64, Value>) {
    let document = daemon.get("/api/v1/board/figures").json();
    let columns: Vec<&str> =
        document["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let numbers = document["number"].as_array().unwrap();
    let row = |place: usize| columns.iter().map(|name| document[*name][place].clone()).collect::<Value>();
    let rows = numbers.iter().enumerate().map(|(place, number)| (number.as_i64().unwrap(), row(place)));
    (document["as_of"].as_str().unwrap().to_owned(), rows.collect())
}

fn without_ages(rows: &std::collections::BTreeMap<i64, Value>) -> Vec<Value> {
    let mut rows: Vec<Value> = rows.values().cloned().collect();
    rows.iter_mut().for_each(|row| row[13] = Value::Null);
    rows
}

#[test]
fn events_of_the_board_bring_figures_to_the_figures_of_a_later_moment() {
    let (sim, source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        market_of(&daemon);
        let mut reader = Reader::open(&daemon, "?board=1", None);
        assert_eq!(reader.next().name, "hello");
        let (mut as_of, mut rows) = figures(&daemon);
        let database = daemon.get("/api/v1/board/names").json()["database"].clone();
        assert!(database.is_string());
        let closed_at = Utc::now();
        for order in 0..3 {
            source.push_trade(trade(LEDGER + 2, order, closed_at)).unwrap();
        }
        let mut last;
        loop {
            let event = reader.next_of("board");
            assert!(event.data["after"].as_str().unwrap() <= as_of.as_str(), "no gap: {event:?}");
            assert!(event.data["after_seq"].as_i64().unwrap() <= event.data["seq"].as_i64().unwrap());
            assert_eq!(event.data["database"], database, "{event:?}");
            event.data["as_of"].as_str().unwrap().clone_into(&mut as_of);
            apply(&mut rows, &event.data);
            last = event.id.unwrap();
            if rows.values().any(|row| row[12] == 4) {
                break;
            }
        }
        drop(reader);

        // Away for a moment, then from the event after the last one.
        source.push_trade(trade(LEDGER + 3, 0, Utc::now())).unwrap();
        let mut reader = Reader::open(&daemon, "?board=1", Some(&last));
        loop {
            let event = reader.next();
            assert_eq!(event.name, "board", "it goes on: {event:?}");
            apply(&mut rows, &event.data);
            if rows.values().any(|row| row[12] == 5) {
                break;
            }
        }
        // The view of figures is pinned for ten seconds.
        wait_until("the figures are those of the events", || {
            without_ages(&figures(&daemon).1) == without_ages(&rows)
        });

        let mut lost = Reader::open(&daemon, "?board=1", Some("1.1"));
        assert_eq!(lost.next().name, "reset");
        assert_eq!(lost.next().name, "board");
        for question in ["?board=2", "?board=1&assets=XLM", "?board=1&markets=XLM_XLM"] {
            assert_eq!(daemon.get(&format!("/api/v1/stream{question}")).status, 400, "{question}");
        }
    });
}
