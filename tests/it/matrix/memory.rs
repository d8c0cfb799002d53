//! The documented memory at the documented number of markets, while clients use all limits at once.

mod exchange;
mod market_readers;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use self::{
    exchange::{ASKED_MAX, status_of},
    market_readers::{DOCUMENT_READERS, MarketCounts, add_batches, hold_streams, read_documents},
};
use super::*;
use crate::{
    hostile::counter,
    support::{
        daemon::MEMORY_GROUP, memory_group::MemoryGroup, not_tested, print_figure, processes::memory_kib,
        recomputation::connect, wide::wide_database,
    },
};

/// Markets, and the memory that `docs/limits.md` and `docs/run.md` promise for them.
const MARKETS: u32 = 30_000;
const MEMORY_BYTES: u64 = 2 << 30;
/// Clients of `/graphql`, and documents that each of them asks for. With 24 values a row and 30,000 rows, five lists
/// are the most that 4,000,000 values allow; a single one is answered in time by a slow machine, too.
const ASKING: usize = 48;
const DOCUMENTS: usize = 4;
const LISTS: [usize; 2] = [5, 1];
/// One in this many clients of `/graphql` reads its answer slowly.
const SLOW_ASKING: usize = 4;
/// Readers of `markets.json` at 40 KB a second, who ask again whenever they are cut off.
const SLOW_READERS: usize = 48;
const FAST_READERS: usize = 4;
const IDLE: usize = 2_000;

/// Whole lists with all fields. No two documents are equal, so that none is answered from the cache.
fn whole_lists(lists: usize, number: usize) -> String {
    const FIELDS: &str = "baseAssetCode baseAssetIssuer counterAssetCode counterAssetIssuer tradePair baseVolume
        counterVolume tradeCount open low high change close intervalStart firstLedgerCloseTime lastLedgerCloseTime
        orderbookStats{bidCount bidVolume bidMax askCount askVolume askMin spread spreadMidPoint}";
    let lists: String = (0..lists)
        .map(|list| {
            let hours = 1 + (number * 5 + list) % 168;
            format!("l{list}_{number}:markets(numHoursAgo:{hours}){{{FIELDS}}} ")
        })
        .collect();
    serde_json::json!({"query": format!("{{{lists}}}")}).to_string()
}

/// Setting by which the container image has the allocator return memory.
fn purge_delay() -> String {
    let image = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).unwrap();
    let (_, delay) = image.split_once("MIMALLOC_PURGE_DELAY=").expect("the image sets it");
    delay.split_whitespace().next().unwrap().to_owned()
}

/// Results of the largest documents.
#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    busy: AtomicUsize,
    cut: AtomicUsize,
}

/// Sends one document and discards the answer as it arrives.
fn ask_for_much(address: SocketAddr, number: usize, is_slow: bool, counts: &Counts) {
    let lists = LISTS[number / ASKING % LISTS.len()];
    let count = match status_of(address, &graphql(&whole_lists(lists, number)), is_slow) {
        Ok(200) => &counts.answered,
        Ok(503) => &counts.busy,
        Ok(other) => panic!("{other} for a legal document"),
        Err(_) => &counts.cut,
    };
    count.fetch_add(1, Ordering::SeqCst);
}

/// Request with a GraphQL document.
fn graphql(body: &str) -> String {
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads `markets.json` repeatedly, 20 KB each half second, until the test ends. Returns the number of cut-offs.
fn read_slowly(address: SocketAddr, coding: &str, is_over: &AtomicBool) -> usize {
    let mut cut = 0;
    for _ in 0..ASKED_MAX {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        setsockopt(&stream, RcvBuf, &65_536).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let asked =
            write!(stream, "GET /markets.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{coding}\r\n");
        let mut piece = vec![0; 20_000];
        while asked.is_ok() && !is_over.load(Ordering::SeqCst) && stream.read_exact(&mut piece).is_ok() {
            std::thread::park_timeout(Duration::from_millis(500));
        }
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        cut += 1;
    }
    cut
}

/// Answers to a reader with small requests: one market, and `/healthz`.
struct Witness {
    asked: usize,
    refused: usize,
    slowest: Duration,
}

fn bear_witness(daemon: &Daemon, is_over: &AtomicBool) -> Witness {
    let query =
        r#"{"query":"{markets(baseAssetCode:\"XLM\",counterAssetCode:\"T7\"){tradePair close tradeCount}}"}"#;
    let mut witness = Witness { asked: 0, refused: 0, slowest: Duration::ZERO };
    while !is_over.load(Ordering::SeqCst) && witness.asked < ASKED_MAX {
        let begun = Instant::now();
        assert_eq!(daemon.get("/livez").status, 200);
        let answer = daemon.post("/graphql", "Content-Type: application/json\r\n", query.as_bytes());
        witness.asked += 1;
        witness.slowest = witness.slowest.max(begun.elapsed());
        if answer.status == 503 {
            witness.refused += 1;
        } else {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status == 200 && text.contains("\"tradePair\""), "{}: {text}", answer.status);
        }
    }
    witness
}

/// Results of all readers.
struct Used {
    graphql: Counts,
    market: MarketCounts,
    witness: Witness,
    /// Slow readers that were cut off.
    cut: usize,
    /// Largest number of readers of the stream.
    streams: u64,
}

