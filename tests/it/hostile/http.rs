//! Hostile HTTP: held connections, stalled requests, path traversal and guessed paths.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    socket::{setsockopt, sockopt::RcvBuf},
};
use serde_json::json;
use stellar_ticker::sim::{FaultPlan, SimConfig};

use crate::support::{
    daemon::{Daemon, request},
    network::{PASSPHRASE, block_on, horizon, network},
    nginx::assert_problem,
    postgres::fresh_database,
    processes::{forget_peak, memory_kib},
    progress::wait_for_pairs,
    wait_until,
};

/// Connections that are held, if the system allows this test as many.
const HOLDING: u64 = 5_000;

/// A larger head is refused before all of it was received.
const HEAD_BYTES: usize = 68 * 1_024;

fn served(seed: u64, more: &[&str]) -> (Daemon, stellar_ticker::sim::SimServer) {
    let sim = network(seed, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, more);
    wait_for_pairs(&daemon);
    (daemon, sim)
}

fn open(address: SocketAddr, begin: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    if let Err(error) = stream.write_all(begin.as_bytes()) {
        assert!(begin.len() > HEAD_BYTES, "{error}");
    }
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Returns true if the other side has closed it.
fn has_ended(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 4_096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn five_thousand_held_connections_block_no_reader_and_are_closed() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = usize::try_from(HOLDING.min(hard.saturating_sub(1_000) / 2)).unwrap();
    // All of them come from one address here. Another test covers the limit per address.
    let (daemon, _sim) = served(531, &["--connections-per-address", "0"]);
    let before = forget_peak(daemon.pid().as_raw());
    let begun = Instant::now();
    let large = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(130_000));
    let begins = [
        &large,
        "GET /markets.json HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "GET",
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        "POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        "POST /markets.json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
        "PUT /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nG",
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX: ",
    ];
    let mut held: Vec<TcpStream> =
        begins.iter().cycle().take(count).map(|begin| open(daemon.public, begin)).collect();
    let (opened, mut slowest) = (begun.elapsed(), Duration::ZERO);
    for path in ["/livez", "/readyz", "/markets.json", "/api/v1/status"].iter().cycle().take(100) {
        let asked = Instant::now();
        assert_eq!(daemon.get(path).status, 200, "{path}");
        slowest = slowest.max(asked.elapsed());
    }
    assert_eq!(daemon.graphql("{__typename}")["data"]["__typename"], "Query");
    let mut drips = 0;
    wait_until("all are let go", || {
        held.retain_mut(|stream| {
            // Some of them go on, a byte at a time.
            let drip = if drips % 3 == 0 { stream.write(b"x").map(|_| ()) } else { Ok(()) };
            drips += 1;
            !has_ended(stream) && !drip.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
        });
        held.is_empty()
    });
    let grown = memory_kib(daemon.pid().as_raw(), "VmHWM").saturating_sub(before);
    println!(
        "{count} connections that hold (opened in {:.1} s): others answered within {slowest:.2?}, all let go after {:.1} s, {grown} KiB more memory",
        opened.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    assert!(grown < 256 << 10, "{grown} KiB");
    for actor in daemon.admin("/actors.json").json()["actors"].as_array().unwrap() {
        assert_eq!(actor["restarts"], 0, "{actor}");
    }
}

/// Sockets that a process has open.
fn sockets(pid: i32) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    entries
        .filter(|entry| {
            std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        })
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn readers_that_ask_for_much_and_read_nothing_are_cut_off() {
    const READERS: usize = 40;
    let sim = horizon(SimConfig {
        seed: 532,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 300.0,
        markets: 1_500,
        history_hours: 0,
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_until("many markets are published", || {
        daemon.get("/markets.json").json()["pairs"].as_array().is_some_and(|pairs| pairs.len() > 200)
    });
    // More than all buffers on the way.
    let lists: String = (1..=8).map(|hours| format!("l{hours}:markets(numHoursAgo:{hours}){{tradePair baseAssetIssuer counterAssetIssuer baseVolume counterVolume open low high close change intervalStart firstLedgerCloseTime lastLedgerCloseTime}} ")).collect();
    let body = json!({"query": format!("{{{lists}}}")}).to_string();
    let request =
        format!("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let before = sockets(daemon.pid().as_raw());
    let begun = Instant::now();
    let readers: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let stream = TcpStream::connect(daemon.public).unwrap();
            setsockopt(&stream, RcvBuf, &4_096).unwrap();
            (&stream).write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_until("they are connected", || sockets(daemon.pid().as_raw()) >= before + READERS);
    wait_until("they are let go", || sockets(daemon.pid().as_raw()) < before + READERS / 4);
    println!("{READERS} readers that read nothing were let go after {:.1} s", begun.elapsed().as_secs_f64());
    drop(readers);
}

#[test]
fn heads_without_an_end_are_cut_off() {
    let (daemon, _sim) = served(533, &[]);
    let before = forget_peak(daemon.pid().as_raw());
    for begin in ["GET / HTTP/1.1\r\nX: ", "GET /", "GET / HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(daemon.public).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        let piece = if begin.ends_with('\n') { "X-Many: x\r\n".repeat(4_096) } else { "x".repeat(32_768) };
        let mut sent = 0_usize;
        while stream.write_all(piece.as_bytes()).is_ok() {
            sent += piece.len();
            assert!(sent < 64 << 20, "{begin:?} goes on without an end");
        }
    }
    let grown = memory_kib(daemon.pid().as_raw(), "VmHWM").saturating_sub(before);
    println!("heads without an end: cut off, {grown} KiB more memory");
    assert!(grown < 32 << 10, "{grown} KiB");
    let large = format!("X-Large: {}\r\n", "x".repeat(200_000));
    // The refusal may be lost, where the connection is reset before all was sent.
    if let Ok(answer) = request(daemon.public, "GET", "/livez", &large) {
        assert!(matches!(answer.status, 0 | 400 | 431), "{}", answer.head);
    }
    assert_eq!(daemon.get("/livez").status, 200);
}

#[test]
fn nothing_outside_of_the_published_paths_is_there() {
    let (daemon, _sim) = served(534, &[]);
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/markets.json/../../etc/passwd",
        "/markets.json%00.html",
        "/markets.json/",
        "//markets.json",
        "/./markets.json",
        "/v1/../markets.json",
        "/\\..\\..\\etc\\passwd",
        "/graphiql/../metrics",
        "/graphiql/..%2fmetrics",
        "/graphiql/%2e%2e/metrics",
        "/metrics",
        "/actors.json",
        "/quarantine.json",
        "/provoke/aggregator/X",
        "/.git/config",
        "/%",
        "/%zz",
        "/%ff%fe",
        "/markets.json;x=1",
        "/MARKETS.JSON",
        "/*",
        "http://127.0.0.1/metrics",
        "/?/../../etc/passwd/../..",
    ] {
        let answer = daemon.get(path);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("root:") && !text.contains("ticker_trades"), "{path}: {text:.200}");
        match answer.status {
            200 => assert!(path.starts_with("/?"), "{path}"),
            400 => {}
            404 => assert_problem(path, &answer, 404),
            status => panic!("{path}: {status}"),
        }
    }
}

#[test]
fn methods_conditions_and_ranges_are_answered_rightly_or_not_at_all() {
    let (daemon, _sim) = served(535, &["--publish-interval", "24h"]);
    for path in ["/", "/markets.json", "/livez", "/readyz", "/api/v1/status"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "PROPFIND"] {
            let answer = daemon.get_with(method, path, "Content-Length: 0\r\n");
            assert_problem(&format!("{method} {path}"), &answer, 405);
            assert!(answer.header("allow").unwrap().contains("GET"), "{method} {path}");
        }
        let (get, head) = (daemon.get(path), daemon.get_with("HEAD", path, ""));
        assert!(head.body.is_empty() && head.status == get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    for method in ["get", "G\u{7f}T", "", "GET\t", "CONNECT"] {
        if let Ok(answer) = request(daemon.public, method, "/markets.json", "") {
            assert!(matches!(answer.status, 400 | 404 | 405), "{method:?}: {}", answer.head);
        }
    }
    let whole = daemon.get("/markets.json");
    let tag = whole.header("etag").unwrap().to_owned();
    for range in [
        "bytes=0-9",
        "bytes=-5",
        "bytes=5-",
        "bytes=0-0,2-3",
        "bytes=99999999-",
        "bytes=9-1",
        "lines=1-2",
        "bytes=0-9\r\nIf-Range: \"x\"",
        &format!("bytes=0-9\r\nIf-Range: {tag}"),
    ] {
        let answer = daemon.get_with("GET", "/markets.json", &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.body.len()), (200, whole.body.len()), "{range}");
        assert_eq!(answer.header("accept-ranges"), None);
    }
    for (condition, status) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: \"x\", W/{tag}"), 304),
        ("If-None-Match: *".to_owned(), 304),
        ("If-None-Match: \"x\"".to_owned(), 200),
        (format!("If-None-Match: {}", "\"x\",".repeat(1_000)), 200),
        (format!("If-Modified-Since: {}", whole.header("last-modified").unwrap()), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
        ("If-Modified-Since: \u{ff}yesterday".to_owned(), 200),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {}", whole.header("last-modified").unwrap()),
            200,
        ),
    ] {
        let answer = daemon.get_with("GET", "/markets.json", &format!("{condition}\r\n"));
        assert_eq!(answer.status, status, "{condition:.80}");
        assert!(status == 200 || answer.body.is_empty());
    }
}

