//! The client of Horizon, against the simulated one.

mod garbage;
mod held_back;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use actix_rt::System;
use flate2::{Compression, write::GzEncoder};
use stellar_ticker::{
    domain::{asset::Asset, cursor::PagingToken},
    horizon::{
        HorizonClient, HorizonError,
        budget::Class,
        client::{HorizonSettings, PageOrder},
        rate_limiter::RateLimiter,
        stream::StreamItem,
    },
    sim::{Endpoint, Fault, FaultPlan, SimConfig, SimServer, start},
};

use crate::support::{bound::alone, daemon::output_of, reached, tls_server::serve_tls};

fn network(faults: FaultPlan) -> SimServer {
    let config = SimConfig {
        seed: 5,
        trades_per_second: 40.0,
        history_hours: 1,
        ledger_seconds: 1.0,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    };
    start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

fn client(sim: &SimServer) -> HorizonClient {
    let settings =
        HorizonSettings { url: sim.url(), ca_file: None, stream_idle_timeout: Duration::from_millis(300) };
    HorizonClient::new(settings, RateLimiter::new(0)).unwrap()
}

async fn tokens(client: &HorizonClient, cursor: PagingToken, order: PageOrder) -> Vec<PagingToken> {
    let page = client.trades_page(Some(cursor), order, 200).await.unwrap();
    page.into_iter().map(|record| record.unwrap().trade.token).collect()
}

#[test]
fn connections_are_counted_but_those_on_which_the_root_is_asked() {
    let sim = network(FaultPlan::none());
    System::new().block_on(async {
        let client = client(&sim);
        let page = || client.trades_page(None, PageOrder::Descending, 1);
        client.root().await.unwrap();
        assert_eq!(client.connections_opened(), 0);
        page().await.unwrap();
        page().await.unwrap();
        assert_eq!(client.of_class(Class::History).connections_opened(), 1, "one is used again");
        client.root().await.unwrap();
        assert_eq!(client.connections_opened(), 1);
        let address = sim.addr();
        sim.stop();
        let again = RefCell::new(None);
        // A process that another test starts may hold the port for a moment.
        reached("the port is free", async || {
            *again.borrow_mut() = start(SimConfig { seed: 5, ..SimConfig::default() }, address).ok();
            again.borrow().is_some()
        })
        .await;
        reached("a page is read", async || page().await.is_ok()).await;
        assert!(client.connections_opened() > 1, "behind the next one may be another server");
    });
}

#[test]
fn pages_lead_through_the_same_history_both_ways() {
    let sim = network(FaultPlan::none());
    System::new().block_on(async {
        let client = client(&sim);
        let root = client.root().await.unwrap();
        let (from, to) = (root.history_latest_ledger - 30, root.history_latest_ledger - 1);
        let (first, end) = (PagingToken::before_ledger(from), PagingToken::before_ledger(to + 1));
        let (mut forth, mut cursor) = (Vec::new(), first);
        while cursor < end {
            let page = tokens(&client, cursor, PageOrder::Ascending).await;
            cursor = *page.last().unwrap();
            forth.extend(page);
        }
        forth.retain(|token| *token < end);
        let (mut back, mut cursor) = (Vec::new(), end);
        while cursor > first {
            let page = tokens(&client, cursor, PageOrder::Descending).await;
            cursor = *page.last().unwrap();
            back.extend(page);
        }
        back.retain(|token| *token > first);
        back.reverse();
        assert!(forth.is_sorted() && forth.len() > 200);
        assert_eq!(forth, back);
        assert_eq!(forth.len(), sim.oracle().trades(from..=to).len());
    });
}

#[test]
fn a_descending_read_reports_history_before_the_elder_ledger_as_gone() {
    let sim = network(FaultPlan::none());
    System::new().block_on(async {
        let client = client(&sim);
        let elder = client.root().await.unwrap().history_elder_ledger;
        let gone =
            client.trades_page(Some(PagingToken::before_ledger(elder - 10)), PageOrder::Descending, 10).await;
        assert!(matches!(gone, Err(HorizonError::Problem { status: 410, .. })), "{gone:?}");
    });
}

#[test]
fn each_kind_of_refusal_is_distinguished() {
    let faults = FaultPlan::none();
    for fault in [
        Fault::Status(429),
        Fault::Status(503),
        Fault::HtmlWith200,
        Fault::TruncatedJson { after_bytes: 200 },
    ] {
        faults.push(Endpoint::Trades, fault);
    }
    let sim = network(faults);
    System::new().block_on(async {
        let client = client(&sim);
        let mut kinds = Vec::new();
        for _ in 0..4 {
            let error = client.trades_page(None, PageOrder::Ascending, 10).await.unwrap_err();
            assert!(error.is_transient(), "{error}");
            kinds.push(error.kind());
        }
        assert_eq!(kinds[..3], ["rate_limited", "problem", "unreadable"]);
        assert!(client.trades_page(None, PageOrder::Ascending, 10).await.is_ok());
    });
}

#[test]
fn a_failing_server_says_when_to_try_again_and_an_absurd_time_is_ignored() {
    let faults = FaultPlan::none();
    for endpoint in [Endpoint::Trades, Endpoint::Stream] {
        for retry_after in ["17", "600", "99999"] {
            faults.push(endpoint, Fault::RetryLater { status: 503, retry_after });
        }
    }
    let sim = network(faults);
    System::new().block_on(async {
        let client = client(&sim);
        for expected in [Some(17), Some(60), None].map(|seconds| seconds.map(Duration::from_secs)) {
            let page = client.trades_page(None, PageOrder::Ascending, 10).await.unwrap_err();
            let stream = client.stream_trades(PagingToken::before_ledger(1)).await.err().unwrap();
            assert_eq!([page.retry_after(), stream.retry_after()], [expected; 2], "{page:?}");
        }
    });
}

#[test]
fn a_proxys_error_pages_are_failed_requests_and_say_nothing_about_what_was_asked_for() {
    let faults = FaultPlan::none();
    let statuses = [301, 400, 401, 403, 404, 410, 418, 500, 502];
    let all = [Endpoint::Root, Endpoint::Trades, Endpoint::Assets, Endpoint::OrderBook, Endpoint::Stream];
    for endpoint in all {
        statuses.iter().for_each(|status| faults.push(endpoint, Fault::ProxyPage(*status)));
    }
    let sim = network(faults.clone());
    System::new().block_on(async {
        let client = client(&sim);
        let tea = Asset::issued("TEA", "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN").unwrap();
        let token = PagingToken::before_ledger(1);
        for status in statuses {
            for error in [
                client.root().await.unwrap_err(),
                client.trades_page(Some(token), PageOrder::Descending, 10).await.unwrap_err(),
                client.asset(&tea).await.unwrap_err(),
                client.order_book(&Asset::Native, &tea).await.unwrap_err(),
                client.stream_trades(token).await.err().unwrap(),
            ] {
                assert!(
                    matches!(error, HorizonError::Status { status: event, .. } if event == status),
                    "{error:?}"
                );
                assert!(error.is_transient(), "{error}");
            }
        }
        assert!(all.iter().all(|endpoint| faults.pending(*endpoint) == 0));
        assert!(client.root().await.is_ok());
    });
}

#[test]
fn answers_that_end_with_their_connection_are_read_within_the_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let root = ROOT.to_owned();
    let hello = "retry: 1000\nevent: open\ndata: \"hello\"\n\n".to_owned();
    let problem =
        r#"{"type": "https://stellar.org/horizon-errors/not_found", "title": "", "status": 404}"#.to_owned();
    let answers = [
        ("200 OK\r\nContent-Type: application/json", root),
        ("200 OK\r\nContent-Type: text/event-stream", hello),
        ("404 Not Found\r\nContent-Type: application/problem+json", problem),
        ("200 OK\r\nContent-Type: application/json", " ".repeat(20_000_000)),
    ];
    std::thread::spawn(move || {
        for (mut stream, (head, body)) in listener.incoming().flatten().zip(answers) {
            let _ = stream.read(&mut [0; 4_096]);
            let _ = write!(stream, "HTTP/1.1 {head}\r\n\r\n{body}");
        }
    });
    System::new().block_on(async {
        let settings = HorizonSettings { url, ca_file: None, stream_idle_timeout: Duration::from_secs(20) };
        let client = HorizonClient::new(settings, RateLimiter::new(0)).unwrap();
        assert_eq!(client.root().await.unwrap().network_passphrase, "Tea");
        let mut stream = client.stream_trades(PagingToken::before_ledger(1)).await.unwrap();
        assert!(matches!(stream.next().await.unwrap(), StreamItem::Open));
        assert!(matches!(stream.next().await.unwrap(), StreamItem::End));
        let problem = client.root().await.unwrap_err();
        assert!(matches!(problem, HorizonError::Problem { status: 404, .. }), "{problem:?}");
        let endless = client.root().await.unwrap_err();
        assert!(matches!(endless, HorizonError::TooLarge(_)), "{endless:?}");
    });
}

