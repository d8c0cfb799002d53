//! Limits of nginx for one client, which cost other clients nothing.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    nginx::{Nginx, assert_problem, assert_well_formed, conf_with, deployed},
    postgres::open_tempdir,
    processes::children,
    wait_until,
};

/// More than all buffers between nginx and a reader that does not read.
const LARGE_BYTES: usize = 24 << 20;

/// A stand-in for the daemon whose answers only need a size. Counts the answers that were sent.
struct StandIn {
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
}

impl StandIn {
    fn start(body_bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                std::thread::spawn(move || answer(stream, body_bytes, &count));
            }
        });
        Self { address, sent }
    }
}

fn answer(mut stream: TcpStream, body_bytes: usize, sent: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {body_bytes}\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\n"
    );
    let body = vec![b'x'; body_bytes];
    if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_ok() {
        sent.fetch_add(1, Ordering::SeqCst);
    }
}

fn nginx(replacements: &[(&str, &str)], body_bytes: usize) -> (Nginx, StandIn) {
    let stand_in = StandIn::start(body_bytes);
    let www = open_tempdir();
    (Nginx::start(&conf_with(replacements), stand_in.address, www.path()), stand_in)
}

#[test]
fn what_is_too_large_is_refused_with_its_name() {
    let (nginx, stand_in) = nginx(&[], 2);
    let body = "x".repeat((64 << 10) + 1);
    let post = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for path in ["/graphql", "/markets.json", "/", "/api/v1/status"] {
        let answer = nginx.ask("POST", path, &post);
        assert_problem(path, &answer, 413);
        assert_well_formed(path, &answer);
    }
    let header = format!("X-Large: {}\r\n", "x".repeat(33 << 10));
    let many: String = (0..70).map(|n| format!("X-{n}: {}\r\n", "x".repeat(1 << 10))).collect();
    for headers in [header, many] {
        assert_problem("headers", &nginx.ask("GET", "/", &headers), 431);
    }
    assert_problem("a path", &nginx.get(&format!("/{}", "x".repeat(33 << 10))), 414);
    assert_problem("a method", &nginx.ask("TRACE", "/", ""), 405);
    assert_problem("above the root", &nginx.get("/../../etc/passwd"), 400);
    assert_problem("two bodies", &nginx.ask("POST", "/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
    assert_eq!(stand_in.sent.load(Ordering::SeqCst), 0, "none of it reached the daemon");
    // As many as the daemon takes, each with the longest code.
    let asset = format!("ABCDEFGHIJKL-G{}", "A".repeat(55));
    let prices = format!("/api/v1/prices?assets={}", vec![asset; 200].join("%2C"));
    assert_eq!(nginx.get(&prices).status, 200, "{} bytes", prices.len());
}

#[test]
fn requests_to_graphql_are_limited_and_nothing_else() {
    // So few that no machine is too slow to see the limit.
    let (nginx, _stand_in) = nginx(&[("rate=20r/s", "rate=1r/m")], 2);
    let (mut refused, mut answered) = (None, 0);
    wait_until("graphql is limited", || {
        let answer = nginx.ask("POST", "/graphql", "Content-Length: 0\r\n");
        answered += usize::from(answer.status == 200);
        refused = Some(answer).filter(|answer| answer.status == 429);
        refused.is_some()
    });
    assert!((41..=43).contains(&answered), "{answered}: a burst of 40 is answered at once");
    let refused = refused.unwrap();
    assert_problem("graphql", &refused, 429);
    assert_well_formed("graphql", &refused);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    for path in ["/graphql/ws", "//graphql", "/graph%71l", "/graphql?query=x", "/graphql/later"] {
        assert_eq!(nginx.get(path).status, 429, "{path} is the same");
    }
    for path in
        ["/", "/markets.json", "/assets.json", "/v1/markets.json", "/api/v1/status", "/livez", "/graphiql"]
    {
        for _ in 0..60 {
            assert_eq!(nginx.get(path).status, 200, "{path}");
        }
    }
}

/// Sends requests as a reader of this address behind a proxy, until one is refused.
fn use_up(nginx: &Nginx, reader: &str) {
    let headers = format!("X-Forwarded-For: {reader}\r\nContent-Length: 0\r\n");
    wait_until("a reader is limited", || nginx.ask("POST", "/graphql", &headers).status == 429);
}

#[test]
fn behind_a_trusted_proxy_each_reader_has_a_limit_of_its_own_and_no_other_proxy_is_trusted() {
    const OTHER: &str = "X-Forwarded-For: 192.0.2.2\r\nContent-Length: 0\r\n";
    let (nginx, stand_in) = nginx(&[("rate=20r/s", "rate=1r/m")], 2);
    use_up(&nginx, "192.0.2.1");
    assert_eq!(nginx.ask("POST", "/graphql", OTHER).status, 429, "a header is no address");
    drop(nginx);
    // As in compose-ha.yml, where this test is the proxy.
    let trusted = deployed("trusted-proxies.conf");
    let here = trusted.replace("from 172.30.66.10;", "from 127.0.0.0/8;");
    assert_ne!(here, trusted);
    let (conf, www) = (conf_with(&[("rate=20r/s", "rate=1r/m")]), open_tempdir());
    let more = [("trusted-proxies.conf", here.as_str())];
    let nginx = Nginx::start_with(&conf, stand_in.address, www.path(), &more);
    use_up(&nginx, "192.0.2.1");
    assert_eq!(nginx.ask("POST", "/graphql", OTHER).status, 200, "another reader");
}

#[test]
fn addresses_of_the_same_64_bits_of_ipv6_share_a_limit() {
    let stand_in = StandIn::start(2);
    let trusted = deployed("trusted-proxies.conf").replace("from 172.30.66.10;", "from 127.0.0.0/8;");
    let (conf, www) = (conf_with(&[("rate=20r/s", "rate=1r/m")]), open_tempdir());
    let more = [("trusted-proxies.conf", trusted.as_str())];
    let nginx = Nginx::start_with(&conf, stand_in.address, www.path(), &more);
    use_up(&nginx, "2001:db8::1");
    for (reader, status) in
        [("2001:db8:0:0:ffff:a:0:b", 429), ("2001:db8:0:1::1", 200), ("2001:db9::1", 200), ("192.0.2.1", 200)]
    {
        let headers = format!("X-Forwarded-For: {reader}\r\nContent-Length: 0\r\n");
        assert_eq!(nginx.ask("POST", "/graphql", &headers).status, status, "{reader}");
    }
    use_up(&nginx, "::ffff:203.0.113.7");
    for (reader, status) in [("203.0.113.7", 429), ("::ffff:203.0.113.8", 200)] {
        let headers = format!("X-Forwarded-For: {reader}\r\nContent-Length: 0\r\n");
        assert_eq!(nginx.ask("POST", "/graphql", &headers).status, status, "{reader}");
    }
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let (nginx, stand_in) = nginx(&[("client_header_timeout 4s", "client_header_timeout 1s")], 2);
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    wait_until("the connection is closed", || {
        let written = stream.write_all(b"x");
        let read = stream.read(&mut [0; 512]);
        match read {
            Ok(0) => true,
            Ok(_) => false, // the refusal, before the end
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                written.is_err()
            }
            Err(_) => true,
        }
    });
    assert_eq!(stand_in.sent.load(Ordering::SeqCst), 0);
}

/// Bytes of files that are open in the workers of an nginx, deleted ones too; of its own directory alone.
fn open_files(nginx: &Nginx) -> u64 {
    let workers = children(nginx.pid());
    let of = |pid: i32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        descriptors.filter_map(|entry| {
            let path = std::fs::read_link(entry.path()).ok()?;
            let is_ours = path.starts_with(nginx.directory());
            is_ours.then(|| std::fs::metadata(entry.path()).map_or(0, |file| file.len()))
        })
    };
    workers.into_iter().flat_map(of).sum()
}

