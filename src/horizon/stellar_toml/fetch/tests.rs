//! Fetches from small servers on loopback.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_rt::System;
use flate2::{Compression, write::GzEncoder};
use futures_util::future::FutureExt;

use super::{super::exchange::FILE_BYTES_MAX, *};

const GOOD: &str = "VERSION = \"2\"\n[DOCUMENTATION]\nORG_NAME = \"Tea\"\n";
const URL: &str = "https://tea.example/.well-known/stellar.toml";

/// Server that answers each connection with the same bytes after reading the request.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4_096];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                answer(&head, &mut stream);
            }
        });
        Self { address, asked }
    }

    fn of(head: &'static str, body: Vec<u8>) -> Self {
        Self::start(move |_, stream| {
            let length = body.len();
            let _ =
                write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&body);
        })
    }

    fn fetch(&self, url: &str) -> Result<IssuerFile, TomlError> {
        let settings = TomlSettings { gateway: Some(format!("http://{}", self.address)), ca_file: None };
        let deadline = Duration::from_millis(500);
        System::new().block_on(async {
            TomlClient::with(settings, gateway_lookup(), |_| true, deadline).unwrap().fetch(url).await
        })
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn reads_plain_and_compressed_files_from_the_gateway() {
    let asked_for = Server::start(|head, stream| {
        let right = head.starts_with("GET /tea.example/.well-known/stellar.toml HTTP/1.1\r\n");
        let status = if right { "200 OK" } else { "404 Not Found" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{GOOD}", GOOD.len());
    });
    assert_eq!(asked_for.fetch(URL).unwrap().org.name, "Tea");
    let compressed = Server::of("200 OK\r\nContent-Encoding: gzip", gzipped(GOOD.as_bytes()));
    assert_eq!(compressed.fetch(URL).unwrap().org.name, "Tea");
}

#[test]
fn does_not_request_what_a_gateway_does_not_serve() {
    let server = Server::of("200 OK", GOOD.into());
    for url in [
        "https://tea.example/other.toml",
        "http://tea.example/.well-known/stellar.toml",
        "https://10.0.0.1/",
        "",
    ] {
        assert_eq!(server.fetch(url).unwrap_err().kind(), "refused", "{url}");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn bad_answers_have_an_error_kind_each() {
    for (head, body, kind) in [
        ("404 Not Found", Vec::new(), "status"),
        ("200 OK", b"<html>parked</html>".to_vec(), "no_toml"),
        ("302 Found\r\nLocation: /elsewhere", Vec::new(), "redirect"),
        ("200 OK", vec![b'#'; FILE_BYTES_MAX + 1], "too_large"),
        ("200 OK\r\nContent-Encoding: gzip", gzipped(&vec![b'#'; 50_000_000]), "too_large"),
        ("200 OK\r\nContent-Encoding: gzip", b"nonsense".to_vec(), "encoding"),
        ("200 OK\r\nContent-Encoding: br", GOOD.into(), "encoding"),
    ] {
        let error = Server::of(head, body).fetch(URL).unwrap_err();
        assert_eq!(error.kind(), kind, "{head}: {error}");
    }
    let largest = [GOOD.as_bytes(), &vec![b'#'; FILE_BYTES_MAX - GOOD.len()]].concat();
    assert!(Server::of("200 OK", largest).fetch(URL).is_ok());
}

/// Server that writes exactly this and closes the connection.
fn answering(answer: String) -> Server {
    Server::start(move |_, stream| {
        let _ = stream.write_all(answer.as_bytes());
    })
}

#[test]
fn reads_a_body_that_ends_with_its_connection_within_the_limits() {
    for version in ["1.1", "1.0"] {
        for head in ["", "Content-Type: text/plain\r\n", "Connection: close\r\n"] {
            let server = answering(format!("HTTP/{version} 200 OK\r\n{head}\r\n{GOOD}"));
            assert_eq!(server.fetch(URL).unwrap().org.name, "Tea", "HTTP/{version} {head}");
        }
    }
    let large = answering(format!("HTTP/1.1 200 OK\r\n\r\n{}", "#".repeat(FILE_BYTES_MAX + 1)));
    assert_eq!(large.fetch(URL).unwrap_err().kind(), "too_large");
}

#[test]
fn rejects_a_truncated_body() {
    let length = GOOD.len();
    for (cut, head) in [
        ("Content-Length", format!("Content-Length: {}\r\n\r\n{GOOD}", length + 1)),
        ("no last chunk", format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{GOOD}\r\n")),
        ("half a chunk", format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{GOOD}", length + 1)),
    ] {
        let server = answering(format!("HTTP/1.1 200 OK\r\n{head}"));
        assert_eq!(server.fetch(URL).unwrap_err().kind(), "connect", "{cut}");
    }
    let whole =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{GOOD}\r\n0\r\n\r\n");
    assert_eq!(answering(whole).fetch(URL).unwrap().org.name, "Tea");
}

#[test]
fn aborts_endless_response_heads() {
    let server = Server::start(|_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: of it\r\n").is_ok() {}
    });
    assert_eq!(server.fetch(URL).unwrap_err().kind(), "connect");
}

#[test]
fn silence_and_endless_bodies_end_at_the_deadline() {
    let silent = Server::start(|_, stream| {
        let mut stream = stream.try_clone().unwrap();
        std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
    });
    assert_eq!(silent.fetch(URL).unwrap_err().kind(), "timed_out");
    let dripping = Server::start(|_, stream| {
        let mut stream = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");
            while stream.write_all(b"#").is_ok() {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
    });
    assert_eq!(dripping.fetch(URL).unwrap_err().kind(), "timed_out");
}

/// Maximum number of concurrent requests while these hosts' files were fetched.
fn most_at_once(hosts: &[String]) -> usize {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = Server::start(move |_, stream| {
        let (mut stream, now, most) = (stream.try_clone().unwrap(), Arc::clone(&now), Arc::clone(&most));
        std::thread::spawn(move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::park_timeout(Duration::from_millis(50));
            now.fetch_sub(1, Ordering::SeqCst);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{GOOD}",
                GOOD.len()
            );
        });
    });
    System::new().block_on(async {
        let settings = TomlSettings { gateway: Some(format!("http://{}", server.address)), ca_file: None };
        let client = TomlClient::with(settings, gateway_lookup(), |_| true, Duration::from_secs(30)).unwrap();
        let urls: Vec<String> =
            hosts.iter().map(|host| format!("https://{host}/.well-known/stellar.toml")).collect();
        let fetches = urls.iter().map(|url| client.fetch(url));
        for fetched in futures_util::future::join_all(fetches).await {
            assert_eq!(fetched.unwrap().org.name, "Tea");
        }
        assert!(client.hosts.borrow().is_empty(), "idle hosts are removed");
    });
    seen.load(Ordering::SeqCst)
}

#[test]
fn concurrent_fetches_are_limited_and_one_per_host() {
    let many: Vec<String> =
        (0..3 * CONCURRENT_FETCHES_MAX).map(|number| format!("tea{number}.example")).collect();
    let most = most_at_once(&many);
    assert!((2..=CONCURRENT_FETCHES_MAX).contains(&most), "{most} at once");
    assert_eq!(most_at_once(&vec!["tea.example".to_owned(); 6]), 1);
}

/// Client without a gateway, whose names all resolve to `addresses`.
fn direct(
    addresses: Vec<SocketAddr>,
    is_allowed: fn(IpAddr) -> bool,
    ca_file: Option<PathBuf>,
) -> TomlClient {
    let lookup: Lookup = Rc::new(move |_, _| {
        let addresses = addresses.clone();
        async move { Ok(addresses) }.boxed_local()
    });
    let settings = TomlSettings { gateway: None, ca_file };
    TomlClient::with(settings, lookup, is_allowed, Duration::from_secs(5)).unwrap()
}

#[test]
fn never_dials_a_name_with_an_internal_address() {
    let canary = Server::of("200 OK", GOOD.into());
    let public: SocketAddr = "192.0.2.1:443".parse().unwrap(); // counts as public below, and no host is there
    let rule = |address: IpAddr| !address.is_loopback();
    System::new().block_on(async {
        for addresses in [vec![canary.address], vec![public, canary.address], vec![canary.address, public]] {
            let client = direct(addresses, rule, None);
            for url in ["https://tea.com/.well-known/stellar.toml", "https://localhost.tea.com/"] {
                assert_eq!(client.fetch(url).await.unwrap_err().kind(), "connect");
            }
            for url in [
                "https://127.0.0.1/",
                "https://2130706433/",
                "https://localhost/",
                "https://a.localhost/",
                "https://[::1]/",
            ] {
                assert_eq!(client.fetch(url).await.unwrap_err().kind(), "refused");
            }
        }
    });
    assert_eq!(canary.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn dials_the_checked_address_even_if_the_name_changes_meanwhile() {
    let canary = Server::of("200 OK", GOOD.into());
    let public: SocketAddr = "192.0.2.1:443".parse().unwrap(); // counts as public below, and no host is there
    let (looks, inward) = (Arc::new(AtomicUsize::new(0)), canary.address);
    let counted = Arc::clone(&looks);
    // Resolves alternately to a public and an internal address.
    let lookup: Lookup = Rc::new(move |_, _| {
        let look = counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok(vec![if look % 2 == 0 { public } else { inward }]) }.boxed_local()
    });
    System::new().block_on(async {
        let settings = TomlSettings { gateway: None, ca_file: None };
        let allowed = |address: IpAddr| !address.is_loopback();
        let client = TomlClient::with(settings, lookup, allowed, Duration::from_millis(200)).unwrap();
        for fetch in 0..6 {
            assert!(client.fetch("https://tea.com/").await.is_err());
            assert_eq!(looks.load(Ordering::SeqCst), fetch + 1, "one resolution per fetch");
        }
    });
    assert_eq!(canary.asked.load(Ordering::SeqCst), 0);
}

const PROXIED: &str = "TICKER_TEST_PROXIED";

#[test]
#[ignore = "the child of the test below, with a proxy in its environment"]
fn child_fetches_with_a_proxy_in_its_environment() {
    assert!(std::env::var_os(PROXIED).is_some());
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), |_, _| file());
    System::new().block_on(async {
        let client = direct(vec![address], |_| true, Some(ca_file));
        assert_eq!(client.fetch("https://tea.com/").await.unwrap().org.name, "Tea");
    });
    assert_eq!(Server::of("200 OK", GOOD.into()).fetch(URL).unwrap().org.name, "Tea");
}

#[test]
fn ignores_a_proxy_in_the_environment() {
    let canary = Server::of("200 OK", GOOD.into());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let test = "horizon::stellar_toml::fetch::tests::child_fetches_with_a_proxy_in_its_environment";
    child
        .args(["--exact", test, "--ignored"])
        .env(PROXIED, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, format!("http://{}", canary.address));
    }
    let output = child.output().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
    assert_eq!(canary.asked.load(Ordering::SeqCst), 0);
}

/// Names that resolve to servers of this test.
const NAMES: [&str; 4] = ["tea.com", "www.tea.com", "new.net", "inward.net"];

/// Server with a certificate for [`NAMES`]. `answer` receives host and path. An answer that begins with `!` is
/// truncated: its connection ends without TLS's close_notify.
fn tls_server(
    directory: &std::path::Path,
    answer: impl Fn(&str, &str) -> String + Send + 'static,
) -> (SocketAddr, PathBuf) {
    let issued = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
    let ca_file = directory.join("ca.pem");
    std::fs::write(&ca_file, issued.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut tls, &mut stream);
            let mut head = [0; 4_096];
            let Ok(length) = tls.read(&mut head) else { continue };
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            let answer = answer(host, path);
            let _ = tls.write_all(answer.trim_start_matches('!').as_bytes());
            if !answer.starts_with('!') {
                tls.conn.send_close_notify();
            }
            let _ = tls.flush();
        }
    });
    (address, ca_file)
}

