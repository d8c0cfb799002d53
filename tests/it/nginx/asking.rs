//! Requests that nginx sends to the daemon, seen by a stand-in that records them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{
    DEADLINE,
    nginx::{Nginx, conf, deployed},
    postgres::open_tempdir,
};

/// Answers each request with its head; counts connections.
fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                while let Some(head) = head(&mut stream) {
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    (address, connections)
}

/// The head of the next request; none if the connection has ended.
fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).ok()
}

fn nginx() -> (Nginx, Arc<AtomicUsize>) {
    let (address, connections) = echo();
    (Nginx::start(&conf(), address, open_tempdir().path()), connections)
}

/// The values of a header in what the daemon was asked.
fn values(asked: &str, name: &str) -> Vec<String> {
    let lines = asked.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

fn asked(nginx: &Nginx, path: &str, headers: &str) -> String {
    let answer = nginx.ask("GET", path, headers);
    assert_eq!(answer.status, 200, "{path} {headers}: {}", answer.head);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn both_codings_and_their_weights_are_passed_on() {
    let (nginx, _) = nginx();
    for (accepted, expected) in [
        ("gzip, deflate, br, zstd", "br, gzip"),
        ("gzip, deflate, br", "br, gzip"),
        ("br,gzip", "br, gzip"),
        ("br, deflate, gzip", "br, gzip"),
        ("gzip, deflate,br", "br, gzip"),
        ("GZIP , BR", "br, gzip"),
        ("br", "br"),
        ("deflate, br", "br"),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("x-gzip-not, brr", "identity"),
        ("deflate", "identity"),
        ("identity", "identity"),
        ("gzip;q=0.5, br", "gzip;q=0.5, br"),
        ("*", "*"),
    ] {
        for path in ["/markets.json", "/", "/api/v1/books", "/graphql?query=x"] {
            let asked = asked(&nginx, path, &format!("Accept-Encoding: {accepted}\r\n"));
            assert_eq!(values(&asked, "Accept-Encoding"), [expected], "{path} {accepted}");
        }
    }
    assert_eq!(values(&asked(&nginx, "/livez", ""), "Accept-Encoding"), ["identity"]);
}

#[test]
fn accept_is_canonical_at_the_root_unless_it_may_ask_for_the_page() {
    let (nginx, _) = nginx();
    for (path, accepted, expected) in [
        ("/", "text/html,application/xhtml+xml", &["text/html,application/xhtml+xml"][..]),
        ("/", "x/1, TEXT/HTML;q=0.2", &["x/1, TEXT/HTML;q=0.2"]),
        ("/?q=xlm", "text/*", &["text/*"]),
        ("/", "application/json, text/plain, */*", &["*/*"]),
        ("/", "application/json", &["*/*"]),
        ("/", "", &["*/*"]),
        ("/graphql", "text/html, */*", &["text/html, */*"]),
        ("/markets.json", "x/y", &["x/y"]),
        ("/livez", "", &[]),
    ] {
        let header = if accepted.is_empty() { String::new() } else { format!("Accept: {accepted}\r\n") };
        assert_eq!(values(&asked(&nginx, path, &header), "Accept"), expected, "{path} {accepted}");
    }
}

#[test]
fn the_daemon_receives_the_readers_host_address_and_scheme_and_no_hop_headers() {
    let (nginx, _) = nginx();
    let lies = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nUpgrade: h2c\r\nTE: trailers\r\n";
    for path in ["/markets.json", "/graphql", "/api/v1/status"] {
        let received = asked(&nginx, path, lies);
        assert!(received.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{received}");
        assert_eq!(values(&received, "Host"), [nginx.address.to_string()], "{path}");
        assert_eq!(values(&received, "X-Forwarded-For"), ["127.0.0.1"], "{path}");
        assert_eq!(values(&received, "X-Forwarded-Proto"), ["http"], "{path}");
        assert!(
            values(&received, "Connection").is_empty() && values(&received, "Upgrade").is_empty(),
            "{received}"
        );
    }
}

#[test]
fn only_a_trusted_proxy_says_which_scheme_its_reader_used() {
    let (address, _) = echo();
    let trusted = deployed("trusted-proxies.conf").replace("from 172.30.66.10;", "from 127.0.0.0/8;");
    let more = [("trusted-proxies.conf", trusted.as_str())];
    let nginx = Nginx::start_with(&conf(), address, open_tempdir().path(), &more);
    const READER: &str = "X-Forwarded-For: 192.0.2.1\r\n";
    const READER_6: &str = "X-Forwarded-For: 2001:db8::1\r\n";
    for (reader, said, expected) in [
        (READER, "https", "https"),
        (READER_6, "HTTPS", "https"),
        (READER, "http", "http"),
        (READER, "javascript", "http"),
        (READER, "https, http", "http"),
        (READER, "", "http"),
        ("", "https", "http"), // no proxy: it names no reader
    ] {
        let received = asked(&nginx, "/api/v1/status", &format!("{reader}X-Forwarded-Proto: {said}\r\n"));
        assert_eq!(values(&received, "X-Forwarded-Proto"), [expected], "{reader} {said}");
    }
}

#[test]
fn the_balancer_upgrades_no_connection_and_believes_no_reader() {
    let replicas = [echo().0, echo().0];
    let nginx = Nginx::balance(replicas);
    let lies = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    for path in ["/graphql", "/api/v1/stream"] {
        let received = asked(&nginx, path, &format!("{lies}Upgrade: WebSocket\r\nConnection: Upgrade\r\n"));
        assert_eq!(values(&received, "X-Forwarded-For"), ["127.0.0.1"], "{path}");
        assert_eq!(values(&received, "X-Forwarded-Proto"), ["http"], "{path}");
        assert!(
            values(&received, "Connection").is_empty() && values(&received, "Upgrade").is_empty(),
            "{received}"
        );
    }
}

#[test]
fn a_client_of_http_1_0_without_a_host_is_answered() {
    let (nginx, _) = nginx();
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /markets.json HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(values(&answer, "Host"), [nginx.address.ip().to_string()], "{answer}");
}

#[test]
fn connections_to_the_daemon_are_used_again() {
    let (nginx, connections) = nginx();
    for _ in 0..50 {
        asked(&nginx, "/api/v1/status", "");
    }
    // Each worker keeps its own; the health check of the test's start is nginx's alone.
    let used = connections.load(Ordering::SeqCst);
    assert!(used <= 4, "{used} connections for 50 requests");
}