#[test]
fn slow_readers_hold_no_file_of_nginx_and_others_are_answered() {
    const SLOW: usize = 20;
    // However long this takes here.
    let patient = [(" send_timeout 10s", " send_timeout 1h")];
    let (nginx, stand_in) = nginx(&patient, LARGE_BYTES);
    for path in ["/api/large", "/markets.json"] {
        let mut slow: Vec<TcpStream> = (0..SLOW)
            .map(|_| {
                let mut stream = TcpStream::connect(nginx.address).unwrap();
                write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                stream
            })
            .collect();
        // Each has begun, and reads a little now and then.
        for _ in 0..5 {
            for stream in &mut slow {
                stream.read_exact(&mut [0; 1_000]).unwrap();
            }
        }
        let sent = stand_in.sent.load(Ordering::SeqCst);
        let other = nginx.get(path);
        assert_eq!((other.status, other.body.len()), (200, LARGE_BYTES), "{path}");
        wait_until("the fast reader's answer is sent", || stand_in.sent.load(Ordering::SeqCst) == sent + 1);
        assert_eq!(open_files(&nginx), 0, "{path}: the daemon holds what they have not read");
        // And the answers that they read are whole.
        let mut last = slow.pop().unwrap();
        last.read_exact(&mut vec![0; LARGE_BYTES - 5 * 1_000]).unwrap();
    }
}

