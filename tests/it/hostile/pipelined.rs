//! Requests that do not wait for an answer: the memory that they take, their order, and large heads.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use stellar_ticker::sim::{FaultPlan, SimServer};

use crate::{
    hostile::counter,
    support::{
        DEADLINE,
        daemon::Daemon,
        figure,
        network::{PASSPHRASE, block_on, network},
        postgres::fresh_database,
        processes::{forget_peak, memory_kib},
        progress::wait_for_pairs,
        wait_until,
    },
};

/// Streams with requests behind them.
const STREAMS: usize = 100;
/// Requests behind each: 14 KB, of which actix would keep 5 MB.
const BEHIND: usize = 778;
/// Connections with a large head, if the system allows this test as many.
const LARGE_HEADS: u64 = 2_000;
/// Connections that may have one.
const PLACES: usize = 500;

fn served(seed: u64, more: &[&str]) -> (Daemon, SimServer) {
    let sim = network(seed, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, more);
    wait_for_pairs(&daemon);
    (daemon, sim)
}

fn connect(daemon: &Daemon, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.public).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn requests_behind_a_hundred_streams_take_less_than_32_mib_and_their_end_is_noticed() {
    let (daemon, _sim) = served(551, &[]);
    let readers = || counter(&daemon, "ticker_live_readers");
    let before = forget_peak(daemon.pid().as_raw());
    let behind = "GET / HTTP/1.0\r\n\r\n".repeat(BEHIND);
    let bytes = format!("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n{behind}");
    let mut streams: Vec<TcpStream> = (0..STREAMS).map(|_| connect(&daemon, bytes.as_bytes())).collect();
    for stream in &mut streams {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    wait_until("all streams are open", || readers() == STREAMS as u64);
    let grown = memory_kib(daemon.pid().as_raw(), "VmHWM").saturating_sub(before);
    println!("{STREAMS} streams with {BEHIND} requests behind each: {grown} KiB more memory");
    assert!(grown < 32 << 10, "{grown} KiB");
    drop(streams);
    wait_until("their clients are gone", || readers() == 0);
    figure!(
        "requests that do not wait for an answer take no memory",
        "{STREAMS} streams with {BEHIND} requests behind each: {} MB more memory",
        grown / 1_000
    );
}

#[test]
fn requests_that_do_not_wait_are_answered_one_after_another() {
    let (daemon, _sim) = served(552, &[]);
    let body = r#"{"query":"{__typename}"}"#;
    let post =
        |headers: &str, body: &str| format!("POST /graphql HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}");
    let pieces = [
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(30),
        post(&format!("Content-Length: {}", body.len()), body),
        "HEAD /markets.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3),
        post("Transfer-Encoding: chunked", &format!("{:x}\r\n{body}\r\n0\r\nX: y\r\n\r\n", body.len())),
        "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    let expected = [vec![200; 30 + 1 + 3 + 1], vec![404]].concat();
    let mut stream = connect(&daemon, pieces.concat().as_bytes());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<u16> = text
        .match_indices("HTTP/1.1 ")
        .map(|(at, begin)| text[at + begin.len()..][..3].parse().unwrap())
        .collect();
    assert_eq!(statuses, expected, "{text}");
    assert_eq!(text.matches("\"Query\"").count(), 2);
    assert!(text.find("\"ok\"").unwrap() < text.find("\"Query\"").unwrap());
}

#[test]
fn large_heads_without_an_end_hold_little_memory() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = usize::try_from(LARGE_HEADS.min(hard.saturating_sub(1_000) / 2)).unwrap();
    let (daemon, _sim) = served(553, &["--connections-per-address", "0"]);
    let before = forget_peak(daemon.pid().as_raw());
    let begin = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(60_000));
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(daemon.public).unwrap();
        // It may be refused before all was sent.
        let _sent = stream.write_all(begin.as_bytes());
        stream.set_nonblocking(true).unwrap();
        held.push(stream);
    }
    wait_until("all are let go", || {
        std::thread::park_timeout(Duration::from_millis(20));
        held.retain_mut(|stream| match stream.read(&mut [0; 512]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        held.is_empty()
    });
    let grown = memory_kib(daemon.pid().as_raw(), "VmHWM").saturating_sub(before);
    let cut = counter(&daemon, "ticker_http_connections_cut_total{reason=\"head\"}");
    println!("{count} heads of 60,000 bytes without an end: {cut} refused, {grown} KiB more memory");
    // On a busy machine some 85 MiB: the places, and what the allocator has not returned yet.
    assert!(grown < 100 << 10, "{grown} KiB");
    assert!(cut > 0 || count <= PLACES, "{count}");
    assert_eq!(daemon.get("/livez").status, 200);
}