/// A Horizon of one word over TLS on loopback, whose certificate is for `localhost`: its port, and the certificate.
fn tls_horizon() -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut names_length = false;
    let certificate = serve_tls(listener, move |request| {
        let is_named = request.to_ascii_lowercase().contains(&format!("\r\nhost: localhost:{port}\r\n"));
        let body = if is_named { ROOT } else { "another host" };
        // Every other body ends with its connection instead.
        names_length = !names_length;
        let length = if names_length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n{body}").into_bytes()
    });
    (port, certificate)
}

const ROOT: &str = r#"{"network_passphrase": "Tea", "history_latest_ledger": 7}"#;

#[test]
fn a_horizon_behind_tls_is_read_if_its_certificate_is_right() {
    let (port, certificate) = tls_horizon();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, certificate).unwrap();
    System::new().block_on(async {
        let asked = async |host: &str, ca_file: Option<&Path>| {
            let url = format!("https://{host}:{port}");
            let ca_file = ca_file.map(Path::to_owned);
            let settings = HorizonSettings { url, ca_file, stream_idle_timeout: Duration::from_secs(1) };
            HorizonClient::new(settings, RateLimiter::new(0)).unwrap().root().await
        };
        for _ in 0..2 {
            assert_eq!(asked("localhost", Some(&trusted)).await.unwrap().network_passphrase, "Tea");
        }
        for (host, ca_file) in [("localhost", None), ("127.0.0.1", Some(&*trusted))] {
            let error = asked(host, ca_file).await.unwrap_err();
            assert!(
                matches!(&error, HorizonError::Connect(text) if text.contains("certificate")),
                "{host}: {error}"
            );
        }
    });
}

