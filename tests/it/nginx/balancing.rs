//! nginx in front of two replicas, with the configuration of `deploy/` and stand-ins for the replicas.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::support::{
    DEADLINE,
    daemon::Answer,
    network::block_on,
    nginx::{Nginx, assert_problem},
};

/// A path that every replica refuses, as a daemon does with an order book while its database is down.
const BUSY: &str = "/api/v1/markets/A_B/orderbook";

/// Starts a stand-in for a replica. It names itself in each answer, except at [`BUSY`]. It ends with the test process.
fn replica(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = answer(&mut stream, name); // the reader may be gone
            });
        }
    });
    address
}

fn answer(stream: &mut TcpStream, name: &str) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let (status, kind, body) = if head.starts_with(&format!("GET {BUSY} ")) {
        ("503 Service Unavailable", "application/problem+json", r#"{"status":503,"title":"busy"}"#.to_owned())
    } else {
        ("200 OK", "application/json", format!(r#"{{"replica":"{name}"}}"#))
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: ETag\r\nRetry-After: 7\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An address where nothing listens.
fn gone() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn name_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.json()["replica"].as_str().unwrap().to_owned()
}

#[test]
fn requests_that_both_replicas_refuse_take_neither_out_of_service() {
    let nginx = Nginx::balance([replica("a"), replica("b")]);
    for _ in 0..3 {
        let refused = nginx.get(BUSY);
        assert_eq!(refused.status, 503, "{}", refused.head);
        assert_eq!(refused.json()["title"], "busy", "the replica's own answer");
        assert_eq!(refused.header("Retry-After"), Some("7"));
        name_of(&nginx.get("/markets.json"));
    }
}

#[test]
fn a_replica_that_is_gone_costs_no_reader_an_answer() {
    for replicas in [[replica("left"), gone()], [gone(), replica("left")]] {
        let nginx = Nginx::balance(replicas);
        for _ in 0..20 {
            assert_eq!(name_of(&nginx.get("/markets.json")), "left");
        }
    }
}

/// Asks as a client with the given address of this machine. On Linux all of 127/8 is this machine.
async fn replica_for(client: Ipv4Addr, nginx: SocketAddr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(client), 0)).unwrap();
    let mut stream = socket.connect(nginx).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, name) = answer.split_once(r#"{"replica":""#).unwrap_or_else(|| panic!("{answer}"));
    name.split('"').next().unwrap().to_owned()
}

/// Cursors belong to the replica that gave them.
#[test]
fn a_reader_stays_with_one_replica_and_all_readers_are_spread_over_both() {
    let nginx = Nginx::balance([replica("a"), replica("b")]);
    block_on(async {
        let mut seen = Vec::new();
        for network in 1..40 {
            let client = Ipv4Addr::new(127, 1, network, 1);
            let first = replica_for(client, nginx.address).await;
            for _ in 0..4 {
                assert_eq!(replica_for(client, nginx.address).await, first, "{client}");
            }
            seen.push(first);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["a", "b"]);
    });
}

#[test]
fn the_balancer_takes_what_the_replicas_take() {
    let nginx = Nginx::balance([replica("a"), replica("b")]);
    // As many as the daemon takes, each with the longest code.
    let asset = format!("ABCDEFGHIJKL-G{}", "A".repeat(55));
    name_of(&nginx.get(&format!("/api/v1/prices?assets={}", vec![asset; 200].join("%2C"))));
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "without Host: {answer}");
    // The replica's headers are there once.
    let answer = nginx.get("/markets.json");
    for name in ["Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "X-Content-Type-Options"] {
        assert_eq!(answer.count(name), 1, "{name}: {}", answer.head);
    }
}

#[test]
fn the_balancers_own_errors_have_the_form_of_all_errors() {
    let nginx = Nginx::balance([replica("a"), replica("b")]);
    let body = "x".repeat((64 << 10) + 1);
    let large = nginx.ask("POST", "/graphql", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let long = nginx.get(&format!("/{}", "x".repeat(33 << 10)));
    let headers = nginx.ask("GET", "/", &format!("X-Large: {}\r\n", "x".repeat(33 << 10)));
    let twice = nginx.ask("POST", "/", "Content-Length: 1\r\nContent-Length: 2\r\n");
    for (what, answer, status) in [
        ("a body", large, 413),
        ("a path", long, 414),
        ("headers", headers, 431),
        ("two lengths", twice, 400),
    ] {
        assert_problem(what, &answer, status);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "{what}: {}", answer.head);
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{what}: {}", answer.head);
    }
}

#[test]
fn without_a_replica_the_balancer_answers_that_a_reader_may_ask_again() {
    let nginx = Nginx::balance_before([gone(), gone()]);
    for path in ["/markets.json", "/api/v1/stream", "/"] {
        let answer = nginx.get(path);
        assert_problem(path, &answer, 502);
        assert_eq!(answer.header("Retry-After"), Some("1"), "{path}: {}", answer.head);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "{path}: {}", answer.head);
        let exposed = answer.header("Access-Control-Expose-Headers").unwrap_or_default();
        assert!(exposed.contains("Retry-After"), "{path}: {}", answer.head);
    }
}