fn file() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{GOOD}", GOOD.len())
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Hosts of the redirect tests.
fn answer_of_hosts(host: &str, path: &str) -> String {
    match (host, path) {
        ("tea.com", "/to-www") => moved("https://www.tea.com/file"),
        ("tea.com", "/to-new") => moved("https://NEW.net./to-www"),
        ("new.net", "/to-www") => moved("//www.tea.com/file"),
        ("tea.com", "/one") => moved("https://TEA.com/two"),
        ("tea.com", "/two") => moved("/file"),
        ("tea.com", "/three") => moved("/one"),
        ("tea.com", "/four") => moved("/three"),
        ("tea.com", "/loop") => moved("/loop"),
        ("tea.com", "/ping") => moved("https://new.net/pong"),
        ("new.net", "/pong") => moved("https://tea.com/ping"),
        ("tea.com", "/plain") => moved("http://tea.com/file"),
        ("tea.com", "/literal") => moved("https://127.0.0.1/file"),
        ("tea.com", "/port") => moved("https://tea.com:8443/file"),
        ("tea.com", "/special") => moved("https://tea.internal/file"),
        ("tea.com", "/inwards") => moved("https://inward.net/file"),
        ("tea.com", "/nowhere") => {
            "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
        }
        ("tea.com", "/closing") => format!("HTTP/1.1 200 OK\r\n\r\n{GOOD}"),
        ("tea.com", "/cut") => format!("!HTTP/1.1 200 OK\r\n\r\n{GOOD}"),
        _ => file(),
    }
}

