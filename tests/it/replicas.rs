//! Two replicas on one database: one ingests, both serve, and when either fails, nothing is lost and nothing doubled.

mod balanced;
mod blind;
mod candles;
mod documents;
mod other_network;
mod pooled;
mod takeovers;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use stellar_ticker::sim::{FaultPlan, SimConfig, SimServer};

use crate::support::{
    figure,
    network::{PASSPHRASE, block_on, horizon, network},
    progress::{number, wait_for_trades},
    reached,
    replicas::Replicas,
    wait_until,
};

/// ETag and bytes, by path, `seq` and `as_of`.
type Seen = HashMap<(&'static str, String, String), (String, Vec<u8>)>;

/// A network whose ledgers close slowly enough for two replicas to publish the same state often.
fn slow_network(seed: u64) -> SimServer {
    network_of_ledgers(seed, 3.0)
}

/// A network whose ledgers close after this many seconds.
fn network_of_ledgers(seed: u64, ledger_seconds: f64) -> SimServer {
    horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 50.0,
        history_hours: 0,
        ledger_seconds,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    })
}

#[test]
fn both_publish_the_same_bytes_and_etag_for_the_same_seq_and_as_of() {
    const SAME_WANTED: usize = 20;
    block_on(async {
        let replicas = Replicas::start(slow_network(61), &[]).await;
        let mut seen: [Seen; 2] = Default::default();
        let mut same = 0;
        wait_until("both have published the same", || {
            for (daemon, seen) in replicas.both.iter().zip(&mut seen) {
                for path in ["/markets.json", "/assets.json"] {
                    let answer = daemon.get(path);
                    let header = |name| answer.header(name).unwrap().to_owned();
                    let key = (path, header("x-ticker-seq"), header("x-ticker-as-of"));
                    seen.insert(key, (header("etag"), answer.body.clone()));
                }
            }
            let [one, other] = &seen;
            let both = one.iter().filter_map(|(key, outcome)| Some((key, outcome, other.get(key)?)));
            same = both
                .map(|(key, outcome, other)| {
                    assert_eq!(outcome.0, other.0, "one ETag: {key:?}");
                    assert!(outcome.1 == other.1, "the same bytes: {key:?}");
                })
                .count();
            same >= SAME_WANTED
        });
        figure!(
            "two replicas publish the same bytes and ETag for the same (seq, as_of)",
            "{same} answers compared"
        );
        replicas.finish().await;
    });
}

#[test]
fn a_follower_publishes_what_the_leader_commits() {
    const COMMITS: usize = 10;
    block_on(async {
        let replicas = Replicas::start(network_of_ledgers(62, 1.0), &[]).await;
        let follower = &replicas.both[1 - replicas.leader()];
        let mut waits = Vec::new();
        for _ in 0..COMMITS {
            let newest = "SELECT max(seq) FROM ingest_batches";
            let before = number(&replicas.client, newest).await;
            let begun = Instant::now();
            while number(&replicas.client, newest).await == before {
                assert!(begun.elapsed() < crate::support::DEADLINE, "nothing is committed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let committed = Instant::now();
            wait_until("the follower has it", || follower.status()["seq"].as_i64() > Some(before));
            waits.push(committed.elapsed());
        }
        assert_eq!(
            follower.status()["stale"],
            false,
            "it has no stream of its own, and all the same is fresh"
        );
        waits.sort();
        let (p50, max) = (waits[COMMITS / 2], waits[COMMITS - 1]);
        figure!(
            "a follower loads the leader's commits within 1 s and publishes them within another",
            "p50 {} ms, at most {} ms, publication included; {COMMITS} commits",
            p50.as_millis(),
            max.as_millis()
        );
    });
}

/// Ends the leader by a signal. The other takes over, and no trade is lost. Returns the time that it took, as text.
fn leader_falls(seed: u64, signal: Signal) -> String {
    block_on(async {
        let mut replicas = Replicas::start(network(seed, FaultPlan::none()), &[]).await;
        wait_for_trades(&replicas.client, 200).await;
        let old = replicas.leader();
        let begun = Instant::now();
        replicas.both[old].signal(signal);
        let took = replicas.taken_over(old, begun).await;
        replicas.both[old].wait();
        replicas.restart(old);
        let trades = number(&replicas.client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&replicas.client, trades + 200).await;
        let trades = replicas.finish().await;
        format!("{:.2} s; {trades} trades, none lost, none doubled", took.as_secs_f64())
    })
}

#[test]
fn the_other_replica_takes_over_from_a_killed_leader() {
    let outcome = leader_falls(63, Signal::SIGKILL);
    figure!("if the leader is killed (-9), the other ingests within 10 s", "{outcome}");
}

#[test]
fn the_other_replica_takes_over_from_a_leader_that_drains() {
    let outcome = leader_falls(64, Signal::SIGTERM);
    figure!("if the leader gets SIGTERM, the other ingests within 1 s", "{outcome}");
}

#[test]
fn a_leader_that_stood_still_writes_nothing_when_it_goes_on() {
    block_on(async {
        let replicas = Replicas::start(network(65, FaultPlan::none()), &[]).await;
        wait_for_trades(&replicas.client, 200).await;
        let old = replicas.leader();
        let (name, other) = (crate::support::replicas::NAMES[old], &replicas.both[1 - old]);
        let begun = Instant::now();
        replicas.both[old].signal(Signal::SIGSTOP);
        let took = replicas.taken_over(old, begun).await;
        let first = number(
            &replicas.client,
            &format!(
                "SELECT min(seq) FROM written WHERE seq > (SELECT max(seq) FROM written WHERE replica = '{name}')"
            ),
        )
        .await;
        // Only a manual run keeps it stopped for the 30 s of the promise.
        let still = Duration::from_secs(crate::support::by_hand("TICKER_TEST_STILL_SECONDS", 0));
        while begun.elapsed() < still {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let stood = begun.elapsed();
        replicas.both[old].signal(Signal::SIGCONT);
        let trades = number(&replicas.client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&replicas.client, trades + 200).await;
        wait_until("it follows", || !replicas.both[old].leads());
        let written = format!("SELECT count(*) FROM written WHERE replica = '{name}' AND seq >= {first}");
        assert_eq!(number(&replicas.client, &written).await, 0, "it writes nothing");
        assert!(other.leads());
        figure!(
            "a leader that was suspended (SIGSTOP) and continued writes nothing",
            "suspended {:.1} s, taken over after {:.2} s, wrote 0 batches since",
            stood.as_secs_f64(),
            took.as_secs_f64()
        );
        replicas.finish().await;
    });
}
