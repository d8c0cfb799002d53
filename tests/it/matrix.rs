//! The matrix of faults: each strikes while trades flow, and afterwards the process lives, nothing is lost, nothing is
//! doubled, the files are whole and what is published is right. `./ticker matrix` runs all of it; what takes more than
//! some seconds is ignored by `./ticker test`.

mod clock;
mod disk;
mod failover;
mod horizon;
mod lake;
mod memory;
mod patroni;
mod postgres;
mod process;
mod refusals;
mod standby;

pub(crate) use lake::LAKE_FAULTS;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use stellar_ticker::sim::{FaultPlan, SimServer};
use tokio_postgres::Client;

use crate::support::{
    DEADLINE, by_hand,
    daemon::Daemon,
    figure,
    network::{PASSPHRASE, block_on, network},
    own_postgres::OwnPostgres,
    progress::{number, wait_for_pairs, wait_for_trades},
    replicas::settle,
    wait_until,
};

/// A running daemon, with a database server of its own that a test may break.
struct Scene {
    sim: SimServer,
    server: OwnPostgres,
    daemon: Daemon,
    /// Time from the start of the daemon to its first pairs.
    start: Duration,
}

impl Scene {
    async fn start(seed: u64) -> Self {
        Self::start_on(OwnPostgres::start(), seed).await
    }

    async fn start_on(server: OwnPostgres, seed: u64) -> Self {
        let sim = network(seed, FaultPlan::none());
        let begun = Instant::now();
        let daemon = Daemon::serve(&sim.url(), &server.url, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        Self { sim, server, daemon, start: begun.elapsed() }
    }

    /// Waits until everything emitted so far is stored. Returns the time that it took.
    async fn is_fresh_again(&self) -> Duration {
        fresh_again(&self.sim, &self.server.url).await
    }

    /// Waits until the daemon logs one more line of a kind.
    fn wait_for_words(&self, before: usize, words: &str) {
        wait_until(words, || self.daemon.log().get(before..).is_some_and(|log| log.contains(words)));
    }

    fn log_length(&self) -> usize {
        self.daemon.log().len()
    }

    /// Checks that the process is the same, no trade is lost or doubled, and the file is whole. Returns the number of
    /// trades.
    async fn finish(mut self) -> usize {
        assert!(self.daemon.is_running(), "the process lives");
        assert_eq!(self.daemon.get("/livez").status, 200);
        let client = self.server.client().await;
        let trades = settle(self.sim, &client, &[&self.daemon]).await;
        wait_until("the file is whole and new", || {
            let file = std::fs::read(self.daemon.output("markets.json")).unwrap();
            let file: serde_json::Value = serde_json::from_slice(&file).expect("whole");
            file["generated_at"].as_i64() >= Some(chrono::Utc::now().timestamp_millis() - 10_000)
        });
        trades
    }
}

/// Waits until the newest ledger of this moment is in the database. Returns the time that it took.
pub(crate) async fn fresh_again(sim: &SimServer, url: &str) -> Duration {
    let begun = Instant::now();
    let newest = i64::from(sim.oracle().head().latest);
    let held = "SELECT coalesce(max(toid) >> 32, 0) FROM trades";
    loop {
        if let Ok((client, driver)) = tokio_postgres::connect(url, tokio_postgres::NoTls).await {
            tokio::spawn(driver);
            while let Ok(row) = client.query_one(held, &[]).await {
                if row.get::<_, i64>(0) >= newest {
                    return begun.elapsed();
                }
                assert!(begun.elapsed() < DEADLINE, "never fresh again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "never fresh again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts of a daemon for whose time a busy machine may work on what it missed in an outage.
const STARTS: u32 = 10;

/// Time that data may take to be fresh after an outage, beside the work on what was missed.
fn promised_after(outage: Duration) -> Duration {
    Duration::from_secs(15).max(outage.mul_f64(0.6))
}

/// Checks that data were fresh in time after an outage. `start` is the time that this machine, as busy as it is, took
/// from the start of a daemon to its first pairs.
pub(crate) fn assert_kept(took: Duration, outage: Duration, start: Duration) {
    let limit = promised_after(outage) + start * STARTS;
    assert!(took < limit, "fresh after {took:?}, out for {outage:?}, {start:?} for a start");
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