/// Client whose names resolve to `address`, which counts as public, except `inward.net`, which resolves to `canary`.
fn of_hosts(address: SocketAddr, canary: SocketAddr, ca_file: PathBuf) -> TomlClient {
    // Both are on loopback and differ only by port. `is_allowed` sees only addresses, so inward.net gets another one.
    let inward = SocketAddr::from(([127, 0, 0, 2], canary.port()));
    let lookup: Lookup = Rc::new(move |host, port| {
        assert_eq!(port, 443);
        async move { Ok(vec![if host == "inward.net" { inward } else { address }]) }.boxed_local()
    });
    let allowed = |address: IpAddr| address != IpAddr::from([127, 0, 0, 2]);
    TomlClient::with(
        TomlSettings { gateway: None, ca_file: Some(ca_file) },
        lookup,
        allowed,
        Duration::from_secs(20),
    )
    .unwrap()
}

#[test]
fn follows_up_to_three_redirects_to_other_public_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), answer_of_hosts);
    System::new().block_on(async {
        let client = of_hosts(address, address, ca_file);
        for path in ["file", "two", "one", "three", "to-www", "to-new", "closing"] {
            let fetched = client.fetch(&format!("https://tea.com/{path}")).await;
            assert_eq!(fetched.unwrap().org.name, "Tea", "{path}");
        }
        assert!(client.hosts.borrow().is_empty(), "idle hosts are removed");
    });
}

