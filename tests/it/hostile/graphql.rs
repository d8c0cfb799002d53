//! `/graphql` under attack: memory, replies and ingest stay within bounds.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use stellar_ticker::sim::{FaultPlan, SimConfig};
use tokio_postgres::Client;

use crate::{
    hostile::counter,
    support::{
        DEADLINE,
        daemon::Daemon,
        network::{PASSPHRASE, block_on, horizon, network},
        nginx::assert_problem,
        postgres::fresh_database,
        processes::{forget_peak, memory_kib},
        progress::{number, wait_for_pairs, wait_for_trades},
        recomputation, wait_until,
        wide::wide_database,
    },
};

/// Number of concurrent queries.
const PARALLEL: usize = 500;
/// Memory of a refused request, on top of what the allocator of a debug build keeps.
const REFUSALS_KIB: u64 = 64 << 10;
/// Memory of hundreds of parsed documents and of the first minutes of a daemon, whose recorded messages take 8 MiB. If
/// each document stayed, it would be gigabytes.
const DOCUMENTS_KIB: u64 = 128 << 10;
/// Memory of answers, on top of that of a daemon at work. It holds all answers that are made, kept or sent
/// (`docs/limits.md`), the publications that they are made of, rows, and buffers of [`PARALLEL`] connections.
const ANSWERS_KIB: u64 = (128 << 10) + PUBLICATIONS_KIB + ROWS_KIB + 64 * PARALLEL as u64;
/// Two documents with whole lists are executed at once, each on a publication of its own, while a third is published
/// and a fourth is made. Each has a file of 1 KiB a market and its compressed forms, a quarter of that.
const PUBLICATIONS_KIB: u64 = 4 * MANY_MARKETS as u64 * 5 / 4;
/// The rows of one list in each of the two, at most 1 KiB each.
const ROWS_KIB: u64 = 2 * MANY_MARKETS as u64;
/// Number of markets at which the worst document selects more values than the limit.
const MANY_MARKETS: u32 = 16_000;
/// Size of replies without data, as a multiple of the query, or of one problem.
const REPLY_FACTOR: usize = 10;
const PROBLEM_BYTES: usize = 400;

fn resident(daemon: &Daemon) -> u64 {
    memory_kib(daemon.pid().as_raw(), "VmRSS")
}

fn peak(daemon: &Daemon) -> u64 {
    memory_kib(daemon.pid().as_raw(), "VmHWM")
}

/// Waits until the memory of a daemon has grown by less than a MiB in three seconds: its start is over by then.
fn wait_until_memory_is_steady(daemon: &Daemon) {
    let (mut since, mut largest) = (Instant::now(), resident(daemon));
    wait_until("the memory is steady", || {
        let now = resident(daemon);
        if now > largest + 1_024 {
            (since, largest) = (Instant::now(), now);
        }
        since.elapsed() > Duration::from_secs(3)
    });
}

