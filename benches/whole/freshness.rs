//! Time from the emission of a trade by Horizon until clients can see it, at 200 trades per second.

use std::time::Duration;

use super::{
    bench::{Bench, pause},
    live::Live,
    report::{Row, Unit},
    start::{self, Daemon},
    watch,
};

/// Trades per ledger for 200 trades per second. The ledgers are not in step with publications.
pub(crate) const LEDGER_TRADES: u64 = 46;
/// Time between these ledgers.
pub(crate) const LEDGER_PERIOD: Duration = Duration::from_millis(230);
/// Time after the first publication in which the daemon finishes the work of its start.
pub(crate) const SETTLING: Duration = Duration::from_secs(8);
/// Arguments for no limit of requests.
pub(crate) const UNLIMITED: [&str; 2] = ["--horizon-requests-per-hour", "0"];

/// Trades per ledger for 200 trades per second, with ledgers as on the public network.
const NETWORK_TRADES: u64 = 1_000;
/// Time between these ledgers.
const NETWORK_PERIOD: Duration = Duration::from_secs(5);

/// Arrival of trades, and the goals for it.
struct Case {
    name: &'static str,
    interval: &'static str,
    ledger: (u64, Duration),
    p50: Option<f64>,
    p99: f64,
}

const CASES: [Case; 3] = [
    Case {
        name: "200 a second, the default interval",
        interval: "1s",
        ledger: (LEDGER_TRADES, LEDGER_PERIOD),
        p50: Some(0.5),
        p99: 1.2,
    },
    Case {
        name: "200 a second in ledgers of 5 s, the default interval",
        interval: "1s",
        ledger: (NETWORK_TRADES, NETWORK_PERIOD),
        p50: Some(0.5),
        p99: 1.2,
    },
    Case {
        name: "200 a second, --publish-interval 100ms",
        interval: "100ms",
        ledger: (LEDGER_TRADES, LEDGER_PERIOD),
        p50: None,
        p99: 0.3,
    },
];

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let span = bench.sized(Duration::from_secs(30), Duration::from_secs(120));
    let mut rows = Vec::new();
    for Case { name, interval, ledger: (ledger_trades, period), p50, p99 } in CASES {
        let store = bench.block_on(start::filled(bench, trades));
        let arguments = [UNLIMITED.as_slice(), &["--publish-interval", interval]].concat();
        let network = Live::after(trades, false);
        let daemon = Daemon::on(&store.url, &network.url(), &arguments);
        bench.block_on(daemon.first_publication());
        let network = network.go_on(ledger_trades, period);
        pause(SETTLING);
        watch::until_seen(daemon.public, &network.emitted);
        let ages = watch::ages(daemon.public, &network.emitted, span);
        drop(daemon);
        drop(network);
        bench.block_on(store.close());
        for (ages, place) in ages.iter().zip(["/markets.json", "GraphQL"]) {
            let what = format!("trade emitted to visible at {place}, {name}:");
            let median = Row::new(format!("{what} p50"), ages.at(500), Unit::Seconds);
            rows.push(if let Some(goal) = p50 { median.goal(goal) } else { median });
            rows.push(Row::new(format!("{what} p99"), ages.at(990), Unit::Seconds).goal(p99));
        }
    }
    rows
}
