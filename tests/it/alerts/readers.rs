//! Alerts on what readers notice: slow answers, refused queries, nginx, and descriptors.

use nix::{sys::signal::kill, unistd::Pid};

use super::*;
use crate::{
    hostile::graphql::{post_unkept, worst_legal},
    nginx::process::Front,
    support::wide::wide_database,
};

/// Markets whose lists are large enough that many at once exceed the limit.
const MARKETS: u32 = 3_000;
/// Queries at once.
const QUERIES: usize = 300;
/// Memory that the markets and their readers take at least, in bytes.
const GROWTH: f64 = 16.0 * 1024.0 * 1024.0;

#[test]
fn answers_that_wait_for_a_database_that_hangs() {
    let (sim, source) = scripted();
    block_on(async {
        let server = OwnPostgres::start();
        let daemon = Daemon::serve(&sim.url(), &server.url, PASSPHRASE, &[]);
        wait_until("the stream is open", || figure(&daemon, "ticker_stream_connected", "") == Some(1.0));
        source.push_trade(trade(LEDGER + 1, 0, chrono::Utc::now())).unwrap();
        let mut market = String::new();
        wait_until("the market is there", || {
            let answer = daemon.get("/api/v1/markets");
            if answer.status == 200 {
                market = answer.json()["markets"][0]["id"].as_str().unwrap_or_default().to_owned();
            }
            !market.is_empty()
        });
        // A month ago is not in memory.
        let from = chrono::Utc::now().timestamp() - 30 * 86_400;
        let path = |to: i64| format!("/api/v1/markets/{market}/candles?interval=1h&from={from}&to={to}");
        assert_eq!(daemon.get(&path(from + 86_400)).status, 200);
        let before = scrape(&daemon);
        assert!(!fires("TickerHttpSlow", &before, &before));
        server.signal(Signal::SIGSTOP);
        // Another question, since the answer to the first one is kept for a while.
        let status = daemon.get(&path(from + 90_000)).status;
        server.signal(Signal::SIGCONT);
        assert_eq!(status, 503);
        assert!(fires("TickerHttpSlow", &before, &scrape(&daemon)));
    });
}

#[test]
fn more_queries_than_there_is_room_for() {
    let database = block_on(wide_database(MARKETS));
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &[]);
    daemon.wait_for_publication();
    let before = scrape(&daemon);
    assert!(!fires("TickerGraphqlBusy", &before, &before));
    query_at_once(&daemon);
    assert!(fires("TickerGraphqlBusy", &before, &scrape(&daemon)));
}

fn query_at_once(daemon: &Daemon) {
    std::thread::scope(|scope| {
        for number in 0..QUERIES {
            let address = daemon.public;
            scope.spawn(move || post_unkept(address, &worst_legal(number)));
        }
    });
}

/// The limit is lowered to just above what a daemon with one market uses. `alerts_test.yml` tests the real one.
#[test]
fn memory_that_many_markets_and_their_readers_take() {
    let serve = |markets: u32| {
        let database = block_on(wide_database(markets));
        let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        daemon
    };
    let small = serve(1);
    let of_small = scrape(&small);
    let used = figure_in(&of_small, "process_resident_memory_bytes", "").unwrap();
    let rules = RULES.replace("> 1717986918", &format!("> {:.0}", used + GROWTH));
    assert_ne!(rules, RULES, "the rule has another limit");
    let lasting = |all: BTreeMap<String, String>| -> Vec<(String, String)> {
        all.into_iter().map(|(series, now)| (series, format!("{now}x{MINUTES}"))).collect()
    };
    assert!(!fires_with("TickerMemoryHigh", &rules, lasting(of_small)));
    drop(small);
    let large = serve(MARKETS);
    wait_until("more memory is used", || {
        query_at_once(&large);
        fires_with("TickerMemoryHigh", &rules, lasting(scrape(&large)))
    });
}

#[test]
fn an_nginx_that_ends_again_and_again() {
    let front = Front::start(569, &[]);
    let before = scrape(&front.daemon);
    assert!(!fires("TickerNginxRestarts", &before, &before));
    let restarts = || figure(&front.daemon, "ticker_nginx_restarts_total", "").unwrap_or_default();
    for number in 1..=3 {
        kill(Pid::from_raw(front.master()), Signal::SIGKILL).unwrap();
        wait_until("it was restarted", || restarts() >= f64::from(number));
        front.wait_until_up();
    }
    assert!(fires("TickerNginxRestarts", &before, &scrape(&front.daemon)));
}

#[test]
fn descriptors_that_run_out() {
    let sim = network(570, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    daemon.wait_for_publication();
    let sound = sound(&daemon, &["TickerDescriptorsLow"]);
    // The daemon keeps its connections below its limit. So the limit is lowered under it, and follows what it uses:
    // some descriptors are of the start only. A few are left, or no scrape would be answered.
    let pid = daemon.pid().to_string();
    wait_until("most descriptors are in use", || {
        let used = figure(&daemon, "process_open_fds", "").unwrap();
        let limit = format!("--nofile={}", used + 5.0);
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
        fires("TickerDescriptorsLow", &sound, &scrape(&daemon))
    });
}