/// Sends a body in chunks, without a length, until it is whole or the server stops reading: what was answered, and how
/// many bytes were taken.
fn send_chunked(address: SocketAddr, bytes: usize) -> (String, usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut head = vec![0; 4_096];
        let length = reading.read(&mut head).unwrap_or(0);
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    write!(stream, "POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
    let mut sent = 0;
    while sent < bytes && stream.write_all(&chunk).is_ok() {
        sent += 65_536;
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let answer = reader.join().unwrap();
    let _ = stream.shutdown(Shutdown::Both);
    (answer, sent)
}

#[test]
fn a_body_of_300_mib_is_refused_while_it_comes() {
    const BODY: usize = 300 << 20;
    const ENDLESS: usize = usize::MAX;
    let sim = network(501, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_for_pairs(&daemon);
    let (before, address) = (peak(&daemon), daemon.public);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let bodies = [BODY, BODY, BODY, BODY, ENDLESS, ENDLESS];
        let senders: Vec<_> =
            bodies.into_iter().map(|bytes| scope.spawn(move || send_chunked(address, bytes))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let grown = peak(&daemon).saturating_sub(before);
    let taken = answers.iter().map(|(_, sent)| *sent).max().unwrap();
    println!(
        "bodies of 300 MiB and without an end, in chunks: {taken} bytes were taken at most, {grown} KiB more memory"
    );
    for (answer, sent) in &answers {
        assert!(answer.starts_with("HTTP/1.1 413 "), "after {sent} bytes: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert!(grown < REFUSALS_KIB, "{grown} KiB");
    // A chunk without a size is no body, and to send it again would not help.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 400");
    assert_eq!(daemon.graphql("{__typename}")["data"]["__typename"], "Query");
}

/// Documents that a reader has no use for, each with what it must be answered.
fn hostile_documents() -> Vec<(&'static str, &'static [u16], String)> {
    const REFUSED: &[u16] = &[400];
    const LARGE: &[u16] = &[413];
    const ANSWERED: &[u16] = &[200, 400];
    let query = |text: &str| json!({"query": text}).to_string();
    let each = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let circle = |length: usize| {
        let fragments = each(length, &|n| format!("fragment f{n} on Query{{...f{}}} ", (n + 1) % length));
        query(&format!("{{...f0}} {fragments}"))
    };
    let doubling = each(49, &|n| format!("fragment f{n} on Query{{...f{0} ...f{0}}} ", n + 1));
    vec![
        ("depth 2,000", REFUSED, query(&format!("{}a{}", "{a".repeat(2_000), "}".repeat(2_000)))),
        ("depth 60,000 of lists", REFUSED, query(&format!("{{a(b:{}", "[".repeat(60_000)))),
        ("JSON of depth 30,000", REFUSED, "[".repeat(30_000)),
        ("20,000 aliases", LARGE, query(&format!("{{{}}}", each(20_000, &|n| format!("a{n}:__typename "))))),
        ("3,000 aliases", REFUSED, query(&format!("{{{}}}", each(3_000, &|n| format!("a{n}:__typename "))))),
        ("100,000 directives", LARGE, query(&format!("{{assets{}{{code}}}}", "@a".repeat(100_000)))),
        ("30,000 directives", REFUSED, query(&format!("{{assets{}{{code}}}}", "@a".repeat(30_000)))),
        ("a circle of one fragment", ANSWERED, circle(1)),
        ("a circle of 50 fragments", ANSWERED, circle(50)),
        ("a circle of 1,000 fragments", REFUSED, circle(1_000)),
        (
            "fragments that double",
            REFUSED,
            query(&format!("{{...f0}} {doubling} fragment f49 on Query{{__typename}}")),
        ),
        ("a batch of 1,000", REFUSED, format!("[{}]", vec![query("{__typename}"); 1_000].join(","))),
        (
            "9 introspections",
            REFUSED,
            query(&format!("{{{}}}", each(9, &|n| format!("a{n}:__schema{{types{{name}}}} ")))),
        ),
        (
            "introspection that multiplies",
            REFUSED,
            query("{__schema{types{fields{type{fields{type{fields{name}}}}}}}}"),
        ),
        (
            "2,500 fields that are not there",
            ANSWERED,
            query(&format!("{{assets{{{}}}}}", "nope ".repeat(2_400))),
        ),
        ("2,400 equal fields", ANSWERED, query(&format!("{{{}}}", "__typename ".repeat(2_400)))),
        ("a name of 60,000 letters", ANSWERED, query(&format!("{{{}}}", "a".repeat(60_000)))),
        (
            "a text of 60,000 letters",
            ANSWERED,
            query(&format!("{{ticker(pairName:\"{}\"){{close}}}}", "a".repeat(60_000))),
        ),
        ("1,000 operations", ANSWERED, query(&each(1_000, &|n| format!("query q{n}{{__typename}} ")))),
        (
            "1,000 variables",
            ANSWERED,
            query(&format!("query({}){{__typename}}", each(1_000, &|n| format!("$v{n}:Int ")))),
        ),
        ("an unfinished text", ANSWERED, query(&format!("{{a(b:\"{}", "\\\"".repeat(10_000)))),
        ("control and bidi characters", ANSWERED, query("{\u{1b}[2J\u{202e}\u{0}}")),
    ]
}

#[test]
fn hostile_documents_are_refused_with_short_replies() {
    const POSTS: u32 = 8;
    let sim = network(502, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_for_pairs(&daemon);
    wait_until_memory_is_steady(&daemon);
    let before = forget_peak(daemon.pid().as_raw());
    let mut largest: (f64, &str) = (0.0, "");
    for (what, expected, body) in hostile_documents() {
        let begun = Instant::now();
        for _ in 0..POSTS {
            let answer = daemon.post("/graphql", "Content-Type: application/json\r\n", body.as_bytes());
            assert!(expected.contains(&answer.status), "{what}: {}", answer.status);
            let kind = if answer.status == 200 { "application/json" } else { "application/problem+json" };
            assert_eq!(answer.header("content-type"), Some(kind), "{what}");
            let is_bounded = answer.body.len() <= (REPLY_FACTOR * body.len()).max(PROBLEM_BYTES);
            assert!(is_bounded, "{what}: {} bytes for {}", answer.body.len(), body.len());
            let factor = answer.body.len() as f64 / body.len() as f64;
            largest = if factor > largest.0 { (factor, what) } else { largest };
        }
        println!("  {what}: {:.1} ms each", begun.elapsed().as_secs_f64() * 1_000.0 / f64::from(POSTS));
    }
    let grown = peak(&daemon).saturating_sub(before);
    println!(
        "{} hostile documents, {POSTS} times each: {grown} KiB more memory, replies at most {:.1} times the query ({})",
        hostile_documents().len(),
        largest.0,
        largest.1
    );
    assert!(grown < DOCUMENTS_KIB, "{grown} KiB");
}

const FIGURES: &str = "tradePair baseVolume counterVolume tradeCount open low high change close intervalStart
    firstLedgerCloseTime lastLedgerCloseTime
    orderbookStats{bidCount bidVolume bidMax askCount askVolume askMin spread spreadMidPoint}";

/// Whole lists with all fields. No two documents are equal, so that none is answered from the cache. With
/// `aliases`, each list has ten fields twice.
fn whole_lists(lists: usize, number: usize, aliases: bool) -> String {
    let twice: String = if aliases {
        let names = ["open", "low", "high", "close", "change", "baseVolume", "counterVolume", "tradePair"];
        names.iter().map(|name| format!("x_{name}:{name} ")).collect()
    } else {
        String::new()
    };
    let lists: String = (0..lists)
        .map(|list| {
            let hours = 1 + (number * 8 + list) % 168;
            format!(
                "l{list}_{number}:markets(numHoursAgo:{hours}){{{twice}baseAssetCode baseAssetIssuer counterAssetCode counterAssetIssuer {FIGURES}}} "
            )
        })
        .collect();
    json!({"query": format!("{{{lists}}}")}).to_string()
}

/// The largest document within the limits.
pub(crate) fn worst_legal(number: usize) -> String {
    whole_lists(8, number, false)
}

/// POSTs and throws the body away as it comes: status and bytes.
pub(crate) fn post_unkept(address: SocketAddr, body: &str) -> std::io::Result<(u16, u64)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let length = body.len();
    write!(
        stream,
        "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut piece = vec![0; 64 << 10];
    let first = stream.read(&mut piece)?;
    let status =
        String::from_utf8_lossy(&piece[..first.min(12)]).split(' ').nth(1).and_then(|s| s.parse().ok());
    let mut bytes = first as u64;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok((status.unwrap_or(0), bytes)),
            more => bytes += more as u64,
        }
    }
}

/// Results of many such queries at once.
struct Storm {
    answered: usize,
    busy: usize,
    bytes: u64,
    /// Seconds that a reader of other paths waited at most.
    slowest_other: f64,
}

/// Sends [`PARALLEL`] of the worst documents at once, while others read.
fn storm(daemon: &Daemon) -> Storm {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut slowest = 0.0_f64;
            while !is_over.load(Ordering::SeqCst) {
                let asked = Instant::now();
                assert_eq!(daemon.get("/livez").status, 200);
                assert_eq!(daemon.get("/markets.json").status, 200);
                slowest = slowest.max(asked.elapsed().as_secs_f64());
            }
            slowest
        });
        let address = daemon.public;
        let asking: Vec<_> = (0..PARALLEL)
            .map(|number| scope.spawn(move || post_unkept(address, &worst_legal(number)).unwrap()))
            .collect();
        let mut storm = Storm { answered: 0, busy: 0, bytes: 0, slowest_other: 0.0 };
        for asked in asking {
            let (status, bytes) = asked.join().unwrap();
            match status {
                200 => storm.answered += 1,
                503 => storm.busy += 1,
                other => panic!("{other}"),
            }
            storm.bytes += bytes;
        }
        is_over.store(true, Ordering::SeqCst);
        storm.slowest_other = others.join().unwrap();
        storm
    })
}

/// Seconds between two commits of trades, at most.
async fn longest_gap(client: &Client) -> f64 {
    let gap = "SELECT max(gap)::float8 FROM (
                   SELECT extract(epoch FROM committed_at - lag(committed_at) OVER (ORDER BY seq)) gap
                   FROM ingest_batches WHERE trades > 0) gaps";
    client.query_one(gap, &[]).await.unwrap().get(0)
}

