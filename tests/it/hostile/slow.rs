//! Slow and steady readers, and idle connections: the memory that they hold, and which of them are cut off.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::{
    hostile::counter,
    support::{
        daemon::Daemon,
        figure,
        network::{PASSPHRASE, block_on, network},
        postgres::fresh_database,
        processes::{forget_peak, memory_kib},
        progress::wait_for_pairs,
        wait_until,
        wide::wide_database,
    },
};
use stellar_ticker::sim::FaultPlan;

/// Markets for which `markets.json` takes some 15 MB.
const MARKETS: u32 = 12_000;
/// Slow readers, each of another publication.
const READERS: usize = 16;
/// Memory that may be in use for them: 80 MiB of plain files, and 72 MiB for publications and buffers.
const GROWN_KIB: u64 = (80 + 72) << 10;

/// A daemon with one address' share of connections, and `more` arguments.
fn small(seed: u64, more: &[&str]) -> (Daemon, stellar_ticker::sim::SimServer) {
    let sim = network(seed, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, more);
    wait_for_pairs(&daemon);
    (daemon, sim)
}

/// Returns true if the daemon has closed a connection on which nothing was sent.
fn has_ended(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    // An answer comes first if the time limit for the head of a request was reached.
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

fn ask(address: SocketAddr, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    setsockopt(&stream, RcvBuf, &65_536).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /markets.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    stream
}

/// Reads 20 KB each half second, which is a slow reader's pace and no standstill, until it is cut off or all is over.
fn read_slowly(mut stream: TcpStream, is_over: &AtomicBool) {
    let mut piece = vec![0; 20_000];
    while !is_over.load(Ordering::SeqCst) && stream.read_exact(&mut piece).is_ok() {
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

#[test]
fn slow_and_steady_readers_hold_no_more_than_a_few_publications_and_the_newest_win() {
    let database = block_on(wide_database(MARKETS));
    // Files are written once. Later ones would hide what readers hold.
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &["--file-interval", "1h"]);
    wait_until("the markets are published", || {
        let answer = daemon.get_with("HEAD", "/markets.json", "");
        answer.status == 200 && answer.header("content-length").unwrap().len() >= 8
    });
    let as_of = || daemon.get_with("HEAD", "/markets.json", "").header("x-ticker-as-of").unwrap().to_owned();
    let size: usize =
        daemon.get_with("HEAD", "/markets.json", "").header("content-length").unwrap().parse().unwrap();
    wait_until("a few publications were made", || counter(&daemon, "ticker_publications_total") > 5);
    daemon.wait_for_files();
    let before = forget_peak(daemon.pid().as_raw());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut last = String::new();
        for _ in 0..READERS {
            wait_until("another publication is there", || as_of() != last);
            last = as_of();
            let stream = ask(daemon.public, "");
            let is_over = &is_over;
            scope.spawn(move || read_slowly(stream, is_over));
        }
        let cut = counter(&daemon, "ticker_http_connections_cut_total{reason=\"old\"}");
        let grown = memory_kib(daemon.pid().as_raw(), "VmHWM").saturating_sub(before);
        let whole = daemon.get("/markets.json");
        is_over.store(true, Ordering::SeqCst);
        println!("{READERS} slow readers of {size} bytes: {cut} were cut off, {grown} KiB more memory");
        assert_eq!((whole.status, whole.body.len()), (200, size), "a fast reader gets all of it");
        assert!(size * READERS > (80 << 20) * 2, "so much that the bound matters: {size}");
        assert!(cut >= 8 && cut < READERS as u64, "{cut}");
        assert!(grown < GROWN_KIB, "{grown} KiB");
        figure!(
            "slow, steady readers hold at most a few publications",
            "{READERS} readers of {} MB at 40 KB/s, each of another publication: {cut} cut off, {} MB more memory",
            size / 1_000_000,
            grown / 1_000
        );
    });
}