#[test]
fn small_files_are_kept_and_larger_ones_are_not() {
    for (bytes, last) in [(99_999, "HIT"), (100_000, "MISS")] {
        let (nginx, _stand_in) = nginx(&[("|$minute\"", "\"")], bytes);
        let answers: Vec<_> = (0..3).map(|_| nginx.get("/markets.json")).collect();
        assert!(answers.iter().all(|answer| answer.body.len() == bytes));
        assert_eq!(answers[2].header("X-Cache"), Some(last), "{bytes}");
    }
}

#[test]
fn an_address_is_answered_so_many_requests_at_once() {
    const MOST: usize = 5;
    let (nginx, _stand_in) = nginx(&[("limit_conn addresses 100", "limit_conn addresses 5")], LARGE_BYTES);
    let mut held: Vec<TcpStream> = (0..MOST)
        .map(|_| {
            let mut stream = TcpStream::connect(nginx.address).unwrap();
            stream.write_all(b"GET /markets.json HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut [0; 100]).unwrap();
            stream
        })
        .collect();
    for path in ["/markets.json", "/livez", "/graphql"] {
        let refused = nginx.get(path);
        assert_problem(path, &refused, 429);
        assert_well_formed(path, &refused);
    }
    assert_eq!(nginx.get("/-/alive").status, 204, "the daemon's own probe");
    held.pop();
    wait_until("there is a place again", || nginx.get("/livez").status == 200);
}

#[test]
fn a_reader_that_reads_nothing_is_cut_off() {
    let (nginx, _stand_in) = nginx(&[(" send_timeout 10s", " send_timeout 1s")], LARGE_BYTES);
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.write_all(b"GET /markets.json HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    wait_until("its connection is gone", || sockets(&nginx) == 0);
    // It is reset, so that the kernel stops offering bytes that the reader does not take.
    let rest = stream.read_to_end(&mut Vec::new());
    assert_eq!(rest.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Connections of readers that nginx has.
fn sockets(nginx: &Nginx) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let IpAddr::V4(ip) = nginx.address.ip() else { panic!("{}", nginx.address) };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), nginx.address.port());
    let is_open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        // Established, or waiting for what is still to be sent.
        words.next() == Some(local.as_str()) && matches!(words.nth(1), Some("01" | "04" | "08"))
    };
    table.lines().filter(is_open).count()
}