#[test]
fn the_worst_legal_queries_at_500_in_parallel_stop_neither_memory_nor_ingest() {
    let sim = horizon(SimConfig {
        seed: 503,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 300.0,
        markets: 1_500,
        history_hours: 0,
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 3_000).await;
        wait_until("many markets are published", || {
            daemon.get("/markets.json").json()["pairs"].as_array().is_some_and(|pairs| pairs.len() > 200)
        });
        let (before, begun) = (forget_peak(daemon.pid().as_raw()), Instant::now());
        let one = post_unkept(daemon.public, &worst_legal(9_999)).unwrap();
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        let storm = storm(&daemon);
        let took = begun.elapsed().as_secs_f64();
        let more = number(&client, "SELECT count(*) FROM trades").await - stored;
        let lag = longest_gap(&client).await;
        let grown = peak(&daemon).saturating_sub(before);
        println!(
            "{PARALLEL} of the worst legal queries at once ({} bytes each): {took:.1} s, {} answered, {} refused by 503, {} MB sent, {grown} KiB more memory at most (now {} KiB), {more} trades stored meanwhile, {lag:.1} s between two commits at most, {:.2} s for others' two requests at most",
            one.1,
            storm.answered,
            storm.busy,
            storm.bytes / 1_000_000,
            resident(&daemon),
            storm.slowest_other,
        );
        assert!(storm.answered > 0 && one.0 == 200);
        assert!(grown < ANSWERS_KIB, "{grown} KiB");
        assert!(more > 0, "trades go on being stored");
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, stored + 100).await;
        assert_eq!(daemon.graphql("{__typename}")["data"]["__typename"], "Query");
        let actors = daemon.admin("/actors.json").json();
        for actor in actors["actors"].as_array().unwrap() {
            assert_eq!(actor["restarts"], 0, "{actor}");
        }
    });
}

