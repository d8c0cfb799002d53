//! Faults of the simulated Horizon.

use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use stellar_ticker::sim::{Endpoint, Fault, FaultPlan, SimConfig, TradeId};

use super::{config, get, serve, stream, stream_ids, wire::fetch};

#[test]
fn faults_happen_once_each_and_do_what_they_say() {
    let faults = FaultPlan::none();
    let server = serve(SimConfig { faults: faults.clone(), ..config() });
    let sound = get(&server, "/trades").body;
    let page = |fault: Fault| {
        faults.push(Endpoint::Trades, fault);
        let reply = get(&server, "/trades");
        assert_eq!(get(&server, "/trades").body, sound, "the next request is sound");
        reply
    };
    for status in [500, 502, 503, 504, 429] {
        assert_eq!(page(Fault::Status(status)).status, status);
    }
    let loading = page(Fault::StillIngesting);
    assert!(loading.status == 503 && loading.body.contains("/still_ingesting"), "{}", loading.body);
    assert!(page(Fault::HtmlWith200).body.starts_with("<!DOCTYPE html>"));
    let cut = page(Fault::Cut { after_bytes: 777 });
    assert_eq!((cut.body.as_str(), cut.whole), (&sound[..777], false));
    let truncated = page(Fault::TruncatedJson { after_bytes: 777 });
    assert_eq!((truncated.body.as_str(), truncated.whole), (&sound[..777], true));
    assert_eq!(page(Fault::Drip { bytes: 7 }).body, sound);
    let repeated = page(Fault::Repeat { records: 3 }).records();
    assert_eq!((repeated.len(), &repeated[10..]), (13, &repeated[7..10]));
    let malformed = page(Fault::MalformedRecord { index: 4 }).records();
    assert_eq!(malformed[4]["price"], "cheap");
    assert_ne!(malformed[5]["price"], "cheap");
}

#[test]
fn faults_of_a_stream_do_what_they_say() {
    let faults = FaultPlan::none();
    let server = serve(SimConfig { faults: faults.clone(), ..config() });
    let sound = stream(&server, "/trades", "").body;
    let run = |fault: Fault| {
        faults.push(Endpoint::Stream, fault);
        stream(&server, "/trades", "")
    };
    assert_eq!(run(Fault::Status(429)).status, 429);
    let early = run(Fault::ByeByeEarly { after_records: 3 }).body;
    assert_eq!((stream_ids(&early).len(), early.ends_with("data: \"byebye\"\n\n")), (3, true));
    let limited = run(Fault::RateLimitedMidStream { after_records: 0 }).body;
    assert_eq!((stream_ids(&limited).len(), limited.ends_with("Rate limit exceeded\n\n")), (0, true));
    let failed = run(Fault::ErrorMidStream { after_records: 2 }).body;
    assert_eq!((stream_ids(&failed).len(), failed.ends_with("Unexpected stream error\n\n")), (2, true));
    for after_bytes in [0, 20, 45, 900, 2345] {
        let cut = run(Fault::Cut { after_bytes });
        assert_eq!((cut.body.as_str(), cut.whole), (&sound[..after_bytes], false));
    }
    let ids = stream_ids(&run(Fault::Repeat { records: 2 }).body);
    assert!(ids.len() > 10 && ids.iter().collect::<HashSet<_>>().len() == 10);
    faults.push(Endpoint::Stream, Fault::Stall { after_bytes: 100 });
    // Half open: longer than the stream would last, and nothing but the first bytes.
    let began = Instant::now();
    let stalled = fetch(&server, "/trades", "Accept: text/event-stream\r\n", Duration::from_secs(1));
    assert_eq!((stalled.body.as_str(), stalled.whole), (&sound[..100], false));
    assert!(began.elapsed() >= Duration::from_secs(1), "the connection was closed");
    assert_eq!(stream(&server, "/trades", "").body, sound);
}

#[test]
fn faults_that_lie_do_what_they_say() {
    let faults = FaultPlan::none();
    let server = serve(SimConfig { faults: faults.clone(), ..config() });
    let latest = || get(&server, "/").json()["history_latest_ledger"].as_u64().unwrap();
    let real = latest();
    faults.always(Endpoint::Root, Fault::Ahead { ledgers: 1_000 });
    assert_eq!((latest(), latest()), (real + 1_000, real + 1_000), "every time");
    faults.push(Endpoint::Root, Fault::FalseAllowance { remaining: 0, reset_s: 3_600 });
    let reported = |name: &str| get(&server, "/").header(&format!("x-ratelimit-{name}"));
    assert_eq!((reported("remaining").as_deref(), reported("reset")), (Some("0"), None));
    faults.clear(Endpoint::Root);
    assert_eq!(latest(), real);
    faults.push(Endpoint::Trades, Fault::FalsePosition { ledgers: 500 });
    let records = get(&server, "/trades?order=desc").records();
    let ledger = |record: &Value| TradeId::parse(record["paging_token"].as_str().unwrap()).unwrap().ledger();
    assert_eq!((records.len(), ledger(&records[0]) - ledger(&records[1])), (2, 500));
    assert_eq!(records[1]["price"], "cheap");
    faults.push(Endpoint::Trades, Fault::Stray { ledgers: 500 });
    let ledgers: Vec<u32> = get(&server, "/trades?order=desc").records().iter().map(ledger).collect();
    let strays = ledgers.iter().filter(|ledger| **ledger < ledgers[0] - 500).count();
    assert!(strays == 1 && ledgers[6] < ledgers[0] - 500, "{ledgers:?}");
    faults.push(Endpoint::Stream, Fault::Heartbeat { event: "event: x", every: Duration::from_millis(10) });
    let beats = stream(&server, "/trades", "").body;
    assert!(beats.contains("event: x\n\nevent: x\n\n") && stream_ids(&beats).is_empty(), "{beats}");
    faults.push(Endpoint::Stream, Fault::CutLater { after: Duration::from_millis(50) });
    assert!(!stream(&server, "/trades?cursor=now", "").whole);
}