#[test]
fn every_redirect_passes_the_guard() {
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), answer_of_hosts);
    // Reachable at every loopback address: only the guard prevents a request.
    let canary = TcpListener::bind("0.0.0.0:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    System::new().block_on(async {
        let client = of_hosts(address, canary.local_addr().unwrap(), ca_file);
        for (path, kind) in [
            ("four", "redirect"),
            ("loop", "redirect"),
            ("ping", "redirect"),
            ("plain", "redirect"),
            ("literal", "redirect"),
            ("port", "redirect"),
            ("special", "redirect"),
            ("nowhere", "redirect"),
            ("inwards", "connect"),
            ("cut", "connect"),
        ] {
            let error = client.fetch(&format!("https://tea.com/{path}")).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{path}: {error}");
        }
        let others = client.fetch("https://other.com/file").await.unwrap_err();
        assert_eq!(others.kind(), "connect", "the certificate of another host");
        assert!(client.hosts.borrow().is_empty(), "idle hosts are removed");
    });
    assert_eq!(canary.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "no internal connection");
}

#[test]
fn domains_that_redirect_to_each_other_do_not_deadlock() {
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), answer_of_hosts);
    System::new().block_on(async {
        let client = of_hosts(address, address, ca_file);
        let (one, other) =
            tokio::join!(client.fetch("https://tea.com/ping"), client.fetch("https://new.net/pong"));
        assert_eq!((one.unwrap_err().kind(), other.unwrap_err().kind()), ("redirect", "redirect"));
    });
}

#[test]
fn tries_the_other_addresses_if_one_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), answer_of_hosts);
    // A listener with a full queue never accepts another connection, like an unused address.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let dead = full.local_addr().unwrap().as_socket().unwrap();
    let mut knocks = Vec::new();
    while let Ok(knock) = TcpStream::connect_timeout(&dead, Duration::from_millis(300)) {
        knocks.push(knock);
    }
    System::new().block_on(async {
        let client = direct(vec![dead, address], |_| true, Some(ca_file));
        assert_eq!(client.fetch("https://tea.com/file").await.unwrap().org.name, "Tea");
    });
}

#[test]
fn an_address_that_accepts_and_stays_silent_is_tried_last() {
    let directory = tempfile::tempdir().unwrap();
    let (address, ca_file) = tls_server(directory.path(), answer_of_hosts);
    // The kernel accepts connections for a process that never does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![silent.local_addr().unwrap(), address];
    System::new().block_on(async {
        let client = direct(addresses, |_| true, Some(ca_file)).within(Duration::from_millis(500));
        assert_eq!(client.fetch("https://tea.com/file").await.unwrap_err().kind(), "timed_out");
        let mut attempts = 0..20; // for a busy machine
        while client.fetch("https://tea.com/file").await.is_err() {
            assert!(attempts.next().is_some(), "the silent address hides the other one");
        }
    });
}
