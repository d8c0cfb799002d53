//! Requests within requests: nginx and the daemon must agree where each ends.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use stellar_ticker::sim::FaultPlan;

use crate::support::{
    DEADLINE,
    daemon::Daemon,
    network::{PASSPHRASE, block_on, network},
    nginx::{Nginx, conf},
    postgres::{fresh_database, open_tempdir},
    progress::wait_for_pairs,
};

/// A path that only a smuggled request has.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends bytes and reads until the other side closes or stops sending.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.write_all(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
    }
    let _ = stream.shutdown(Shutdown::Both);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Heads of a POST to `/graphql` and what follows, each meant to be read in two ways.
#[expect(clippy::too_many_lines, reason = "a table")]
fn payloads() -> Vec<(&'static str, String)> {
    let length = SMUGGLED.len();
    let post =
        |headers: &str, body: &str| format!("POST /graphql HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}");
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked", length + 5);
    vec![
        ("CL.TE", post(&both, &format!("0\r\n\r\n{SMUGGLED}"))),
        (
            "TE.CL",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4",
                &format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
        ),
        ("two lengths", post(&format!("Content-Length: 0\r\nContent-Length: {length}"), SMUGGLED)),
        ("two lengths in one", post(&format!("Content-Length: 0, {length}"), SMUGGLED)),
        ("a signed length", post("Content-Length: +0", SMUGGLED)),
        ("a hexadecimal length", post("Content-Length: 0x0", SMUGGLED)),
        ("a negative length", post("Content-Length: -1", SMUGGLED)),
        ("a length that overflows", post("Content-Length: 18446744073709551616", SMUGGLED)),
        ("a space before the colon", post(&format!("Content-Length : {length}"), SMUGGLED)),
        (
            "a space before the coding's colon",
            post(
                &format!("Transfer-Encoding : chunked\r\nContent-Length: {length}"),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        ("xchunked", post(&format!("Transfer-Encoding: xchunked\r\nContent-Length: {length}"), SMUGGLED)),
        (
            "a tab in the coding",
            post(
                &format!("Transfer-Encoding:\tchunked\r\nContent-Length: {}", length + 5),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "a vertical tab in the coding",
            post(
                &format!("Transfer-Encoding: \u{b}chunked\r\nContent-Length: {}", length + 5),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "two codings",
            post(
                &format!(
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {}",
                    length + 5
                ),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        ("chunked, identity", post("Transfer-Encoding: chunked, identity", &format!("0\r\n\r\n{SMUGGLED}"))),
        (
            "a folded coding",
            post(
                &format!("Transfer-Encoding:\r\n chunked\r\nContent-Length: {}", length + 5),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "a bare line feed in a header",
            post(
                &format!("X: y\nTransfer-Encoding: chunked\r\nContent-Length: {}", length + 5),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "a bare carriage return in a header",
            post(
                &format!("X: y\rTransfer-Encoding: chunked\r\nContent-Length: {}", length + 5),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        ("a NUL in a header", post(&format!("X: \0\r\nContent-Length: {length}"), SMUGGLED)),
        (
            "a chunk that overflows",
            post("Transfer-Encoding: chunked", &format!("10000000000000000\r\n{SMUGGLED}")),
        ),
        ("a chunk with a sign", post("Transfer-Encoding: chunked", &format!("-1\r\n{SMUGGLED}"))),
        (
            "a chunk with a long extension",
            post("Transfer-Encoding: chunked", &format!("1;{}\r\nx\r\n0\r\n", "a".repeat(20_000))),
        ),
        (
            "a trailer with a request",
            post("Transfer-Encoding: chunked", "0\r\nX: GET /smuggled HTTP/1.1\r\n\r\n"),
        ),
        (
            "a line break in the path",
            format!(
                "GET /livez%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "GET with a body",
            format!("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        ),
        (
            "HEAD with a body",
            format!("HEAD /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        ),
        (
            "an upgrade to h2c",
            format!(
                "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "an upgrade of a socket that is none",
            format!(
                "GET /graphql/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "HTTP/1.0 in chunks",
            format!(
                "POST /graphql HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "Connection takes a header away",
            post(&format!("Connection: close, Content-Length\r\nContent-Length: {length}"), SMUGGLED),
        ),
    ]
}

/// Requests for paths that are not there, as the daemon counted them.
fn not_found(daemon: &Daemon) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    metrics.lines().filter(|line| line.contains("status=\"404\"")).filter_map(count).sum()
}

#[test]
fn no_request_comes_through_nginx_within_another() {
    let sim = network(541, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--log", "trace"]);
    wait_for_pairs(&daemon);
    let www = open_tempdir();
    // Only the limit of requests per second is removed: this test sends more.
    let nginx = Nginx::start(&conf().replace("rate=20r/s", "rate=10000r/s"), daemon.public, www.path());
    let (mut refused, mut not_there) = (0, 0);
    for (what, payload) in payloads() {
        let answer = exchange(nginx.address, payload.as_bytes());
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{what}: {answer}");
        not_there += u64::from(answer.contains(" 404 "));
        refused += usize::from(answer.contains(" 400 ") || answer.contains(" 501 "));
        // The next reader on nginx's connections to the daemon gets the right answer.
        for _ in 0..3 {
            assert_eq!(nginx.get("/livez").json()["status"], "ok", "{what}");
        }
    }
    println!(
        "{} requests that may be read in two ways: {refused} refused by nginx, none came through within another",
        payloads().len()
    );
    assert!(!daemon.log().contains("/smuggled"));
    assert_eq!(not_found(&daemon), not_there, "each client got its own answer");
}

#[test]
fn the_daemon_itself_refuses_what_may_be_read_in_two_ways() {
    let sim = network(542, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_for_pairs(&daemon);
    for (what, payload) in payloads() {
        let answer = exchange(daemon.public, payload.as_bytes());
        let is_ambiguous =
            ["length", "coding", "chunk with a sign", "overflow"].iter().any(|word| what.contains(word));
        if is_ambiguous {
            println!("{what}: {}", answer.lines().next().unwrap_or("(closed)"));
        }
        assert_eq!(daemon.get("/livez").json()["status"], "ok", "{what}");
    }
}

/// actix takes all further bytes of such a connection for the body, whatever its length says.
#[test]
fn a_post_that_asks_for_a_web_socket_is_refused_before_its_body() {
    let sim = network(543, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_for_pairs(&daemon);
    let body = r#"{"query":"{__typename}"}"#;
    let length = format!("Content-Length: {}\r\n", body.len());
    for (length, body) in [(length.as_str(), body), (length.as_str(), ""), ("", ""), ("", body)] {
        let mut stream = TcpStream::connect(daemon.public).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket";
        stream.write_all(format!("{head}\r\n{length}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("WebSocket"), "{length:?}: {answer}");
    }
    assert_eq!(daemon.graphql("{__typename}")["data"]["__typename"], "Query");
}
