//! The documented memory at the documented number of markets, while clients use all limits at once.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use super::*;
use crate::support::{
    daemon::MEMORY_GROUP, not_tested, print_figure, processes::memory_kib, wide::wide_database,
};

/// Markets, and the memory that `docs/limits.md` and `docs/run.md` promise for them.
const MARKETS: u32 = 30_000;
const MEMORY_BYTES: u64 = 2 << 30;
/// Clients of `/graphql`, and documents that each of them asks for. With 24 values a row and 30,000 rows, five lists
/// are the most that 4,000,000 values allow; a single one is answered in time by a slow machine, too.
const ASKING: usize = 48;
const DOCUMENTS: usize = 4;
const LISTS: [usize; 2] = [5, 1];
/// One in this many clients of `/graphql` reads its answer slowly, and the pieces that it reads at most.
const SLOW_ASKING: usize = 4;
const SLOW_PIECES: usize = 120;
/// Readers of `markets.json` at 40 KB a second, who ask again whenever they are cut off; at most so often.
const SLOW_READERS: usize = 48;
const FAST_READERS: usize = 4;
const ASKED_MAX: usize = 10_000;
const IDLE: usize = 2_000;

/// A control group (version 2) with [`MEMORY_BYTES`] and no swap. Made only where the kernel's root group already hands
/// the memory controller down: a test changes nothing for other groups.
struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// The group, or why there can be none.
    fn make() -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let handed_down = fs::read_to_string(root.join("cgroup.subtree_control"))
            .map_err(|error| format!("no control groups of version 2 at {}: {error}", root.display()))?;
        if !handed_down.split_whitespace().any(|controller| controller == "memory") {
            return Err(format!("{} hands no memory controller down", root.display()));
        }
        let path = root.join(format!("stellar-ticker-test-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = Self { path };
        for (name, value) in [("memory.max", MEMORY_BYTES), ("memory.swap.max", 0)] {
            fs::write(group.path.join(name), value.to_string())
                .map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(group)
    }

    fn peak_bytes(&self) -> u64 {
        fs::read_to_string(self.path.join("memory.peak")).unwrap().trim().parse().unwrap()
    }

    fn oom_kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap();
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

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
    let count = match read_all(address, &whole_lists(lists, number), is_slow) {
        Ok(200) => &counts.answered,
        Ok(503) => &counts.busy,
        Ok(other) => panic!("{other} for a legal document"),
        Err(_) => &counts.cut,
    };
    count.fetch_add(1, Ordering::SeqCst);
}

/// Returns the status after the end of the answer, whole or not.
fn read_all(address: SocketAddr, body: &str, is_slow: bool) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    let mut piece = vec![0; 64 << 10];
    let pieces = if is_slow { SLOW_PIECES } else { usize::MAX };
    for _ in 0..pieces {
        if is_slow {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        if stream.read(&mut piece)? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&status[9..]).parse().unwrap())
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

/// Uses all limits at once, until the documents are answered or refused.
fn use_all_limits(daemon: &Daemon) -> (Counts, Witness, usize) {
    let (address, is_over, counts) = (daemon.public, AtomicBool::new(false), Counts::default());
    let idle: Vec<_> = (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect();
    let (witness, cut) = std::thread::scope(|scope| {
        let (is_over, counts) = (&is_over, &counts);
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
        (witness.join().unwrap(), slow.into_iter().map(|reader| reader.join().unwrap()).sum())
    });
    drop(idle);
    (counts, witness, cut)
}

#[test]
#[ignore = "some minutes, and a memory limit needs root and control groups of version 2: ./ticker matrix"]
fn all_limits_used_at_once_at_30_000_markets_stay_within_the_documented_memory() {
    let group = MemoryGroup::make();
    if let Err(why) = &group {
        not_tested(&format!("the kernel's memory limit ({why}); the process is measured without it"));
    }
    let path = group.as_ref().map(|group| group.path.display().to_string()).ok();
    let delay = purge_delay();
    let mut environment = vec![("MIMALLOC_PURGE_DELAY", delay.as_str())];
    environment.extend(path.iter().map(|path| (MEMORY_GROUP, path.as_str())));
    let database = block_on(wide_database(MARKETS));
    let more = ["--connections-per-address", "0"];
    let mut daemon = Daemon::serve_in(&environment, "http://127.0.0.1:9", &database, PASSPHRASE, &more);
    wait_until("all markets are published", || {
        let answer = daemon.get("/markets.json");
        answer.status == 200 && answer.json()["pairs"].as_array().unwrap().len() == 30_000
    });
    daemon.wait_for_files();
    let quiet = memory_kib(daemon.pid().as_raw(), "VmHWM") << 10;
    let (counts, witness, cut) = use_all_limits(&daemon);
    assert!(daemon.is_running(), "the process lives");
    let resident = memory_kib(daemon.pid().as_raw(), "VmHWM") << 10;
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let [answered, busy, broken] = [&counts.answered, &counts.busy, &counts.cut].map(count);
    let (measured, peak) = match &group {
        Ok(group) => ("memory.peak of its group", group.peak_bytes()),
        Err(_) => ("its resident memory at most, without a group", resident),
    };
    let mib = |bytes: u64| bytes >> 20;
    print_figure(
        "all limits used at once at 30,000 markets stay within 2 GiB",
        "matrix::memory::all_limits_used_at_once_at_30_000_markets_stay_within_the_documented_memory",
        &format!(
            "{} MiB: {measured} ({} MiB resident before, {} at most); {} documents of five whole lists or one: {answered} answered, {busy} refused by 503, {broken} cut off; {SLOW_READERS} slow readers, cut off {cut} times; {IDLE} idle connections; {} small questions meanwhile, {} of them refused, {} at most",
            mib(peak),
            mib(quiet),
            mib(resident),
            ASKING * DOCUMENTS,
            witness.asked,
            witness.refused,
            seconds(witness.slowest)
        ),
    );
    if let Ok(group) = &group {
        assert_eq!(group.oom_kills(), 0);
    }
    assert!(peak <= MEMORY_BYTES, "{peak} bytes");
    assert!(cut > 0, "the slow readers reach their bound");
    assert!(witness.asked > 0);
    assert_eq!(witness.refused, 0, "small requests are answered");
    wait_until("a whole list is answered", || {
        read_all(daemon.public, &whole_lists(1, ASKING * DOCUMENTS), false).is_ok_and(|status| status == 200)
    });
    assert_eq!(daemon.get("/markets.json").json()["pairs"].as_array().unwrap().len(), 30_000);
}