#[test]
fn a_reader_that_all_but_stands_still_is_cut_off() {
    let database = block_on(wide_database(MARKETS / 2));
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &["--publish-interval", "24h"]);
    wait_until("the markets are published", || daemon.get_with("HEAD", "/markets.json", "").status == 200);
    let mut stream = ask(daemon.public, "");
    let mut read = 0;
    wait_until("it is cut off", || {
        // At most 10 KB a second, at which the file would take 10 minutes.
        std::thread::park_timeout(Duration::from_millis(80));
        // On a busy machine this reads so little that the kernel ends the connection before
        // the daemon measures its pace.
        let Ok(bytes @ 1..) = stream.read(&mut [0; 1_000]) else { return true };
        read += bytes;
        counter(&daemon, "ticker_http_connections_cut_total{reason=\"slow\"}") == 1
    });
    // The bytes that the kernel holds still come, and no more.
    let mut rest = Vec::new();
    let _ended_early = stream.read_to_end(&mut rest);
    read += rest.len();
    assert!(read < 4_000_000, "{read} bytes");
    assert_eq!(daemon.get("/markets.json").status, 200);
}

#[test]
fn idle_connections_make_room_for_new_ones_and_no_address_takes_more_than_its_share() {
    const SHARE: usize = 40;
    const IDLE: usize = 400;
    let (daemon, _sim) = small(541, &["--connections-per-address", "40"]);
    let idle: Vec<TcpStream> = (0..IDLE)
        .map(|number| {
            // Among them a reader is answered at any time.
            if number % 50 == 0 {
                assert_eq!(daemon.get("/livez").status, 200);
            }
            TcpStream::connect(daemon.public).unwrap()
        })
        .collect();
    let are_open = || idle.iter().filter(|stream| !has_ended(stream)).count();
    wait_until("the oldest are gone", || are_open() <= SHARE);
    for _ in 0..20 {
        assert_eq!(daemon.get("/markets.json").status, 200);
    }
    assert!(has_ended(&idle[0]), "the first came first to go");
    assert!(counter(&daemon, "ticker_http_connections_cut_total{reason=\"address\"}") > 0);
    figure!(
        "idle connections do not keep readers out",
        "{IDLE} connections of one address with a limit of {SHARE}: others are answered at once, and the oldest are closed"
    );
}

#[test]
fn a_listener_that_is_full_lets_the_longest_idle_go() {
    const IDLE: usize = 300;
    /// Connections that 600 descriptors allow: 400 are kept, and each connection takes two.
    const CONNECTIONS: usize = 100;
    let environment = [(crate::support::daemon::OPEN_FILES, "600")];
    let sim = network(542, FaultPlan::none());
    let database = block_on(fresh_database());
    let more = ["--connections-per-address", "0"];
    let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &more);
    wait_for_pairs(&daemon);
    let idle: Vec<TcpStream> = (0..IDLE).map(|_| TcpStream::connect(daemon.public).unwrap()).collect();
    for _ in 0..20 {
        assert_eq!(daemon.get("/markets.json").status, 200);
    }
    // On a busy machine, some of them reach the time limit for the head of a request before they are cut for others.
    wait_until("so many are gone that the rest fits", || {
        idle.iter().filter(|stream| !has_ended(stream)).count() <= CONNECTIONS
    });
    assert!(has_ended(&idle[0]), "the first came first to go");
    assert!(counter(&daemon, "ticker_http_connections_cut_total{reason=\"crowd\"}") > 0);
}

#[test]
fn a_client_that_asks_before_sending_a_large_body_is_refused() {
    let (daemon, _sim) = small(543, &[]);
    let begin = |bytes: usize| {
        let mut stream = TcpStream::connect(daemon.public).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(
            stream,
            "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {bytes}\r\n\r\n"
        )
        .unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let (mut stream, head) = begin(50 << 20);
    assert_eq!(head, "HTTP/1.1 413");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("application/problem+json") && rest.contains("\"status\":413"), "{rest}");
    let body = r#"{"query":"{__typename}"}"#;
    let (mut stream, head) = begin(body.len());
    assert_eq!(head, "HTTP/1.1 100");
    stream.write_all(body.as_bytes()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200") && rest.contains("\"Query\""), "{rest}");
}