#[test]
fn no_web_page_reads_or_drives_the_admin_listener() {
    let (daemon, _sim) = served(536, &[]);
    let ask = |method, path, headers: &str| request(daemon.admin, method, path, headers).unwrap();
    let index = ask("GET", "/", "").json();
    assert_eq!(
        index["paths"],
        json!([
            "/metrics",
            "/actors",
            "/trace",
            "/actors.json",
            "/flow.json",
            "/trace.json",
            "/trace/stream",
            "/quarantine.json",
            "POST /audit",
            "PUT /log?filter="
        ])
    );
    let paths = [
        "/",
        "/metrics",
        "/actors",
        "/trace",
        "/actors.json",
        "/flow.json",
        "/trace.json",
        "/quarantine.json",
        "/nothing",
    ];
    for path in paths {
        let answer = ask("GET", path, "Origin: https://a.example\r\n");
        assert_eq!(answer.status == 404, path == "/nothing", "{path}: {}", answer.head);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    let log = ask("PUT", "/log?filter=off", "Origin: https://a.example\r\nContent-Length: 0\r\n");
    assert_problem("a page changes the log", &log, 403);
    for origin in ["https://a.example", "null", &format!("http://{}", daemon.admin)] {
        let refused = ask("POST", "/audit", &format!("Origin: {origin}\r\nContent-Length: 0\r\n"));
        assert_problem(origin, &refused, 403);
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
    }
    wait_until("a client that is no web page is accepted", || {
        ask("POST", "/audit", "Content-Length: 0\r\n").status == 202
    });
    assert_eq!(daemon.get("/readyz").header("access-control-allow-origin"), Some("*"), "for all pages");
}