/// Uses all limits at once, until the documents are answered or refused.
fn use_all_limits(daemon: &Daemon) -> Used {
    let (address, is_over) = (daemon.public, AtomicBool::new(false));
    let (graphql, market) = (Counts::default(), MarketCounts::default());
    let idle: Vec<_> = (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect();
    let (witness, cut, streams) = std::thread::scope(|scope| {
        let (is_over, counts, market) = (&is_over, &graphql, &market);
        let slow: Vec<_> = (0..SLOW_READERS)
            .map(|reader| {
                let coding = if reader % 2 == 0 { "" } else { "Accept-Encoding: gzip\r\n" };
                scope.spawn(move || read_slowly(address, coding, is_over))
            })
            .collect();
        for _ in 0..FAST_READERS {
            scope.spawn(move || {
                for _ in 0..ASKED_MAX {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let _ = crate::support::daemon::request(address, "GET", "/markets.json", "");
                }
            });
        }
        let documents: Vec<_> = (0..DOCUMENT_READERS)
            .map(|reader| scope.spawn(move || read_documents(address, reader, is_over, market)))
            .collect();
        let streams = scope.spawn(|| hold_streams(daemon, is_over));
        let asking: Vec<_> = (0..ASKING)
            .map(|client| {
                scope.spawn(move || {
                    for document in 0..DOCUMENTS {
                        let is_slow = client % SLOW_ASKING == 0;
                        ask_for_much(address, document * ASKING + client, is_slow, counts);
                    }
                })
            })
            .collect();
        let witness = scope.spawn(|| bear_witness(daemon, is_over));
        let ended: Vec<_> = asking.into_iter().map(|asked| asked.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok), "a legal document was refused");
        documents.into_iter().for_each(|reader| reader.join().unwrap());
        let cut = slow.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>();
        (witness.join().unwrap(), cut, streams.join().unwrap())
    });
    drop(idle);
    Used { graphql, market, witness, cut, streams }
}

/// Text of the figure in `docs/reliability.md`.
fn describe(used: &Used, backlogs: u64) -> String {
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let Used { graphql, market, witness, cut, streams } = used;
    format!(
        "{} GraphQL documents of five whole lists or one: {} answered, {} refused by 503, {} cut off; {} documents and lists of the market API answered, {} refused by 503, {} cut off; up to {streams} readers of the stream that read nothing, {backlogs} sets of missed events; {SLOW_READERS} slow readers, cut off {cut} times; {IDLE} idle connections; {} small questions meanwhile, {} of them refused, {} at most",
        ASKING * DOCUMENTS,
        count(&graphql.answered),
        count(&graphql.busy),
        count(&graphql.cut),
        count(&market.answered),
        count(&market.busy),
        count(&market.cut),
        witness.asked,
        witness.refused,
        seconds(witness.slowest)
    )
}

#[test]
#[ignore = "some minutes, and a memory limit needs root and control groups: ./ticker matrix"]
fn all_limits_used_at_once_at_30_000_markets_stay_within_the_documented_memory() {
    let group = MemoryGroup::make(MEMORY_BYTES);
    if let Err(why) = &group {
        not_tested(&format!("the kernel's memory limit ({why}); the process is measured without it"));
    }
    let path = group.as_ref().map(|group| group.path().display().to_string()).ok();
    let delay = purge_delay();
    let mut environment = vec![("MIMALLOC_PURGE_DELAY", delay.as_str())];
    environment.extend(path.iter().map(|path| (MEMORY_GROUP, path.as_str())));
    let database = block_on(async {
        let database = wide_database(MARKETS).await;
        add_batches(&connect(&database).await).await;
        database
    });
    let more = ["--connections-per-address", "0"];
    let mut daemon = Daemon::serve_in(&environment, "http://127.0.0.1:9", &database, PASSPHRASE, &more);
    wait_until("all markets are published", || {
        let answer = daemon.get("/markets.json");
        answer.status == 200 && answer.json()["pairs"].as_array().unwrap().len() == 30_000
    });
    daemon.wait_for_files();
    let resident = |daemon: &Daemon| memory_kib(daemon.pid().as_raw(), "VmHWM") << 10;
    let quiet = resident(&daemon);
    let used = use_all_limits(&daemon);
    assert!(daemon.is_running(), "the process lives");
    let most = resident(&daemon);
    let backlogs = counter(&daemon, "ticker_live_backlogs_read_total");
    let measured = match &group {
        Ok(group) => format!("{} MiB: {}", group.peak_bytes() >> 20, group.measured()),
        Err(_) => format!("{} MiB: its resident memory at most, without a group", most >> 20),
    };
    print_figure(
        "all limits used at once at 30,000 markets stay within 2 GiB",
        "matrix::memory::all_limits_used_at_once_at_30_000_markets_stay_within_the_documented_memory",
        &format!(
            "{measured} ({} MiB resident before, {} at most); {}",
            quiet >> 20,
            most >> 20,
            describe(&used, backlogs)
        ),
    );
    // The peak of a group never exceeds its limit: the kernel takes back files, or kills.
    if let Ok(group) = &group {
        assert_eq!(group.oom_kills(), 0);
    }
    assert!(most <= MEMORY_BYTES, "{most} bytes are resident");
    assert!(used.cut > 0, "the slow readers reach their bound");
    assert!(used.market.answered.load(Ordering::SeqCst) > 0, "documents of the market API are answered");
    assert!(used.streams > 0, "the stream has readers");
    assert!(backlogs > 0, "readers come back for what they missed");
    assert!(used.witness.asked > 0);
    assert_eq!(used.witness.refused, 0, "small requests are answered");
    wait_until("a whole list is answered", || {
        let request = graphql(&whole_lists(1, ASKING * DOCUMENTS));
        status_of(daemon.public, &request, false).is_ok_and(|status| status == 200)
    });
    assert_eq!(daemon.get("/markets.json").json()["pairs"].as_array().unwrap().len(), 30_000);
}
