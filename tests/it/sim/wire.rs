//! A plain TCP client, and the JSON that a trade of the oracle must be on the wire.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use stellar_ticker::sim::{SimServer, SimSide, SimTrade, TradeKind};

/// A reply as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
    /// False where the connection ended before the body was whole.
    pub(super) whole: bool,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(super) fn records(&self) -> Vec<Value> {
        self.json()["_embedded"]["records"].as_array().unwrap().clone()
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    }
}

/// One request over plain TCP; the same Host everywhere, so that links are the same too.
pub(super) fn fetch(server: &SimServer, path: &str, headers: &str, patience: Duration) -> Reply {
    let mut socket = asked(server, path, headers);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    while let Ok(read @ 1..) = socket.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
    }
    Reply::of(&bytes)
}

/// Connection on which a request was sent.
fn asked(server: &SimServer, path: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: sim.example\r\nConnection: close\r\n{headers}\r\n").unwrap();
    socket
}

/// A stream that has said hello.
pub(super) struct OpenStream {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl OpenStream {
    pub(super) fn of(server: &SimServer, path: &str) -> Self {
        let socket = asked(server, path, "Accept: text/event-stream\r\n");
        let mut open = Self { socket, bytes: Vec::new() };
        while !open.bytes.windows(7).any(|window| window == b"\"hello\"") {
            assert!(open.read(), "{}", String::from_utf8_lossy(&open.bytes));
        }
        open
    }

    /// Body of the stream until it ends. `while_quiet` is called again and again until then.
    pub(super) fn rest(mut self, mut while_quiet: impl FnMut()) -> String {
        self.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while self.read() {
            while_quiet();
        }
        Reply::of(&self.bytes).body
    }

    /// Reads what has come. False at the end.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(read) => {
                self.bytes.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let raw = &bytes[split + 4..];
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let (body, whole) = if chunked { dechunk(raw) } else { (raw.to_vec(), true) };
        let status = head[9..12].parse().unwrap();
        Self { status, head, body: String::from_utf8_lossy(&body).into_owned(), whole }
    }
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = raw.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let end = (line + 2 + size).min(raw.len());
        body.extend_from_slice(&raw[line + 2..end]);
        raw = &raw[(end + 2).min(raw.len())..];
    }
    (body, false)
}

/// The record that the oracle's trade must be.
pub(super) fn expected(trade: &SimTrade, legacy: bool) -> Value {
    let pool = trade.kind != TradeKind::Orderbook;
    let owner = |side: &SimSide| match (&side.account, &side.pool) {
        (Some(account), None) => format!("http://sim.example/accounts/{account}"),
        (None, Some(id)) => format!("http://sim.example/liquidity_pools/{id}"),
        _ => panic!("a side has one owner"),
    };
    let number = |n: i64| if legacy { json!(n) } else { json!(n.to_string()) };
    let id = trade.id.to_string();
    let mut record = json!({
        "_links": {
            "self": {"href": ""},
            "base": {"href": owner(&trade.base)},
            "counter": {"href": owner(&trade.counter)},
            "operation": {"href": format!("http://sim.example/operations/{}", trade.id.toid)},
        },
        "id": id,
        "paging_token": id,
        "ledger_close_time": trade.closed_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "base_is_seller": trade.base_is_seller,
        "price": {"n": number(trade.price_n), "d": number(trade.price_d)},
    });
    let mut put = |key: String, value: Value| record.as_object_mut().unwrap().insert(key, value);
    for (name, side) in [("base", &trade.base), ("counter", &trade.counter)] {
        put(
            format!("{name}_amount"),
            json!(format!("{}.{:07}", side.amount / 10_000_000, side.amount % 10_000_000)),
        );
        if let Some((code, issuer)) = side.asset.split_once(':') {
            let kind = if code.len() <= 4 { "credit_alphanum4" } else { "credit_alphanum12" };
            put(format!("{name}_asset_type"), json!(kind));
            put(format!("{name}_asset_code"), json!(code));
            put(format!("{name}_asset_issuer"), json!(issuer));
        } else {
            put(format!("{name}_asset_type"), json!("native"));
        }
        match &side.account {
            Some(account) => {
                put(format!("{name}_account"), json!(account));
                put(format!("{name}_offer_id"), json!(side.offer_id.unwrap().to_string()));
            }
            None => {
                put(format!("{name}_liquidity_pool_id"), json!(side.pool));
            }
        }
    }
    if legacy {
        let seller = if trade.base_is_seller { &trade.base } else { &trade.counter };
        put("offer_id".to_owned(), json!(seller.offer_id.unwrap().to_string()));
    } else {
        put("trade_type".to_owned(), json!(if pool { "liquidity_pool" } else { "orderbook" }));
        if pool {
            put("liquidity_pool_fee_bp".to_owned(), json!(30));
        }
    }
    record
}
