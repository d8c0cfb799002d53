//! What a client may take of nginx, and that it takes nothing from others.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    nginx::{Nginx, assert_problem, assert_well_formed, conf_with, deployed},
    postgres::open_tempdir,
    wait_until,
};

/// More than all buffers between nginx and a reader that does not read.
const LARGE_BYTES: usize = 24 << 20;

/// A daemon of which only the answers' size matters. Counts those that it has got rid of.
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
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body_bytes}\r\nConnection: close\r\n\r\n");
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
    let header = format!("X-Large: {}\r\n", "x".repeat(9 << 10));
    let many: String = (0..40).map(|n| format!("X-{n}: {}\r\n", "x".repeat(1 << 10))).collect();
    for headers in [header, many] {
        assert_problem("headers", &nginx.ask("GET", "/", &headers), 431);
    }
    assert_problem("a path", &nginx.get(&format!("/{}", "x".repeat(9 << 10))), 414);
    assert_problem("a method", &nginx.ask("TRACE", "/", ""), 405);
    assert_problem("above the root", &nginx.get("/../../etc/passwd"), 400);
    assert_problem("two bodies", &nginx.ask("POST", "/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400);
    assert_eq!(stand_in.sent.load(Ordering::SeqCst), 0, "nothing of that came to the daemon");
}

#[test]
fn requests_to_graphql_and_codings_with_weights_are_limited_and_nothing_else() {
    // So few that no machine is too slow to see the limit.
    let (nginx, _stand_in) = nginx(&[("rate=20r/s", "rate=1r/m")], 2);
    let mut refused = None;
    wait_until("graphql is limited", || {
        refused = Some(nginx.ask("POST", "/graphql", "Content-Length: 0\r\n"))
            .filter(|answer| answer.status == 429);
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert_problem("graphql", &refused, 429);
    assert_well_formed("graphql", &refused);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    for path in ["/graphql/ws", "//graphql", "/graph%71l", "/graphql?query=x"] {
        assert_eq!(nginx.get(path).status, 429, "{path} is the same");
    }
    wait_until("codings with weights are limited", || {
        let weighed = nginx.ask("GET", "/markets.json", "Accept-Encoding: gzip;q=0.5\r\n");
        if weighed.status == 429 {
            assert_problem("a weight", &weighed, 429);
        }
        weighed.status == 429
    });
    for path in
        ["/", "/markets.json", "/assets.json", "/v1/markets.json", "/api/v1/status", "/livez", "/graphiql"]
    {
        for _ in 0..60 {
            assert_eq!(nginx.get(path).status, 200, "{path}");
        }
    }
}

/// Asks as a reader of this address behind a proxy, until that one is refused.
fn use_up(nginx: &Nginx, reader: &str) {
    let headers = format!("X-Forwarded-For: {reader}\r\nContent-Length: 0\r\n");
    wait_until("a reader is limited", || nginx.ask("POST", "/graphql", &headers).status == 429);
}

#[test]
fn behind_a_proxy_that_is_trusted_each_reader_has_a_limit_of_its_own_and_elsewhere_nobody_is_believed() {
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
fn a_head_that_drips_is_cut_off() {
    let (nginx, stand_in) = nginx(&[("client_header_timeout 10s", "client_header_timeout 1s")], 2);
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

#[test]
fn readers_that_do_not_read_hold_neither_the_daemon_nor_others() {
    const SLOW: usize = 20;
    let (nginx, stand_in) = nginx(&[], LARGE_BYTES);
    let slow: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(nginx.address).unwrap();
            stream.write_all(b"GET /api/large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    wait_until("the daemon has got rid of all answers", || stand_in.sent.load(Ordering::SeqCst) == SLOW);
    let other = nginx.get("/api/large");
    assert_eq!((other.status, other.body.len()), (200, LARGE_BYTES));
    // And what they come to read in the end is whole.
    let mut last = slow.into_iter().next_back().unwrap();
    let mut bytes = vec![0; LARGE_BYTES];
    last.read_exact(&mut bytes).unwrap();
}
