//! A server that answers with prepared documents: a Horizon or a daemon as sound or as broken as a test wants it.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// Status, further headers and body.
type Answer = (u16, String, String);

/// The server. It ends with the test.
pub(super) struct Canned {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

impl Canned {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, answers) = (listener.local_addr().unwrap(), Arc::default());
        let served: Arc<Mutex<HashMap<String, Answer>>> = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &served); // the reader may be gone
            }
        });
        Self { address, answers }
    }

    /// A sound Horizon of a network.
    pub(super) fn horizon(passphrase: &str) -> Self {
        let canned = Self::start();
        canned.set_horizon(passphrase, TimeDelta::zero(), TimeDelta::zero(), 3_600, 100);
        canned
    }

    /// A Horizon whose newest ledger is `lag` old, whose clock is `behind`, and that allows this many requests.
    pub(super) fn set_horizon(
        &self,
        passphrase: &str,
        lag: TimeDelta,
        behind: TimeDelta,
        limit: u32,
        last: u32,
    ) {
        let root = json!({
            "network_passphrase": passphrase,
            "history_latest_ledger": last,
            "history_elder_ledger": 1,
            "core_latest_ledger": last,
            "history_latest_ledger_closed_at": (Utc::now() - lag).to_rfc3339(),
        });
        let date: DateTime<Utc> = Utc::now() - behind;
        let headers = format!(
            "Date: {}\r\nX-RateLimit-Limit: {limit}\r\nX-RateLimit-Remaining: {limit}\r\nX-RateLimit-Reset: 1\r\n",
            date.format("%a, %d %b %Y %H:%M:%S GMT")
        );
        self.set("/", 200, &headers, &root);
    }

    /// A daemon with a readiness, a status and actors.
    pub(super) fn daemon(ready: &Value, status: &Value, actors: &Value) -> Self {
        let canned = Self::start();
        canned.set("/livez", 200, "", &json!({"status": "ok"}));
        canned.set("/readyz", 200, "", ready);
        canned.set("/api/v1/status", 200, "", status);
        canned.set("/actors.json", 200, "", actors);
        canned
    }

    pub(super) fn set(&self, path: &str, status: u16, headers: &str, body: &Value) {
        let answer = (status, headers.to_owned(), body.to_string());
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer(mut stream: TcpStream, answers: &Mutex<HashMap<String, Answer>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let missing = || (404, String::new(), "{}".to_owned());
    let (status, headers, body) = answers.lock().unwrap().get(path).cloned().unwrap_or_else(missing);
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
