//! Alerts on processes, leadership, the stream, mailboxes and the pool.

use std::{
    thread::park_timeout,
    time::{Duration, Instant},
};

use stellar_ticker::sim::{Endpoint, Fault};

use super::*;
use crate::support::recomputation;

/// Longer than the alert lets a message wait.
const PAUSE: Duration = Duration::from_secs(6);

/// Requests for the quarantine at once: more than the pool has connections.
const WAITING: usize = 40;

#[test]
fn a_daemon_that_is_gone_and_one_that_starts_again_and_again() {
    let sim = network(564, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let start = "process_start_time_seconds{job=\"stellar-ticker\",instance=\"a\"}";
        let mut starts = Vec::new();
        while starts.len() < 4 {
            let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
            let started = scrape(&daemon)[start].clone();
            // Two may start in the same second.
            if !starts.contains(&started) {
                starts.push(started);
            }
            daemon.kill();
            assert!(request(daemon.admin, "GET", "/metrics", "").is_err(), "it cannot be scraped");
        }
        let up = "up{job=\"stellar-ticker\",instance=\"a\"}".to_owned();
        assert!(fires_on("TickerDown", [(up.clone(), format!("1 0x{MINUTES}"))]));
        assert!(!fires_on("TickerDown", [(up, format!("1x{MINUTES}"))]));
        let (first, rest) = starts.split_first().unwrap();
        let last = starts.last().unwrap();
        // The restarts fall into the last hour.
        let values = format!("{first}x{} {} {last}x10", MINUTES - 20, rest.join(" "));
        assert!(fires_on("TickerRestartsOften", [(start.to_owned(), values)]));
        assert!(!fires_on("TickerRestartsOften", [(start.to_owned(), format!("{last}x{MINUTES}"))]));
    });
}

#[test]
fn two_replicas_with_two_databases() {
    let sim = network(565, FaultPlan::none());
    block_on(async {
        let serve = async || Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &[]);
        let both = [serve().await, serve().await];
        wait_until("both lead", || {
            both.iter().all(|daemon| figure(daemon, "ticker_leader", "") == Some(1.0))
        });
        let one = scrape_as("a", &both[0]);
        assert!(!fires("TickerTwoLeaders", &one, &one));
        let all: BTreeMap<_, _> = one.into_iter().chain(scrape_as("b", &both[1])).collect();
        assert!(fires("TickerTwoLeaders", &all, &all));
    });
}

#[test]
fn a_stream_that_is_cut_again_and_again() {
    // Each session brings some trades, so the next one begins without a long pause.
    let plan = FaultPlan::none();
    for _ in 0..100 {
        plan.push(Endpoint::Stream, Fault::Cut { after_bytes: 50_000 });
    }
    let sim = network(566, plan);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let reconnects = || figure(&daemon, "ticker_stream_reconnects_total", "");
        wait_until("the stream was opened", || reconnects().is_some());
        let before = scrape(&daemon);
        assert!(!fires("TickerStreamUnstable", &before, &before));
        let opened = reconnects().unwrap();
        wait_until("it was cut some times", || reconnects() >= Some(opened + 4.0));
        assert!(fires("TickerStreamUnstable", &before, &scrape(&daemon)));
    });
}

#[test]
fn a_full_mailbox_and_messages_that_wait() {
    let sim = network(567, FaultPlan::none());
    block_on(async {
        let often = ["--orderbooks-schedule", "* * * * * *"];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &often);
        daemon.wait_for_publication();
        let sound = sound(&daemon, &["TickerMailboxFull", "TickerMessagesWait"]);
        // The aggregator takes its time for one message while another actor sends more than its mailbox holds.
        let depth = || figure(&daemon, "ticker_actor_mailbox_messages", "\"aggregator\"").unwrap();
        let most = figure(&daemon, "ticker_actor_mailbox_messages_max", "\"aggregator\"").unwrap();
        let mut full = BTreeMap::new();
        wait_until("its mailbox is full", || {
            daemon.provoke("aggregator", "slow-RankMarkets");
            daemon.provoke("orderbook_poller", "Flood");
            let begun = Instant::now();
            while begun.elapsed().as_secs() < 2 && depth() < most {}
            full = scrape(&daemon);
            fires("TickerMailboxFull", &sound, &full)
        });
        // The machine stops for longer than a message may wait, while some are in the mailbox.
        wait_until("messages have waited for seconds", || {
            let before = scrape(&daemon);
            daemon.provoke("aggregator", "slow-RankMarkets");
            daemon.provoke("orderbook_poller", "Flood");
            let begun = Instant::now();
            while begun.elapsed().as_secs() < 2 && depth() < most {}
            daemon.signal(Signal::SIGSTOP);
            park_timeout(PAUSE);
            daemon.signal(Signal::SIGCONT);
            wait_until("its mailbox is empty", || depth() == 0.0);
            fires("TickerMessagesWait", &before, &scrape(&daemon))
        });
    });
}

#[test]
fn a_pool_without_a_free_connection() {
    let sim = network(568, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let sound = sound(&daemon, &["TickerPoolExhausted"]);
        let mut client = recomputation::connect(&database).await;
        let lock = client.transaction().await.unwrap();
        lock.batch_execute("LOCK TABLE quarantine IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let admin = daemon.admin;
        let ask = || std::thread::spawn(move || request(admin, "GET", "/quarantine.json", ""));
        let asking: Vec<_> = (0..WAITING).map(|_| ask()).collect();
        wait_until("somebody waits for a connection", || {
            figure(&daemon, "ticker_database_pool_waiting", "") > Some(0.0)
        });
        let busy = scrape(&daemon);
        assert!(fires("TickerPoolExhausted", &sound, &busy));
        lock.rollback().await.unwrap(); // the requests go on
        for asking in asking {
            assert!(asking.join().unwrap().is_ok());
        }
    });
}
