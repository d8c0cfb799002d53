//! Steady cost of the daemon: CPU at 20 trades per second, with a publication each second.

use std::time::{Duration, Instant};

use super::{
    bench::{Bench, Times, pause},
    live::Live,
    report::{Row, Unit},
    start::{self, Daemon, NAIVE},
    watch,
};

/// Trades per ledger, for 20 trades per second.
const LEDGER_TRADES: u64 = 100;
/// Time between two ledgers.
const LEDGER_PERIOD: Duration = Duration::from_secs(5);
/// Time after the first publication in which the daemon finishes the work of its start.
const SETTLING: Duration = Duration::from_secs(20);

/// Trades from which the growth is measured. With 10,000, most of the 30,000 markets would have no trade. The growth
/// would then be that of the published markets.
const FEW_TRADES: u64 = 100_000;
/// Arguments for one pass of the self-audit after the other.
const AUDITING: [&str; 2] = ["--audit-interval", "1s"];
/// Metric of the time that slices of the self-audit took.
const AUDITED: &str = "ticker_audit_slice_seconds_sum";

/// CPU a second, in seconds, and the share of the time that the self-audit took.
struct Costs {
    daemon_s: f64,
    postgres_s: f64,
    audit: f64,
    naive_s: f64,
}

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    // By default the self-audit rests during most of a measurement.
    let (few, many) = (measure(bench, FEW_TRADES, &AUDITING), measure(bench, trades, &AUDITING));
    let default = measure(bench, trades, &[]);
    let what = format!(
        "CPU a second at 20 trades a second, {} million trades held, self-audit without a pause",
        trades / 1_000_000
    );
    let both = |costs: &Costs| costs.daemon_s + costs.postgres_s;
    vec![
        Row::new(format!("{what}: the daemon"), many.daemon_s, Unit::Seconds)
            .baseline("naive SQL, once a second", many.naive_s)
            .goal(0.2),
        Row::new(format!("{what}: PostgreSQL"), many.postgres_s, Unit::Seconds)
            .baseline("naive SQL, once a second", many.naive_s),
        Row::new("CPU a second of both, the default --audit-interval", both(&default), Unit::Seconds)
            .baseline("self-audit without a pause", both(&many)),
        Row::new("of each second, time in slices of the self-audit", many.audit, Unit::Seconds).goal(0.050),
        Row::new(
            format!("growth of both together from {FEW_TRADES} to {trades} trades, self-audit without a pause between passes"),
            both(&many) / both(&few),
            Unit::Times,
        )
        .goal(1.5),
    ]
}

fn measure(bench: &Bench, trades: u64, arguments: &[&str]) -> Costs {
    let span = bench.sized(Duration::from_secs(60), Duration::from_secs(240));
    let store = bench.block_on(start::filled(bench, trades));
    let before = bench.postgres_cpu_s();
    for window in ["24 hours", "7 days"] {
        bench.block_on(store.client.query(NAIVE, &[&window])).unwrap();
    }
    let naive_s = bench.postgres_cpu_s() - before;
    // The limit of requests is the default one, so books are read at the pace at which they are on the real network.
    let network = Live::after(trades, true);
    let daemon = Daemon::on(&store.url, &network.url(), arguments);
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    pause(SETTLING);
    watch::until_seen(daemon.public, &network.emitted);
    let cpu = || (Times::of(daemon.pid()).unwrap().own_s, bench.postgres_cpu_s(), daemon.metric(AUDITED));
    let (begun, before) = (Instant::now(), cpu());
    pause(span);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), cpu());
    watch::until_seen(daemon.public, &network.emitted); // it did not stand still
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    Costs {
        daemon_s: (after.0 - before.0) / seconds,
        postgres_s: (after.1 - before.1) / seconds,
        audit: (after.2 - before.2) / seconds,
        naive_s,
    }
}
