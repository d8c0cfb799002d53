//! `stellar-ticker validate` on a sound server, and on one with a planted fault of each kind.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::{daemon, horizon};
use crate::support::{daemon::run, network::block_on};

/// Change of one document: the path that it begins with, and the new body, or `None` for a 404.
type Fault = (&'static str, fn(&str) -> Option<String>);

/// Server that passes requests on and plants a fault in the answers.
struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Proxy {
    fn start(of: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new(None));
        let planted: Arc<Mutex<Option<Fault>>> = Arc::clone(&fault);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = pass_on(stream, of, *planted.lock().unwrap()); // the reader may be gone
            }
        });
        Self { address, fault }
    }

    fn plant(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }
}

fn pass_on(mut stream: TcpStream, to: SocketAddr, fault: Option<Fault>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut server = TcpStream::connect(to)?;
    write!(server, "GET {path} HTTP/1.0\r\nHost: {to}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let (mut status, mut body) = ("200 OK", body.to_owned());
    if let Some((_, change)) = fault.filter(|(start, _)| path.starts_with(start)) {
        match change(&body) {
            Some(changed) => {
                assert_ne!(changed, body, "the fault of {path} changes nothing");
                body = changed;
            }
            None => status = "404 Not Found",
        }
    }
    let view = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-ticker-"));
    let view: String = view.map(|line| format!("{line}\r\n")).collect();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{view}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Body with one digit of the first figure behind `"field":` replaced.
fn with_wrong(body: &str, field: &str) -> Option<String> {
    let at = body.find(&format!("\"{field}\":"))? + field.len() + 3;
    let digit = at + body[at..].find(|character: char| ('1'..='8').contains(&character))?;
    let wrong = body[digit..=digit].parse::<u8>().unwrap() + 1;
    Some(format!("{}{wrong}{}", &body[..digit], &body[digit + 1..]))
}

#[test]
fn a_sound_server_passes_and_each_planted_fault_is_named() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let url = format!("http://{}/", daemon.public);
        let (code, out, log) = run(&["validate", &url, "--json"]);
        assert_eq!(code, 0, "{out}{log}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let checks = report["checks"].as_array().unwrap();
        assert!(checks.len() > 50 && checks.iter().all(|check| check["status"] == "ok"), "{out}");
        assert!(report["status"] == "ok" && report["as_of"].is_string(), "{out}");
        let proxy = Proxy::start(daemon.public);
        let through = format!("http://{}", proxy.address);
        let validated = |arguments: &[&str]| run(&[&["validate", &through], arguments].concat());
        let (code, out, log) = validated(&["--format", "coingecko"]);
        assert_eq!(code, 0, "{out}{log}");
        assert!(out.contains("coingecko/tickers") && !out.contains("coinmarketcap"), "{out}");
        let faults: [(Fault, &[&str]); 6] = [
            (
                ("/api/v1/coingecko/tickers", |body| with_wrong(body, "last_price")),
                &["/api/v1/coingecko/tickers = ", ": last_price is ", ", expected "],
            ),
            (
                ("/api/v1/contract/coinmarketcap/ticker", |body| with_wrong(body, "quote_volume")),
                &["/api/v1/contract/coinmarketcap/ticker = ", ": quote_volume is "],
            ),
            (
                ("/api/v1/coinmarketcap/summary", |body| {
                    Some(body.replacen("\"highest_price_24h\":", "\"highest\":", 1))
                }),
                &["/api/v1/coinmarketcap/summary", "\"highest_price_24h\" is a required property"],
            ),
            (
                ("/api/v1/coinmarketcap/trades", |body| Some(body.replacen("\"buy\"", "\"sell\"", 1))),
                &["trades of XLM_USDC-", "CoinMarketCap, trade ", ": type is sell, expected buy"],
            ),
            (
                ("/udf/history", |body| Some(body.replacen("\"o\":[", "\"o\":[1", 1))),
                &["/udf/history = candles of ", ": o is 1"],
            ),
            (("/api/v1/coinmarketcap/dex", |_| None), &["/api/v1/coinmarketcap/dex", "answers 404"]),
        ];
        for (fault, parts) in faults {
            proxy.plant(fault);
            let (code, out, log) = validated(&[]);
            assert_eq!(code, 1, "{}: {out}{log}", fault.0);
            assert!(parts.iter().all(|part| out.contains(part)), "{parts:?} in {out}");
            assert!(out.contains("failure  ") && out.contains(" 1 failed"), "{out}");
        }
    });
}

#[test]
fn a_wrong_call_exits_64_or_78_and_a_silent_server_69() {
    for (arguments, expected, word) in [
        (&["validate"] as &[&str], 64, "URL"),
        (&["validate", "h"], 64, "http or https"),
        (&["validate", "ftp://h"], 78, "url: \"ftp://h\" from argument URL is refused"),
        (&["validate", "http://user:secret@h"], 78, "http or https"),
        (&["validate", "http://h/?key=secret"], 78, "a query or fragment"),
        (&["validate", "ftp://h", "--stale-after", "1"], 64, "2 faults"),
        (&["validate", "http://127.0.0.1:1", "--format", "coingeko"], 64, "coingecko"),
    ] {
        let (code, _, log) = run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {log}");
        assert!(log.contains(word) && !log.contains("secret"), "{log}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, log) = run(&["validate", &format!("http://{closed}")]);
    assert!(code == 69 && log.contains("no answer from"), "{code}: {log}");
}
