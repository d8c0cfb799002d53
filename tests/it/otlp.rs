//! Export of traces to a collector of OpenTelemetry: what arrives, and what a bad collector does.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde_json::Value as Json;

use crate::support::{
    daemon::Daemon,
    network::{PASSPHRASE, block_on},
    postgres::fresh_database,
    scripted::{LEDGER, scripted, trade},
    wait_until,
};

/// A "status" of a collector that answers 200 and refuses all spans.
const TAKES_BUT_REFUSES_SPANS: u16 = 206;

/// A collector that keeps what arrives. It answers each request with `status`, or not at all with 0.
struct Collector {
    url: String,
    status: Arc<AtomicU16>,
    /// Requests that it did not take.
    refused: Arc<AtomicU16>,
    requests: Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>,
}

impl Collector {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self {
            url,
            status: Arc::new(AtomicU16::new(status)),
            refused: Arc::default(),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&collector.status), Arc::clone(&collector.requests));
        let refused = Arc::clone(&collector.refused);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (status, requests) = (Arc::clone(&status), Arc::clone(&requests));
                let refused = Arc::clone(&refused);
                std::thread::spawn(move || answer(stream, &status, &refused, &requests));
            }
        });
        collector
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let scopes = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        scopes.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// Reads the requests of one connection. Each must be whole and strictly protobuf.
fn answer(
    mut stream: TcpStream,
    status: &AtomicU16,
    refused: &AtomicU16,
    requests: &Mutex<Vec<(String, ExportTraceServiceRequest)>>,
) {
    let mut received = Vec::new();
    let mut bytes = [0; 65_536];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        received.extend_from_slice(&bytes[..read]);
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(received[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        if received.len() < end + 4 + length {
            continue;
        }
        let body = received.drain(..end + 4 + length).skip(end + 4).collect::<Vec<_>>();
        match status.load(Ordering::Relaxed) {
            0 => std::thread::park(),
            200 => {
                let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
                requests.lock().unwrap().push((head, request));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
            TAKES_BUT_REFUSES_SPANS => {
                let partial = ExportTracePartialSuccess {
                    rejected_spans: i64::MAX,
                    error_message: "no room".to_owned(),
                };
                let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
                let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
            }
            other => {
                refused.fetch_add(1, Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {other} No\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    }
}

fn attributes(of: &[KeyValue]) -> BTreeMap<&str, &Value> {
    of.iter().map(|pair| (pair.key.as_str(), pair.value.as_ref().unwrap().value.as_ref().unwrap())).collect()
}

/// Spans that the daemon has counted with this result.
fn counted(daemon: &Daemon, result: &str) -> u64 {
    let metrics = String::from_utf8_lossy(&daemon.admin("/metrics").body).into_owned();
    let series = format!("ticker_otlp_spans_total{{result=\"{result}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

fn state(daemon: &Daemon) -> Option<Json> {
    let all = daemon.admin("/actors.json").json();
    all["actors"].as_array().unwrap().iter().find(|actor| actor["name"] == "trace_exporter").cloned()
}

/// Lets a trade happen. Returns its paging token and the time.
fn emit(source: &stellar_ticker::sim::FixedSource, ledger: u32) -> (String, Instant) {
    let trade = trade(ledger, 0, Utc::now());
    let token = trade["id"].as_str().unwrap().to_owned();
    source.push_trade(trade).unwrap();
    (token, Instant::now())
}

#[test]
fn a_trade_arrives_at_the_collector_as_the_tree_that_trace_json_shows() {
    let collector = Collector::start(200);
    let (sim, source) = scripted();
    block_on(async {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=let%20me%20in"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        let mut ledger = LEDGER + 1;
        let (mut token, mut emitted_at) = emit(&source, ledger);
        let mut records = Vec::new();
        let mut spans = BTreeMap::new();
        wait_until("every record of the trade arrived as a span", || {
            // A machine that is too busy drops spans. Then another trade has its turn.
            if emitted_at.elapsed() > Duration::from_secs(30) {
                ledger += 1;
                (token, emitted_at) = emit(&source, ledger);
            }
            let answer = daemon.admin(&format!("/trace.json?trade={token}")).json();
            records = answer["records"].as_array().unwrap().clone();
            let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            spans = collector.spans().into_iter().map(|span| (id(&span.span_id), span)).collect();
            records.iter().any(|record| record["step"] == "write_files")
                && records.iter().all(|record| spans.contains_key(record["span"].as_str().unwrap()))
        });
        for record in &records {
            let span = &spans[record["span"].as_str().unwrap()];
            let trace = u128::from_str_radix(record["trace"].as_str().unwrap(), 16).unwrap();
            assert_eq!(span.trace_id, trace.to_be_bytes());
            let parent = record["parent"].as_str().map(|id| u64::from_str_radix(id, 16).unwrap());
            assert_eq!(span.parent_span_id, parent.map_or(vec![], |id| id.to_be_bytes().to_vec()));
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
            assert_eq!(span.links.len(), record["links"].as_array().unwrap().len());
            let attributes = attributes(&span.attributes);
            let text = |name: &str| match attributes[name] {
                Value::StringValue(text) => text.clone(),
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(text("ticker.outcome"), record["outcome"].as_str().unwrap());
            if let Some(message) = record["type"].as_str() {
                assert_eq!(
                    (span.name.as_str(), span.kind()),
                    (&*format!("process {message}"), SpanKind::Consumer)
                );
                assert_eq!(text("messaging.destination.name"), record["to"].as_str().unwrap());
                assert_eq!(text("messaging.operation.type"), "process");
            } else {
                assert_eq!(
                    (span.name.as_str(), span.kind()),
                    (record["step"].as_str().unwrap(), SpanKind::Internal)
                );
            }
            if let Some(seq) = record["subject"]["seq"].as_i64() {
                assert_eq!(attributes["ticker.subject.seq"], &Value::IntValue(seq));
            }
        }
        let requests = collector.requests.lock().unwrap();
        let (head, request) = &requests[0];
        assert!(
            head.starts_with("post /v1/traces http/1.1") && head.contains("api-key: let me in"),
            "{head}"
        );
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let resource = attributes(&request.resource_spans[0].resource.as_ref().unwrap().attributes);
        assert_eq!(resource["service.name"], &Value::StringValue("stellar-ticker".into()));
        assert_eq!(resource["deployment.environment"], &Value::StringValue("test".into()));
        drop(requests);
        assert!(counted(&daemon, "exported") > 0 && counted(&daemon, "dropped") == 0);
    });
}

#[test]
fn a_panic_is_a_span_with_an_error() {
    let collector = Collector::start(200);
    let (sim, source) = scripted();
    block_on(async {
        let environment =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        daemon.provoke("json_writer", "PublicationReady");
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_until("the panic arrived", || {
            collector.spans().iter().any(|span| {
                let status = span.status.as_ref().unwrap();
                span.name == "process PublicationReady"
                    && status.code() == StatusCode::Error
                    && status.message == "panicked"
            })
        });
    });
}

#[test]
fn a_collector_that_hangs_refuses_or_is_absent_costs_only_spans() {
    let hanging = Collector::start(0);
    let refusing = Collector::start(400);
    for (url, what) in [
        (hanging.url.as_str(), "hangs"),
        (refusing.url.as_str(), "refuses"),
        ("http://127.0.0.1:9", "is absent"),
    ] {
        let (sim, source) = scripted();
        block_on(async {
            let environment = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
                ("OTEL_BSP_SCHEDULE_DELAY", "50"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ];
            let mut daemon =
                Daemon::serve_in(&environment, &sim.url(), &fresh_database().await, PASSPHRASE, &[]);
            let token = trade(LEDGER + 1, 0, Utc::now());
            source.push_trade(token).unwrap();
            let result = if what == "refuses" { "refused" } else { "dropped" };
            wait_until("spans are lost, counted and logged, and a publication is there", || {
                counted(&daemon, result) > 20
                    && daemon.log().contains("traces could not be exported")
                    && daemon.get("/markets.json").status == 200
            });
            assert_eq!(counted(&daemon, "exported"), 0, "{what}");
            assert_eq!(state(&daemon).unwrap()["restarts"], 0, "{what}");
            assert!(daemon.terminate().success(), "{what}");
        });
    }
}

#[test]
fn a_collector_that_fails_is_left_alone_also_while_the_queue_is_full() {
    let collector = Collector::start(503);
    let (sim, source) = scripted();
    block_on(async {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
        ];
        let daemon = Daemon::serve_in(&environment, &sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        let refused = || collector.refused.load(Ordering::Relaxed);
        wait_until("a full batch is refused", || refused() == 1);
        let generated_at = || daemon.get("/markets.json").json()["generated_at"].as_i64();
        wait_until("there is a publication", || generated_at().is_some());
        let before = generated_at().unwrap();
        wait_until("work of five seconds fills the queue", || {
            generated_at() > Some(before + 5_000) && counted(&daemon, "dropped") > 8
        });
        assert_eq!(refused(), 1);
    });
}

/// A daemon that sends its spans to the collector soon.
async fn exporting_to(collector: &Collector, sim: &stellar_ticker::sim::SimServer) -> Daemon {
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    Daemon::serve_in(&environment, &sim.url(), &fresh_database().await, PASSPHRASE, &[])
}

#[test]
fn a_collector_that_takes_requests_but_refuses_their_spans_is_reported_with_its_reason() {
    let collector = Collector::start(TAKES_BUT_REFUSES_SPANS);
    let (sim, source) = scripted();
    block_on(async {
        let daemon = exporting_to(&collector, &sim).await;
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_until("spans are refused, counted and logged", || {
            counted(&daemon, "refused") > 0 && daemon.log().contains("spans: no room")
        });
        assert_eq!(counted(&daemon, "exported"), 0);
    });
}

#[test]
fn a_collector_that_comes_back_gets_what_waited() {
    let collector = Collector::start(503);
    let (sim, source) = scripted();
    block_on(async {
        let daemon = exporting_to(&collector, &sim).await;
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_until("the collector was asked in vain", || {
            daemon.log().contains("traces could not be exported") && daemon.get("/markets.json").status == 200
        });
        collector.status.store(200, Ordering::Relaxed);
        wait_until("the transaction of the trade arrived", || {
            collector.spans().iter().any(|span| span.name == "transaction")
        });
    });
}

#[test]
fn without_a_collector_there_is_no_exporter_and_the_series_are_zero() {
    let (sim, _source) = scripted();
    block_on(async {
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        assert_eq!(state(&daemon), None);
        assert_eq!((counted(&daemon, "exported"), counted(&daemon, "dropped")), (0, 0));
    });
}
