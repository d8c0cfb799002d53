//! Readers that come back for what they missed, and do not read it: the daemon holds it for a few of them.

use super::*;
use crate::{
    hostile::counter,
    support::{figure, processes::memory_kib, recomputation::connect, wide::wide_database},
};

/// Markets for which a backlog takes some 7 MB.
const MARKETS: u32 = 8_000;
/// Backlogs that the daemon holds at most.
const HELD_MAX: usize = 3;
/// Readers beyond them, each of which would need a backlog of its own.
const MORE: usize = 9;
/// Memory in KiB that further readers may take in any case: a part of what one of them would hold.
const SLACK_KIB: u64 = 4 << 10;
/// Batches of an earlier run, for that many rounds of readers.
const BATCHES: i64 = 2_000;

/// Connections of readers, each at the events after its first one, and the times that they were refused.
#[derive(Default)]
struct Crowd {
    holding: Vec<Reader>,
    refused: usize,
}

impl Crowd {
    /// Opens a reader that last saw this batch, and reads its first event. It has 64 KiB of buffers for the others.
    fn open(&mut self, daemon: &Daemon, seq: i64, as_of: i64) {
        let mut reader = Reader::open(daemon, "", Some(&format!("{seq}.{as_of}")));
        let first = reader.next();
        match first.name.as_str() {
            "market" => self.holding.push(reader),
            // Only so many are held, or a busy machine did not read it in time.
            "reset" => {
                assert_eq!(first.data["reason"], "the missed trades cannot be read now", "{first:?}");
                self.refused += 1;
            }
            other => panic!("{other}: {first:?}"),
        }
    }
}

/// Each next reader has seen an older batch, so what was read for the others does not serve it.
#[test]
fn readers_that_each_need_another_backlog_and_do_not_read_it_hold_three() {
    let database = block_on(wide_database(MARKETS));
    block_on(async {
        let batches = format!(
            "INSERT INTO ingest_batches (seq, kind, trades, committed_at)
                 SELECT seq, 'backfill', 0, now() - interval '50 minutes' FROM generate_series(2, {BATCHES}) seq;
             UPDATE ingest_lease SET seq = {BATCHES}"
        );
        connect(&database).await.batch_execute(&batches).await.unwrap();
    });
    // Publications and files would hide what readers hold.
    let quiet = ["--publish-interval", "24h", "--file-interval", "24h", "--audit-interval", "24h"];
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &quiet);
    daemon.wait_for_files();
    let as_of = Utc::now().timestamp() - 1_800;
    let mut seq = BATCHES - 1;
    // The first backlog makes what stays: figures of markets, and buffers.
    let mut first = Crowd::default();
    wait_until("a first reader holds a backlog", || {
        first.open(&daemon, seq, as_of);
        seq -= 1;
        !first.holding.is_empty()
    });
    let resident = || memory_kib(daemon.pid().as_raw(), "VmRSS");
    let cut = || counter(&daemon, "ticker_http_connections_cut_total{reason=\"slow\"}");
    wait_until("a round in which no reader was cut off", || {
        let (mut crowd, before, cut_before) = (std::mem::take(&mut first), resident(), cut());
        wait_until("as many hold one as may", || {
            crowd.open(&daemon, seq, as_of);
            seq -= 1;
            crowd.holding.len() == HELD_MAX
        });
        let (held, reads) = (resident(), counter(&daemon, "ticker_live_backlogs_read_total"));
        crowd.refused = 0;
        for _ in 0..MORE {
            crowd.open(&daemon, seq, as_of);
            seq -= 1;
        }
        let (more, read) = (resident(), counter(&daemon, "ticker_live_backlogs_read_total") - reads);
        if cut() > cut_before {
            return false; // The kernel or the daemon ended a reader that stood still, so another got its place.
        }
        let (of_two, of_more) = (held.saturating_sub(before), more.saturating_sub(held));
        println!(
            "two further backlogs took {of_two} KiB, {MORE} further readers {of_more} KiB and {read} reads"
        );
        assert_eq!((crowd.holding.len(), crowd.refused, read), (HELD_MAX, MORE, 0));
        // The allocator may have had room for the two.
        assert!(
            of_more < of_two.max(SLACK_KIB),
            "{MORE} refused readers took {of_more} KiB, two others {of_two} KiB"
        );
        figure!(
            "readers that come back hold three sets of missed events at most",
            "two sets of {MARKETS} markets: {of_two} KiB; {MORE} further readers: {of_more} KiB"
        );
        true
    });
    // They are gone, and others get their places.
    let mut next = Crowd::default();
    wait_until("another reader gets what it missed", || {
        next.open(&daemon, seq, as_of);
        seq -= 1;
        !next.holding.is_empty()
    });
}