#[test]
fn a_page_of_some_kilobytes_that_decodes_to_hundreds_of_megabytes_is_not_decoded() {
    const DECODED_MIB: usize = 256;
    const ALONE: &str =
        "horizon::a_page_of_some_kilobytes_that_decodes_to_hundreds_of_megabytes_is_not_decoded";
    // Alone in its process: other tests take memory too.
    if let Some(mut this) = alone(ALONE) {
        let output = output_of(&mut this);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..DECODED_MIB {
        encoder.write_all(&vec![b' '; 1_024 * 1_024]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (mut stream, status) in
            listener.incoming().flatten().zip(["200 OK", "404 Not Found"].into_iter().cycle())
        {
            let _ = stream.read(&mut [0; 4_096]);
            let length = bomb.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Encoding: gzip\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(&bomb);
        }
    });
    System::new().block_on(async {
        let settings = HorizonSettings { url, ca_file: None, stream_idle_timeout: Duration::from_secs(1) };
        let client = HorizonClient::new(settings, RateLimiter::new(0)).unwrap();
        let before = resident_mib();
        for _ in 0..3 {
            let page = client.root().await.unwrap_err();
            assert!(matches!(page, HorizonError::TooLarge(_)), "{page:?}");
            let problem = client.root().await.unwrap_err();
            assert!(matches!(problem, HorizonError::Status { status: 404, .. }), "{problem:?}");
        }
        let more = resident_mib().saturating_sub(before);
        // All of it would be 256 MiB.
        assert!(more < 64, "{more} MiB more memory");
    });
}

/// Resident memory of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

#[test]
fn a_silent_live_request_fails_at_its_limit_of_ten_seconds_and_a_slow_one_is_read() {
    const ONE_PIECE: usize = 1_000_000;
    let faults = FaultPlan::none();
    faults.push(Endpoint::Trades, Fault::Stall { after_bytes: 500 });
    let slow = Fault::SlowDrip { bytes: ONE_PIECE, pause: Duration::from_secs(11) };
    faults.push(Endpoint::Trades, slow.clone());
    faults.push(Endpoint::Assets, slow);
    let sim = network(faults);
    System::new().block_on(async {
        let live = client(&sim);
        let assets = live.of_class(Class::Assets);
        let trades = async {
            let begun = Instant::now();
            let given_up = live.trades_page(None, PageOrder::Descending, 200).await.unwrap_err();
            let waited = begun.elapsed();
            let patient = live.trades_page(None, PageOrder::Descending, 200).await;
            (given_up, waited, patient)
        };
        let ((given_up, waited, patient), assets) = tokio::join!(trades, assets.assets_page(None, 200));
        let HorizonError::Silent(limit) = given_up else { panic!("{given_up}") };
        assert_eq!(limit, Duration::from_secs(10));
        // The error names the limit of its timer. A busy machine may notice the end late, but never early.
        assert!(waited >= limit, "given up after {waited:?}");
        assert!(patient.is_ok(), "who was given up once is waited for longer: {patient:?}");
        assert!(assets.is_ok(), "no trade waits for assets: {assets:?}");
    });
}

#[test]
fn a_silent_stream_ends_by_the_idle_timeout_however_often_it_is_polled() {
    let faults = FaultPlan::none();
    faults.push(Endpoint::Stream, Fault::Stall { after_bytes: 60 });
    let sim = network(faults);
    System::new().block_on(async {
        let client = client(&sim);
        let latest = client.root().await.unwrap().history_latest_ledger;
        let mut stream = client.stream_trades(PagingToken::before_ledger(latest)).await.unwrap();
        let ended = loop {
            match tokio::time::timeout(Duration::from_millis(20), stream.next()).await {
                Err(_) | Ok(Ok(StreamItem::Open)) => {}
                Ok(Ok(item)) => panic!("{item:?}"),
                Ok(Err(error)) => break error,
            }
        };
        assert!(matches!(ended, HorizonError::Silent(_)), "{ended}");
    });
}

#[test]
fn a_stream_ends_normally_at_its_limit_and_goes_on_without_a_gap() {
    let sim = network(FaultPlan::none());
    System::new().block_on(async {
        let client = client(&sim);
        let latest = client.root().await.unwrap().history_latest_ledger;
        let (from, to) = (latest - 20, latest - 1);
        let mut streamed = Vec::new();
        let mut cursor = PagingToken::before_ledger(from);
        let mut connections = 0;
        while cursor.ledger() <= to {
            let mut stream = client.stream_trades(cursor).await.unwrap();
            connections += 1;
            while let Ok(item) = stream.next().await {
                match item {
                    StreamItem::Trade(received) => cursor = received.trade.token,
                    StreamItem::End => break,
                    StreamItem::Open => continue,
                    StreamItem::Invalid(refused) => panic!("{refused:?}"),
                }
                streamed.push(cursor);
            }
        }
        streamed.retain(|token| token.ledger() <= to);
        assert_eq!(streamed.len(), sim.oracle().trades(from..=to).len());
        assert!(connections > 1 && streamed.is_sorted());
    });
}

#[test]
fn a_stream_that_replays_many_ledgers_costs_a_request_a_second_at_most() {
    let config = SimConfig {
        seed: 5,
        trades_per_second: 1.0,
        history_hours: 1,
        ledger_seconds: 1.0,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    };
    let sim = start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    System::new().block_on(async {
        let client = client(&sim);
        let latest = client.root().await.unwrap().history_latest_ledger;
        let live = || client.limiter().report().granted[0];
        let (before, begun) = (live(), Instant::now());
        let mut stream = client.stream_trades(PagingToken::before_ledger(latest - 1_000)).await.unwrap();
        let mut ledgers = BTreeSet::new();
        while let StreamItem::Open | StreamItem::Trade(_) = {
            let item = stream.next().await.unwrap();
            if let StreamItem::Trade(received) = &item {
                ledgers.insert(received.trade.token.ledger());
            }
            item
        } {}
        let charged = live() - before - 1;
        assert!(ledgers.len() > 100 && charged <= begun.elapsed().as_secs(), "{charged}");
    });
}

#[test]
fn a_compressed_stream_is_an_error_and_no_stream_without_records() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for coding in ["gzip", "Identity"] {
            let (mut connection, _) = listener.accept().unwrap();
            let mut read = [0; 4_096];
            let _ = connection.read(&mut read);
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream";
            let _ = write!(
                connection,
                "{head}\r\nContent-Encoding: {coding}\r\n\r\nevent: open\ndata: \"hello\"\n\n"
            );
        }
    });
    System::new().block_on(async {
        let settings = HorizonSettings { url, ca_file: None, stream_idle_timeout: Duration::from_secs(5) };
        let client = HorizonClient::new(settings, RateLimiter::new(0)).unwrap();
        let refused = client.stream_trades(PagingToken::FIRST).await.err().unwrap().to_string();
        assert!(refused.contains("the stream is compressed: gzip"), "{refused}");
        let mut plain = client.stream_trades(PagingToken::FIRST).await.unwrap();
        assert!(matches!(plain.next().await, Ok(StreamItem::Open)));
    });
}