/// A daemon with [`MANY_MARKETS`] and nothing else to do.
fn many_markets() -> Daemon {
    let database = block_on(wide_database(MANY_MARKETS));
    // Files are written once. Later ones would hide what answers take.
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &["--file-interval", "1h"]);
    wait_until("all markets are published", || {
        let answer = daemon.get("/markets.json");
        answer.status == 200
            && answer.json()["pairs"].as_array().unwrap().len() == usize::try_from(MANY_MARKETS).unwrap()
    });
    daemon
}

/// Sends two whole lists each from twelve clients at once. Returns status and bytes of each answer.
fn whole_lists_at_once(address: SocketAddr, from: usize) -> Vec<(u16, u64)> {
    std::thread::scope(|scope| {
        let asked = (from..from + 12).map(|number| whole_lists(2, number, false));
        let asking: Vec<_> =
            asked.map(|body| scope.spawn(move || post_unkept(address, &body).unwrap())).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

#[test]
fn what_a_document_costs_is_bounded_by_rows_times_fields() {
    let daemon = many_markets();
    // Books are summed once a publication, by the first request.
    assert_eq!(daemon.graphql("{ticker{close}}")["data"]["ticker"].as_array().map(Vec::len), Some(16_000));
    // A daemon at work has made a few publications, which takes more than the first.
    let made = counter(&daemon, "ticker_publications_total");
    wait_until("publications were made", || counter(&daemon, "ticker_publications_total") > made + 5);
    daemon.wait_for_files();
    let before = forget_peak(daemon.pid().as_raw());
    let refused = daemon.post("/graphql", "", whole_lists(8, 0, true).as_bytes());
    assert_problem("eight lists", &refused, 400);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("values (rows times fields)") && detail.contains("4000000"), "{detail}");
    assert!(peak(&daemon).saturating_sub(before) < 32 << 10, "nothing was made for what was refused");

    wait_until("what is let through is answered", || {
        daemon.post("/graphql", "", whole_lists(2, 50, false).as_bytes()).status == 200
    });

    // It arrives in pieces and takes no more than its share. On a slow machine all may be refused for their time.
    let (mut number, mut answered) = (60, 0);
    wait_until("some of many at once are answered", || {
        let answers = whole_lists_at_once(daemon.public, number);
        number += answers.len();
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 503)), "{answers:?}");
        let whole: Vec<u64> =
            answers.iter().filter(|(status, _)| *status == 200).map(|(_, bytes)| *bytes).collect();
        assert!(whole.iter().all(|bytes| *bytes > 12_000_000), "{answers:?}");
        answered += whole.len();
        answered > 0
    });
    let grown = peak(&daemon).saturating_sub(before);
    println!("{answered} of {} answers of some 20 MB: {grown} KiB more memory", number - 60);
    assert!(grown < ANSWERS_KIB, "{grown} KiB");

    // The work for an answer ends when its client goes, and others get the place.
    let stopped = "ticker_graphql_stopped_total{reason=\"unwanted\"}";
    let before = counter(&daemon, stopped);
    let mut number = 100;
    wait_until("work for a reader who has gone is stopped", || {
        number += 1;
        let body = whole_lists(5, number, false);
        let mut stream = TcpStream::connect(daemon.public).unwrap();
        write!(stream, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        // Most of the times it is being made by then.
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let _ = stream.read(&mut [0]);
        drop(stream);
        counter(&daemon, stopped) > before
    });
    wait_until("others are answered", || {
        daemon.post("/graphql", "", br#"{"query":"{markets(numHoursAgo:3){close}}"}"#).status == 200
    });
}
